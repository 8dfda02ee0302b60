"""Heatmaps: a metric over two axes, its mean as colour and as text in each cell."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis.dataset import own_dims, reference_of, swept
from cimstudy.analysis.plots.figure import RAMP, look_of, new_axes
from cimstudy.analysis.plots.labels import (
    CONFIDENCE,
    Y_DECADES,
    chips,
    circumstances,
    ends_of,
    label,
    name_metric,
    places,
    sentence,
    set_names,
    wrapped,
)
from cimstudy.analysis.plots.line import check_finished
from cimstudy.analysis.selection import View, levels, scale_of, view, written
from cimstudy.analysis.statistics import table
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

MOST_COLUMNS, MOST_CELLS = 6, 60  # with text in them
MOST_NAMES = 16  # ticks along an axis


def heatmap(  # noqa: PLR0913, PLR0917 - all but two have defaults, as in xarray's own plots
    ds: xr.Dataset,
    metric: str,
    x: str | None = None,
    y: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """The mean of a metric over the axes `x` and `y`, as the colour of a cell for each point.

    A cell says its mean and, below, half of its 95 % interval over chips, where there is room for it. Cells are of
    equal size whatever the values of the axes are; a cell without a result is hatched. The digital run is a line on
    the scale of colours, which is logarithmic where means span decades. `select`, `ax` and errors as in `line`.
    """
    shown = view(table(ds, metric, CONFIDENCE), [*swept(ds), *own_dims(ds, metric)], {"x": x, "y": y}, select)
    if shown.by is None:
        raise InputError(f"a heatmap needs two axes that vary; {shown.x} is the only one here")
    check_finished(shown.rows, metric)
    cells = cells_of(shown)
    with look_of(ax):
        ax = ax or new_axes(height=min(4.5, max(2.6, 1.2 + 0.36 * len(cells))))
        draw(ax, ds, metric, shown, cells)
    return ax


def cells_of(shown: View) -> pd.DataFrame:
    """The means, a row for each value of `y` and a column for each of `x`; NaN where there is none."""
    assert shown.by is not None  # noqa: S101 - for the type checker
    found = shown.rows.pivot_table(index=shown.by, columns=shown.x, values="mean", dropna=False)
    return found.reindex(index=levels(shown.rows[shown.by]), columns=levels(shown.rows[shown.x]))


def draw(ax: "Axes", ds: xr.Dataset, metric: str, shown: View, cells: pd.DataFrame) -> None:
    """Everything that these axes hold."""
    assert shown.by is not None  # noqa: S101 - for the type checker
    ends = ends_of(ds, metric, shown.rows["mean"])
    mesh = draw_cells(ax, cells, ends)
    power = add_scale(ax, mesh, ds, metric, ends)
    texts = cells.size <= MOST_CELLS and cells.shape[1] <= MOST_COLUMNS
    if texts:
        write_cells(ax, mesh, shown, 10.0**power)
    set_names(ax, thinned(cells.columns.tolist()))
    names = thinned(cells.index.tolist())
    ax.set_yticks(range(len(names)), [written(name) for name in names])
    ax.tick_params(length=0)
    ax.set(xlabel=label(ds, shown.x), ylabel=wrapped(label(ds, shown.by), 32))
    below = f"below it half of the {100 * CONFIDENCE:g} % interval of the mean"
    ax.set_title(sentence([f"mean of {chips(shown.rows)}", *([below] * texts), *circumstances(ds, shown)]), loc="left")


def draw_cells(ax: "Axes", cells: pd.DataFrame, ends: NDArray[np.float64]) -> "QuadMesh":
    """A coloured cell for each mean, hatching behind those that are missing."""
    from matplotlib.colors import LogNorm, Normalize  # noqa: PLC0415

    kind = LogNorm if scale_of(ends, Y_DECADES) == "log" else Normalize
    ax.patch.set(hatch="////", edgecolor="0.7", facecolor="white")
    edges = [np.arange(size + 1) - 0.5 for size in (cells.shape[1], cells.shape[0])]
    return ax.pcolormesh(
        *edges,
        np.ma.masked_invalid(cells.to_numpy(float)),
        cmap=RAMP,
        norm=kind(float(ends.min()), float(ends.max())),
        edgecolor="white",
        linewidth=0.5,
    )


def add_scale(ax: "Axes", mesh: "QuadMesh", ds: xr.Dataset, metric: str, ends: NDArray[np.float64]) -> int:
    """The scale of colours, with the digital run as a line on it. Returns the power of ten of its numbers."""
    figure: Any = ax.get_figure()
    bar = figure.colorbar(mesh, ax=ax)
    bar.ax.tick_params(which="both", labelsize=7)
    bar.outline.set_visible(False)
    reference = reference_of(ds[metric].attrs)
    if reference is not None:
        look = {"textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 6}
        bar.ax.axhline(reference, color="0.35", linestyle="--", linewidth=1.5)
        bar.ax.annotate("digital", (0, reference), (-2, 0), **look)
    return name_metric(bar.ax.yaxis, ds, metric, ends)


def write_cells(ax: "Axes", mesh: "QuadMesh", shown: View, one: float) -> None:
    """The mean and half of its interval in each cell, in multiples of `one`, dark on light and light on dark."""
    rows = shown.rows
    for x, y, mean, low, high in zip(
        places(rows[shown.x]), places(rows[shown.by]), rows["mean"], rows["ci_low"], rows["ci_high"], strict=True
    ):
        if np.isfinite(mean):
            half = "" if np.isnan(high) else f"\n±{(high - low) / 2 / one:.2g}"
            light = luminance(mesh.cmap(mesh.norm(mean))) > 0.45
            ax.text(x, y, f"{mean / one:.4g}{half}", ha="center", va="center", fontsize=6, color="k" if light else "w")


def luminance(colour: Any) -> float:
    """How light a colour is, from 0 to 1 (weights of ITU-R BT.709)."""
    return float(np.dot(colour[:3], [0.2126, 0.7152, 0.0722]))


def thinned(names: list[Any]) -> list[Any]:
    """The names along an axis, with every so many left blank if there are too many to read."""
    step = -(-len(names) // MOST_NAMES)
    return [name if i % step == 0 else "" for i, name in enumerate(names)]
