"""Norms and activations: float32, a new array each."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float32]


def rms_norm(x: Array, gain: Array, eps: float) -> Array:
    """Rows of x scaled to a root mean square of one, times the gain.  x : (..., width).  gain : (width,)."""
    mean_square = np.vecdot(x, x)[..., None] / np.float32(x.shape[-1])
    y: Array = x / np.sqrt(mean_square + np.float32(eps))
    y *= gain
    return y


def layer_norm(x: Array, gain: Array, bias: Array, eps: float) -> Array:
    """Rows of x moved to a mean of zero and scaled to a variance of one, times the gain, plus the bias."""
    y = rms_norm(x - x.mean(axis=-1, keepdims=True), gain, eps)
    y += bias
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


def softmax(x: Array) -> Array:
    """Exponentials over their sum, along the last axis."""
    y: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "tanh": np.tanh,
}
