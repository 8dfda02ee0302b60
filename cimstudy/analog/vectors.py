"""What compiled loops say to the processor: vectors of 512 bits, the bits of a number, which of many are small.

LLVM prefers vectors of 256 bits on most processors that have wider ones, whose clock a few wide instructions may slow
down. Beside sgemm, which is made of them, the loops of the hot path have nothing to lose: what they compute takes half
as many instructions. Results are the same, bit for bit.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Typed = tuple[Any, Callable[[Any, Any, Any, Any], Any]]  # a signature, and what writes the function's code


@intrinsic
def use_wide_vectors(typing_context) -> Typed:
    """Called first in a compiled function: its loops may use the widest vectors that the processor has."""

    def write(context, builder, signature, arguments):
        attributes = builder.function.attributes
        if isinstance(attributes, set):  # whose own `add` refuses what it does not know
            set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), write


@intrinsic
def bits_of(typing_context, value) -> Typed:
    """The bits of a float32, as an int32."""
    return types.int32(types.float32), same_bits


@intrinsic
def float_of(typing_context, bits) -> Typed:
    """The float32 of these bits, an int32."""
    return types.float32(types.int32), same_bits


@intrinsic
def lanes_below(typing_context, words, first, mask, limit) -> Typed:
    """Which of 64 words (uint32) from `first` on are below a limit when masked: one bit each, the first lowest."""

    def write(context, builder, signature, arguments):
        many = ir.VectorType(ir.IntType(32), 64)
        array, first, *_ = arguments
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [first])
        held = builder.load(builder.bitcast(pointer, many.as_pointer()), align=4)
        found = builder.and_(held, everywhere(builder, arguments[2], many))
        return builder.bitcast(
            builder.icmp_unsigned("<", found, everywhere(builder, arguments[3], many)), ir.IntType(64)
        )

    return types.uint64(words, types.intp, types.uint32, types.uint32), write


@intrinsic
def lowest_bit(typing_context, bits) -> Typed:
    """The number of the lowest bit of a uint64 that is set."""

    def write(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), write


def everywhere(builder: Any, number: Any, word: Any) -> Any:
    """The instructions for a SIMD word of this type that holds one number."""
    undefined = ir.Constant(word, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), word.count), [0] * word.count)
    return builder.shuffle_vector(first, undefined, places)


def same_bits(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The code of a function that changes nothing but the type of its argument."""
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))
