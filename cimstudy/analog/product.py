"""The product of inputs with one programmed matrix: input converters, arrays, output converters, digital sums.

The loops go over row tiles and slices: one sgemm into a buffer that stays in the second-level cache, then one fused
pass that converts, weighs and adds it. Where nothing clips or rounds, slices, tiles and pulses are one product.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cimstudy.analog import cells, kernels, wired
from cimstudy.analog.converters import SIGNS, Conversion, Reader, accumulates, conversion_of, subtracts
from cimstudy.analog.mapping import Array, Layout, has_source_lines, pulse_steps, pulses_meet, row_tiles
from cimstudy.analog.random import Key, normals
from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, Dac, Differential, Offset

BUFFER_ROWS = 256  # vectors (times input pulses) of one sgemm
BUFFER_COLUMNS = 768  # with BUFFER_ROWS: 786 kB of float32, which fits a second-level cache
COLUMNS_TOGETHER = BUFFER_COLUMNS  # a part of a matrix begins at a multiple, and then has the whole matrix's bits


def columns_together(crossbar: Crossbar, n_out: int) -> int:
    """Parts of a matrix of `n_out` columns begin at multiples of so many: whole products, and whole arrays with wires.

    Arrays whose widths differ have no such multiple: the matrix is then one part.
    """
    if crossbar.wires is None or has_source_lines(crossbar):
        return COLUMNS_TOGETHER
    widths = {tile.stop - tile.start for tile in row_tiles(n_out, crossbar.columns, crossbar.split)[:-1]}
    return math.lcm(COLUMNS_TOGETHER, *widths) if len(widths) == 1 else -(-n_out // COLUMNS_TOGETHER) * COLUMNS_TOGETHER


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedMatrix:
    """One weight matrix in the cells of one chip.

    planes : (slices, lines, n_in, n_out), what columns see: conductances, fractions of g_max, or their difference where
        a pair's currents are subtracted first. Where slices collapse: one plane (1, 1, n_in, n_out) of weights.
    variances : read-noise variance of the same shape, or a number if it is the same for all cells, 0 for none.
    converters : (tiles, slices, lines, 2, n_out), gains and offsets of the output converters; None: all the same.
    reference : the columns that hold zero, one of each array of columns; None if the coding has none.
    bends : (2, slices, lines, n_in, n_out), what columns see of u |u| and of u**3; None: nothing.
    compensation : (n_out,), what outputs are multiplied by against drift; None: nothing.
    """

    layout: Layout
    planes: Array
    variances: Array
    noise_key: Key
    converters: Array | None
    reference: "ProgrammedMatrix | None"
    compensation: Array | None
    bends: Array | None

    @property
    def weights(self) -> Array:
        """The weights that the chip holds, (n_in, n_out): `matmul` multiplies by them, converters and factors apart."""
        scales = self.layout.targets.column_scales
        held = self.above_empty - zero_weights(self)
        weights: Array = (held if scales is None else held * scales).astype(self.planes.dtype)
        return weights

    @property
    def above_empty(self) -> Array:
        """What the conductances stand for, (n_in, n_out), in weights of a column's scale, those of zeros included."""
        layout = self.layout
        factors = np.ones(1) if layout.collapsed else layout.slice_weights
        found: Array = np.tensordot(np.outer(factors, SIGNS[: layout.lines]), self.planes, axes=2)
        return found

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """`x` times the matrix, through converters and arrays.

        x : (..., n_in), finite.  Returns (..., n_out) of the matrix's dtype. Raises InputError for a wrong shape.
        Read noise is keyed by a vector's number, counted from `first_vector` along the flattened batch.
        """
        n_in, n_out = self.layout.shape
        if x.ndim == 0 or x.shape[-1] != n_in:
            raise InputError(f"inputs have shape {x.shape}; allowed: (..., {n_in}) for this matrix of {n_in} x {n_out}")
        vectors = np.ascontiguousarray(x, dtype=self.layout.dtype).reshape(-1, n_in)
        y = multiply(self, vectors, first_vector)
        if self.compensation is not None:
            np.multiply(y, self.compensation, out=y)
        return y.reshape(*x.shape[:-1], n_out)


@dataclass(frozen=True, eq=False, kw_only=True)
class Drive:
    """What the input converters put on the rows.

    pulses : (cycles, batch, n_in), digits that drive a row fully at `steps`.  weights : (cycles,), input levels of a
    digit.  squares : (cycles, batch, n_in), what weighs the variance of the cells, or None without noise.
    """

    pulses: Array
    weights: Array
    squares: Array | None
    steps: int

    def block(self, vectors: slice) -> "Drive":
        """Some of the vectors."""
        squares = None if self.squares is None else np.ascontiguousarray(self.squares[:, vectors])
        pulses = np.ascontiguousarray(self.pulses[:, vectors])
        return Drive(pulses=pulses, weights=self.weights, squares=squares, steps=self.steps)


def drive(layout: Layout, x: Array, *, noisy: bool) -> tuple[Drive, Array]:
    """The rows' pulses, and the input value of one level, (batch,). x : (batch, n_in).

    Pulses that meet nothing before they are accumulated are one pulse of many levels.
    """
    dac = layout.hardware.crossbar.dac
    levels, scales = np.empty_like(x), np.empty(len(x), x.dtype)
    bits = x.view(np.int32 if x.itemsize == 4 else np.int64)
    full = x.dtype.type(layout.ranges.inputs)
    bottom, top = (-1, 0) if dac is None else (-int(dac.signed), dac.top)
    if not kernels.convert_inputs(x, bits, full, bottom, top, levels, scales):
        raise InputError("inputs hold NaN or infinite values; allowed: finite numbers")
    together = layout.collapsed or pulses_meet(layout.hardware)
    digits, weights = pulses_of(dac, levels) if noisy or not together else (levels[None], np.ones(1, x.dtype))
    squares = np.square(digits) if noisy else None
    if together:
        squares = None if squares is None else np.tensordot(np.square(weights), squares, axes=1)[None]
        digits, weights = levels[None], np.ones(1, x.dtype)
    steps = max(top, 1) if together else pulse_steps(dac)
    return Drive(pulses=digits, weights=weights, squares=squares, steps=steps), scales


def pulses_of(dac: Dac | None, levels: Array) -> tuple[Array, Array]:
    """Input levels (batch, n_in) as pulses: their digits (cycles, batch, n_in), and levels per digit, (cycles,)."""
    if dac is None or dac.serial_bits is None:
        return levels[None], np.ones(1, levels.dtype)
    digits = np.empty((dac.cycles, *levels.shape), levels.dtype)
    kernels.serial_digits(levels, dac.serial_bits, digits)
    return digits, (2.0 ** (dac.serial_bits * np.arange(dac.cycles))).astype(levels.dtype)


def multiply(matrix: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """The product, (batch, n_out), in blocks that fit the cache. x : (batch, n_in)."""
    layout = matrix.layout
    driven, scales = drive(layout, x, noisy=bool(matrix.variances.any()))
    zero = zero_sums(matrix, driven, first_vector)
    y = np.empty((len(x), layout.shape[1]), layout.dtype)
    for vectors, columns, sums in products(matrix, driven, first_vector):
        if zero is not None:
            np.subtract(
                sums, zero[vectors] if zero.shape[1] == 1 else zero[vectors][:, layout.arrays[columns]], out=sums
            )
        if layout.targets.column_scales is not None:
            np.multiply(sums, layout.targets.column_scales[columns], out=sums)
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
    for vectors, columns, sums in products(matrix.reference, driven, first_vector):
        found[vectors, columns] = sums
    return found


Product = tuple[slice, slice, Array]  # vectors, columns, and their sums in weights times input levels


def products(matrix: ProgrammedMatrix, driven: Drive, first_vector: int) -> Iterator[Product]:
    """Products of blocks of vectors and columns."""
    if matrix.layout.collapsed:
        return collapsed_products(matrix, driven, first_vector)
    return converted_products(matrix, driven, first_vector)


class Outputs(NamedTuple):
    """Which outputs are computed: some vectors, of which the first has this number, times some columns."""

    first_vector: int
    columns: slice


def collapsed_products(matrix: ProgrammedMatrix, driven: Drive, first_vector: int) -> Iterator[Product]:
    """Products with one plane of weights."""
    levels, n_out = driven.pulses[0], matrix.layout.shape[1]
    sums = np.empty((len(levels), n_out), levels.dtype)
    for columns in column_blocks(n_out):
        np.matmul(levels, matrix.planes[0, 0, :, columns], out=sums[:, columns])
    if driven.squares is not None:
        add_read_noise(matrix, driven.squares, sums[None], Reader(0, 0, 0), Outputs(first_vector, slice(0, n_out)))
    yield slice(0, len(levels)), slice(0, n_out), sums


def converted_products(matrix: ProgrammedMatrix, driven: Drive, first_vector: int) -> Iterator[Product]:
    """Sums over tiles, slices and pulses of what output converters give (or, behind a current limit, none)."""
    layout = matrix.layout
    cycles, batch, _ = driven.pulses.shape
    step = max(1, BUFFER_ROWS // cycles)
    conversion = conversion_of(layout, driven.weights)
    for first in range(0, batch, step):
        vectors = slice(first, min(first + step, batch))
        block = driven.block(vectors)
        for columns in column_blocks(layout.shape[1]):
            outputs = Outputs(first_vector + first, columns)
            sums = np.zeros((vectors.stop - vectors.start, columns.stop - columns.start), layout.dtype)
            for reader, currents in tile_currents(matrix, block, outputs):
                add_converter_noise(matrix, conversion, currents, reader, outputs)
                drawn = None if matrix.converters is None else matrix.converters[reader][:, columns]
                conversion.add(currents, reader, drawn, sums)
            yield vectors, columns, sums


def tile_currents(matrix: ProgrammedMatrix, driven: Drive, outputs: Outputs) -> Iterator[tuple[Reader, Array]]:
    """Column currents at every converter, (cycles, batch, n), in a buffer that the next step overwrites.

    Currents are in cell units times the input levels of a full-scale input of one conversion.
    """
    layout, columns = matrix.layout, outputs.columns
    cycles, batch, n_in = driven.pulses.shape
    rows = driven.pulses.reshape(cycles * batch, n_in)
    buffers = np.empty((layout.lines, cycles, batch, columns.stop - columns.start), rows.dtype)
    direct = meets_nothing(layout, cycles)
    for tile, inputs in enumerate(layout.tiles):
        pulses = np.ascontiguousarray(rows[:, inputs])
        for index in range(len(matrix.planes)):
            for line, buffer in enumerate(buffers):
                put_currents(matrix, (index, line, inputs), columns, pulses, driven.steps, buffer)
                if driven.squares is not None:
                    add_read_noise(matrix, driven.squares, buffer, Reader(tile, index, line), outputs)
            for line, currents in enumerate(buffers if direct else at_converters(layout, driven, buffers)):
                yield Reader(tile, index, line), currents


def put_currents(  # noqa: PLR0913, PLR0917 - cells, inputs and where currents go
    matrix: ProgrammedMatrix, place: tuple[int, int, slice], columns: slice, pulses: Array, steps: int, out: Array
) -> None:
    """Write the column currents of one array of rows into `out`, (cycles, batch, n).

    place : slice, line and rows.  pulses : (vectors, rows).  steps : the digit that drives a row fully.
    """
    layout, plane, currents = matrix.layout, matrix.planes[place], out.reshape(len(pulses), -1)
    if matrix.bends is None:
        wired.put_currents(pulses, plane[:, columns], layout, currents)
        return
    bends = matrix.bends[(slice(None), *place)]
    if layout.hardware.crossbar.wires is not None:
        currents[...] = steps * wired.bent_currents(pulses / steps, plane, bends, layout, columns)
        return
    np.matmul(pulses, plane[:, columns], out=currents)
    currents += bent_currents(pulses, steps, bends[..., columns])


def bent_currents(pulses: Array, steps: int, bends: Array) -> Array:
    """What currents have beyond those of ohmic cells, (vectors, n). pulses : (vectors, rows).  bends : (2, rows, n)."""
    drive = pulses * (1 / pulses.dtype.type(steps))
    found: Array = steps * ((drive * np.abs(drive)) @ bends[0] + drive**3 @ bends[1])
    return found


def meets_nothing(layout: Layout, cycles: int) -> bool:
    """Whether the currents of each line and pulse come to a converter as they are."""
    limited = layout.hardware.crossbar.current_limit is not None
    return not (limited or subtracts(layout) or (accumulates(layout) and cycles > 1))


def at_converters(layout: Layout, driven: Drive, currents: Array) -> Array:
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


def column_blocks(n_out: int) -> list[slice]:
    """Columns that are multiplied together."""
    return [slice(left, min(left + BUFFER_COLUMNS, n_out)) for left in range(0, n_out, BUFFER_COLUMNS)]


def add_read_noise(matrix: ProgrammedMatrix, squares: Array, currents: Array, reader: Reader, outputs: Outputs) -> None:
    """Add the read noise of the cells to currents (cycles, batch, n), with the exact variance of their column.

    squares : (cycles, batch, n_in), as those of `Drive`.
    """
    if cells.noise_is_exact(matrix.layout.hardware.device):
        add_cell_noise(matrix, squares, currents, reader, outputs)
        return
    layout, columns = matrix.layout, outputs.columns
    inputs = slice(0, layout.shape[0]) if layout.collapsed else layout.tiles[reader.tile]
    driven = squares[..., inputs].reshape(-1, inputs.stop - inputs.start)
    if matrix.variances.ndim:
        variances = np.ascontiguousarray(driven) @ matrix.variances[reader.slice, reader.line, inputs, columns]
    else:
        variances = matrix.variances * driven.sum(axis=-1, keepdims=True)
    add_normals(matrix, matrix.noise_key, currents, variances.reshape(*currents.shape[:2], -1), reader, outputs)


def add_cell_noise(matrix: ProgrammedMatrix, squares: Array, currents: Array, reader: Reader, outputs: Outputs) -> None:
    """Add the read noise of the cells to currents (cycles, batch, n), a draw for every cell and vector."""
    layout, key = matrix.layout, matrix.noise_key.of("cells")
    inputs, first_column = layout.tiles[reader.tile], layout.first_column + outputs.columns.start
    varying = matrix.variances.ndim > 0
    sigma = np.sqrt(
        matrix.variances[reader.slice, reader.line, inputs, outputs.columns] if varying else matrix.variances
    )
    for cycle, vector in np.ndindex(currents.shape[:2]):
        z = normals(
            key,
            (inputs.stop - inputs.start, currents.shape[2]),
            plane=reader.number(layout) * len(currents) + cycle,
            first_row=(outputs.first_vector + vector) * layout.shape[0] + inputs.start,
            first_column=first_column,
        )
        currents[cycle, vector] += np.sqrt(squares[cycle, vector, inputs]) @ (sigma * z)


def add_converter_noise(
    matrix: ProgrammedMatrix, conversion: Conversion, currents: Array, reader: Reader, outputs: Outputs
) -> None:
    """Add the noise of the output converters to currents (cycles, batch, n)."""
    variances = conversion.noise_variances(currents, reader)
    if variances is not None:
        add_normals(matrix, matrix.noise_key.of("converters"), currents, variances, reader, outputs)


def add_normals(  # noqa: PLR0913, PLR0917 - a draw is keyed by its place
    matrix: ProgrammedMatrix, key: Key, currents: Array, variances: Array, reader: Reader, outputs: Outputs
) -> None:
    """Add a fresh normal draw to each of currents (cycles, batch, n). variances : (cycles, batch, n or 1)."""
    plane = reader.number(matrix.layout) * len(currents)
    first_column = matrix.layout.first_column + outputs.columns.start
    kernels.add_noise(currents, variances, key.words, plane, outputs.first_vector, first_column)
