"""From targets to what the columns of arrays see: the one place where cells are written and put together.

    levels -> targets -> conductances (cells) -> columns seen by converters (planes) and the variance of reading them

Everything is keyed by what it is: a cell by its place in the matrix, slice, polarity and place among the cells of its
digit; a converter by array, slice, line and column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from cimstudy.analog import cells, kernels, redundancy, wired
from cimstudy.analog.chain import currents_bend
from cimstudy.analog.levels import Array, Slice, Targets
from cimstudy.analog.mapping import Layout, Polarity, given
from cimstudy.analog.product import ProgrammedMatrix
from cimstudy.analog.random import Key, normals
from cimstudy.analog.written import WrittenMatrix
from cimstudy.hardware import Offset

BLOCK_CELLS = 2**16  # cells of one plane that are written together: 256 kB of float32


def program(layout: Layout, key: Key, time: float) -> ProgrammedMatrix:
    """The matrix in the cells of one chip, `time` seconds after it was written, with its reference columns if any."""
    coding = layout.hardware.crossbar.weights
    referenced = isinstance(coding, Offset) and coding.subtraction == "reference_column"
    reference = write(reference_columns(layout), key.of("reference"), time) if referenced else None
    copies = tuple(write(layout, redundancy.copy_key(key, number), time) for number in redundancy.copies(layout))
    return ProgrammedMatrix(**given(write(layout, key, time)), reference=reference, copies=copies, compensation=None)


def write(layout: Layout, key: Key, time: float = 0.0) -> WrittenMatrix:
    """Write every cell with its error, let it age, and put together what meets before anything clips or rounds."""
    device = layout.hardware.device
    slices = 1 if layout.collapsed else len(layout.targets.slices)
    planes = np.zeros((slices, layout.lines, *layout.shape), layout.dtype)
    variances = np.zeros_like(planes) if noise_varies(layout) else uniform_variances(layout)
    bends = np.zeros((2, *planes.shape), layout.dtype) if currents_bend(layout.hardware) else None
    every_digit = list(digits(layout))
    for rows in row_blocks(layout):
        for digit in every_digit:
            held = [
                redundancy.hold(targets_of(layout, digit, polarity, rows), layout, key, place, time)
                for polarity, place in zip(layout.polarities, digit.places(rows, layout), strict=False)
            ]
            now = [each.now for each in held]
            if bends is None:
                driven = [cells.at_full_drive(each, device) for each in now]
                add_cells(wired.seen_through_wires(driven, layout), digit, planes[digit.plane, :, rows])
            else:
                add_cells(now, digit, planes[digit.plane, :, rows])
                for power, parts in zip(
                    bends, zip(*(cells.bends(each, device) for each in now), strict=True), strict=True
                ):
                    add_cells(list(parts), digit, power[digit.plane, :, rows])
            if variances.ndim:
                noise = [cells.read_variance(each, device, time) for each in held]
                add_variances(wired.noise_passed(noise, now, layout), digit, variances[digit.plane, :, rows])
    return WrittenMatrix(
        layout=layout,
        planes=planes,
        bends=bends,
        variances=variances,
        noise_key=key.of("read noise"),
        converters=draw_converters(layout, key),
    )


@dataclass(frozen=True, kw_only=True)
class Digit:
    """One of the cells (or pairs) that hold a slice of a weight together.

    number : among all cells of a weight.  plane : where its currents go, `weight` times.
    gain, below : its share of the digit is clip(gain * fraction - below, 0, 1).
    """

    part: Slice
    number: int
    plane: int
    weight: float
    gain: float
    below: float

    def places(self, rows: slice, layout: Layout) -> list[cells.Place]:
        """Where a block of its cells stands, those of the positive polarity first."""
        return [cells.Place(2 * self.number + sign, rows.start, layout.first_column) for sign in range(2)]


def digits(layout: Layout) -> Iterator[Digit]:
    """The cells that hold one weight, by slice and within it."""
    coding = layout.hardware.crossbar.weights
    total, edges = sum(coding.cells), list(accumulate(coding.cells, initial=0.0))
    for index, part in enumerate(layout.targets.slices):
        for each, significance in enumerate(coding.cells):
            even = coding.fill == "even"
            yield Digit(
                part=part,
                number=index * len(coding.cells) + each,
                plane=0 if layout.collapsed else index,
                weight=significance * (layout.slice_weights[index] if layout.collapsed else 1.0),
                gain=1.0 if even else total / significance,
                below=0.0 if even else edges[each] / significance,
            )


def targets_of(layout: Layout, digit: Digit, polarity: Polarity, rows: slice) -> Array:
    """What some cells are to hold, (rows, n_out), fractions of g_max."""
    device = layout.hardware.device
    levels = layout.targets.levels[polarity.levels, rows]
    targets = np.empty(levels.shape, layout.dtype)
    kernels.cell_targets(
        levels,
        polarity.sign,
        digit.part.shift,
        digit.part.steps,
        targets.dtype.type(digit.gain),
        targets.dtype.type(digit.below),
        targets.dtype.type(device.g_min / device.g_max),
        targets,
    )
    return targets


def noise_varies(layout: Layout) -> bool:
    """Whether cells differ in the read noise that reaches their converters."""
    device = layout.hardware.device
    return cells.noise_varies(device) or (device.read_noise is not None and wired.matrix_wires(layout) is not None)


def row_blocks(layout: Layout) -> list[slice]:
    """Rows whose cells are written together: those of an array if wires join them.

    Else so few that their conductances and draws stay in the cache.
    """
    if wired.matrix_wires(layout) is not None:
        return layout.tiles
    n_in, n_out = layout.shape
    step = max(1, BLOCK_CELLS // n_out)
    return [slice(first, min(first + step, n_in)) for first in range(0, n_in, step)]


def add_cells(held: Sequence[Array], digit: Digit, planes: Array) -> None:
    """Add the conductances of one cell or of both of a pair to what its columns see: (lines, rows, n_out)."""
    weight = planes.dtype.type(digit.weight)
    if len(held) == 2 and len(planes) == 1:
        kernels.add_differences(held[0], held[1], weight, planes[0])
    else:
        for line, conductances in enumerate(held):
            planes[line] += weight * conductances


def add_variances(noise: Sequence[Array], digit: Digit, variances: Array) -> None:
    """Add the variances of reading these cells to those of their columns: (lines, rows, n_out)."""
    weight = variances.dtype.type(digit.weight)
    if len(variances) == 1:
        variances[0] += weight**2 * sum(noise)
    else:
        for line, variance in enumerate(noise):
            variances[line] += weight**2 * variance


def uniform_variances(layout: Layout) -> Array:
    """The read-noise variance of a column's cells where all cells have the same, a number."""
    together = len(layout.polarities) // layout.lines
    weights = np.array([digit.weight for digit in digits(layout) if digit.plane == 0])
    return np.array(together * cells.uniform_variance(layout.hardware.device) * (weights**2).sum(), layout.dtype)


def draw_converters(layout: Layout, key: Key) -> Array | None:
    """Gains and offsets (in ranges) of this chip's output converters, (tiles, slices, lines, 2, n_out).

    None without mismatch.
    """
    adc = layout.hardware.crossbar.adc
    if adc is None or adc.mismatch is None:
        return None
    count = len(layout.tiles) * len(layout.targets.slices) * layout.lines
    stream = key.of("converters")
    drawn = np.stack(
        [normals(stream, (2, layout.shape[1]), plane=plane, first_column=layout.first_column) for plane in range(count)]
    )
    spread = np.array([[adc.mismatch.gain_std], [adc.mismatch.offset_std_of_range]])
    found: Array = (np.array([[1.0], [0.0]]) + spread * drawn).astype(layout.dtype)
    return found.reshape(len(layout.tiles), len(layout.targets.slices), layout.lines, 2, -1)


def reference_columns(layout: Layout) -> Layout:
    """The column of each array of the whole matrix whose cells hold zero weights."""
    targets = layout.targets
    zeros = np.full((1, layout.shape[0], len(layout.column_tiles)), targets.zero, targets.levels.dtype)
    same: Targets = replace(targets, levels=zeros, column_scales=None)
    return replace(layout, targets=same, first_column=0)
