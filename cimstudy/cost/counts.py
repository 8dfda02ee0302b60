"""How often things happen: arrays that are needed, and sums over a growing context in closed form.

All functions take numbers or arrays of them, which broadcast. A matrix has `rows` inputs and `columns` outputs; an
array `R` x `C` cells, of which a weight takes `slices` side by side.
"""

import functools
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from cimstudy.cost.recording import of_points


def cells_per_weight(bits: Any, slice_bits: Any, *, differential: bool) -> Any:
    """Cells that hold one weight: slices of its levels, twice for a pair."""
    if differential:
        return 2 * np.ceil(np.subtract(bits, 1) / slice_bits)
    return np.ceil(np.divide(bits, slice_bits))


def row_tiles(rows: Any, R: Any) -> Any:
    """Arrays, one below the other, that take all inputs."""
    return np.ceil(np.divide(rows, R))


def column_tiles(columns: Any, slices: Any, C: Any) -> Any:
    """Arrays, side by side, that give all outputs."""
    return np.ceil(np.multiply(columns, slices) / C)


def arrays(shape: tuple[Any, Any], slices: Any, array: tuple[Any, Any]) -> Any:
    """Arrays that hold a matrix. shape : (rows, columns).  array : (R, C)."""
    return row_tiles(shape[0], array[0]) * column_tiles(shape[1], slices, array[1])


def ranges_of(bits: Any, *, gray: bool) -> Any:
    """Ranges of a number in which one of the `bits` of a function of it is set, if the function rises steadily."""
    return np.exp2(np.subtract(bits, 1)) if gray else np.exp2(bits) - 1


def sum_to(n: Any) -> Any:
    """1 + 2 + ... + n."""
    return np.multiply(n, np.add(n, 1)) / 2


def seen(n: Any, window: Any) -> Any:
    """Sum over tokens 1 ... n of the tokens that each sees, itself included: at most `window`, or all (None)."""
    if window is None:
        return sum_to(n)
    inside = np.minimum(n, window)
    return sum_to(inside) + np.subtract(n, inside) * window


def tiles_seen(n: Any, window: Any, size: Any) -> Any:
    """Sum over tokens 1 ... n of the blocks of `size` that hold the tokens that each sees."""
    inside = n if window is None else np.minimum(n, window)
    whole = np.floor(np.divide(inside, size))
    total = (whole + 1) * (inside - whole * np.multiply(size, 0.5))  # size (1 + ... + whole), and the rest
    if window is None:
        return total
    return total + np.subtract(n, inside) * np.ceil(np.divide(window, size))


def sum_of_larger(floor: Any, line: tuple[Any, Any], ends: tuple[Any, Any]) -> Any:
    """Sum over c from after ends[0] to ends[1] of max(floor, slope c + offset). line : (slope, offset), slope >= 0."""
    slope, offset = line
    low, high = ends
    rising = np.greater(slope, 0)
    crossing = np.floor(np.divide(np.subtract(floor, offset), np.where(rising, slope, 1.0)))
    if not np.all(rising):  # of a level line, the last c at which the floor counts
        crossing = np.where(rising, crossing, np.where(np.greater(floor, offset), high, low))
    last = np.minimum(np.maximum(crossing, low), high)
    rest = np.subtract(high, last)
    return np.multiply(floor, last - low) + rest * (np.multiply(slope, 0.5) * (last + 1 + high) + offset)


@of_points
def kept_of_share(share: Any, n: Any, window: Any) -> Any:
    """Sum over tokens 1 ... n of a share of them, rounded up, and at most `window`, or no limit (None)."""
    shares, stops = np.broadcast_arrays(np.atleast_1d(np.asarray(share, np.float64)), np.asarray(n, np.float64))
    found = np.full(shares.shape, np.nan)
    for one in np.unique(shares[~np.isnan(shares)]):
        mine = shares == one
        tokens = np.arange(1.0, stops[mine].max() + 1)
        kept = np.ceil(one * tokens)
        sums = np.concatenate([[0.0], np.cumsum(kept if window is None else np.minimum(kept, window))])
        found[mine] = sums[stops[mine].astype(np.intp)]
    return found


@of_points
def entry(values: Any, place: Any) -> Any:
    """The entries of a table at these places, from 0 and rounded down."""
    return values[np.asarray(place).astype(np.intp)]


def floors(n: Any, size: Any) -> Any:
    """Sum over i = 0 ... n - 1 of i / size, rounded down."""
    whole = np.floor(np.divide(n, size))
    return size * (sum_to(whole) - whole) + whole * (n - whole * size)


def total(values: Iterable[Any]) -> Any:
    """The sum of numbers and arrays; 0.0 of none. Unlike `sum` it adds no plain 0 to an array."""
    found = [value for value in values if type(value) is not float or value]
    return functools.reduce(operator.add, found) if found else 0.0


def is_nothing(value: Any) -> bool:
    """Whether a value is a plain 0, as what does not happen at any point has it."""
    return type(value) is float and not value


def chosen(condition: Any, first: Any, second: Any) -> Any:
    """The first where a condition holds, and the second elsewhere: itself where all points share the condition."""
    if condition.size > 1:
        return np.where(condition, first, second)
    return first if condition.item() else second


def ratio(first: Any, second: Any) -> Any:
    """One over the other; NaN where both are zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(first, second)
