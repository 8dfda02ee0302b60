"""From weights to levels, and from levels to the slices that cells hold. Nothing here depends on a chip."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.errors import InputError
from cimstudy.hardware import Coding, Differential, Offset

Array = np.ndarray[Any, np.dtype[Any]]

HALF = 0.5  # the middle of cells that are not rounded


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice of a level. shift : bits below it.  steps : its largest digit; 0: the weight is not rounded."""

    shift: int
    steps: int

    @property
    def significance(self) -> float:
        """Levels that a full cell stands for."""
        return float(max(self.steps, 1) * 2**self.shift)


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """What the cells of one matrix are meant to hold: w = unit * (level - zero) * column_scales.

    levels : (sets, n_in, n_out). One set, with the sign of the weight (differential) or above zero (offset); a set for
        each polarity if they are rounded by themselves. Integers, or fractions if weights are not rounded.
    column_scales : (n_out,), or None if all columns have one scale, which is then in `unit`.
    """

    levels: Array
    unit: float
    zero: float
    column_scales: Array | None
    slices: tuple[Slice, ...]


def slices_of(coding: Coding) -> tuple[Slice, ...]:
    """The slices of a level, least significant first."""
    if coding.widths is None:
        return (Slice(shift=0, steps=0),)
    shifts = np.cumsum((0, *coding.widths)).tolist()
    return tuple(Slice(shift=shift, steps=2**bits - 1) for shift, bits in zip(shifts, coding.widths, strict=False))


def weight_targets(w: Array, coding: Differential | Offset, full: Array, dtype: Any = np.float32) -> Targets:
    """Weights as levels. w : (n_in, n_out).  full : (1,) or (n_out,), the magnitudes at which they are clipped."""
    shared = float(full[0]) if len(full) == 1 else None
    top = 1 if coding.bits is None else 2 ** (coding.bits - 1) - 1
    if coding.bits is None:
        levels, kind = np.clip(w / full.astype(np.result_type(w, np.float32)), -1, 1), dtype
    else:
        scaled = w * (top / full)  # in double precision, as `full` is
        levels, kind = np.clip(scaled, -top, top, out=scaled), level_type(coding)
    sets, zero = level_sets(levels, coding, top)
    return Targets(
        levels=np.stack(
            [each if coding.bits is None else np.rint(each, out=each) for each in sets], dtype=kind, casting="unsafe"
        ),
        unit=(shared or 1.0) / top * (2 if zero == HALF else 1),
        zero=zero,
        column_scales=None if shared else full.astype(dtype),
        slices=slices_of(coding),
    )


def level_type(coding: Differential | Offset) -> type[np.integer[Any]]:
    """The integers that hold a coding's levels."""
    signed = isinstance(coding, Differential) and coding.sides == "one"
    return np.int16 if signed else np.uint16


def level_sets(levels: Array, coding: Differential | Offset, top: int) -> tuple[list[Array], float]:
    """Sets of levels that hold signed ones, (n_in, n_out) in [-top, top], before rounding; and the level of zero."""
    if isinstance(coding, Differential):
        return ([levels] if coding.sides == "one" else [(top + levels) / 2, (top - levels) / 2]), 0.0
    if coding.bits is None:
        return [(1 + levels) / 2], HALF
    return [levels + (top + 1)], float(top + 1)


def checked_weights(values: Any) -> Array:
    """A matrix of weights. Raises InputError unless it is finite and has at least one element."""
    w = real_array(values, "weights")
    if w.ndim != 2 or 0 in w.shape:
        raise InputError(f"weights have shape {w.shape}; allowed: (n_in, n_out), neither of them 0")
    if not np.isfinite(w).all():
        count = int(np.size(w) - np.isfinite(w).sum())
        raise InputError(f"weights hold {count} NaN or infinite values of {np.size(w)}; allowed: finite numbers")
    return w


def real_array(values: Any, what: str) -> Array:
    """Values as an array. Raises InputError unless they are real numbers."""
    found: Array = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise InputError(f"{what} are of type {found.dtype}; allowed: real numbers")
    return found


def checked_type(dtype: Any) -> type[np.floating[Any]]:
    """The type of a simulation's numbers. Raises InputError unless it is float32 or float64."""
    known: dict[Any, type[np.floating[Any]]] = {np.dtype(np.float32): np.float32, np.dtype(np.float64): np.float64}
    try:
        return known[np.dtype(dtype)]
    except (TypeError, KeyError):
        raise InputError(f"dtype = {dtype}; allowed: float32, float64") from None
