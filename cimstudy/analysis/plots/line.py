"""Lines: a metric over one axis, a line for each value of another; and two that are lines along a known axis."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import own_dims, reference_of, swept
from cimstudy.analysis.plots.figure import MARKERS, colours, look_of, new_axes
from cimstudy.analysis.plots.labels import (
    CONFIDENCE,
    add_legend,
    caption,
    draw_reference,
    label,
    positions,
    set_height,
    set_ticks,
    wrapped,
)
from cimstudy.analysis.selection import View, check_few, is_category, levels, view, written
from cimstudy.analysis.statistics import table
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def line(  # noqa: PLR0913, PLR0917 - all but two have defaults, as in xarray's own plots
    ds: xr.Dataset,
    metric: str,
    x: str | None = None,
    hue: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """The mean of a metric over the axis `x`, one line for each value of `hue`, with its 95 % interval over chips.

    `x` and `hue` default to the first two axes that vary; further ones are fixed by `select`, a value or a list of
    values for each axis. What the digital run measured is a dashed line. Points whose order along `x` means nothing
    (names, or unseen axes that vary along the line) are not joined, and bars show the interval.
    Without `ax`, a figure of its own is made, sized for print; pyplot's state is never touched.

    Raises InputError for unknown names, for axes left to be selected, and where no chip is finished.
    """
    shown = view(table(ds, metric, CONFIDENCE), [*swept(ds), *own_dims(ds, metric)], {"x": x, "hue": hue}, select)
    if shown.by is not None:
        check_few(shown.by, shown.rows)
    check_finished(shown.rows, metric)
    with look_of(ax):
        ax = ax or new_axes()
        draw(ax, ds, metric, shown)
    return ax


def check_finished(rows: pd.DataFrame, metric: str) -> None:
    """Refuse points of which no chip has a result."""
    if rows["mean"].isna().all():
        raise InputError(f"{metric}: no chip has a result at these points, so there is nothing to draw")


def draw(ax: "Axes", ds: xr.Dataset, metric: str, shown: View) -> None:
    """Everything that these axes hold."""
    draw_lines(ax, shown)
    draw_reference(ax, reference_of(ds[metric].attrs))
    set_height(ax, ds, metric, shown.rows["mean"])
    set_ticks(ax, shown.rows[shown.x])
    ax.set_xlabel(label(ds, shown.x))
    ax.set_title(caption(ds, shown, "band" if shown.joined else "bars"), loc="left")
    add_legend(ax, "" if shown.by is None else wrapped(label(ds, shown.by), 24))


def draw_lines(ax: "Axes", shown: View) -> None:
    """One line and its interval for each value of `hue`."""
    rows, hue = shown.rows, shown.by
    kinds = [None] if hue is None else levels(rows[hue])
    at = positions(rows[shown.x])
    width = 0.5 / len(kinds) if is_category(rows[shown.x]) else 0.0  # names leave room to set lines side by side
    for i, (kind, colour, marker) in enumerate(zip(kinds, colours(rows, hue), cycle(MARKERS), strict=False)):
        group = rows if hue is None else rows[rows[hue] == kind]
        group = group.assign(place=at[group.index] + width * (i - (len(kinds) - 1) / 2)).sort_values("place")
        look = {"color": colour, "marker": marker, "label": None if hue is None else written(kind)}
        (draw_band if shown.joined else draw_bars)(ax, group, look)


def draw_band(ax: "Axes", group: pd.DataFrame, look: Mapping[str, Any]) -> None:
    """Points joined by a line, in the band of their intervals."""
    ax.plot(group["place"], group["mean"], **look)
    ax.fill_between(group["place"], group["ci_low"], group["ci_high"], color=look["color"], alpha=0.2, linewidth=0)


def draw_bars(ax: "Axes", group: pd.DataFrame, look: Mapping[str, Any]) -> None:
    """Points by themselves, each with the bar of its interval."""
    reach = [group["mean"] - group["ci_low"], group["ci_high"] - group["mean"]]
    ax.errorbar(group["place"], group["mean"], yerr=reach, linestyle="none", capsize=2, **look)
