"""The product of inputs with one programmed matrix: input converters, arrays, output converters, digital sums.

The loops go over row tiles and slices: currents of one array come into a buffer that stays in the second-level cache,
then one fused pass converts, weighs and adds them. Where nothing clips or rounds, slices, tiles and pulses are one
product. Where converters see bare products, `bare.py` has no buffer between the two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cimstudy.analog.bare import bare_products, is_bare
from cimstudy.analog.converters import Conversion, accumulates, conversion_of, meets_nothing, subtracts
from cimstudy.analog.currents import put_currents
from cimstudy.analog.drive import Drive, drive, passed, passes, within_reach
from cimstudy.analog.levels import Array, real_array
from cimstudy.analog.mapping import BUFFER_ROWS, Layout, column_blocks
from cimstudy.analog.noise import add_converter_noise, add_read_noise
from cimstudy.analog.redundancy import first_voted, vote
from cimstudy.analog.written import Outputs, Product, Reader, WrittenMatrix
from cimstudy.errors import InputError
from cimstudy.hardware import Differential, Offset


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedMatrix(WrittenMatrix):
    """One weight matrix in the cells of one chip.

    reference : the columns that hold zero, one of each array of columns; None if the coding has none.
    copies : others of the same cells, on whose outputs and the matrix's own there is a vote.
    compensation : (n_out,), what outputs are multiplied by against drift; None: nothing.
    """

    reference: WrittenMatrix | None
    copies: tuple[WrittenMatrix, ...]
    compensation: Array | None

    @cached_property
    def _is_plain(self) -> bool:
        """Whether it is one matrix of floats, which inputs meet as they are."""
        layout = self.layout
        alone = isinstance(layout.hardware.crossbar.weights, Differential) and not self.copies
        return alone and layout.targets.column_scales is None and passes(layout, noisy=self.is_noisy)

    @property
    def weights(self) -> Array:
        """The weights that the chip holds, (n_in, n_out): `matmul` multiplies by them, converters and factors apart."""
        scales = self.layout.targets.column_scales
        held = self.above_empty - zero_weights(self)
        weights: Array = (held if scales is None else held * scales).astype(self.planes.dtype)
        return weights

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """`x` times the matrix, through converters and arrays.

        x : (..., n_in), finite.  Returns (..., n_out) of the matrix's dtype. Raises InputError for a wrong shape.
        Read noise is keyed by a vector's number, counted from `first_vector` along the flattened batch.
        """
        n_in, n_out = self.layout.shape
        x = real_array(x, "inputs")
        if x.ndim == 0 or x.shape[-1] != n_in:
            raise InputError(f"inputs have shape {x.shape}; allowed: (..., {n_in}) for this matrix of {n_in} x {n_out}")
        vectors = np.ascontiguousarray(x, dtype=self.layout.dtype).reshape(-1, n_in)
        y = plain_product(self, vectors) if self._is_plain else multiply(self, vectors, first_vector)
        if self.compensation is not None:
            np.multiply(y, self.compensation, out=y)
        return y.reshape(*x.shape[:-1], n_out)


def plain_product(matrix: ProgrammedMatrix, x: Array) -> Array:
    """The same as `multiply`, for a plain matrix: few vectors wait for little but sgemm. x : (batch, n_in)."""
    x, scales = within_reach(x)
    y = np.empty((len(x), matrix.layout.shape[1]), matrix.layout.dtype)
    put_products(matrix, x, y)
    if scales is not None:
        np.multiply(y, scales[:, None], out=y)
    return y


def put_products(matrix: WrittenMatrix, x: Array, sums: Array) -> None:
    """Products with one plane of weights, in `sums`, (batch, n_out). x : (batch, n_in)."""
    for columns in matrix.layout.product_blocks:
        np.matmul(x, matrix.planes[0, 0, :, columns], out=sums[:, columns])


def multiply(matrix: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """The product, (batch, n_out), in blocks that fit the cache. x : (batch, n_in)."""
    layout = matrix.layout
    noisy = matrix.is_noisy
    driven, scales = passed(x) if passes(layout, noisy=noisy) else drive(layout, x, noisy=noisy)
    zero = zero_sums(matrix, driven, first_vector)
    y = np.empty((len(x), layout.shape[1]), layout.dtype)
    for vectors, columns, sums in products([matrix, *matrix.copies], driven, first_vector, y):
        if zero is not None:
            above = zero[vectors] if zero.shape[1] == 1 else zero[vectors][:, layout.arrays[columns]]
            np.subtract(sums, above, out=sums)
        if layout.targets.column_scales is not None:
            np.multiply(sums, layout.targets.column_scales[columns], out=sums)
        if scales is None:
            y[vectors, columns] = sums  # copies nothing where they are there already
        else:
            np.multiply(sums, scales[vectors, None], out=y[vectors, columns])
    return y


def zero_constant(layout: Layout) -> float:
    """The weight that computed subtraction takes for zero: that of an empty cell and of the level of zero."""
    device, coding = layout.hardware.device, layout.hardware.crossbar.weights
    empty = device.g_min / device.g_max * sum(coding.cells) * layout.slice_weights.sum()
    return float(empty + layout.targets.unit * layout.targets.zero)


def zero_weights(matrix: ProgrammedMatrix) -> Array | float:
    """What stands for a weight of zero, a number or (n_in, n_out)."""
    if matrix.reference is not None:
        return matrix.reference.above_empty[:, matrix.layout.arrays]
    return zero_constant(matrix.layout) if isinstance(matrix.layout.hardware.crossbar.weights, Offset) else 0.0


def zero_sums(matrix: ProgrammedMatrix, driven: Drive, first_vector: int) -> Array | None:
    """What products are above those of the weights, (batch, 1) or (batch, arrays); None if they are not."""
    layout = matrix.layout
    if isinstance(layout.hardware.crossbar.weights, Differential):
        return None
    if matrix.reference is None:
        levels = np.tensordot(driven.weights, driven.pulses.sum(axis=-1, dtype=np.float64), axes=1)
        found: Array = (zero_constant(layout) * levels).astype(layout.dtype)[:, None]
        return found
    found = np.empty((driven.pulses.shape[1], matrix.reference.layout.shape[1]), layout.dtype)
    for vectors, columns, sums in products([matrix.reference], driven, first_vector, found):
        found[vectors, columns] = sums
    return found


def products(copies: Sequence[WrittenMatrix], driven: Drive, first_vector: int, space: Array) -> Iterator[Product]:
    """Products of blocks of vectors and columns: what the copies of a matrix vote for.

    space : (batch, n_out), where sums of a block may be put.
    """
    first, layout = copies[0], copies[0].layout
    if layout.collapsed:
        spaces = [space, *(np.empty_like(space) for _ in copies[1:])]
        found = [collapsed_product(*each, driven, first_vector) for each in zip(copies, spaces, strict=True)]
        return iter([(slice(0, len(space)), slice(0, layout.shape[1]), vote(found, layout))])
    if len(copies) == 1 and is_bare(first, driven):
        return bare_products(first, driven, first_vector, space)
    return converted_products(copies, driven, first_vector)


def collapsed_product(matrix: WrittenMatrix, sums: Array, driven: Drive, first_vector: int) -> Array:
    """The product with one plane of weights, in `sums`, (batch, n_out)."""
    put_products(matrix, driven.pulses[0], sums)
    add_read_noise(matrix, driven, sums[None], Reader(0, 0, 0), Outputs(first_vector, slice(0, sums.shape[1])))
    return sums


def converted_products(copies: Sequence[WrittenMatrix], driven: Drive, first_vector: int) -> Iterator[Product]:
    """Sums over tiles, slices and pulses of what output converters give (or, behind a current limit, none)."""
    layout = copies[0].layout
    cycles, batch, _ = driven.pulses.shape
    step = max(1, BUFFER_ROWS // cycles)
    conversion = conversion_of(layout, driven.weights)
    for first in range(0, batch, step):
        vectors = slice(first, min(first + step, batch))
        block = [driven.of(vectors, rows) for rows in layout.tiles]
        for columns in column_blocks(layout.shape[1]):
            outputs = Outputs(first_vector + first, columns)
            sums = np.zeros((vectors.stop - vectors.start, columns.stop - columns.start), layout.dtype)
            add_converted(copies, conversion, block, outputs, sums)
            yield vectors, columns, sums


def add_converted(
    copies: Sequence[WrittenMatrix], conversion: Conversion, block: list[Drive], outputs: Outputs, sums: Array
) -> None:
    """Add to `sums` (batch, n) what every converter gives; of slices with copies, what these vote for."""
    first, layout = copies[0], copies[0].layout
    voted = first_voted(layout) if len(copies) > 1 else len(first.planes)
    others = [currents_at_converters(each, block, outputs, first_slice=voted) for each in copies[1:]]
    for reader, currents in currents_at_converters(first, block, outputs):
        if reader.slice < voted:
            convert(first, conversion, (reader, currents), outputs, sums)
            continue
        found = np.zeros((len(copies), *sums.shape), sums.dtype)
        reads = [(reader, currents), *map(next, others)]
        for each, read, part in zip(copies, reads, found, strict=True):
            convert(each, conversion, read, outputs, part)
        sums += vote(list(found), layout)


def convert(
    matrix: WrittenMatrix, conversion: Conversion, read: tuple[Reader, Array], outputs: Outputs, sums: Array
) -> None:
    """Add to `sums` (batch, n) what a converter gives for currents, which are overwritten."""
    reader, currents = read
    add_converter_noise(matrix, conversion, currents, reader, outputs)
    drawn = None if matrix.converters is None else matrix.converters[reader][:, outputs.columns]
    conversion.add(currents, reader, drawn, sums)


def currents_at_converters(
    matrix: WrittenMatrix, block: list[Drive], outputs: Outputs, *, first_slice: int = 0
) -> Iterator[tuple[Reader, Array]]:
    """Column currents at every converter, (cycles, batch, n), in a buffer that the next step overwrites.

    block : what drives the rows of each tile. Currents are in cell units times the input levels of a full-scale input
    of one conversion.
    """
    layout, columns = matrix.layout, outputs.columns
    cycles, batch, _ = block[0].pulses.shape
    buffers = np.empty((layout.lines, cycles, batch, columns.stop - columns.start), layout.dtype)
    direct = meets_nothing(layout, cycles)
    for tile, driven in enumerate(block):
        for index in range(first_slice, len(matrix.planes)):
            for line, buffer in enumerate(buffers):
                reader = Reader(tile, index, line)
                put_currents(matrix, driven, reader, columns, buffer)
                add_read_noise(matrix, driven, buffer, reader, outputs)
            for line, currents in enumerate(buffers if direct else combined(layout, driven, buffers)):
                yield Reader(tile, index, line), currents


def combined(layout: Layout, driven: Drive, currents: Array) -> Array:
    """What converters see of the currents of a slice's lines: limited, subtracted and accumulated; may overwrite them.

    currents : (lines, cycles, batch, n).
    """
    limit = layout.hardware.crossbar.current_limit
    if limit is not None:
        np.clip(currents, -limit * driven.steps, limit * driven.steps, out=currents)
    if subtracts(layout):
        currents = np.subtract(currents[:1], currents[1:], out=currents[:1])
    if accumulates(layout) and currents.shape[1] > 1:
        currents = np.einsum("c,lcbn->lbn", driven.weights, currents)[:, None]
    return currents
