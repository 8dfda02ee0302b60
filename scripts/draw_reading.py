"""Draw the pictures of docs/reading.md from the quickstart's store, computed with each layer's products measured.

    cimstudy run studies/quickstart.py --set workload.by_layer=true --store results/layers.zarr
    python scripts/draw_reading.py results/layers.zarr docs/images

The picture of the report is what Chromium shows of it (pip install playwright).
"""

import shutil
import sys
import tempfile
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

import cimstudy as cim
from cimstudy.analysis.plots import heatmap, layers, save, tornado, yield_curve
from cimstudy.analysis.plots.figure import STYLE, style


def plots(ds: xr.Dataset, folder: Path) -> Path:
    """Four kinds of plot in one figure."""
    with style(STYLE | {"font.size": 7}):
        figure = Figure(figsize=(9, 5.4), layout="constrained")
        axes = figure.subplots(2, 2).ravel()
        heatmap(ds, "perplexity", ax=axes[0])
        layers(ds, "signal_to_noise", ax=axes[1], select={"programming_std": 0.02, "adc_bits": 6})
        yield_curve(ds, "perplexity", hue="adc_bits", ax=axes[2], select={"programming_std": 0.04})
        tornado(ds, "perplexity", ax=axes[3])
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


if __name__ == "__main__":
    store, target = sys.argv[1], Path(sys.argv[2])
    results = cim.open_results(store)
    for draw in (plots, page):
        print(draw(results, target))
