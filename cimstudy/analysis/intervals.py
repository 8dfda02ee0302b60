"""Intervals from counts of chips: what a sample says of the population that further chips would come from.

Arrays in, arrays out; every function is vectorised over points.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit
from scipy.stats import binom

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def of_mean(mean: NDArray[np.float64], std: NDArray[np.float64], n: NDArray[np.int_], confidence: float) -> Pair:
    """Student's t interval of a mean: exact for normal chips, and asymptotically for any (Student, Biometrika 6, 1908).

    mean, std, n : (...).  NaN for fewer than two chips, and for an infinite mean.
    """
    half = stdtrit(np.where(n > 1, n - 1, np.nan), (1 + confidence) / 2) * std / np.sqrt(np.maximum(n, 1))
    with np.errstate(invalid="ignore"):  # an infinite result has a mean and no interval
        return mean - half, mean + half


def of_share(successes: NDArray[np.int_], n: NDArray[np.int_], confidence: float) -> Pair:
    """Clopper-Pearson interval of a share: covers at least as often as stated (Biometrika 26, 404, 1934).

    successes, n : (...).  NaN where n is 0.
    """
    k, n = np.asarray(successes, float), np.asarray(n, float)
    tail = (1 - confidence) / 2
    low = betaincinv(np.maximum(k, 1), n - np.maximum(k, 1) + 1, tail)
    high = betaincinv(np.minimum(k, n - 1) + 1, n - np.minimum(k, n - 1), 1 - tail)
    low, high = np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def of_quantile(ordered: NDArray[np.float64], n: NDArray[np.int_], q: float, confidence: float) -> Pair:
    """Interval of a quantile between two of the sorted chips: covers at least as often as stated, whatever the law.

    The chips below the true quantile are binomial, which gives the ranks (David and Nagaraja, Order Statistics, 2003,
    section 7.1). A rank that so few chips do not have is an infinite end: the 5 % quantile has both at 95 % from 72 on.

    ordered : (..., trials), ascending, NaN last.  n : (...).  NaN where n is 0.
    """
    counts, tail = np.arange(ordered.shape[-1] + 1), (1 - confidence) / 2
    below = np.asarray(binom.ppf(tail, counts, q), int)  # the ranks, from 1, for each number of chips
    above = np.asarray(binom.ppf(1 - tail, counts, q), int) + 1
    low = np.where(below[n] >= 1, at_rank(ordered, below[n]), -np.inf)
    high = np.where(above[n] <= n, at_rank(ordered, above[n]), np.inf)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def at_rank(ordered: NDArray[np.float64], rank: NDArray[Any]) -> NDArray[np.float64]:
    """The value at a rank that counts from 1, or at the nearest rank there is."""
    place = np.clip(rank - 1, 0, ordered.shape[-1] - 1)
    found: NDArray[np.float64] = np.take_along_axis(ordered, place[..., None], -1)[..., 0]
    return found
