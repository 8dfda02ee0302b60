"""From weights to what the cells are meant to hold: scale, rounding, slices, tiles, converter ranges.

Nothing here depends on a chip. Conductances are fractions of `g_max`, currents are in cell units (one cell at g_max
driven by a full-scale input).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from cimstudy.analog import cells
from cimstudy.errors import InputError
from cimstudy.hardware import Coding, Crossbar, Dac, Differential, Hardware, Offset

Array = np.ndarray[Any, np.dtype[Any]]

HALF = 0.5  # the middle of cells that are not rounded
SAME = 1e-9  # relative difference of a converter's step from a whole fraction of a level that is rounding, no more


def row_tiles(length: int, most: int, split: Literal["even", "maximal"] = "even") -> list[slice]:
    """The rows (or columns) of each array: as few arrays as hold `length`, as even as possible or as full."""
    count = -(-length // most)
    if split == "maximal":
        edges = [min(tile * most, length) for tile in range(count + 1)]
    else:
        edges = [round(tile * length / count) for tile in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice of a level. shift : bits below it.  steps : its largest digit; 0: the weight is not rounded."""

    shift: int
    steps: int

    @property
    def significance(self) -> float:
        """Levels that a full cell stands for."""
        return float(max(self.steps, 1) * 2**self.shift)


@dataclass(frozen=True, kw_only=True)
class Polarity:
    """Cells that take their digits from one set of levels. sign : -1 for cells that hold negative levels."""

    levels: int
    sign: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """What the cells of one matrix are meant to hold: w = unit * (level - zero) * column_scales.

    levels : (sets, n_in, n_out). One set, with the sign of the weight (differential) or above zero (offset); a set for
        each polarity if they are rounded by themselves. Integers, or fractions if weights are not rounded.
    column_scales : (n_out,), or None if all columns have one scale, which is then in `unit`.
    """

    levels: Array
    unit: float
    zero: float
    column_scales: Array | None
    slices: tuple[Slice, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranges:
    """Full scales of one matrix, of its weights and its converters, and how wide it is.

    weights : (1,) or (columns,), the magnitude at which weights are clipped.  inputs : magnitude that drives a row
    fully; 0: each vector's own largest.  adc : (slices,) magnitudes in cell units; empty where no matrix decides them.
    """

    weights: Array
    inputs: float
    adc: Array
    columns: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """A weight matrix laid out on crossbars: all that is the same for every chip."""

    hardware: Hardware
    targets: Targets
    ranges: Ranges
    dtype: Any
    first_column: int = 0  # of a larger matrix of which these are some columns, a multiple of `columns_together`

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out)."""
        _, n_in, n_out = self.targets.levels.shape
        return n_in, n_out

    @cached_property
    def tiles(self) -> list[slice]:
        """Rows of each array."""
        return row_tiles(self.shape[0], self.hardware.crossbar.rows, self.hardware.crossbar.split)

    @cached_property
    def column_tiles(self) -> list[slice]:
        """Columns of each array, of the whole matrix."""
        return row_tiles(self.ranges.columns, self.hardware.crossbar.columns, self.hardware.crossbar.split)

    @cached_property
    def arrays(self) -> Array:
        """Which array of columns each column is in, (n_out,)."""
        edges = np.array([tile.stop for tile in self.column_tiles])
        return np.searchsorted(edges, self.first_column + np.arange(self.shape[1]), side="right")

    @cached_property
    def collapsed(self) -> bool:
        """Whether slices, tiles and pulses are one product, for nothing between them and the sum clips or rounds."""
        return collapses(self.hardware, tallest(self.tiles))

    @cached_property
    def lines(self) -> int:
        """Columns of a slice whose currents meet something before they are subtracted: 1 or 2."""
        return 1 if self.collapsed else lines(self.hardware)

    @cached_property
    def slice_weights(self) -> Array:
        """Weight per cell unit of current, for each slice, (slices,) float64."""
        significance = [part.significance for part in self.targets.slices]
        return self.targets.unit * np.array(significance) / span(self.hardware)

    @cached_property
    def full_scales(self) -> Array:
        """Range of the output converter of each slice, in cell units, (slices,); empty without one."""
        adc = self.hardware.crossbar.adc
        if adc is None or adc.range != "granular":
            return self.ranges.adc
        steps = [current_step(self.hardware, part) for part in self.targets.slices]
        return (adc.top * np.array(steps)).astype(self.dtype)

    @cached_property
    def polarities(self) -> tuple[Polarity, ...]:
        """The cells beside each other that hold one digit."""
        coding = self.hardware.crossbar.weights
        if isinstance(coding, Offset):
            return (Polarity(levels=0, sign=1),)
        if coding.sides == "two":
            return (Polarity(levels=0, sign=1), Polarity(levels=1, sign=1))
        return (Polarity(levels=0, sign=1), Polarity(levels=0, sign=-1))


def tallest(tiles: list[slice]) -> int:
    """Rows of the tallest array."""
    return max(int(tile.stop - tile.start) for tile in tiles)


def span(hardware: Hardware) -> float:
    """Current of a full digit above that of none, in cell units: the conductances of all cells that hold it."""
    device = hardware.device
    return (1 - device.g_min / device.g_max) * sum(hardware.crossbar.weights.cells)


def most_current(hardware: Hardware, rows: int) -> float:
    """The largest current at a converter of an array of so many rows, in cell units: all of them driven fully."""
    coding = hardware.crossbar.weights
    if isinstance(coding, Differential) and coding.subtraction == "current":
        return rows * span(hardware)
    return rows * sum(coding.cells)


def lines(hardware: Hardware) -> int:
    """Currents of a slice that are limited or converted, or have noise of their own: 1 or 2."""
    crossbar, coding = hardware.crossbar, hardware.crossbar.weights
    if isinstance(coding, Offset):
        return 1
    apart = crossbar.wires is None or not crossbar.wires.interleaved
    solved = has_source_lines(crossbar) or (crossbar.wires is not None and hardware.device.current is not None)
    alone = crossbar.current_limit is not None or cells.noise_is_exact(hardware.device) or solved
    return 2 if coding.subtraction == "digital" or (apart and alone) else 1


def has_source_lines(crossbar: Crossbar) -> bool:
    """Whether the current of a column is no product: its wires depend on which cells the inputs connect."""
    return crossbar.wires is not None and crossbar.wires.feed == "source_lines"


def weight_planes(hardware: Hardware) -> int:
    """Numbers that are kept for each weight of a programmed matrix, at most."""
    crossbar = hardware.crossbar
    linear = crossbar.current_limit is None and not has_source_lines(crossbar) and not currents_bend(hardware)
    one = crossbar.adc is None and linear and not cells.noise_is_exact(hardware.device)
    powers = 3 if currents_bend(hardware) else 1
    return 1 if one else crossbar.weights.slices * lines(hardware) * powers


def currents_bend(hardware: Hardware) -> bool:
    """Whether currents bend with the drive of their rows, which pulses of one bit do not show unless wires do."""
    crossbar = hardware.crossbar
    levels = crossbar.dac is None or pulse_steps(crossbar.dac) > 1
    return hardware.device.current is not None and (levels or crossbar.wires is not None)


def pulses_meet(hardware: Hardware) -> bool:
    """Whether the pulses of an input are accumulated without meeting anything before: they are then one level."""
    crossbar = hardware.crossbar
    nothing = crossbar.current_limit is None and not has_source_lines(crossbar) and hardware.device.current is None
    return crossbar.adc is not None and not crossbar.adc.per_pulse and nothing


def converted_steps(crossbar: Crossbar) -> int:
    """Input levels of a full-scale input, as one conversion sees them: of a pulse, or of all pulses together."""
    dac = crossbar.dac
    if dac is None:
        return 1
    each = dac.serial_bits is not None and (crossbar.adc is None or crossbar.adc.per_pulse)
    return pulse_steps(dac) if each else dac.top


def pulse_steps(dac: Dac | None) -> int:
    """Largest digit of an input pulse: it drives a row fully."""
    if dac is None:
        return 1
    return dac.top if dac.serial_bits is None else int(2**dac.serial_bits - 1)


def current_step(hardware: Hardware, part: Slice) -> float:
    """Current of one level of a cell driven by one level of a conversion's inputs, in cell units."""
    return span(hardware) / (max(part.steps, 1) * converted_steps(hardware.crossbar))


def collapses(hardware: Hardware, rows: int) -> bool:
    """Whether all that follows the input converters is linear, for arrays of so many rows.

    It is without output converters, and with those that have a code for every current that perfect cells can give.
    """
    crossbar, exact = hardware.crossbar, cells.are_exact(hardware.device)
    limit = crossbar.current_limit
    if has_source_lines(crossbar):
        return False
    if limit is not None and not (exact and limit >= rows * sum(crossbar.weights.cells)):
        return False
    if cells.noise_is_exact(hardware.device) or currents_bend(hardware):
        return False
    return crossbar.adc is None or (exact and has_every_code(hardware, rows))


def has_every_code(hardware: Hardware, rows: int) -> bool:
    """Whether the output converters neither clip nor round any current of perfect cells."""
    crossbar, adc, coding = hardware.crossbar, hardware.crossbar.adc, hardware.crossbar.weights
    if adc is None or adc.range == "calibrated" or coding.bits is None or crossbar.dac is None:
        return False
    bare = adc.is_perfect and crossbar.wires is None
    cancels = isinstance(coding, Differential) and coding.subtraction == "current"
    if not bare or (hardware.device.g_min > 0 and not cancels):
        return False
    ranges = described_ranges(hardware, rows)
    parts = zip(slices_of(coding), ranges, strict=True)
    return min(ranges) * (1 + SAME) >= most_current(hardware, rows) and all(
        is_whole(current_step(hardware, part) * adc.top / full) for part, full in parts
    )


def is_whole(codes: float) -> bool:
    """Whether a level's number of codes is a whole number, at least 1."""
    return codes > HALF and abs(codes / round(codes) - 1) < SAME


def described_ranges(hardware: Hardware, rows: int) -> list[float]:
    """Ranges of the output converters, a slice each, that are `full`, `granular` or numbers."""
    adc, parts = hardware.crossbar.adc, slices_of(hardware.crossbar.weights)
    assert adc is not None  # noqa: S101 - the caller's branch, for the type checker
    if adc.range == "full":
        return [most_current(hardware, rows)] * len(parts)
    if adc.range == "granular":
        return [adc.top * current_step(hardware, part) for part in parts]
    assert not isinstance(adc.range, str)  # noqa: S101 - calibrated ranges are no part of a description
    return list(adc.range) if isinstance(adc.range, tuple) else [adc.range] * len(parts)


def slices_of(coding: Coding) -> tuple[Slice, ...]:
    """The slices of a level, least significant first."""
    if coding.widths is None:
        return (Slice(shift=0, steps=0),)
    shifts = np.cumsum((0, *coding.widths)).tolist()
    return tuple(Slice(shift=shift, steps=2**bits - 1) for shift, bits in zip(shifts, coding.widths, strict=False))


def weight_targets(w: Array, coding: Differential | Offset, full: Array, dtype: Any = np.float32) -> Targets:
    """Weights as levels. w : (n_in, n_out).  full : (1,) or (n_out,), the magnitudes at which they are clipped."""
    shared = float(full[0]) if len(full) == 1 else None
    top = 1 if coding.bits is None else 2 ** (coding.bits - 1) - 1
    if coding.bits is None:
        levels, kind = np.clip(w / full.astype(np.result_type(w, np.float32)), -1, 1), dtype
    else:
        scaled = w * (top / full)  # in double precision, as `full` is
        levels, kind = np.clip(scaled, -top, top, out=scaled), level_type(coding)
    sets, zero = level_sets(levels, coding, top)
    return Targets(
        levels=np.stack(
            [each if coding.bits is None else np.rint(each, out=each) for each in sets], dtype=kind, casting="unsafe"
        ),
        unit=(shared or 1.0) / top * (2 if zero == HALF else 1),
        zero=zero,
        column_scales=None if shared else full.astype(dtype),
        slices=slices_of(coding),
    )


def level_type(coding: Differential | Offset) -> type[np.integer[Any]]:
    """The integers that hold a coding's levels."""
    signed = isinstance(coding, Differential) and coding.sides == "one"
    return np.int16 if signed else np.uint16


def level_sets(levels: Array, coding: Differential | Offset, top: int) -> tuple[list[Array], float]:
    """Sets of levels that hold signed ones, (n_in, n_out) in [-top, top], before rounding; and the level of zero."""
    if isinstance(coding, Differential):
        return ([levels] if coding.sides == "one" else [(top + levels) / 2, (top - levels) / 2]), 0.0
    if coding.bits is None:
        return [(1 + levels) / 2], HALF
    return [levels + (top + 1)], float(top + 1)


def check_weights(w: Array) -> None:
    """Raise InputError unless `w` is a finite matrix with at least one element."""
    if w.ndim != 2 or 0 in w.shape:
        raise InputError(f"weights have shape {w.shape}; allowed: (n_in, n_out), neither of them 0")
    if not np.isfinite(w).all():
        count = int(np.size(w) - np.isfinite(w).sum())
        raise InputError(f"weights hold {count} NaN or infinite values of {np.size(w)}; allowed: finite numbers")
