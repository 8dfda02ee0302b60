"""The cells of one matrix and chip as the columns of arrays see them, and the places of what reads those columns."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.analog.random import Key

SIGNS = np.array([1.0, -1.0])  # of the lines of a slice


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenMatrix:
    """One matrix in the cells of one chip.

    planes : (slices, lines, n_in, n_out), what columns see: conductances, fractions of g_max, or their difference where
        a pair's currents are subtracted first. Where slices collapse: one plane (1, 1, n_in, n_out) of weights.
    bends : (2, slices, lines, n_in, n_out), what columns see of u |u| and of u**3; None: nothing.
    variances : read-noise variance of the same shape as `planes`, or a number if it is the same for all cells, 0 for
        none.
    converters : (tiles, slices, lines, 2, n_out), gains and offsets of the output converters; None: all the same.
    """

    layout: Layout
    planes: Array
    bends: Array | None
    variances: Array
    noise_key: Key
    converters: Array | None

    @property
    def is_noisy(self) -> bool:
        """Whether reading any cell has noise."""
        return self.variances.ndim > 0 or bool(self.variances > 0)

    @property
    def above_empty(self) -> Array:
        """What the conductances stand for, (n_in, n_out), in weights of a column's scale, those of zeros included."""
        layout = self.layout
        factors = np.ones(1) if layout.collapsed else layout.slice_weights
        found: Array = np.tensordot(np.outer(factors, SIGNS[: layout.lines]), self.planes, axes=2)
        return found


class Reader(NamedTuple):
    """What reads a column: its converter is that of one array of rows, one slice and one line."""

    tile: int
    slice: int
    line: int

    def number(self, layout: Layout) -> int:
        """Among all readers of a column."""
        return (self.tile * len(layout.targets.slices) + self.slice) * layout.lines + self.line


class Outputs(NamedTuple):
    """Which outputs are computed: some vectors, of which the first has this number, times some columns."""

    first_vector: int
    columns: slice


Product = tuple[slice, slice, Array]  # vectors, columns, and their sums in weights times input levels
