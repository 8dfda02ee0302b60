"""From weights to what the cells are meant to hold: scale, rounding, slices, row tiles.

Nothing here depends on a chip. Conductances are fractions of `g_max`, currents are in cell units (one cell at g_max
driven by a full-scale input).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar

Array = np.ndarray[Any, np.dtype[Any]]


def row_tiles(n_in: int, rows: int) -> list[slice]:
    """The rows of each array: as few arrays as hold `n_in` inputs, as even as possible."""
    count = -(-n_in // rows)
    edges = [round(tile * n_in / count) for tile in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """What the cells of one matrix are meant to hold.

    levels : (n_in, n_out), int16 with the sign of the weight; float if weights are not rounded (then in [-1, 1]).
    scale : weight per level (per unit if not rounded): w = scale * levels.
    """

    levels: Array
    scale: float
    slices: int
    slice_bits: int | None  # None: not rounded

    @property
    def steps(self) -> int:
        """Levels of one cell above zero: its conductance is g_min + range * digit / steps."""
        return 1 if self.slice_bits is None else 2**self.slice_bits - 1

    @property
    def significance(self) -> Array:
        """Weight of a full cell of each slice, least significant first, (slices,) float64."""
        base = 1 if self.slice_bits is None else 2**self.slice_bits
        return self.scale * self.steps * np.array([float(base**index) for index in range(self.slices)])


def weight_targets(w: Array, crossbar: Crossbar, largest: float, dtype: Any = np.float32) -> Targets:
    """Weights rounded to the crossbar's levels. w : (n_in, n_out), of which `largest` is the greatest magnitude."""
    coding = crossbar.weights
    if coding.bits is None:
        return Targets(levels=(w / largest).astype(dtype), scale=largest, slices=1, slice_bits=None)
    top = 2 ** (coding.bits - 1) - 1
    levels = np.rint(w.astype(np.float64) * (top / largest)).astype(np.int16)
    return Targets(levels=levels, scale=largest / top, slices=coding.slices, slice_bits=coding.cell_bits)


def check_weights(w: Array) -> None:
    """Raise InputError unless `w` is a finite matrix with at least one element."""
    if w.ndim != 2 or 0 in w.shape:
        raise InputError(f"weights have shape {w.shape}; allowed: (n_in, n_out), neither of them 0")
    if not np.isfinite(w).all():
        count = int(np.size(w) - np.isfinite(w).sum())
        raise InputError(f"weights hold {count} NaN or infinite values of {np.size(w)}; allowed: finite numbers")
