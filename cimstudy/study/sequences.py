"""Confidence sequences: intervals of a mean that hold at all numbers of chips at once, so one may look and go on.

Arrays (..., trials) in the order of trials, with those that count marked; every function is vectorised over points.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Pair = tuple[Values, Values]
BOLDEST = 0.5  # bet, of those that the empirical-Bernstein sequence places
EFFECT = 1.0  # standard deviations of a mean that the t sequence looks for


def empirical_bernstein(values: Values, counts: NDArray[np.bool_], bounds: tuple[float, float], alpha: float) -> Pair:
    """Centre and half-width after each trial of an interval of the mean of what lies within bounds, whatever its law.

    The predictable plug-in empirical-Bernstein sequence (Waudby-Smith and Ramdas, "Estimating means of bounded random
    variables by betting", JRSS B 86 (2024) 1, theorem 2): the mean is outside at any number of values with a
    probability of at most alpha.
    values, counts : (..., n).  Returns (..., n) each; infinite half-widths before the first.
    """
    low, high = bounds
    n, confident = counts.cumsum(-1), np.log(2 / alpha)
    scaled = np.where(counts, (values - low) / (high - low), 0.0)
    mean = (0.5 + scaled.cumsum(-1)) / (n + 1)
    variance = (0.25 + np.where(counts, (scaled - mean) ** 2, 0.0).cumsum(-1)) / (n + 1)
    mean, variance = before(mean, 0.5), before(variance, 0.25)
    steps = np.sqrt(2 * confident / (variance * np.maximum(n, 1) * np.log1p(np.maximum(n, 1))))
    bets = np.where(counts, np.minimum(steps, BOLDEST), 0.0)
    paid = ((scaled - mean) ** 2 * (-np.log1p(-bets) - bets)).cumsum(-1)
    total = bets.cumsum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, half = (bets * scaled).cumsum(-1) / total, (confident + paid) / total
    return low + (high - low) * centre, (high - low) * half


def students(values: Values, counts: NDArray[np.bool_], alpha: float) -> Pair:
    """Centre and half-width after each trial of an interval of the mean of normal values of unknown spread.

    The t sequence of a normal mixture over effects (Lai, Annals of Statistics 4, 265, 1976; Wang and Ramdas, Sequential
    Analysis 44, 2025): the mean is outside at any number of values with a probability of at most alpha.
    values, counts : (..., n).  Returns (..., n) each; infinite half-widths while there are too few.
    """
    n = counts.cumsum(-1)
    first = np.take_along_axis(values, counts.argmax(-1)[..., np.newaxis], -1)
    away = np.where(counts, values - first, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = away.cumsum(-1) / n
        squares = np.maximum((away**2).cumsum(-1) - n * mean**2, 0.0)
        ratio = 1 + n * EFFECT**2
        limit = (ratio / alpha**2) ** (1 / n)
        enough = (n > 1) & (limit < ratio)
        reach = np.where(enough, (limit - 1) / (1 - limit / ratio), 0.0)  # of t**2 / (n - 1)
        return first + mean, np.where(enough, np.sqrt(reach * squares / n), np.inf)


def ends(centre: Values, half: Values, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Pair:
    """The ends of what the intervals after all trials have in common, within the bounds, each (...)."""
    known = np.isfinite(half)
    low = np.where(known, centre - np.where(known, half, 0.0), bounds[0]).max(-1)
    high = np.where(known, centre + np.where(known, half, 0.0), bounds[1]).min(-1)
    return np.maximum(low, bounds[0]), np.minimum(high, bounds[1])


def before(values: Values, first: float) -> Values:
    """What was known before each value. values : (..., n)."""
    return np.concatenate([np.full_like(values[..., :1], first), values[..., :-1]], axis=-1)
