"""Yield curves: how many chips meet a specification, over what it demands."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis.dataset import at_points, case_status, check_plain, reference_of, swept
from cimstudy.analysis.pareto import direction
from cimstudy.analysis.plots.figure import colours, look_of, new_axes
from cimstudy.analysis.plots.labels import (
    CONFIDENCE,
    X_DECADES,
    add_legend,
    chips,
    circumstances,
    label,
    name_metric,
    sentence,
    wrapped,
)
from cimstudy.analysis.plots.line import check_finished
from cimstudy.analysis.selection import View, check_few, check_unique, levels, scale_of, view, written
from cimstudy.analysis.statistics import table
from cimstudy.analysis.yields import yield_
from cimstudy.study.plan import DONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LIMITS = 400
STEPS = {"lower": "post", "higher": "pre"}  # a chip counts from its own value on
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
LIMITS = {"lower": "at_most", "higher": "at_least"}


def yield_curve(  # noqa: PLR0913, PLR0917 - all but two have defaults, as in xarray's own plots
    ds: xr.Dataset,
    metric: str,
    hue: str | None = None,
    better: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """The share of chips that meet a limit of the metric, over that limit, one curve for each value of `hue`.

    `better`: "lower" or "higher", by default what the workload says. Bands are 95 % Clopper-Pearson intervals, the
    dashed line is what the digital run measured. `hue` defaults to the first axis that varies; `select` and `ax` as in
    `line`. Raises InputError as `line` does, and for a metric with axes of its own or of which no side is better.
    """
    check_plain(ds, metric)
    side = direction(ds, metric, better)
    names = swept(ds)
    rows = table(ds, metric, CONFIDENCE)
    shown = view(rows, names, {"hue": hue, "select": None}, select) if names else None
    if shown is not None:
        check_unique(shown.rows, names, shown.x, None)
        check_few(shown.x, shown.rows)
        rows = shown.rows
    check_finished(rows, metric)
    found = shares(ds, metric, side, rows.index.to_numpy())
    with look_of(ax):
        ax = ax or new_axes()
        draw_curves(ax, found, rows, shown, STEPS[side])
        finish(ax, ds, metric, rows, shown)
        ax.set_ylabel(f"share of chips with {LIMITS[side].replace('_', ' ')} this")
    return ax


def shares(ds: xr.Dataset, metric: str, side: str, places: NDArray[np.intp]) -> xr.Dataset:
    """The share of chips of some points that meet each limit, with its interval: (place, limit)."""
    picked = at_points(ds[[metric, "status"]], places, case_status(ds)).compute()
    limits = xr.DataArray(limits_of(picked[metric].where(picked["status"] == DONE).to_numpy()), dims="limit")
    demand: dict[str, Any] = {LIMITS[side]: limits}
    found = yield_(picked, metric, **demand, confidence=CONFIDENCE)
    return found.assign_coords(limit=limits).transpose("place", "limit")


def limits_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The limits at which a curve can step: the chips' results, or some of very many."""
    known = np.unique(values[np.isfinite(values)])
    places = np.linspace(0, len(known) - 1, min(len(known), MOST_LIMITS)).round().astype(int)
    chosen: NDArray[np.float64] = known[places]
    return chosen


def draw_curves(ax: "Axes", found: xr.Dataset, rows: pd.DataFrame, shown: View | None, step: Any) -> None:
    """A stepped curve and its band for each point."""
    order = {level: place for place, level in enumerate([] if shown is None else levels(rows[shown.x]))}
    palette = colours(rows, None if shown is None else shown.x)
    styles = [style for style, _ in zip(cycle(STYLES), palette, strict=False)]
    kinds = [None] if shown is None else rows[shown.x].tolist()
    for place in sorted(range(len(kinds)), key=lambda place: order.get(kinds[place], 0)):
        kind, curve = kinds[place], found.isel(place=place)
        colour, style = palette[order.get(kind, 0)], styles[order.get(kind, 0)]
        name = None if kind is None or len(kinds) == 1 else written(kind)
        ax.step(curve["limit"], curve["share"], where=step, color=colour, linestyle=style, label=name)
        band = {"step": step, "color": colour, "alpha": 0.15, "linewidth": 0}
        ax.fill_between(curve["limit"], curve["ci_low"], curve["ci_high"], **band)


def finish(ax: "Axes", ds: xr.Dataset, metric: str, rows: pd.DataFrame, shown: View | None) -> None:
    """Scales, labels, the digital run, the legend."""
    reference = reference_of(ds[metric].attrs)
    if reference is not None:
        ax.axvline(reference, color="0.35", linestyle="--", linewidth=1.0, label="digital", zorder=1)
    ends = np.array([*rows["mean"], *rows["worst"], *([] if reference is None else [reference])], float)
    ends = ends[np.isfinite(ends)]
    if scale_of(ends, X_DECADES) == "log":
        ax.set_xscale("log")
    name_metric(ax.xaxis, ds, metric, ends)
    ax.set_ylim(-0.02, 1.02)
    parts = [f"{chips(rows)} at each point", f"band: {100 * CONFIDENCE:g} % Clopper-Pearson interval"]
    ax.set_title(sentence([*parts, *([] if shown is None else circumstances(ds, shown))]), loc="left")
    add_legend(ax, "" if shown is None or len(rows) == 1 else wrapped(label(ds, shown.x), 24))
