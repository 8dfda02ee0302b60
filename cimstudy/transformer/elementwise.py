"""Norms and activations: float32, a new array each."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float32]


def mean_square(x: Array) -> Array:
    """Mean of the squares of each row.  x : (..., width).  Returns (..., 1)."""
    y: Array = np.vecdot(x, x)[..., None] / np.float32(x.shape[-1])
    return y


def normalised(x: Array, eps: float) -> Array:
    """Rows of x scaled to a root mean square of one.  x : (..., width)."""
    y: Array = x / np.sqrt(mean_square(x) + np.float32(eps))
    return y


def silu(x: Array) -> Array:
    """Elementwise x / (1 + exp(-x))."""
    y = np.negative(x)
    with np.errstate(over="ignore"):  # exp(-x) is inf far below zero, where the result is rightly -0
        np.exp(y, out=y)
    y += np.float32(1)
    return np.divide(x, y, out=y)


def gelu(x: Array) -> Array:
    """Elementwise x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""
    y: Array = erf(x * np.float32(0.5**0.5))
    y += np.float32(1)
    y *= np.float32(0.5) * x
    return y


def gelu_tanh(x: Array) -> Array:
    """The same, by the approximation with tanh that GPT-2 was trained with."""
    y = x * x * x
    y *= np.float32(0.044715)
    y += x
    y *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(y, out=y)
    y += np.float32(1)
    y *= np.float32(0.5) * x
    return y


def relu(x: Array) -> Array:
    """Elementwise max(x, 0)."""
    y: Array = np.maximum(x, np.float32(0))
    return y


def exponentials(scores: Array) -> tuple[Array, Array]:
    """Of scores (..., K), less the row's largest, and their sums (..., 1).  Overwrites the scores.

    Where all scores are minus infinity the exponentials are 0, and their sum is given as 1.
    """
    scores = below_largest(scores)
    return over_sums(np.exp(scores, out=scores))


def below_largest(scores: Array) -> Array:
    """Scores less the largest of their row, which are minus infinity if all of the row are.  Overwrites the scores."""
    scores -= np.maximum(scores.max(axis=-1, keepdims=True), np.finfo(np.float32).min)
    return scores


def over_sums(weights: Array) -> tuple[Array, Array]:
    """Weights (..., K) and their sums (..., 1), which are 1 where there is nothing to divide."""
    sums: Array = weights.sum(axis=-1, keepdims=True)
    return weights, np.where(sums > 0, sums, np.float32(1))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "tanh": np.tanh,
}
