"""What a plot shows: which rows of a study's table, along which axis, with a line for each value of which other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cimstudy.errors import InputError

MOST_LINES = 10  # more cannot be told apart


@dataclass(frozen=True, kw_only=True)
class View:
    """What a plot shows of a table: its rows, one for each value of `x` and `by`."""

    rows: pd.DataFrame
    x: str
    by: str | None  # what tells apart points at the same `x`: the lines of a plot, the rows of a map
    fixed: Mapping[str, Any]  # the one value shown of an axis that has more
    hidden: Sequence[str]  # axes that vary together with those shown

    @property
    def joined(self) -> bool:
        """Whether a line from point to point means something: not between names, nor where others vary unseen."""
        return not self.hidden and not is_category(self.rows[self.x])


def view(
    rows: pd.DataFrame,
    names: Sequence[str],
    axes: Mapping[str, str | None],
    select: Mapping[str, Any] | None,
) -> View:
    """The part of a table, whose axes are `names`, that a plot of these choices shows.

    axes : the two axes of the plot by the names of its arguments, such as `x` and `hue`; None for the first that vary.
    Raises InputError for unknown names and values, and for axes left to be selected.
    """
    shown = selected(rows, names, select or {})
    x, by = shown_axes(shown, names, axes)
    check_unique(shown, names, x, by)
    fixed = {name: shown[name].iloc[0] for name in varying(rows, names, varying(shown, names, []))}
    return View(rows=shown, x=x, by=by, fixed=fixed, hidden=varying(shown, names, [x, by]))


def selected(rows: pd.DataFrame, names: Sequence[str], select: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose axes have the selected values, one value or a list of them for each axis.

    Raises InputError naming the values there are.
    """
    for name, wanted in select.items():
        check_axis(name, names)
        present = levels(rows[name])
        values = wanted if isinstance(wanted, list | tuple) else [wanted]
        for value in values:
            if not any(same(level, value) for level in present):
                raise InputError(f"{name} has no value {value!r}; there are: {listed(present)}")
        rows = rows[rows[name].isin([level for level in present if any(same(level, value) for value in values)])]
    return rows


def shown_axes(rows: pd.DataFrame, names: Sequence[str], axes: Mapping[str, str | None]) -> tuple[str, str | None]:
    """The axis to draw along and the one that tells apart what lies there: those given, else the first that vary.

    Raises InputError if there is no such axis.
    """
    x, by = axes.values()
    for given in (x, by):
        if given is not None:
            check_axis(given, names)
    free = [name for name in names if name != by]
    if not free:
        raise InputError("this study has no further axis to draw along")
    if x is not None and x == by:
        raise InputError(f"{' and '.join(axes)} are both {x!r}: allowed are two different axes of {', '.join(names)}")
    x = x or next(iter(varying(rows, free, [])), free[0])
    by = by or next((name for name in free if name != x and rows.groupby(x)[name].nunique().max() > 1), None)
    return x, by


def check_few(name: str, rows: pd.DataFrame) -> None:
    """Refuse more values of an axis than can be told apart."""
    found = levels(rows[name])
    if len(found) > MOST_LINES:
        raise InputError(
            f"{name} has {len(found)} values, at most {MOST_LINES} lines can be told apart; select some of: "
            f"{listed(found)}"
        )


def check_unique(rows: pd.DataFrame, names: Sequence[str], x: str, by: str | None) -> None:
    """Refuse several points at one place."""
    shown = [x] if by is None else [x, by]
    if rows.duplicated(shown).any():
        left = "; ".join(f"{name}: {listed(levels(rows[name]))}" for name in varying(rows, names, shown))
        raise InputError(f"several points for each {' and '.join(shown)}; select one value of {left}")


def check_axis(name: str, names: Sequence[str]) -> None:
    """Refuse an axis that the study does not have."""
    if name not in names:
        raise InputError(f"unknown axis {name!r}; this study has: {', '.join(names) or 'none'}")


def varying(rows: pd.DataFrame, names: Sequence[str], shown: Sequence[str | None]) -> list[str]:
    """Axes with more than one value, beyond those shown."""
    return [name for name in names if name not in shown and len(rows[name].unique()) > 1]


def levels(column: "pd.Series[Any]") -> list[Any]:
    """The different values of an axis: numbers ascending, names as they come."""
    found = column.unique().tolist()
    return found if is_category(column) else sorted(found)


def is_category(column: "pd.Series[Any]") -> bool:
    """Whether an axis holds names or switches rather than numbers."""
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def same(level: Any, value: Any) -> bool:
    """Whether the value of an axis is the one asked for: numbers to rounding, all else by how it is written."""
    numbers = (int, float, np.number)
    if isinstance(level, numbers) and isinstance(value, numbers):
        return bool(np.isclose(float(level), float(value), rtol=1e-9, atol=0))
    return str(level) == str(value)


def written(level: Any) -> str:
    """An axis' value as it is printed."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def listed(values: Sequence[Any], most: int = 12) -> str:
    """Values in a row, cut after `most`."""
    shown = ", ".join(written(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def scale_of(values: NDArray[np.float64], decades: float) -> Literal["linear", "log", "symlog"]:
    """The scale that shows these values: log if the positive ones span `decades`, symlog if zeros are among them."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if positive.size == 0 or (finite < 0).any() or np.log10(positive.max() / positive.min()) < decades:
        return "linear"
    return "log" if positive.size == finite.size else "symlog"
