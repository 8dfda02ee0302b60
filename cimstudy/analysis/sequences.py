"""Confidence sequences: intervals of a mean that hold at all numbers of chips at once, so one may look and go on.

Arrays (..., trials) in the order of trials, with those that count marked; every function is vectorised over points.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
BOLDEST = 0.5  # bet, of those that the empirical-Bernstein sequence places
EFFECT = 1.0  # standard deviations of a difference that the t sequence looks for


def empirical_bernstein(
    values: NDArray[Any], counted: NDArray[np.bool_], low: float, high: float, alpha: float
) -> Pair:
    """The ends of an interval of the mean of what lies between `low` and `high`, whatever its law.

    The predictable plug-in empirical-Bernstein sequence (Waudby-Smith and Ramdas, Journal of the Royal Statistical
    Society B 86, 1, 2024, theorem 2): the mean is outside the interval at any number of chips with a probability of at
    most alpha.  values, counted : (..., trials).  Returns the ends, each (...).
    """
    n = counted.cumsum(-1)
    shares = np.where(counted, (values - low) / (high - low), 0.0)
    guess = (0.5 + shares.cumsum(-1)) / (n + 1)
    spread = (0.25 + np.where(counted, (shares - guess) ** 2, 0.0).cumsum(-1)) / (n + 1)
    before, spread_before = delayed(guess, 0.5), delayed(spread, 0.25)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.sqrt(2 * np.log(2 / alpha) / (spread_before * n * np.log(n + 1)))
    bets = np.where(counted, np.minimum(steps, BOLDEST), 0.0)
    cost = (np.where(counted, shares - before, 0.0) ** 2 * (-np.log1p(-bets) - bets)).cumsum(-1)
    placed = bets.cumsum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, half = (bets * shares).cumsum(-1) / placed, (np.log(2 / alpha) + cost) / placed
    return ends(low + (high - low) * centre, (high - low) * half, n > 0, low, high)


def students(values: NDArray[Any], counted: NDArray[np.bool_], alpha: float) -> Pair:
    """The ends of an interval of the mean of normal values of unknown spread.

    The t sequence of a normal mixture over effects (Lai, Annals of Statistics 4, 265, 1976; Wang and Ramdas, Sequential
    Analysis 44, 2025): the mean is outside the interval at any number of chips with a probability of at most alpha.
    values, counted : (..., trials).  Returns the ends, each (...).
    """
    n = counted.cumsum(-1)
    first = np.take_along_axis(values, counted.argmax(-1)[..., None], -1)
    away = np.where(counted, values - first, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = away.cumsum(-1) / n
        squares = np.maximum((away**2).cumsum(-1) - n * mean**2, 0.0)
        ratio = 1 + n * EFFECT**2
        limit = (ratio / alpha**2) ** (1 / n)
        reach = np.where(limit < ratio, (limit - 1) / (1 - limit / ratio), np.inf)  # of t**2 / (n - 1)
        half = np.where(np.isfinite(reach), np.sqrt(reach * squares / n), np.inf)
    return ends(first + mean, half, n > 1, -np.inf, np.inf)


def ends(
    centre: NDArray[np.float64], half: NDArray[np.float64], known: NDArray[np.bool_], low: float, high: float
) -> Pair:
    """What the intervals at all numbers of chips have in common. Returns the ends, each (...)."""
    with np.errstate(invalid="ignore"):
        below, above = np.where(known, centre - half, low), np.where(known, centre + half, high)
    return below.max(-1).clip(low, high), above.min(-1).clip(low, high)


def delayed(values: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    """What was known before each trial."""
    return np.concatenate([np.full_like(values[..., :1], first), values[..., :-1]], axis=-1)
