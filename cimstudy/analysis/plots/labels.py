"""What stands around a plot: labels with units, a caption that says what is shown, legends, scales and ticks."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis.dataset import reference_of
from cimstudy.analysis.selection import View, is_category, levels, scale_of, written
from cimstudy.analysis.tables import in_units, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

CONFIDENCE = 0.95
X_DECADES = 2.0  # from which an axis is drawn on a log scale
Y_DECADES = 1.5
NO_BREAK = "\N{NO-BREAK SPACE}"
ACRONYMS = {"adc": "ADC", "dac": "DAC"}


def label(ds: xr.Dataset, name: str, power: int = 0) -> str:
    """What an axis or a metric is called in print, with its unit, times 10**power; the unit 1 is not printed."""
    return long_name(ds, name) + in_units(unit(ds, name), power)


def unit(ds: xr.Dataset, name: str) -> str:
    """The unit of an axis or a metric."""
    return str(ds[name].attrs.get("units", "s" if is_time(ds[name]) else "1"))


def long_name(ds: xr.Dataset, name: str) -> str:
    """What an axis or a metric is called in print."""
    words = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    return str(ds[name].attrs.get("long_name", "time since programming" if is_time(ds[name]) else words))


def is_time(axis: xr.DataArray) -> bool:
    """Whether an axis holds times since programming, in seconds."""
    return str(axis.attrs.get("path", axis.name)).rpartition(".")[2] == "time"


def wrapped(text: str, width: int = 40) -> str:
    """A label in lines that fit beside an axis; what stands in parentheses is not broken."""
    whole = re.sub(r"\([^)]*\)", lambda unit: unit[0].replace(" ", NO_BREAK), text)
    return textwrap.fill(whole, width).replace(NO_BREAK, " ")


def caption(ds: xr.Dataset, shown: View, mark: str, more: Sequence[str] = ()) -> str:
    """What a reader must know: how many chips, what `mark` is the interval, what is fixed, what varies unseen."""
    parts = averaged(shown.rows, f"{mark}: {100 * CONFIDENCE:g} % interval of the mean")
    return sentence([*parts, *more, *circumstances(ds, shown)])


def averaged(rows: pd.DataFrame, interval: str) -> list[str]:
    """How many chips the means are of and, if of several, what shows their interval."""
    return [chips(rows)] if rows["n"].max() == 1 else [f"mean of {chips(rows)}", interval]


def chips(rows: pd.DataFrame) -> str:
    """How many chips stand behind each point."""
    low, high = rows["n"].min(), rows["n"].max()
    if high == 1:
        return "1 chip"
    return f"{high} chips" if low == high else f"{low} to {high} chips"


def circumstances(ds: xr.Dataset, shown: View) -> list[str]:
    """Which axes are fixed, and which vary unseen."""
    fixed = [f"{label(ds, name)} = {written(value)}" for name, value in shown.fixed.items()]
    return fixed + [f"{label(ds, name)} varies along" for name in shown.hidden]


def sentence(parts: Sequence[str], width: int = 64) -> str:
    """Statements in lines that break between them only."""
    whole = [part.replace(" ", NO_BREAK) for part in parts]
    return textwrap.fill("; ".join(whole), width, break_on_hyphens=False).replace(NO_BREAK, " ")


def add_legend(ax: "Axes", title: str) -> None:
    """A legend beside the axes, where it covers no data; the digital run comes last."""
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] == "digital")
    if entries:
        handles, labels = zip(*entries, strict=True)
        ax.legend(handles, labels, title=title, loc="upper left", bbox_to_anchor=(1, 1), alignment="left")


def draw_reference(ax: "Axes", reference: float | None) -> None:
    """What the digital run measured, as a dashed line across."""
    if reference is not None:
        ax.axhline(reference, color="0.35", linestyle="--", linewidth=1.0, label="digital", zorder=1)


def set_height(ax: "Axes", ds: xr.Dataset, metric: str, heights: "pd.Series[Any]") -> None:
    """A log scale upwards where values and reference span decades, and the metric's label."""
    values = ends_of(ds, metric, heights)
    if scale_of(values, Y_DECADES) == "log":
        ax.set_yscale("log", nonpositive="clip")
    name_metric(ax.yaxis, ds, metric, values)


def ends_of(ds: xr.Dataset, metric: str, heights: "pd.Series[Any]") -> NDArray[np.float64]:
    """The finite numbers that a scale has to hold: these, and what the digital run measured."""
    reference = reference_of(ds[metric].attrs)
    values = np.append(heights.to_numpy(float), [] if reference is None else [reference])
    finite: NDArray[np.float64] = values[np.isfinite(values)]
    return finite


def name_metric(axis: "Axis", ds: xr.Dataset, metric: str, values: NDArray[np.float64]) -> int:
    """A metric's label, and ticks in a power of ten that it names where plain numbers would be long.

    Returns that power, 0 on a log scale.
    """
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    power = thousands(float(np.abs(values).max())) if axis.get_scale() == "linear" else 0
    if power:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:g}"))
    axis.set_label_text(wrapped(label(ds, metric, power)))
    return power


def set_ticks(ax: "Axes", column: "pd.Series[Any]") -> None:
    """Ticks along x at names and at few values; on a log scale, where decades fall."""
    found = levels(column)
    if is_category(column):
        set_names(ax, found)
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


def set_names(ax: "Axes", names: Sequence[Any]) -> None:
    """A tick along x for each name, turned where they are long."""
    long = len(names) * max(len(written(name)) for name in names) > 45
    turn: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(range(len(names)), [written(name) for name in names], **turn)
    ax.set_xlim(-0.5, len(names) - 0.5)


def positions(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Where points lie along an axis: its numbers, or the places of its names."""
    return places(column) if is_category(column) else column.astype(float)


def places(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The place of each value among the different ones."""
    order = {level: float(i) for i, level in enumerate(levels(column))}
    return column.map(order).astype(float)
