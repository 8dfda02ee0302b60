"""The value of a curve at conductances. All functions take arrays of any shape, and give arrays of their type."""

from typing import Any

import numpy as np

from cimstudy.hardware.curves import Curve, Logarithm, Piecewise, Polynomial, Power, SaturatingExponential, Table

Array = np.ndarray[Any, np.dtype[Any]]

LEAST = 1e-7  # conductance, fraction of g_max, below which logarithms and powers stay


def value_at(curve: Curve | float, r: Array) -> Array:
    """A curve, or a number that holds everywhere, at conductances `r`, fractions of g_max."""
    if not isinstance(curve, Piecewise):
        return smooth_at(curve, r)
    return np.where(r < curve.threshold, smooth_at(curve.below, r), smooth_at(curve.above, r))


def smooth_at(curve: Polynomial | Logarithm | Power | SaturatingExponential | Table | float, r: Array) -> Array:
    """A curve of one piece at conductances `r`."""
    match curve:
        case Polynomial():
            found: Array = np.polynomial.polynomial.polyval(r, np.array(curve.coefficients, r.dtype))
        case Logarithm():
            found = np.clip(curve.slope * np.log(np.maximum(r, LEAST)) + curve.offset, curve.low, curve.high)
        case Power():
            found = np.minimum(curve.factor * np.maximum(r, LEAST) ** curve.exponent, curve.high)
        case SaturatingExponential():
            found = -curve.amplitude * np.expm1(r / -curve.knee)
        case Table():
            found = np.interp(r, curve.r, curve.values)
        case _:
            found = np.full_like(r, curve)
    return found.astype(r.dtype, copy=False)
