"""One weight matrix in crossbars: map it once, program it for each chip, multiply by it.

    mapped = map_matrix(w, hardware, calibration=x)   # what no chip changes: levels, tiles, converter ranges
    matrix = mapped.program(key)                      # the cells of one chip
    y = matrix.matmul(x)

The product loops over row tiles and slices: one sgemm into a buffer that stays in the second-level cache, then one
fused pass that converts, weighs and adds it. Without an output converter slices, tiles and input bits are linear, so
they collapse into one matrix and one product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from cimstudy.analog import cells, kernels
from cimstudy.analog.mapping import Array, Targets, check_weights, row_tiles, weight_targets
from cimstudy.analog.random import Key
from cimstudy.errors import InputError
from cimstudy.hardware import Dac, Hardware

BUFFER_ROWS = 256  # vectors (times input pulses) of one sgemm
BUFFER_COLUMNS = 768  # with BUFFER_ROWS: 786 kB of float32, which fits a second-level cache
COLUMNS_TOGETHER = BUFFER_COLUMNS  # a part of a matrix begins at a multiple, and then has the whole matrix's bits
BLOCK_CELLS = 2**16  # cells of one plane that are written together: 256 kB of float32
MOST_CURRENTS = 2**24  # that a calibration looks at, for each slice


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranges:
    """Full scales of one matrix: of its weights and its converters.

    weights : the largest magnitude.  inputs : magnitude that drives a row fully; 0: each vector's own largest.
    adc : (slices,) magnitudes in cell units; empty without an output converter.
    """

    weights: float
    inputs: float
    adc: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class MappedMatrix:
    """A weight matrix laid out on crossbars: all that is the same for every chip."""

    hardware: Hardware
    targets: Targets
    ranges: Ranges
    dtype: Any
    first_column: int = 0  # of a larger matrix of which these are some columns, a multiple of COLUMNS_TOGETHER

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out)."""
        n_in, n_out = self.targets.levels.shape
        return n_in, n_out

    @cached_property
    def tiles(self) -> list[slice]:
        """Rows of each array."""
        return row_tiles(self.shape[0], self.hardware.crossbar.rows)

    def on(self, hardware: Hardware) -> "MappedMatrix":
        """The same mapping with other cell errors or converter bits, which change neither levels nor ranges."""
        return replace(self, hardware=hardware)

    def program(self, key: Key | int, *, time: float = 0.0) -> "ProgrammedMatrix":
        """The matrix in the cells of one chip, `time` seconds after programming.

        The key (or seed) names the chip and the matrix. Raises InputError for a time that is negative or not finite.
        """
        check_time(time)
        return program_mapped(self, key if isinstance(key, Key) else Key.root(key), time)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedMatrix:
    """One weight matrix in the cells of one chip.

    planes : (slices, n_in, n_out), conductance differences of the pairs, fractions of g_max. Without an output
        converter: one plane (1, n_in, n_out) of weights.
    variances : read-noise variance of the same shape, or a number if it is the same for all cells, 0 for none.
    """

    mapped: MappedMatrix
    planes: Array
    variances: Array
    noise_key: Key

    @property
    def weights(self) -> Array:
        """The weights that the chip holds, (n_in, n_out): what `matmul` multiplies by, converters apart."""
        collapsed = self.mapped.hardware.crossbar.adc is None
        factors = np.ones(1) if collapsed else slice_weights(self.mapped)
        weights: Array = np.tensordot(factors, self.planes, axes=1).astype(self.planes.dtype)
        return weights

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """`x` times the matrix, through converters and arrays.

        x : (..., n_in), finite.  Returns (..., n_out) of the matrix's dtype. Raises InputError for a wrong shape.
        Read noise is keyed by a vector's number, counted from `first_vector` along the flattened batch.
        """
        n_in, n_out = self.mapped.shape
        if x.ndim == 0 or x.shape[-1] != n_in:
            raise InputError(f"inputs have shape {x.shape}; allowed: (..., {n_in}) for this matrix of {n_in} x {n_out}")
        vectors = np.ascontiguousarray(x, dtype=self.mapped.dtype).reshape(-1, n_in)
        product = multiply_collapsed if self.mapped.hardware.crossbar.adc is None else multiply_tiles
        y: Array = product(self, vectors, first_vector)
        return y.reshape(*x.shape[:-1], n_out)


def map_matrix(
    w: Array, hardware: Hardware, *, calibration: Array | None = None, dtype: Any = np.float32
) -> MappedMatrix:
    """Lay a weight matrix out on crossbars.

    w : (n_in, n_out), finite.  calibration : (..., n_in), inputs from which `calibrated` ranges are taken.
    dtype : of the simulation, float32 or float64.  Raises InputError for bad weights or a missing calibration batch.
    """
    check_weights(w)
    ranges = find_ranges(Listed((w,)), hardware, calibration=calibration, dtype=dtype)
    return map_columns(w, hardware, ranges, dtype=dtype)


def map_columns(
    w: Array, hardware: Hardware, ranges: Ranges, *, first_column: int = 0, dtype: Any = np.float32
) -> MappedMatrix:
    """Lay out some columns of a matrix whose ranges are known: cells and results are those of the whole matrix.

    w : (n_in, n), from `first_column` on, which is a multiple of COLUMNS_TOGETHER.
    """
    targets = weight_targets(w, hardware.crossbar, ranges.weights, dtype)
    return MappedMatrix(hardware=hardware, targets=targets, ranges=ranges, dtype=dtype, first_column=first_column)


class Parts(Protocol):
    """A matrix as its columns in order, in parts that can be gone through several times.

    All parts but the last hold a multiple of COLUMNS_TOGETHER columns.
    """

    @property
    def n_in(self) -> int:
        """Rows."""
        ...

    def largest(self) -> float:
        """The greatest magnitude."""
        ...

    def __iter__(self) -> Iterator[Array]:
        """The parts, each (n_in, n)."""
        ...


@dataclass(frozen=True, eq=False)
class Listed:
    """Parts that are in memory. parts : each (n_in, n)."""

    parts: tuple[Array, ...]

    @property
    def n_in(self) -> int:
        """Rows."""
        return len(self.parts[0])

    def largest(self) -> float:
        """The greatest magnitude."""
        return max(float(np.abs(part).max()) for part in self.parts)

    def __iter__(self) -> Iterator[Array]:
        return iter(self.parts)


def find_ranges(
    parts: Parts, hardware: Hardware, *, calibration: Array | None = None, dtype: Any = np.float32
) -> Ranges:
    """The ranges of a matrix. Arguments and errors as `map_matrix`."""
    largest = parts.largest() or 1.0  # a matrix of zeros keeps any scale
    x = None if calibration is None else np.ascontiguousarray(calibration, dtype=dtype).reshape(-1, parts.n_in)
    inputs = input_range(hardware.crossbar.dac, x)
    bare = Ranges(weights=largest, inputs=inputs, adc=np.zeros(0, dtype))
    return replace(bare, adc=adc_ranges(parts, hardware, bare, x, dtype))


def program_matrix(  # noqa: PLR0913 - what is written, and when it is read
    w: Array,
    hardware: Hardware,
    key: Key | int,
    *,
    time: float = 0.0,
    calibration: Array | None = None,
    dtype: Any = np.float32,
) -> ProgrammedMatrix:
    """One weight matrix in the cells of one chip: `map_matrix`, then `program`."""
    return map_matrix(w, hardware, calibration=calibration, dtype=dtype).program(key, time=time)


def check_time(time: float) -> None:
    """Raise InputError unless `time` is one since programming."""
    if not 0 <= time < np.inf:
        raise InputError(f"time = {time}; allowed: seconds since programming, 0 or more")


def slice_weights(mapped: MappedMatrix) -> Array:
    """Weight per unit of conductance difference, for each slice, (slices,) float64."""
    device = mapped.hardware.device
    return mapped.targets.significance / (1 - device.g_min / device.g_max)


def program_mapped(mapped: MappedMatrix, key: Key, time: float) -> ProgrammedMatrix:
    """Write every pair of cells with its error, and let it age. Draws are keyed by slice, sign, row and column."""
    device, targets = mapped.hardware.device, mapped.targets
    collapsed = mapped.hardware.crossbar.adc is None
    planes = np.zeros((1 if collapsed else targets.slices, *mapped.shape), mapped.dtype)
    variances = np.zeros_like(planes) if cells.noise_varies(device) else pair_variance(mapped)
    weights = slice_weights(mapped).astype(mapped.dtype) if collapsed else np.ones(targets.slices, mapped.dtype)
    for rows in row_blocks(*mapped.shape):
        for index in range(targets.slices):
            pair = [
                cells.hold(target, device, key, cells.Place(2 * index + sign, rows.start, mapped.first_column), time)
                for sign, target in enumerate(pair_targets(mapped, rows, index))
            ]
            plane = 0 if collapsed else index
            kernels.add_differences(pair[0].now, pair[1].now, weights[index], planes[plane, rows])
            if variances.ndim:
                noise = cells.read_variance(pair[0], device, time) + cells.read_variance(pair[1], device, time)
                variances[plane, rows] += weights[index] ** 2 * noise
    return ProgrammedMatrix(mapped=mapped, planes=planes, variances=variances, noise_key=key.of("read noise"))


def row_blocks(n_in: int, n_out: int) -> list[slice]:
    """Rows whose cells are written together: so few that their conductances and draws stay in the cache."""
    step = max(1, BLOCK_CELLS // n_out)
    return [slice(first, min(first + step, n_in)) for first in range(0, n_in, step)]


def pair_targets(mapped: MappedMatrix, rows: slice, index: int) -> tuple[Array, Array]:
    """What the plus and the minus cells of one slice are to hold, (rows, n_out) each, fractions of g_max."""
    device, targets = mapped.hardware.device, mapped.targets
    levels = targets.levels[rows]
    plus, minus = np.empty(levels.shape, mapped.dtype), np.empty(levels.shape, mapped.dtype)
    kernels.pair_targets(
        levels,
        index * (targets.slice_bits or 0),
        0 if targets.slice_bits is None else targets.steps,
        plus.dtype.type(device.g_min / device.g_max),
        plus,
        minus,
    )
    return plus, minus


def pair_variance(mapped: MappedMatrix) -> Array:
    """The read-noise variance of a pair where all cells have the same; of all its slices together if they collapse."""
    pair = 2 * cells.uniform_variance(mapped.hardware.device)
    if mapped.hardware.crossbar.adc is None:
        pair *= (slice_weights(mapped) ** 2).sum()
    return np.array(pair, mapped.dtype)


def input_range(dac: Dac | None, calibration: Array | None) -> float:
    """Magnitude that drives a row fully; 0: each vector's own largest."""
    if dac is None or dac.range == "per_token":
        return 0.0
    if dac.range == "calibrated":
        return percentile_of(needed(calibration, "dac"), dac.percentile)
    return dac.range


def adc_ranges(parts: Parts, hardware: Hardware, bare: Ranges, x: Array | None, dtype: Any) -> Array:
    """Full scale of the output converter for each slice, in cell units, (slices,); empty without one."""
    crossbar, device = hardware.crossbar, hardware.device
    slices = crossbar.weights.slices
    if crossbar.adc is None:
        return np.zeros(0, dtype)
    if crossbar.adc.range == "full":
        tallest = max(tile.stop - tile.start for tile in row_tiles(parts.n_in, crossbar.rows))
        return np.full(slices, tallest * (1 - device.g_min / device.g_max), dtype)
    if crossbar.adc.range == "calibrated":
        return calibrated_ranges(parts, hardware, bare, needed(x, "adc"), dtype)
    return np.broadcast_to(np.asarray(crossbar.adc.range, dtype), slices).copy()


def needed(calibration: Array | None, converter: str) -> Array:
    """The calibration batch; InputError if there is none, or it has no vector or a value that is not finite."""
    if calibration is None:
        raise InputError(
            f"crossbar.{converter}.range = 'calibrated' needs a calibration batch, none was given; "
            "without one allowed are " + ("'per_token'" if converter == "dac" else "'full'") + " or numbers"
        )
    if not calibration.size or not np.isfinite(calibration).all():
        raise InputError("the calibration batch is empty or not finite; allowed: (..., n_in) finite numbers")
    return calibration


def percentile_of(values: Array, percentile: float) -> float:
    """Percentile of the magnitudes; 1 if they are all zero, for a converter needs a range."""
    return float(np.percentile(np.abs(values), percentile)) or 1.0


def calibrated_ranges(parts: Parts, hardware: Hardware, bare: Ranges, x: Array, dtype: Any) -> Array:
    """Percentile of the current magnitudes of each slice over tiles, columns and pulses of error-free cells.

    Of a large matrix only some vectors of the batch are taken, evenly spread, so that MOST_CURRENTS are looked at.
    """
    assert hardware.crossbar.adc is not None  # noqa: S101 - the caller's branch, for the type checker
    perfect = hardware.replace("device", hardware.device.without_errors())
    found: list[list[Array]] = [[] for _ in range(hardware.crossbar.weights.slices)]
    columns = sum(part.shape[1] for part in parts)
    for part in parts:
        mapped = map_columns(part, perfect, bare, dtype=dtype)
        matrix = mapped.program(0)
        cycles = 1 if hardware.crossbar.dac is None else hardware.crossbar.dac.cycles
        step = -(-len(x) * cycles * len(mapped.tiles) * columns // MOST_CURRENTS)
        pulses, _ = drive(mapped, np.ascontiguousarray(x[::step]))
        for left in range(0, part.shape[1], COLUMNS_TOGETHER):
            together = slice(left, min(left + COLUMNS_TOGETHER, part.shape[1]))
            for index, _, currents in tile_currents(matrix, pulses, together):
                found[index].append(np.abs(currents).ravel())
    unit, percentile = 1 / pulse_steps(hardware), hardware.crossbar.adc.percentile
    return np.array([unit * percentile_of(np.concatenate(slices), percentile) for slices in found], dtype)


def drive(mapped: MappedMatrix, x: Array) -> tuple[Array, Array]:
    """What the input converters put on the rows, and the input value of one level.

    x : (batch, n_in).  Returns (cycles, batch, n_in), digits of the pulses, and (batch,).
    """
    dac = mapped.hardware.crossbar.dac
    levels, scales = np.empty_like(x), np.empty(len(x), x.dtype)
    top = 0 if dac is None else 2 ** (dac.bits - 1) - 1
    bits = x.view(np.int32 if x.itemsize == 4 else np.int64)
    if not kernels.convert_inputs(x, bits, x.dtype.type(mapped.ranges.inputs), top, levels, scales):
        raise InputError("inputs hold NaN or infinite values; allowed: finite numbers")
    if dac is None or dac.serial_bits is None:
        return levels[None], scales
    digits = np.empty((dac.cycles, *x.shape), x.dtype)
    kernels.serial_digits(levels, dac.serial_bits, digits)
    return digits, scales


def pulse_steps(hardware: Hardware) -> int:
    """Largest digit of an input pulse: it drives a row fully."""
    dac = hardware.crossbar.dac
    if dac is None:
        return 1
    bits = dac.bits - 1 if dac.serial_bits is None else dac.serial_bits
    return int(2**bits) - 1


def pulse_weights(mapped: MappedMatrix) -> Array:
    """Input levels per digit of each pulse, (cycles,)."""
    dac = mapped.hardware.crossbar.dac
    if dac is None or dac.serial_bits is None:
        return np.ones(1, mapped.dtype)
    return (2.0 ** (dac.serial_bits * np.arange(dac.cycles))).astype(mapped.dtype)


def tile_currents(matrix: ProgrammedMatrix, pulses: Array, columns: slice) -> Iterator[tuple[int, int, Array]]:
    """Column currents of every array: (slice, tile, (cycles, batch, n)), in a buffer that the next step overwrites.

    pulses : (cycles, batch, n_in).  Currents are in cell units times the largest digit of a pulse.
    """
    cycles, batch, n_in = pulses.shape
    rows = pulses.reshape(cycles * batch, n_in)
    buffer = np.empty((cycles * batch, len(range(*columns.indices(matrix.planes.shape[2])))), pulses.dtype)
    for tile, inputs in enumerate(matrix.mapped.tiles):
        driven = np.ascontiguousarray(rows[:, inputs])
        for index in range(len(matrix.planes)):
            np.matmul(driven, matrix.planes[index, inputs, columns], out=buffer)
            yield index, tile, buffer.reshape(cycles, batch, -1)


def multiply_tiles(matrix: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """The product through output converters, in blocks that fit the cache. x : (batch, n_in) -> (batch, n_out)."""
    mapped = matrix.mapped
    y = np.empty((len(x), mapped.shape[1]), mapped.dtype)
    pulses, scales = drive(mapped, x)
    step = max(1, BUFFER_ROWS // len(pulses))
    for first in range(0, len(x), step):
        vectors = slice(first, min(first + step, len(x)))
        block = np.ascontiguousarray(pulses[:, vectors])
        for left in range(0, mapped.shape[1], BUFFER_COLUMNS):
            columns = slice(left, min(left + BUFFER_COLUMNS, mapped.shape[1]))
            sums = convert_tiles(matrix, block, columns, first_vector + first)
            np.multiply(sums, scales[vectors, None], out=y[vectors, columns])
    return y


def convert_tiles(matrix: ProgrammedMatrix, pulses: Array, columns: slice, first_vector: int) -> Array:
    """Sum over tiles, slices and pulses of converted currents, in weight units times input levels, (batch, n)."""
    mapped = matrix.mapped
    adc = mapped.hardware.crossbar.adc
    assert adc is not None  # noqa: S101 - the caller's branch, for the type checker
    top = mapped.dtype(2 ** (adc.bits - 1) - 1)
    magic = mapped.dtype(1.5 * 2.0 ** np.finfo(mapped.dtype).nmant)
    values = (
        slice_weights(mapped) * mapped.ranges.adc / top * pulse_steps(mapped.hardware)
    )  # of one code, for each slice
    gains = (top / (mapped.ranges.adc * pulse_steps(mapped.hardware))).astype(mapped.dtype)
    weights = np.outer(values, pulse_weights(mapped)).astype(mapped.dtype)
    sums = np.zeros((pulses.shape[1], columns.stop - columns.start), mapped.dtype)
    squares = np.square(pulses).reshape(-1, pulses.shape[2]) if matrix.variances.any() else None
    for index, tile, currents in tile_currents(matrix, pulses, columns):
        if squares is not None:
            variances = tile_variances(matrix, squares[:, mapped.tiles[tile]], index, mapped.tiles[tile], columns)
            plane = (tile * len(matrix.planes) + index) * len(pulses)
            spread = variances.reshape(len(pulses), pulses.shape[1], -1)
            first_column = mapped.first_column + columns.start
            kernels.add_noise(currents, spread, matrix.noise_key.words, plane, first_vector, first_column)
        kernels.convert_and_add(currents, gains[index], top, magic, weights[index], sums)
    return sums


def tile_variances(matrix: ProgrammedMatrix, squares: Array, index: int, inputs: slice, columns: slice) -> Array:
    """Exact variance of the read noise of one array's currents: squares (vectors, rows) -> (vectors, n or 1)."""
    if matrix.variances.ndim:
        variances: Array = np.ascontiguousarray(squares) @ matrix.variances[index, inputs, columns]
    else:
        variances = matrix.variances * squares.sum(axis=-1, keepdims=True)
    return variances


def multiply_collapsed(matrix: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """The product without output converters: one matrix. x : (batch, n_in) -> (batch, n_out)."""
    mapped = matrix.mapped
    pulses, scales = drive(mapped, x)
    weights = pulse_weights(mapped)
    levels = pulses[0] if len(pulses) == 1 else np.tensordot(weights, pulses, axes=1)
    y = np.empty((len(x), mapped.shape[1]), mapped.dtype)
    for left in range(0, mapped.shape[1], COLUMNS_TOGETHER):
        columns = slice(left, left + COLUMNS_TOGETHER)
        np.matmul(levels, matrix.planes[0, :, columns], out=y[:, columns])
    if matrix.variances.any():
        squares = np.tensordot(np.square(weights), np.square(pulses), axes=1)
        variances = tile_variances(matrix, squares, 0, slice(None), slice(None))
        first = mapped.first_column
        kernels.add_noise(y[None], variances[None], matrix.noise_key.words, 0, first_vector, first)
    y *= scales[:, None]
    return y
