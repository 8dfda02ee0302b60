"""Shares of variance from tables of chips, without the part that is Monte-Carlo noise.

A component of a response (a main effect, a sum of terms) is linear in it, so every chip has one of its own: a column
e_c of the table e, (rows, chips). Its mean over chips has the square |mean e|^2 = |truth|^2 + noise / chips. The mean
product of *different* chips' components is free of the noise and is all in the Gram matrix e'e, (chips, chips). All
estimates here are ratios of such means; their intervals are jackknives over chips (Efron and Stein, Annals of
Statistics 9, 586, 1981).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]


def gram(component: Floats) -> Floats:
    """Mean products of the chips' components, each without its mean over rows: (rows, chips) -> (chips, chips)."""
    centred = component - component.mean(0)
    found: Floats = centred.T @ centred / len(component)
    return found


def free_of_noise(products: Floats) -> Floats:
    """The mean product of different chips; of one chip, its square. (..., chips, chips) -> (...)."""
    n = products.shape[-1]
    total, own = products.sum((-2, -1)), np.trace(products, axis1=-2, axis2=-1)
    found: Floats = total if n == 1 else (total - own) / (n * (n - 1))
    return found


def noise_share(response: Floats) -> float:
    """The share of the variance between points that so few chips make by chance; NaN for one chip.

    response : the Gram matrix of the points' values.
    """
    n = len(response)
    observed = response.sum() / n**2
    if n == 1 or observed == 0:
        return float("nan")
    return float(np.clip(1 - free_of_noise(response) / observed, 0, 1))


def ratios(parts: Floats, whole: Floats) -> Floats:
    """Shares of the whole, between 0 and 1. parts : (shares, chips, chips).  whole : (chips, chips).

    Returns (3, shares): each share and the ends of its 95 % interval, NaN for fewer than three chips.
    """
    n = len(whole)
    share = clipped_ratio(free_of_noise(parts), free_of_noise(whole))
    if n < 3:
        return np.stack([share, np.full_like(share, np.nan), np.full_like(share, np.nan)])
    again = clipped_ratio(without_each(parts), without_each(whole)[:, None])
    error = np.sqrt((n - 1) / n * ((again - again.mean(0)) ** 2).sum(0))
    half = stdtrit(n - 1, 0.975) * error
    return np.stack([share, np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)])


def without_each(products: Floats) -> Floats:
    """`free_of_noise` without each chip in turn: (..., chips, chips) -> (chips, ...)."""
    n = products.shape[-1]
    own = np.diagonal(products, axis1=-2, axis2=-1)
    others = products.sum((-2, -1))[..., None] - 2 * products.sum(-1) + own  # sums without a chip's row and column
    found: Floats = (others - own.sum(-1, keepdims=True) + own) / ((n - 1) * (n - 2))
    return np.moveaxis(found, -1, 0)


def clipped_ratio(part: Any, whole: Any) -> Floats:
    """Part / whole between 0 and 1; NaN where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(np.asarray(whole) > 0, np.clip(np.asarray(part) / whole, 0, 1), np.nan)
    return found


def completed(values: Floats, done: NDArray[np.bool_]) -> Floats:
    """A table without holes: what is missing is what its point and its chip would add up to (Yates, 1933).

    values, done : (points, chips), each point and each chip with something done.
    """
    known = np.where(done, values, 0.0)
    points = known.sum(1, keepdims=True) / done.sum(1, keepdims=True)
    chips = np.where(done, values - points, 0.0).sum(0) / done.sum(0)
    found: Floats = np.where(done, values, points + chips)
    return found
