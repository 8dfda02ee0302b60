"""The value of a curve at conductances. All functions take arrays of any shape, and give new arrays of their type."""

from typing import Any

import numpy as np

from cimstudy.hardware.curves import (
    Curve,
    Logarithm,
    Piecewise,
    Polynomial,
    Power,
    SaturatingExponential,
    Smooth,
    Table,
)

Array = np.ndarray[Any, np.dtype[Any]]

LEAST = 1e-7  # conductance, fraction of g_max, below which logarithms and powers stay


def value_at(curve: Curve | float, r: Array) -> Array:
    """A curve, or a number that holds everywhere, at conductances `r`, fractions of g_max."""
    if not isinstance(curve, Piecewise):
        return smooth_at(curve, r)
    found = smooth_at(curve.above, r)
    np.copyto(found, smooth_at(curve.below, r), where=r < curve.threshold)
    return found


def smooth_at(curve: Smooth | float, r: Array) -> Array:
    """A curve of one piece at conductances `r`; in place where it can, for laws are evaluated at every cell."""
    match curve:
        case Polynomial():
            return horner(curve.coefficients, r)
        case Logarithm():
            found = np.maximum(r, LEAST)
            np.log(found, out=found)
            found *= curve.slope
            found += curve.offset
            return found.clip(curve.low, curve.high, out=found)
        case Power():
            found = np.maximum(r, LEAST)
            found **= curve.exponent
            found *= curve.factor
            return np.minimum(found, curve.high, out=found)
        case SaturatingExponential():
            found = r / -curve.knee
            np.expm1(found, out=found)
            found *= -curve.amplitude
            return found
        case Table():
            return np.interp(r, curve.r, curve.values).astype(r.dtype, copy=False)
        case _:
            return np.full_like(r, curve)


def horner(coefficients: tuple[float, ...], r: Array) -> Array:
    """A polynomial with coefficients of rising powers."""
    found = np.full_like(r, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        found *= r
        found += coefficient
    return found
