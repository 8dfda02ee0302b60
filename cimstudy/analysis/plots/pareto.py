"""Trade-offs: one metric against another, with the front of the points that no other beats in both."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import at_points, case_status, check_plain, reference_of, swept, with_status
from cimstudy.analysis.pareto import direction, rivals
from cimstudy.analysis.pareto import pareto as front_of
from cimstudy.analysis.plots.figure import MARKERS, colours, look_of, new_axes
from cimstudy.analysis.plots.labels import (
    CONFIDENCE,
    X_DECADES,
    add_legend,
    averaged,
    draw_reference,
    ends_of,
    label,
    name_metric,
    sentence,
    set_height,
    wrapped,
)
from cimstudy.analysis.plots.line import check_finished
from cimstudy.analysis.selection import check_axis, check_few, levels, scale_of, selected, written
from cimstudy.analysis.statistics import table
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = np.array([19.0, 9.0])  # of a probability that is written, points
ASIDE = (4, 4)  # from its mark, points
STEPS = {"lower": "steps-post", "higher": "steps-pre"}  # by which side of `x` is better
STATISTICS = ("mean", "ci_low", "ci_high")
PLATE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}  # behind a number, over other marks


def pareto(  # noqa: PLR0913, PLR0917 - all but two have defaults, as in xarray's own plots
    ds: xr.Dataset,
    metric: str,
    x: str | None = None,
    hue: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """The mean of a metric over that of the metric `x`, a mark for each point, with 95 % intervals over chips.

    `x` defaults to the first other metric of which it is known which side is better, in another unit if there is one.
    Steps join the front: the points that no other beats in both. Beside them stands, where there is room, the
    probability that they are on it (paired bootstrap over chips). `hue` is an axis of the study. `select` and `ax`
    as in `line`.
    Raises InputError for unknown names, for metrics of which no side is better, and where no chip is finished.
    """
    check_plain(ds, metric)
    x = x or next(iter(rivals(ds, metric)), None)
    if x is None:
        raise InputError(f"no metric beside {metric} says which side of it is better; a front needs two that do")
    step, names = STEPS[direction(ds, x)], swept(ds)
    if hue is not None:
        check_axis(hue, names)
    points = case_status(ds).isel(trial=0, drop=True).to_dataframe().reset_index()
    places = selected(points, names, select or {}).index.to_numpy()
    kept = at_points(with_status(ds, [metric, x]), places, case_status(ds)).rename(place="point").compute()
    rows = both(kept, metric, x)
    check_finished(rows, metric)
    if hue is not None:
        check_few(hue, rows)
    with look_of(ax):
        ax = ax or new_axes(height=3.0)
        draw_points(ax, rows, hue)
        front = rows[rows["front"]].sort_values("x_mean")
        draw_front(ax, front, step)
        finish(ax, ds, (metric, x), hue, rows)
        write_probabilities(ax, front)
    return ax


def both(ds: xr.Dataset, metric: str, x: str) -> pd.DataFrame:
    """The statistics of the one metric and, as x_mean and so on, of the other; and the front of the points."""
    rows, across = table(ds, metric, CONFIDENCE), table(ds, x, CONFIDENCE)
    found = front_of(ds, [metric, x])
    return rows.assign(
        **{f"x_{name}": across[name] for name in STATISTICS},
        front=found["front"].to_numpy(),
        probability=found["probability"].to_numpy(),
    )


def finish(ax: "Axes", ds: xr.Dataset, metrics: tuple[str, str], hue: str | None, rows: pd.DataFrame) -> None:
    """The digital run, scales, labels, the legend."""
    metric, x = metrics
    draw_reference(ax, reference_of(ds[metric].attrs))
    set_height(ax, ds, metric, rows["mean"])
    ends = ends_of(ds, x, rows["x_mean"])
    if scale_of(ends, X_DECADES) == "log":
        ax.set_xscale("log")
    name_metric(ax.xaxis, ds, x, ends)
    reference = reference_of(ds[x].attrs)
    if reference is not None:
        ax.axvline(reference, color="0.35", linestyle="--", linewidth=1.0, zorder=1)
    bars = f"bars: {100 * CONFIDENCE:g} % intervals of the mean"
    ax.set_title(
        sentence([*averaged(rows, bars), "beside the front, where there is room: its probability"]), loc="left"
    )
    add_legend(ax, "" if hue is None else wrapped(label(ds, hue), 24))


def draw_front(ax: "Axes", front: pd.DataFrame, step: str) -> None:
    """The front as the steps of what is attained; a single point has none."""
    look: dict[str, Any] = {"drawstyle": step, "color": "0.8", "linewidth": 2.5, "zorder": 0}
    if len(front) > 1:
        ax.plot(front["x_mean"], front["mean"], label="front", **look)


def write_probabilities(ax: "Axes", front: pd.DataFrame) -> None:
    """How probably the points of the front are on it, beside those that are not too close to one before."""
    ax.get_xlim(), ax.get_ylim()  # which fit what is drawn only when they are asked for
    in_points = 72 / ax.figure.dpi
    written_at: list[Any] = []
    for x, y, probability in zip(front["x_mean"], front["mean"], front["probability"], strict=True):
        place = ax.transData.transform((x, y)) * in_points
        if all((np.abs(place - other) > ROOM).any() for other in written_at):
            written_at.append(place)
            ax.annotate(f"{probability:.2f}", (x, y), ASIDE, textcoords="offset points", fontsize=6, bbox=PLATE)


def draw_points(ax: "Axes", rows: pd.DataFrame, hue: str | None) -> None:
    """A mark with two bars for each point, told apart by `hue`; those beside the front are faint."""
    kinds = [None] if hue is None else levels(rows[hue])
    for kind, colour, marker in zip(kinds, colours(rows, hue), cycle(MARKERS), strict=False):
        group = rows if hue is None else rows[rows[hue] == kind]
        for part, alpha in ((group[~group["front"]], 0.45), (group[group["front"]], 1.0)):
            reach = [reach_of(part, "x_"), reach_of(part, "")]
            look = {"color": colour, "marker": marker, "alpha": alpha, "linestyle": "none", "linewidth": 0.8}
            ax.errorbar(part["x_mean"], part["mean"], yerr=reach[1], xerr=reach[0], **look)
        if kind is not None:
            ax.plot([], [], color=colour, marker=marker, linestyle="none", label=written(kind))


def reach_of(rows: pd.DataFrame, prefix: str) -> Any:
    """How far an interval reaches below and above its mean; nothing where there is none."""
    mean, low, high = (rows[f"{prefix}{name}"] for name in STATISTICS)
    return np.nan_to_num([mean - low, high - mean])
