"""Draw what docs/published-shapes.md compares, from the store of its study, and print its numbers.

cimstudy run studies/published_shapes.py
python scripts/draw_shapes.py results/published_shapes.zarr docs/images/published-shapes.png
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import cimstudy as cim
from cimstudy.analysis.plots import save
from cimstudy.analysis.plots.figure import STYLE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLISHED_MISMATCH = {2.5: 0.50, 5.0: 5.09, 7.5: 21.27, 10.0: 38.54}  # of each weight, %: points of accuracy on QNLI
PUBLISHED_RANGES = {"before": 9.6, "after": 4.3}  # points that rounding and clipping cost, until ranges are tuned
WEIGHTS = {"device": "error of range", "architecture": "static-weights"}
STATIC = {"device": "error of range", "architecture": "attention in arrays"}
DYNAMIC = {"device": "perfect", "architecture": "attention in arrays"}


def shown(ax: "Axes", found: xr.Dataset, of: tuple[str, str], name: str, chosen: Mapping[str, str]) -> None:
    """Draw and print one quantity over another, at the points whose coordinates are as chosen."""
    for coordinate, value in chosen.items():
        found = found.isel(point=np.flatnonzero(found[coordinate].values == value))
    x, y = (found[one].values for one in of)
    order = np.argsort(x, kind="stable")
    ax.plot(x[order], y[order], marker="o", label=name)
    print(name, " ".join(f"{x[place]:.3g}:{y[place]:.3g}" for place in order))


def compared(ds: xr.Dataset) -> xr.Dataset:
    """Means over chips: lost points of accuracy, nat/token, and errors in %, of products as the root of their power."""
    power = (10 ** (-ds.signal_to_noise / 10)).mean(("layer", "operator", "trial"))
    return xr.Dataset(
        {
            "loss": 100 * (ds.top1_accuracy.attrs["reference"] - ds.top1_accuracy).mean("trial"),
            "nll": ds.nll.mean("trial"),
            "product_error": 100 * np.sqrt(power),
            "weight_error": 100 * ds.programming_std,
            "operand_error": 100 * ds.operand_std,
            "clipped": 100 - ds.dac_percentile,
        }
    ).compute()


def figure_of(found: xr.Dataset) -> Figure:
    """The four comparisons."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    share, error, written, ranged = figure.subplots(2, 2).ravel()
    share.plot(list(PUBLISHED_MISMATCH), list(PUBLISHED_MISMATCH.values()), "k--s", label="BERT, QNLI (published)")
    shown(share, found, ("weight_error", "loss"), "share of each weight", {"device": "error of weight"})
    shown(share, found, ("weight_error", "loss"), "share of the largest weight", WEIGHTS)
    share.set(xlabel="error of a weight, %", ylabel="lost accuracy, points")
    for name, chosen in {
        "weights": WEIGHTS,
        "noise of outputs": {"crossbar": "outputs noisy"},
        "rounding of outputs": {"crossbar": "outputs read"},
        "rounding of inputs": {"crossbar": "inputs driven"},
    }.items():
        shown(error, found, ("product_error", "nll"), name, chosen)
    error.set(xlabel="error of a product, %", ylabel="nat/token", xlim=(0, 45), ylim=(0.8, 3))
    shown(written, found, ("weight_error", "loss"), "static weights", STATIC)
    shown(written, found, ("operand_error", "loss"), "keys and values", DYNAMIC)
    written.set(xlabel="error of writing, % of the range", ylabel="lost accuracy, points")
    for scale in ("matrix", "column"):
        chosen = {"crossbar": "ranged", "weights_scale": scale}
        shown(ranged, found, ("clipped", "loss"), f"a scale for each {scale}", chosen)
    for state, loss in PUBLISHED_RANGES.items():
        ranged.axhline(
            loss, color="k", linestyle="--" if state == "before" else ":", label=f"RoBERTa, GLUE (published), {state}"
        )
    ranged.set_xscale("symlog", linthresh=0.01)
    ranged.set(xlim=(-1e-3, 2.5), xlabel="inputs beyond the full scale, %", ylabel="lost accuracy, points")
    for ax, title in zip((share, error, written, ranged), "abcd", strict=True):
        ax.set_title(f"({title})", loc="left")
        ax.legend(loc="upper left", bbox_to_anchor=(0 if ax is not share else 0.5, 0.87 if ax is ranged else 1))
    return figure


if __name__ == "__main__":
    with style(STYLE | {"xtick.labelsize": 7, "ytick.labelsize": 7}):
        print(save(figure_of(compared(cim.open_results(sys.argv[1]))), Path(sys.argv[2])))
