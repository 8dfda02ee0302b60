"""Drift compensation: digital factors behind the arrays, from read-outs just after programming and now.

The read-out drives one row after the other, so it finds the magnitudes of all weights; converters and read noise, which
many such reads average out, are left out of it. Le Gallo et al., AEM 4, 1700627 (2018); Joshi et al., Nat. Commun. 11,
2473 (2020).
"""

import numpy as np

from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import COLUMNS_TOGETHER, Layout


def factors(layout: Layout, fresh: Array, now: Array) -> Array:
    """What each output is multiplied by, (n_out,). fresh, now : (n_in, n_out), the weights that the chip holds."""
    before, after = (np.abs(weights).sum(axis=0, dtype=np.float64) for weights in (fresh, now))
    if layout.hardware.architecture.drift_compensation == "global":
        array = array_of(layout)
        before, after = (np.bincount(array, sums)[array] for sums in (before, after))
    found: Array = np.divide(before, after, out=np.ones_like(after), where=after > 0)
    return found.astype(layout.dtype)


def array_of(layout: Layout) -> Array:
    """Which columns share a factor, (n_out,): those of one array, as far as one part of a matrix has them."""
    columns = layout.first_column + np.arange(layout.shape[1])
    together = layout.arrays * (1 + columns.max() // COLUMNS_TOGETHER) + columns // COLUMNS_TOGETHER
    numbers: Array = np.unique(together, return_inverse=True)[1]
    return numbers
