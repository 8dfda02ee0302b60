"""Functions that are not linear, as hardware computes them: polynomials, tables, memories of ranges, few bits.

Pure functions of arrays. The exact functions are in `elementwise.py`, the descriptions in `hardware/nonlinear.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cimstudy.hardware.nonlinear import Lookup, Ranges
from cimstudy.transformer.elementwise import ACTIVATIONS

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Function = Callable[[Array], Array]

EXP_2, EXP_1 = 0.35815147, 0.96963238  # exp(r) of r in (-ln 2, 0], after 1 + EXP_1 r (I-BERT)
ERF_A, ERF_B = -0.2888, -1.769  # erf(y) of y > 0 is A (min(y, -B) + B)^2 + 1 (I-BERT)


def rounded(x: Array, bits: int | None, full: Array | float, *, signed: bool) -> Array:
    """X on the levels of so many bits, to `full` and, if signed, from -full; what is beyond is clipped.

    full : broadcasts against x; where it is zero, so is the result.
    """
    if bits is None:
        return x
    top = np.float32(2 ** (bits - 1) - 1 if signed and bits > 1 else 2**bits - 1)
    step = np.asarray(full, np.float32) / top
    steps = np.divide(x, step, out=np.zeros_like(x), where=step > 0)
    y: Array = np.clip(np.rint(steps), -top if signed else 0, top) * step
    return y


def exp_polynomial(x: Array) -> Array:
    """Exp of x <= 0: a parabola between two powers of two, to 2e-3; below 2^-30 it is that."""
    x = np.maximum(x, np.float32(-30 * np.log(2)))
    halvings = np.floor(x * np.float32(-1 / np.log(2)))
    r = x + halvings * np.float32(np.log(2))
    y: Array = np.ldexp((np.float32(EXP_2) * r + np.float32(EXP_1)) * r + np.float32(1), -halvings.astype(np.int32))
    return y


def sigmoid_polynomial(x: Array) -> Array:
    """1 / (1 + exp(-x)) by `exp_polynomial`."""
    small = exp_polynomial(-np.abs(x))
    y: Array = np.where(x < 0, small, np.float32(1)) / (np.float32(1) + small)
    return y


def gelu_polynomial(x: Array) -> Array:
    """X / 2 (1 + erf(x / sqrt 2)) with a parabola for erf, to 2e-2."""
    y = np.abs(x) * np.float32(0.5**0.5)
    erf = np.sign(x) * (np.float32(ERF_A) * (np.minimum(y, np.float32(-ERF_B)) + np.float32(ERF_B)) ** 2 + 1)
    found: Array = (np.float32(0.5) * x * (1 + erf)).astype(np.float32)
    return found


POLYNOMIALS: dict[str, Function] = {
    "gelu": gelu_polynomial,
    "gelu_tanh": gelu_polynomial,
    "silu": lambda x: x * sigmoid_polynomial(x),
    "relu": ACTIVATIONS["relu"],
    "tanh": lambda x: np.float32(2) * sigmoid_polynomial(np.float32(2) * x) - np.float32(1),
}


def integer_root(n: NDArray[np.int64]) -> NDArray[np.int64]:
    """The root of integers n >= 0, rounded down: Newton's method from a power of two that is not below it."""
    positive = np.maximum(n, 1)
    bits = np.frexp(positive.astype(np.float64))[1].astype(np.int64)
    x = np.left_shift(np.int64(1), (bits + 1) // 2)
    while ((better := (x + positive // x) // 2) < x).any():
        x = np.minimum(x, better)
    return np.where(n == 0, 0, x)


def table_of(function: Callable[[Doubles], Any], table: Lookup, low: float, high: float) -> Array:
    """The entries of a table of a function from `low` to `high`, rounded to fractions of the largest magnitude."""
    entries = np.asarray(function(np.linspace(low, high, table.entries)), np.float32)
    full = float(np.abs(entries).max())
    return rounded(entries, table.entry_bits, full, signed=bool((entries < 0).any()))


def looked_up(x: Array, entries: Array, low: float, high: float, interpolation: int) -> Array:
    """What a table of entries from `low` to `high` gives for x: the nearest, or a straight line between two."""
    place = np.clip((x - np.float32(low)) * np.float32((len(entries) - 1) / (high - low)), 0, len(entries) - 1)
    if not interpolation:
        found: Array = entries[np.rint(place).astype(np.intp)]
        return found
    before = np.minimum(place.astype(np.intp), len(entries) - 2)
    share = place - before.astype(np.float32)
    between: Array = entries[before] + share * (entries[before + 1] - entries[before])
    return between


@dataclass(frozen=True, eq=False, kw_only=True)
class Memory:
    """A content-addressable memory of ranges that holds a function.

    bounds : for each bit of the output, most significant first: where its ranges begin, and where they end.
    low, high : outputs of the lowest and of the highest code.
    """

    bounds: Sequence[tuple[Doubles, Doubles]]
    low: float
    high: float
    gray: bool

    def __call__(self, x: Array) -> Array:
        """What it gives for x."""
        codes, above = np.zeros(x.shape, np.int64), np.zeros(x.shape, np.bool_)
        for begins, ends in self.bounds:
            turned = np.maximum(begins, ends)  # a range that errors have turned around is empty
            inside = np.searchsorted(np.sort(begins), x, "right") > np.searchsorted(np.sort(turned), x, "right")
            above = inside ^ above if self.gray else inside
            codes = codes * 2 + above
        found: Array = (self.low + codes * ((self.high - self.low) / (2 ** len(self.bounds) - 1))).astype(np.float32)
        return found

    def moved(self, errors: Array) -> "Memory":
        """The memory with errors of its bounds.  errors : (2 bits, at least as many as a bit has ranges)."""
        pairs = zip(self.bounds, errors[::2], errors[1::2], strict=True)
        bounds = [(begins + one[: len(begins)], ends + two[: len(ends)]) for (begins, ends), one, two in pairs]
        return replace(self, bounds=bounds)


def memory_of(function: Callable[[Doubles], Any], ranges: Ranges, low: float, high: float) -> Memory:
    """The ranges of inputs from `low` to `high` that hold a function; codes go from its least to its largest value."""
    grid = np.linspace(low, high, 2**14 + 1)
    values = np.asarray(function(grid), np.float64)
    least, largest = float(values.min()), float(values.max())
    codes = np.rint((values - least) / (largest - least) * (2**ranges.bits - 1)).astype(np.int64)
    stored = codes ^ (codes >> 1) if ranges.code == "gray" else codes
    middles = np.concatenate([[-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]])
    bounds = []
    for bit in reversed(range(ranges.bits)):
        changes = np.diff(np.concatenate([[0], stored >> bit & 1, [0]]))
        bounds.append((middles[changes > 0], middles[changes < 0]))
    return Memory(bounds=bounds, low=least, high=largest, gray=ranges.code == "gray")


def asymptote(name: str, x: Array) -> Array:
    """What an activation tends to far from zero: the input or zero, or a sign."""
    return np.sign(x) if name == "tanh" else ACTIVATIONS["relu"](x)


def exact_activation(name: str) -> Callable[[Doubles], Doubles]:
    """An activation in double precision, for the entries of tables."""
    return PRECISE.get(name) or (lambda x: np.asarray(ACTIVATIONS[name](np.asarray(x, np.float32)), np.float64))


PRECISE: dict[str, Callable[[Doubles], Doubles]] = {
    "silu": lambda x: x * expit(x),
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
}
