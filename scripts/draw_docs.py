"""Draw the pictures of docs/plots.md and docs/cost.md from the stores of the studies.

    cimstudy run studies/quickstart.py --set workload.by_layer=true --store results/layers.zarr
    cimstudy run studies/drift.py
    cimstudy run studies/placement.py
    cimstudy run studies/adc_vs_array.py
    cimstudy run studies/kv_placement.py
    cimstudy run studies/technologies.py
    python scripts/draw_docs.py results docs/images

The picture of the report is what Chromium shows of it (pip install playwright).
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

import cimstudy as cim
from cimstudy.analysis.plots import breakdown, drift, heatmap, layers, line, pareto, save, tornado, yield_curve
from cimstudy.analysis.plots.figure import STYLE, style


def plots(ds: xr.Dataset, folder: Path) -> Path:
    """Four kinds of plot in one figure."""
    with style(STYLE | {"font.size": 7}):
        figure = Figure(figsize=(9, 5.4), layout="constrained")
        axes = figure.subplots(2, 2).ravel()
        heatmap(ds, "perplexity", ax=axes[0])
        layers(ds, "signal_to_noise", ax=axes[1], select={"programming_std": 0.02, "adc_bits": 6})
        tornado(ds, "perplexity", ax=axes[2])
        yield_curve(ds, "perplexity", hue="adc_bits", ax=axes[3], select={"programming_std": 0.04})
        return save(figure, folder / "plots.png")


def page(ds: xr.Dataset, folder: Path) -> Path:
    """The top of the report."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 900, "height": 940})
        window.goto(ds.cim.report(Path(scratch) / "report.html").absolute().as_uri())
        window.locator("figure[data-plot=results] .canvas .mark").nth(7).hover(force=True)
        window.screenshot(path=folder / "report.png")
        browser.close()
    return folder / "report.png"


def ageing(ds: xr.Dataset, folder: Path) -> Path:
    """Quality over the time since programming."""
    return save(drift(ds, "perplexity"), folder / "drift.png")


def placement(ds: xr.Dataset, folder: Path) -> Path:
    """Quality by what crossbars hold and how high they are."""
    return save(
        heatmap(ds, "perplexity", "crossbar_rows", "architecture", select={"adc_bits": 8}), folder / "placement.png"
    )


def side_by_side() -> tuple[Figure, Any]:
    """A figure for two plots."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    return figure, figure.subplots(1, 2)


def converters(ds: xr.Dataset, folder: Path) -> Path:
    """Quality against energy, and what energy consists of."""
    with style(STYLE | {"font.size": 7}):
        figure, axes = side_by_side()
        pareto(ds, "perplexity", "energy_per_token", ax=axes[0])
        shown = {"phase": "decode", "crossbar_rows": 128, "weights_slice_bits": 2}
        breakdown(ds, "energy", "adc_bits", ax=axes[1], select=shown)
        return save(figure, folder / "adc-vs-array.png")


def keys_and_values(ds: xr.Dataset, folder: Path) -> Path:
    """Energy of a token by where keys and values are, and life of the cells that hold them."""
    with style(STYLE | {"font.size": 7}):
        figure, axes = side_by_side()
        line(ds, "energy_per_token", "workload_prefill", "architecture", ax=axes[0], select={"cost_endurance": 1e8})
        line(ds, "lifetime", "workload_prefill", "cost_endurance", ax=axes[1], select={"architecture": "arrays"})
        return save(figure, folder / "kv-placement.png")


def technologies(ds: xr.Dataset, folder: Path) -> Path:
    """Quality against what programming takes, by device."""
    return save(pareto(ds, "perplexity", "programming_energy"), folder / "technologies.png")


DRAWN = {
    "layers": (plots, page),
    "drift": (ageing,),
    "placement": (placement,),
    "adc-vs-array": (converters,),
    "kv-placement": (keys_and_values,),
    "technologies": (technologies,),
}

if __name__ == "__main__":
    stores, target = Path(sys.argv[1]), Path(sys.argv[2])
    for store, pictures in DRAWN.items():
        results = cim.open_results(stores / f"{store}.zarr")
        for draw in pictures:
            print(draw(results, target))
