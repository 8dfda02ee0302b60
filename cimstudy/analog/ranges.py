"""Full scales of a matrix: of its weights, and of its converters as described or as a calibration batch gives them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cimstudy.analog.chain import converted_steps, described_ranges
from cimstudy.analog.drive import drive
from cimstudy.analog.levels import Array, checked_type, real_array, weight_targets
from cimstudy.analog.mapping import Layout, Ranges, column_blocks, row_tiles, tallest
from cimstudy.analog.product import currents_at_converters
from cimstudy.analog.programming import write
from cimstudy.analog.random import Key
from cimstudy.analog.written import Outputs
from cimstudy.errors import InputError
from cimstudy.hardware import Coding, Dac, Hardware

MOST_CURRENTS = 2**24  # that a calibration looks at, for each slice
ROOM = 2.0**32  # between full weights and the ends of the arithmetic: 2**16 inputs of 2**15 levels


class Parts(Protocol):
    """A matrix as its columns in order, in parts that can be gone through several times.

    All parts but the last hold a multiple of `columns_together` columns.
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
    dtype = checked_type(dtype)
    x = None if calibration is None else checked_calibration(calibration, parts.n_in, dtype)
    bare = Ranges(
        weights=weight_ranges(parts, hardware.crossbar.weights, dtype),
        inputs=input_range(hardware.crossbar.dac, x),
        adc=np.zeros(0, dtype),
        columns=sum(part.shape[1] for part in parts),
    )
    return replace(bare, adc=adc_ranges(parts, hardware, bare, x, dtype))


def checked_calibration(values: Any, n_in: int, dtype: Any) -> Array:
    """A calibration batch, (batch, n_in). Raises InputError for another shape, or values that are not finite."""
    x = real_array(values, "calibration inputs")
    if not x.size or x.shape[-1:] != (n_in,) or not np.isfinite(x).all():
        raise InputError(
            f"the calibration batch of shape {x.shape} is empty, not finite or of another width; "
            f"allowed: (..., {n_in}) finite numbers"
        )
    return np.ascontiguousarray(x, dtype=dtype).reshape(-1, n_in)


def weight_ranges(parts: Parts, coding: Coding, dtype: Any) -> Array:
    """Magnitudes at which weights are clipped, (1,) or (columns,); 1 where all are zero, which keep any scale.

    Raises InputError for weights that leave the arithmetic no room for the sums of a large array.
    """
    if coding.scale == "column":
        found = np.concatenate([np.percentile(np.abs(part), coding.percentile, axis=0) for part in parts])
    elif coding.percentile == 100:
        found = np.array([parts.largest()])
    else:
        magnitudes = np.concatenate([np.abs(part).ravel() for part in parts])
        found = np.array([np.percentile(magnitudes, coding.percentile, overwrite_input=True)])
    largest, bounds = float(np.max(found)), np.finfo(dtype)
    low, high = float(bounds.tiny) * ROOM, float(bounds.max) / ROOM
    if largest and not low <= largest <= high:
        raise InputError(f"weights reach {largest:g}; allowed in {np.dtype(dtype)}: 0, or {low:.0e} to {high:.0e}")
    return np.where(found > 0, found, 1.0).astype(np.float64)


def layout_of(w: Array, hardware: Hardware, ranges: Ranges, *, first_column: int = 0, dtype: Any) -> Layout:
    """Some columns of a matrix laid out, (n_in, n) from `first_column` on."""
    full = ranges.weights if len(ranges.weights) == 1 else ranges.weights[first_column : first_column + w.shape[1]]
    dtype = checked_type(dtype)
    targets = weight_targets(w, hardware.crossbar.weights, full, dtype)
    return Layout(hardware=hardware, targets=targets, ranges=ranges, dtype=dtype, first_column=first_column)


def input_range(dac: Dac | None, calibration: Array | None) -> float:
    """Magnitude that drives a row fully; 0: each vector's own largest."""
    if dac is None or dac.range == "per_token":
        return 0.0
    if dac.range == "calibrated":
        return percentile_of(needed(calibration, "dac"), dac.percentile)
    return dac.range


def adc_ranges(parts: Parts, hardware: Hardware, bare: Ranges, x: Array | None, dtype: Any) -> Array:
    """Full scale of the output converter for each slice, in cell units, (slices,); empty if no matrix decides it."""
    crossbar = hardware.crossbar
    if crossbar.adc is None or crossbar.adc.range == "granular":
        return np.zeros(0, dtype)
    if crossbar.adc.range == "calibrated":
        return calibrated_ranges(parts, hardware, bare, needed(x, "adc"), dtype)
    rows = tallest(row_tiles(parts.n_in, crossbar.rows, crossbar.split))
    return np.array(described_ranges(hardware, rows), dtype)


def needed(calibration: Array | None, converter: str) -> Array:
    """The calibration batch. Raises InputError if there is none."""
    if calibration is None:
        raise InputError(
            f"crossbar.{converter}.range = 'calibrated' needs a calibration batch, none was given; "
            "without one allowed are " + ("'per_token'" if converter == "dac" else "'full'") + " or numbers"
        )
    return calibration


def percentile_of(values: Array, percentile: float) -> float:
    """Percentile of the magnitudes; 1 if they are all zero, for a converter needs a range."""
    return float(np.percentile(np.abs(values), percentile)) or 1.0


def calibrated_ranges(parts: Parts, hardware: Hardware, bare: Ranges, x: Array, dtype: Any) -> Array:
    """Percentile of the current magnitudes of each slice over arrays, columns and pulses of error-free cells.

    Of a large matrix only some vectors of the batch are taken, evenly spread, so that MOST_CURRENTS are looked at.
    """
    crossbar = hardware.crossbar
    assert crossbar.adc is not None  # noqa: S101 - the caller's branch, for the type checker
    perfect = hardware.replace("device", hardware.device.without_errors())
    found: list[list[Array]] = [[] for _ in range(crossbar.weights.slices)]
    first_column = 0
    for part in parts:
        layout = layout_of(part, perfect, bare, first_column=first_column, dtype=dtype)
        matrix = write(layout, Key.root(0))
        cycles = 1 if crossbar.dac is None else crossbar.dac.cycles
        step = -(-len(x) * cycles * len(layout.tiles) * bare.columns // MOST_CURRENTS)
        driven, _ = drive(layout, np.ascontiguousarray(x[::step]), noisy=False)
        block = [driven.of(slice(None), rows) for rows in layout.tiles]
        for columns in column_blocks(part.shape[1]):
            for reader, currents in currents_at_converters(matrix, block, Outputs(0, columns)):
                found[reader.slice].append(np.abs(currents).ravel())
        first_column += part.shape[1]
    unit, percentile = 1 / converted_steps(crossbar), crossbar.adc.percentile
    return np.array([unit * percentile_of(np.concatenate(slices), percentile) for slices in found], dtype)
