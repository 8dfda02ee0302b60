"""What compiled loops say to the processor: vectors of 512 bits, and the bits of a number.

LLVM prefers vectors of 256 bits on most processors that have wider ones, whose clock a few wide instructions may slow
down. Beside sgemm, which is made of them, the loops of the hot path have nothing to lose: what they compute takes half
as many instructions. Results are the same, bit for bit.
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

Typed = tuple[Any, Callable[[Any, Any, Any, Any], Any]]  # a signature, and what writes the function's code


@intrinsic
def use_wide_vectors(typing_context: Any) -> Typed:
    """Called first in a compiled function: its loops may use the widest vectors that the processor has."""
    del typing_context

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature, arguments
        attributes = builder.function.attributes
        if isinstance(attributes, set):  # whose own `add` refuses what it does not know
            set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), write


@intrinsic
def bits_of(typing_context: Any, value: Any) -> Typed:
    """The bits of a float32, as an int32."""
    del typing_context, value
    return types.int32(types.float32), same_bits


@intrinsic
def float_of(typing_context: Any, bits: Any) -> Typed:
    """The float32 of these bits, an int32."""
    del typing_context, bits
    return types.float32(types.int32), same_bits


def same_bits(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The code of a function that changes nothing but the type of its argument."""
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))
