"""Breakdowns: what a total consists of, such as the energy of a token by component."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import own_dims, reference_of, swept
from cimstudy.analysis.plots.figure import OKABE_ITO, look_of, new_axes
from cimstudy.analysis.plots.labels import (
    CONFIDENCE,
    add_legend,
    caption,
    draw_reference,
    ends_of,
    label,
    name_metric,
    places,
    set_names,
)
from cimstudy.analysis.plots.line import check_finished
from cimstudy.analysis.selection import check_unique, levels, listed, selected, view, written
from cimstudy.analysis.statistics import table
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\", "++++")
OTHER = "other"
MOST_PARTS = len(OKABE_ITO)


def breakdown(  # noqa: PLR0913, PLR0917 - what is shown, and where
    ds: xr.Dataset,
    metric: str,
    x: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
    part: str | None = None,
) -> "Axes":
    """The parts of a metric, stacked to their total for each value of the axis `x`.

    The parts lie along `part`, an axis of the metric's own: its only one, or `component`. What lies along others is
    summed, of those values that `select` has. The smallest parts are one if they are too many to be told apart. A bar
    is the 95 % interval of the total over chips. `select`, `ax` and errors as in `line`.
    """
    part = chosen_part(ds, metric, part)
    select = select or {}
    sums = [added(ds, name, select.get(name)) for name in own_dims(ds, metric) if name != part]
    ds, select = summed(ds, metric, part, select)
    total = ds.assign({metric: ds[metric].sum(part, skipna=False, keep_attrs=True)})
    names = swept(ds)
    shown = view(table(total, metric, CONFIDENCE), names, {"x": x, "hue": None}, select)
    check_unique(shown.rows, names, shown.x, None)
    check_finished(shown.rows, metric)
    rows = selected(table(ds, metric, CONFIDENCE), names, select)
    with look_of(ax):
        ax = ax or new_axes()
        draw_parts(ax, stacks(rows, shown.x, part))
        draw_total(ax, shown.rows, shown.x)
        draw_reference(ax, reference_of(ds[metric].attrs))
        set_names(ax, levels(shown.rows[shown.x]))
        name_metric(ax.yaxis, ds, metric, ends_of(ds, metric, shown.rows["mean"]))
        ax.set_xlabel(label(ds, shown.x))
        ax.set_title(caption(ds, shown, "bar", sums), loc="left")
        add_legend(ax, label(ds, part))
    return ax


def chosen_part(ds: xr.Dataset, metric: str, part: str | None) -> str:
    """The axis of the parts. Raises InputError if there is no such axis, or if several could be it."""
    own = own_dims(ds, metric)
    if not own:
        raise InputError(f"{metric} has no axis of its own; a breakdown needs one")
    usual = "component" if "component" in own else own[0] if len(own) == 1 else None
    found = part or usual
    if found not in own:
        given = "a breakdown needs one of them: part=..." if part is None else f"part={part!r} is none of them"
        raise InputError(f"{metric} has the axes {', '.join(own)}; {given}")
    return found


def summed(ds: xr.Dataset, metric: str, part: str, select: Mapping[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The dataset with a metric of one own axis, and what else is selected. Raises InputError for unknown values."""
    others = [name for name in own_dims(ds, metric) if name != part]
    values = ds[metric]
    for name in others:
        if name not in select:
            continue
        wanted = select[name] if isinstance(select[name], list | tuple) else [select[name]]
        there = ds[name].to_numpy().tolist()
        for value in wanted:
            if value not in there:
                raise InputError(f"{name} has no value {value!r}; there are: {listed(there)}")
        values = values.sel({name: wanted})
    kept = {name: value for name, value in select.items() if name not in others}
    return ds.assign({metric: values.sum(others, skipna=False, keep_attrs=True)}), kept


def added(ds: xr.Dataset, name: str, wanted: Any) -> str:
    """Of which values along an axis a breakdown is the sum."""
    values = ds[name].to_numpy().tolist() if wanted is None else wanted
    chosen = list(values) if isinstance(values, list | tuple) else [values]
    if len(chosen) == 1:
        return f"{label(ds, name)} = {written(chosen[0])}"
    return f"sum over {len(chosen)} values of {label(ds, name)}"


def stacks(rows: pd.DataFrame, x: str, part: str) -> pd.DataFrame:
    """The mean of each part (a column, the largest first) at each value of `x` (a row)."""
    found = rows.pivot_table(index=x, columns=part, values="mean", dropna=False).reindex(levels(rows[x]))
    found = found[found.sum().sort_values(ascending=False, kind="stable").index]
    if found.shape[1] <= MOST_PARTS:
        return found
    kept = found.iloc[:, : MOST_PARTS - 1]
    return kept.assign(**{OTHER: found.iloc[:, MOST_PARTS - 1 :].sum(axis=1)})


def draw_parts(ax: "Axes", parts: pd.DataFrame) -> None:
    """The parts on top of each other, the largest at the bottom, told apart by colour and hatching."""
    floor = np.zeros(len(parts))
    for (name, heights), colour, hatch in zip(parts.items(), OKABE_ITO, HATCHES, strict=False):
        ax.bar(
            range(len(parts)),
            heights,
            width=0.6,
            bottom=floor,
            label=written(name),
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
        )
        floor = floor + heights.fillna(0).to_numpy()


def draw_total(ax: "Axes", rows: pd.DataFrame, x: str) -> None:
    """The interval of the total."""
    reach = [rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]]
    ax.errorbar(places(rows[x]), rows["mean"], yerr=reach, linestyle="none", color="k", capsize=2, linewidth=0.8)
