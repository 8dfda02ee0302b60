"""Tornados: which axes matter for a metric, the most important at the top."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cimstudy.analysis.plots.figure import OKABE_ITO, look_of, new_axes
from cimstudy.analysis.plots.labels import long_name, sentence, wrapped
from cimstudy.analysis.sensitivity import sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOW = {"anova": "analysis of variance", "sobol": "Sobol indices by regression", "morris": "Morris screening"}


def tornado(ds: xr.Dataset, metric: str, method: str | None = None, ax: "Axes | None" = None) -> "Axes":
    """Which axes make a metric vary: a bar for each axis, the longest at the top.

    The bar is the share of the variance between points that the axis makes by itself and with others, its full part
    what it makes by itself, the line its 95 % interval over chips (`sensitivity`, whose `method` this is). For
    "morris", the bar is the mean size of the elementary effects, the mark their standard deviation.
    The title says how much of the variance is chance of so few chips. `ax` as in `line`, errors as in `sensitivity`.
    """
    found = sensitivity(ds, metric, method)
    with look_of(ax):
        ax = ax or new_axes(height=1.3 + 0.3 * found.sizes["axis"])
        (draw_effects if found.attrs["method"] == "morris" else draw_shares)(ax, ds, metric, found)
        how = f"{HOW[found.attrs['method']]} over {int(found['points'])} points"
        chance = f"chance of so few chips: {100 * float(found['noise']):.2g} % of the variance"
        ax.set_title(sentence([how, chance]), loc="left")
    return ax


def draw_shares(ax: "Axes", ds: xr.Dataset, metric: str, found: xr.Dataset) -> None:
    """Shares of variance with their intervals."""
    found = found.sortby("total")
    places = np.arange(found.sizes["axis"])
    total, first = found["total"].to_numpy(), found["first"].to_numpy()
    ends = np.stack([total - found["total_low"].to_numpy(), found["total_high"].to_numpy() - total])
    ax.barh(places, total, height=0.6, color=OKABE_ITO[5], alpha=0.6, label="with others")
    ax.barh(places, first, height=0.6, color=OKABE_ITO[0], label="by itself")
    ax.errorbar(total, places, xerr=np.nan_to_num(ends.clip(0)), color="k", linestyle="none", capsize=2, linewidth=0.8)
    name_axes(ax, ds, found)
    ax.set_xlim(0, max(1.0, float(np.nanmax(found["total_high"]))))
    ax.set_xlabel(wrapped(f"share of the variance of {long_name(ds, metric)}", 60))
    ax.legend(loc="lower right")


def draw_effects(ax: "Axes", ds: xr.Dataset, metric: str, found: xr.Dataset) -> None:
    """Sizes of elementary effects with their spread."""
    found = found.sortby("mu_star")
    places = np.arange(found.sizes["axis"])
    ax.barh(places, found["mu_star"], height=0.6, color=OKABE_ITO[0], label="mean size")
    ax.plot(found["sigma"], places, color=OKABE_ITO[1], linestyle="none", marker="D", label="standard deviation")
    name_axes(ax, ds, found)
    ax.legend(loc="lower right")
    unit = str(ds[metric].attrs.get("units", "1"))
    ax.set_xlabel(wrapped(f"effect on {long_name(ds, metric)}{'' if unit == '1' else f' ({unit})'}", 60))


def name_axes(ax: "Axes", ds: xr.Dataset, found: xr.Dataset) -> None:
    """The axes by name, one below the other."""
    names = [long_name(ds, name) for name in found["axis"].to_numpy().tolist()]
    ax.set_yticks(range(len(names)), [wrapped(name, 28) for name in names])
    ax.tick_params(axis="y", length=0)
