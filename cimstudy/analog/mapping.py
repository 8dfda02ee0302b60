"""A matrix laid out on arrays: what is the same for every chip.

Conductances are fractions of `g_max`, currents are in cell units (one cell at g_max driven by a full-scale input).
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from cimstudy.analog.chain import collapses, current_step, has_source_lines, lines, span
from cimstudy.analog.levels import Array, Targets
from cimstudy.hardware import Crossbar, Hardware, Offset

# A part of a matrix begins at a multiple, and then has the whole matrix's bits. Narrower products would pack the same
# inputs more often: half as wide, they are 5 % slower.
COLUMNS_TOGETHER = 1536
CONVERTED_TOGETHER = COLUMNS_TOGETHER // 2  # of products whose outputs are converted while they are in the cache
BUFFER_ROWS = 512  # vectors (times input pulses) of one product: more spread the cost of packing cells further


def row_tiles(length: int, most: int, split: Literal["even", "maximal"] = "even") -> list[slice]:
    """The rows (or columns) of each array: as few arrays as hold `length`, as even as possible or as full."""
    count = -(-length // most)
    if split == "maximal":
        edges = [min(tile * most, length) for tile in range(count + 1)]
    else:
        edges = [round(tile * length / count) for tile in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def column_blocks(n_out: int, together: int = CONVERTED_TOGETHER) -> list[slice]:
    """Columns that are multiplied together."""
    return [slice(left, min(left + together, n_out)) for left in range(0, n_out, together)]


def columns_together(crossbar: Crossbar, n_out: int) -> int:
    """Parts of a matrix of `n_out` columns begin at multiples of so many: whole products, and whole arrays with wires.

    Arrays whose widths differ have no such multiple: the matrix is then one part.
    """
    if crossbar.wires is None or has_source_lines(crossbar):
        return COLUMNS_TOGETHER
    widths = {tile.stop - tile.start for tile in row_tiles(n_out, crossbar.columns, crossbar.split)[:-1]}
    return math.lcm(COLUMNS_TOGETHER, *widths) if len(widths) == 1 else -(-n_out // COLUMNS_TOGETHER) * COLUMNS_TOGETHER


@dataclass(frozen=True, kw_only=True)
class Polarity:
    """Cells that take their digits from one set of levels. sign : -1 for cells that hold negative levels."""

    levels: int
    sign: int


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

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out)."""
        _, n_in, n_out = self.targets.levels.shape
        return n_in, n_out

    @cached_property
    def tiles(self) -> list[slice]:
        """Rows of each array."""
        return row_tiles(self.shape[0], self.hardware.crossbar.rows, self.hardware.crossbar.split)

    @cached_property
    def edges(self) -> Array:
        """The first row of each array, and the end of the last, (tiles + 1,)."""
        return np.array([0, *(tile.stop for tile in self.tiles)])

    @cached_property
    def column_tiles(self) -> list[slice]:
        """Columns of each array, of the whole matrix."""
        return row_tiles(self.ranges.columns, self.hardware.crossbar.columns, self.hardware.crossbar.split)

    def read_rows(self, tile: int) -> slice:
        """Rows whose currents meet in one column: those of an array, or all where arrays are one product."""
        return slice(0, self.shape[0]) if self.collapsed else self.tiles[tile]

    @cached_property
    def product_blocks(self) -> list[slice]:
        """Columns of each call for a product, where arrays are one product."""
        return column_blocks(self.shape[1], COLUMNS_TOGETHER)

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


def given(value: Any) -> dict[str, Any]:
    """The fields that a dataclass was made with, by name: for one that adds to them."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
