"""Figures for print: their size and look, colours that the colour blind tell apart, and how they are written."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cimstudy.analysis.selection import is_category, levels
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
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
RAMP = "viridis"
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
    "hatch.linewidth": 0.5,
}


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


def look_of(ax: "Axes | None") -> AbstractContextManager[None]:
    """The look of what is drawn within: ours in a figure of our own, the user's in axes of the user."""
    return style({} if ax else STYLE)


def new_axes(height: float = 2.6) -> "Axes":
    """Axes in a figure sized for print, independent of pyplot. height : inches."""
    matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415

    ax = Figure(figsize=(4.5, height), layout="constrained").subplots()
    ax.tick_params(which="both", labelsize=7)  # ticks are made when the figure is drawn, out of reach of `style`
    return ax


def colours(rows: pd.DataFrame, by: str | None) -> Sequence[Any]:
    """A colour for each value of an axis, told apart by the colour blind: a ramp for numbers, others for names."""
    if by is None:
        return OKABE_ITO[:1]
    n = len(levels(rows[by]))
    if is_category(rows[by]):
        return (OKABE_ITO * (1 + n // len(OKABE_ITO)))[:n]
    ramp = matplotlib().colormaps[RAMP]
    return [ramp(place) for place in np.linspace(0, 0.85, n)]
