"""Products of a block of vectors and columns, summed in the processor's registers: the innermost steps of `arrays.py`.

Numba has no words for registers, so these few loops are written as LLVM instructions. A block has `HEIGHT` vectors and
`WORDS` SIMD words of columns: sums that registers hold beside one word of each factor. (Of 32 registers two more
vectors would fit; twelve meet the ends of blocks of draws.) Every sum begins at zero and takes one row after the other
by fused multiply-add, where the processor has it.

Shapes: vectors (rows, HEIGHT) and cells (rows, width) of one array, packed, where width is that of `WORDS` SIMD words;
vectors from an offset on. Outputs are rows of a matrix, `step` numbers apart.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from cimstudy.analog.vectors import Typed, everywhere


def block_size() -> tuple[int, int, int]:
    """Bytes of a SIMD word, vectors and words of a block, for 32 registers of 64 bytes, or 16 of 32 or of 16."""
    told: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]  # by NUMBA_CPU_FEATURES
    features = get_host_cpu_features() if told is None else told
    present = set(features.split(","))
    if "+avx512f" in present:
        return 64, 12, 2
    return (32, 6, 2) if "+avx2" in present else (16, 6, 2)


BYTES, HEIGHT, WORDS = block_size()
Words = list[list[Any]]  # of a block: HEIGHT times WORDS


class Block:
    """Writes the instructions of one block.

    context, builder : Numba's and LLVM's.  number : Numba's type of all floats.
    """

    def __init__(self, context: Any, builder: Any, number: Any) -> None:
        self.context, self.builder, self.number = context, builder, number
        self.length = BYTES // (number.bitwidth // 8)
        self.word = ir.VectorType(context.get_value_type(number), self.length)
        self.index = context.get_value_type(types.intp)

    def start(self, array_type: Any, array: Any, offset: Any = 0) -> Any:
        """A pointer to an element of an array.

        Raises TypeError, when compiled, if the array is not contiguous or has other numbers than the block.
        """
        if array_type.layout != "C" or array_type.dtype != self.number:
            raise TypeError(f"an array of type {array_type}; allowed: contiguous ones of {self.number}")
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.step(data, offset)

    def step(self, pointer: Any, count: Any, size: int = 1) -> Any:
        """A pointer `count` times `size` numbers further. count : an index, or a number."""
        count = self.index(count) if isinstance(count, int) else count
        return self.builder.gep(pointer, [self.builder.mul(count, self.index(size))])

    def words(self, pointer: Any) -> list[Any]:
        """Pointers to the words of one row of a block."""
        places = [self.step(pointer, j, self.length) for j in range(WORDS)]
        return [self.builder.bitcast(place, self.word.as_pointer()) for place in places]

    def load(self, pointers: Sequence[Any]) -> list[Any]:
        """Words from anywhere."""
        return [self.builder.load(pointer, align=self.number_bytes) for pointer in pointers]

    def store(self, values: Sequence[Any], pointers: Sequence[Any]) -> None:
        """Words to anywhere."""
        for value, pointer in zip(values, pointers, strict=True):
            self.builder.store(value, pointer, align=self.number_bytes)

    @property
    def number_bytes(self) -> int:
        """Bytes of a number."""
        return BYTES // self.length

    def everywhere(self, number: Any) -> Any:
        """A word that holds one number."""
        return everywhere(self.builder, number, self.word)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Words a * b + c, rounded once where the processor can."""
        kind = ir.FunctionType(self.word, [self.word] * 3)
        name = f"llvm.fmuladd.v{self.length}f{8 * self.number_bytes}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def products(self, vectors: Any, cells: Any, rows: Any) -> Words:
        """Sums over the rows of an array. vectors, cells : pointers.  rows : at least 1."""
        builder, before = self.builder, self.builder.block
        loop, after = builder.append_basic_block("row"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        row = builder.phi(self.index)
        row.add_incoming(self.index(0), before)
        sums = [[builder.phi(self.word) for _ in range(WORDS)] for _ in range(HEIGHT)]
        held = self.load(self.words(self.step(cells, row, WORDS * self.length)))
        driven = self.step(vectors, row, HEIGHT)
        found: Words = []
        for i, line in enumerate(sums):
            drive = self.everywhere(builder.load(self.step(driven, i)))
            found.append([self.multiply_add(drive, cell, sum_) for cell, sum_ in zip(held, line, strict=True)])
        following = builder.add(row, self.index(1))
        row.add_incoming(following, loop)
        zero = ir.Constant(self.word, [0.0] * self.length)
        for line, new in zip(sums, found, strict=True):
            for sum_, value in zip(line, new, strict=True):
                sum_.add_incoming(zero, before)
                sum_.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
        builder.position_at_end(after)
        return found

    def converted(self, current: Any, gain: Any, bottom: Any, top: Any, magic: Any) -> Any:
        """Codes of currents: scaled, clipped, rounded."""
        builder = self.builder
        code = builder.fmul(current, gain)
        code = builder.select(builder.fcmp_ordered(">", code, bottom), code, bottom)
        code = builder.select(builder.fcmp_ordered("<", code, top), code, top)
        return builder.fsub(builder.fadd(code, magic), magic)


@intrinsic
def put_products(typing_context, vectors, first, cells, rows, out, place, step) -> Typed:
    """Put the products of a block into `out`."""

    def write(context, builder, signature, arguments):
        vectors, first, cells, rows, out, place, step = arguments
        kinds = signature.args
        block = Block(context, builder, kinds[0].dtype)
        start = block.start(kinds[4], out, place)
        found = block.products(block.start(kinds[0], vectors, first), block.start(kinds[2], cells), rows)
        for i, line in enumerate(found):
            block.store(line, block.words(block.step(start, builder.mul(step, block.index(i)))))
        return context.get_dummy_value()

    return types.void(vectors, types.intp, cells, types.intp, out, types.intp, types.intp), write


@intrinsic
def add_converted(typing_context, vectors, first, cells, rows, out, place, step, steps) -> Typed:
    """Add what output converters make of the products of a block to `out`.

    steps : codes per unit of current, smallest and largest code, what rounds (see `kernels.py`), value of a code.
    """

    def write(context, builder, signature, arguments):
        vectors, first, cells, rows, out, place, step, steps = arguments
        kinds = signature.args
        block = Block(context, builder, kinds[0].dtype)
        start = block.start(kinds[4], out, place)
        found = block.products(block.start(kinds[0], vectors, first), block.start(kinds[2], cells), rows)
        *rounding, value = map(block.everywhere, cgutils.unpack_tuple(builder, steps))
        for i, line in enumerate(found):
            sums = block.words(block.step(start, builder.mul(step, block.index(i))))
            codes = [block.converted(current, *rounding) for current in line]
            added = [block.multiply_add(value, *pair) for pair in zip(codes, block.load(sums), strict=True)]
            block.store(added, sums)
        return context.get_dummy_value()

    steps_type = types.UniTuple(vectors.dtype, 5)
    return types.void(vectors, types.intp, cells, types.intp, out, types.intp, types.intp, steps_type), write


@intrinsic
def copy_words(typing_context, source, first, step, packed, rows) -> Typed:
    """Pack the cells of one block of columns: rows of a matrix, `step` numbers apart, side by side."""

    def write(context, builder, signature, arguments):
        source, first, step, packed, rows = arguments
        kinds = signature.args
        block = Block(context, builder, kinds[0].dtype)
        start, end = block.start(kinds[0], source, first), block.start(kinds[3], packed)
        with cgutils.for_range(builder, rows) as loop:
            held = block.load(block.words(block.step(start, builder.mul(loop.index, step))))
            block.store(held, block.words(block.step(end, loop.index, WORDS * block.length)))
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, packed, types.intp), write
