"""Arithmetic over the chips of a point: arrays (..., trials), with the cases that are done marked. Pure functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FAR = 8.0  # median absolute deviations: 5.4 standard deviations of many normal chips
FAR_OF_FEW = 15.0  # chips: of n, FAR grows by this over n, so that one in 10 000 points of normal chips has such a chip
FEW = 8  # chips, below which none can be told from the rest
PER_MEAN_DEVIATION = 0.845  # median absolute deviation of normal chips over their mean absolute deviation


def ranked(values: NDArray[Any], done: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The values of the cases that are done, ascending; NaN in place of the others, last."""
    found: NDArray[np.float64] = np.sort(np.where(done, values, np.nan), axis=-1)
    return found


def moments(
    values: NDArray[Any], done: NDArray[np.bool_], median: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample standard deviation of the cases that are done; NaN where there are too few.

    values, done : (..., trials).  median : (...).  Sums are taken about the median, so equal chips have a spread of
    exactly 0.
    """
    n = done.sum(-1)
    shift = np.where(np.isfinite(median), median, 0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = shift + np.where(done, values - shift[..., None], 0.0).sum(-1) / n
        squares = np.where(done, (values - mean[..., None]) ** 2, 0.0).sum(-1)
        return mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


def interpolated(ordered: NDArray[np.float64], n: NDArray[np.int_], q: float) -> NDArray[np.float64]:
    """Linearly interpolated quantile of the first `n` values; NaN where there are none.

    ordered : (..., trials), ascending.  n : (...).
    """
    place = np.maximum(n - 1, 0) * q
    below = np.floor(place).astype(int)
    low = np.take_along_axis(ordered, below[..., None], -1)[..., 0]
    high = np.take_along_axis(ordered, np.ceil(place).astype(int)[..., None], -1)[..., 0]
    part = place - below
    with np.errstate(invalid="ignore"):  # between equal infinities there is nothing to interpolate
        between = low + (high - low) * part
    found: NDArray[np.float64] = np.where((low == high) | (part == 0), low, between)
    return found


def worst_of(
    low: NDArray[np.float64], high: NDArray[np.float64], centre: NDArray[np.float64] | np.float64, better: str | None
) -> NDArray[np.float64]:
    """The worst of the values between `low` and `high`; where no side is better, the one farther from `centre`."""
    if better == "lower":
        return high
    if better == "higher":
        return low
    with np.errstate(invalid="ignore"):
        return np.where(high - centre >= centre - low, high, low)


def collapsed(
    values: NDArray[Any], done: NDArray[np.bool_], median: NDArray[np.float64], better: str | None
) -> NDArray[np.int_]:
    """How many chips are far worse than the rest, so that a mean hides them.

    Far is FAR median absolute deviations from the median, and more of few chips. Where more than half the chips are
    equal, that deviation is 0 and the mean absolute deviation stands in for it (Iglewicz and Hoaglin, How to Detect and
    Handle Outliers, 1993). Where no side is better, both count.
    values, done : (..., trials).  median : (...).
    """
    n = done.sum(-1)
    with np.errstate(invalid="ignore"):  # an infinite median is far from nothing
        away = np.where(done, values - median[..., None], np.nan)
    distance = np.sort(np.abs(away), axis=-1)
    typical = interpolated(distance, n, 0.5)
    if (typical == 0).any():
        mean = np.where(done, np.abs(away), 0.0).sum(-1) / np.maximum(n, 1)
        typical = np.where(typical == 0, PER_MEAN_DEVIATION * mean, typical)
    worse = {"lower": away, "higher": -away}.get(better or "", np.abs(away))
    bound = np.where(n >= FEW, FAR * (1 + FAR_OF_FEW / np.maximum(n, 1)) * typical, np.inf)
    found: NDArray[np.int_] = (worse > bound[..., None]).sum(-1)
    return found
