"""Plots of a study's dataset for print: one metric over one axis, a line for each value of another."""

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.selection import View, is_category, levels, scale_of, view, written
from cimstudy.analysis.statistics import own_dims, reference_of, swept, table
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONFIDENCE = 0.95
X_DECADES = 2.0  # from which an axis is drawn on a log scale
Y_DECADES = 1.5
SUFFIXES = (".png", ".svg", ".pdf")
NO_BREAK = "\N{NO-BREAK SPACE}"
MARKERS = "osD^vPX*<>"
OKABE_ITO = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Color Universal Design, 2008
ACRONYMS = {"adc": "ADC", "dac": "DAC"}
STYLE = {
    "axes.labelsize": 8,
    "axes.titlesize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
}


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
    shown = view(table(ds, metric, CONFIDENCE), [*swept(ds), *own_dims(ds, metric)], x, hue, select)
    if shown.rows["mean"].isna().all():
        raise InputError(f"{metric}: no chip has a result at these points, so there is nothing to draw")
    with style({} if ax else STYLE):
        ax = ax or new_axes()
        draw(ax, ds, metric, shown)
    return ax


def draw(ax: "Axes", ds: xr.Dataset, metric: str, shown: View) -> None:
    """Everything that these axes hold."""
    reference = reference_of(ds[metric].attrs)
    draw_lines(ax, shown)
    if reference is not None:
        ax.axhline(reference, color="0.35", linestyle="--", linewidth=1.0, label="digital", zorder=1)
    set_scales(ax, shown.rows, shown.x, reference)
    ax.set(xlabel=label(ds, shown.x), ylabel=textwrap.fill(label(ds, metric), 40))
    ax.set_title(caption(ds, shown), loc="left")
    add_legend(ax, "" if shown.hue is None else label(ds, shown.hue))


def save(figure: "Axes | Figure", path: str | Path) -> Path:
    """Write a figure, or the one that holds these axes, as .png, .svg or .pdf; the same plot gives the same bytes.

    Returns the path. Raises InputError for another suffix.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise InputError(f"cannot write a plot to {str(path)!r}: allowed are names that end in {', '.join(SUFFIXES)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn: Any = figure.get_figure(root=True)
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with style({"svg.hashsalt": "cimstudy"}):
        drawn.savefig(target, dpi=300, metadata=dates.get(target.suffix))
    return target


def matplotlib() -> ModuleType:
    """The matplotlib package. Raises InputError if it is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise InputError("plots need matplotlib: pip install 'cimstudy[plot]'") from None
    return mpl


def style(settings: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Settings for what is drawn within, put back afterwards."""
    context: AbstractContextManager[None] = matplotlib().rc_context(dict(settings))
    return context


def new_axes() -> "Axes":
    """Axes in a figure sized for print, independent of pyplot."""
    matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415

    ax = Figure(figsize=(4.5, 2.6), layout="constrained").subplots()
    ax.tick_params(which="both", labelsize=7)  # ticks are made when the figure is drawn, out of reach of `style`
    return ax


def add_legend(ax: "Axes", title: str) -> None:
    """A legend beside the axes, where it covers no data; the digital run comes last."""
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] == "digital")
    if entries:
        handles, labels = zip(*entries, strict=True)
        ax.legend(handles, labels, title=title, loc="upper left", bbox_to_anchor=(1, 1), alignment="left")


def draw_lines(ax: "Axes", shown: View) -> None:
    """One line and its interval for each value of `hue`."""
    rows, hue = shown.rows, shown.hue
    kinds = [None] if hue is None else levels(rows[hue])
    places = positions(rows[shown.x])
    width = 0.5 / len(kinds) if is_category(rows[shown.x]) else 0.0  # names leave room to set lines side by side
    for i, (kind, colour, marker) in enumerate(zip(kinds, colours(rows, hue), cycle(MARKERS), strict=False)):
        group = rows if hue is None else rows[rows[hue] == kind]
        group = group.assign(place=places[group.index] + width * (i - (len(kinds) - 1) / 2)).sort_values("place")
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


def set_scales(ax: "Axes", rows: pd.DataFrame, x: str, reference: float | None) -> None:
    """Log scales where values span decades, and ticks along `x`."""
    heights = np.append(rows["mean"].to_numpy(float), [] if reference is None else [reference])
    if scale_of(heights, Y_DECADES) == "log":
        ax.set_yscale("log", nonpositive="clip")
    set_ticks(ax, rows[x])


def set_ticks(ax: "Axes", column: "pd.Series[Any]") -> None:
    """Ticks at names and at few values; on a log scale, where decades fall."""
    found = levels(column)
    if is_category(column):
        long = sum(len(written(level)) for level in found) > 40
        turn: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if long else {}
        ax.set_xticks(range(len(found)), [written(level) for level in found], **turn)
        ax.set_xlim(-0.5, len(found) - 0.5)
        return
    values = np.asarray(found, dtype=float)
    scale = scale_of(values, X_DECADES)
    if scale == "symlog":
        smallest = values[values > 0].min()
        ax.set_xscale("symlog", linthresh=smallest)
        ax.set_xlim(-0.4 * smallest, 2 * values.max())  # its own margins would show negative decades
    elif scale == "log":
        ax.set_xscale("log")
    elif len(found) == 1 or (np.diff(values) > 0.07 * np.ptp(values)).all():
        ax.set_xticks(values, [f"{value:g}" for value in values])


def positions(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Where points lie along an axis: its numbers, or the places of its names."""
    if not is_category(column):
        return column.astype(float)
    places = {level: float(i) for i, level in enumerate(levels(column))}
    return column.map(places).astype(float)


def colours(rows: pd.DataFrame, hue: str | None) -> Sequence[Any]:
    """A colour for each line, told apart by the colour blind: a ramp for numbers, different ones for names."""
    if hue is None or is_category(rows[hue]):
        return (OKABE_ITO * 2)[: 1 if hue is None else rows[hue].nunique()]
    ramp = matplotlib().colormaps["viridis"]
    return [ramp(place) for place in np.linspace(0, 0.85, rows[hue].nunique())]


def label(ds: xr.Dataset, name: str) -> str:
    """What an axis or a metric is called in print, with its unit; the unit 1 is not printed."""
    attrs = ds[name].attrs
    words = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    text, unit = str(attrs.get("long_name", words)), str(attrs.get("units", "1"))
    return text if unit in {"1", ""} else f"{text} ({unit})"


def caption(ds: xr.Dataset, shown: View) -> str:
    """What a reader must know: how many chips, what the band or bars are, what is fixed, what varies unseen."""
    low, high = shown.rows["n"].min(), shown.rows["n"].max()
    chips = f"{high} chips" if low == high else f"{low} to {high} chips"
    mark = "band" if shown.joined else "bars"
    parts = [f"mean of {chips}; {mark}: {100 * CONFIDENCE:g} % interval of the mean"]
    parts += [f"{label(ds, name)} = {written(value)}" for name, value in shown.fixed.items()]
    parts += [f"{label(ds, name)} varies along" for name in shown.hidden]
    whole = [part.replace(" ", NO_BREAK) for part in parts]
    return textwrap.fill("; ".join(whole), 64, break_on_hyphens=False).replace(NO_BREAK, " ")
