"""The report in a real browser: it loads without errors and without network, and its controls and pointer work."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cimstudy.analysis import report, table

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and Chromium")
pytestmark = pytest.mark.browser

WAIT = 60_000  # ms
DESK, PHONE = {"width": 1100, "height": 900}, {"width": 375, "height": 800}
RESULTS, TRADE_OFFS, CONVERGENCE = (f"figure[data-plot={name}]" for name in ("results", "tradeoffs", "convergence"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium: the system's, or playwright's own."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])  # root has no sandbox
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts: {str(error).splitlines()[0]}")
        yield running
        running.close()


@pytest.fixture(scope="module")
def study(grid: xr.Dataset) -> xr.Dataset:
    """Twelve points with a perplexity, an energy, and a signal-to-noise ratio for each layer and operator."""
    shape = grid["perplexity"].shape
    energy = np.broadcast_to(2.0 ** grid["adc_bits"].to_numpy()[:, None] * 1e-9, shape)
    snr = 20 - np.arange(4.0)[:, None] - 3 * np.arange(2) + np.zeros((*shape, 1, 1))
    dims = grid["perplexity"].dims
    ds = grid.assign(
        energy=(dims, energy, {"units": "J", "long_name": "energy per token", "better": "lower"}),
        snr=((*dims, "layer", "operator"), snr, {"units": "dB", "long_name": "signal to noise"}),
    )
    return ds.assign_coords(operator=["query", "key"]).assign_attrs(metrics=["perplexity", "energy", "snr"])


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a dataset's report. Whatever the browser complains of, or asks the network for, fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_report(ds: xr.Dataset, viewport: dict[str, int]) -> Any:
        context = browser.new_context(viewport=viewport, has_touch=viewport is PHONE)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith("file:") else None)
        page.goto(report(ds, tmp_path / "report.html").as_uri())
        page.wait_for_selector(f"{RESULTS} .canvas > *")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert complaints == []


def options(page: Any, figure: str, picker: str) -> list[str]:
    return [str(text) for text in page.locator(f"{figure} select[data-picker='{picker}'] option").all_inner_texts()]


def pick(page: Any, figure: str, picker: str, label: str) -> None:
    page.locator(f"{figure} select[data-picker='{picker}']").select_option(label=label)


def drawn(page: Any, figure: str) -> str:
    return str(page.locator(f"{figure} .canvas svg").evaluate("svg => svg.outerHTML"))


def texts(page: Any, figure: str) -> list[str]:
    return [str(text) for text in page.locator(f"{figure} .canvas svg text").all_text_contents()]


def test_the_page_opens_with_lines_bands_and_the_digital_run(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    assert page.title() == "synthetic: report of a study"
    for part, count in ((".line", 3), (".band", 3), (".mark", 12), ("line.reference", 1)):
        assert page.locator(f"{RESULTS} .canvas {part}").count() == count, part
    assert {"perplexity", "programming std"} <= set(texts(page, RESULTS))
    assert page.locator(f"{RESULTS} .legend").inner_text().split() == ["ADC", "bits:", "5", "6", "8", "digital:", "20"]


def test_pointing_at_a_mark_shows_its_values(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    rows = table(study, "perplexity").set_index(["adc_bits", "programming_std"])
    tip = page.locator(f"{RESULTS} .tip")
    assert not tip.is_visible()
    for mark, point in ((0, (5, 0.0)), (7, (6, 0.1))):
        page.locator(f"{RESULTS} .canvas .mark").nth(mark).hover(force=True)
        tip.wait_for(state="visible")
        row, said = rows.loc[point], tip.inner_text().splitlines()
        assert float(said[0].split()[0]) == pytest.approx(row["mean"], rel=1e-3)
        assert said[0].endswith(" perplexity")
        assert f"{row['n']:.0f} chips" in said
        assert said[-2:] == [f"{point[1]:g} programming std", f"{point[0]} ADC bits"]
    page.mouse.move(2, 2)
    tip.wait_for(state="hidden")


def test_arrow_keys_walk_from_mark_to_mark(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    page.locator(f"{RESULTS} .canvas svg").focus()
    found = []
    for _ in range(13):
        page.keyboard.press("ArrowRight")
        found.append(page.locator(f"{RESULTS} .tip").inner_text())
    assert len(set(found)) == 12
    assert found[0] == found[12]


def test_the_metric_and_the_axes_can_be_picked(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    pick(page, RESULTS, "Along", "ADC bits")
    assert "ADC bits" in texts(page, RESULTS)
    assert page.locator(f"{RESULTS} .canvas .line").count() == 4  # now a line for each programming error
    pick(page, RESULTS, "Lines", "none")
    assert page.locator(f"{RESULTS} .canvas .line").count() == 1
    before = drawn(page, RESULTS)
    pick(page, RESULTS, "programming std", "0.1")
    assert drawn(page, RESULTS) != before
    pick(page, RESULTS, "Metric", "energy: energy per token")
    assert "energy per token (1e-9 J)" in texts(page, RESULTS)


def test_a_metric_of_layers_is_drawn_along_them(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    pick(page, RESULTS, "Metric", "snr: signal to noise")
    assert {"layer", "signal to noise (dB)"} <= set(texts(page, RESULTS))
    assert page.locator(f"{RESULTS} .legend").inner_text().split() == ["operator:", "query", "key"]
    assert options(page, RESULTS, "Along") == ["programming std", "ADC bits", "layer", "operator"]


def test_two_metrics_are_held_against_each_other_with_their_front(
    opened: Callable[..., Any], study: xr.Dataset
) -> None:
    page = opened(study, DESK)
    assert {"perplexity", "energy per token (1e-9 J)"} <= set(texts(page, TRADE_OFFS))
    assert page.locator(f"{TRADE_OFFS} .canvas .mark").count() == 12
    assert page.locator(f"{TRADE_OFFS} .canvas .ring").count() == 3  # the least error at each resolution
    page.locator(f"{TRADE_OFFS} .canvas .ring").first.hover(force=True)
    assert "probability of being on the front" in page.locator(f"{TRADE_OFFS} .tip").inner_text()
    pick(page, TRADE_OFFS, "Colour", "ADC bits")
    assert page.locator(f"{TRADE_OFFS} .legend").inner_text().startswith("ADC bits:")


def test_convergence_can_be_looked_at_for_each_metric(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    assert page.locator(f"{CONVERGENCE} .canvas .band").count() == 2
    pick(page, CONVERGENCE, "Metric", "energy per token")
    assert "energy per token (1e-9 J)" in texts(page, CONVERGENCE)


def test_names_and_scattered_points_are_not_joined(opened: Callable[..., Any], make: Callable[..., xr.Dataset]) -> None:
    named = opened(make({"device": ["pcm", "rram"]}, [[1.0, 2.0], [3.0, 5.0]]), DESK)
    assert (named.locator(f"{RESULTS} .canvas .line").count(), named.locator(f"{RESULTS} .canvas .bar").count()) == (
        0,
        2,
    )
    assert {"pcm", "rram"} <= set(texts(named, RESULTS))
    points = {"noise": [0.0, 0.1, 0.3, 0.4], "bits": [4, 7, 5, 6]}
    scattered = opened(make(points, np.arange(8.0).reshape(4, 2)), DESK)
    assert scattered.locator(f"{RESULTS} .canvas .line").count() == 0
    assert options(scattered, RESULTS, "bits") == ["all", "4", "5", "6", "7"]
    pick(scattered, RESULTS, "bits", "5")
    assert scattered.locator(f"{RESULTS} .canvas .mark").count() == 1


def test_decades_are_drawn_on_log_scales(opened: Callable[..., Any], make: Callable[..., xr.Dataset]) -> None:
    times = {"time": [0.0, 1.0, 1e3, 1e6]}
    page = opened(make(times, 10.0 ** np.arange(4)[:, None] * [1.0, 1.01], attrs={"long_name": "loss"}), DESK)
    assert {"0", "1", "1e6"} <= set(texts(page, RESULTS))
    heights = page.locator(f"{RESULTS} .canvas .mark").evaluate_all(
        "marks => marks.map(mark => Number(mark.getAttribute('transform').match(/ ([\\d.]+)/)[1]))"
    )
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], atol=0.2)


def test_a_study_of_one_chip_is_a_single_mark(opened: Callable[..., Any], make: Callable[..., xr.Dataset]) -> None:
    page = opened(make({}, [[1.0]]), DESK)
    assert page.locator(".canvas .mark").count() == 1


def test_a_study_without_results_yet_says_so(opened: Callable[..., Any], make: Callable[..., xr.Dataset]) -> None:
    page = opened(make({"bits": [5, 6]}, [[1.0], [1.0]], [[0], [0]]), DESK)
    assert page.locator(f"{RESULTS} .canvas").inner_text() == "No chip has a result here yet."


def test_a_phone_shows_it_all_without_scrolling_sideways(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    sizes = page.locator(".canvas svg text").evaluate_all("texts => texts.map(t => t.getBoundingClientRect().height)")
    assert min(sizes) > 10  # letters are not shrunk with the picture
    page.locator(f"{RESULTS} .canvas .mark").nth(5).tap(force=True)
    tip = page.locator(f"{RESULTS} .tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= PHONE["width"]


def test_print_opens_what_is_folded_and_fits_the_paper(opened: Callable[..., Any], study: xr.Dataset) -> None:
    page = opened(study, DESK)
    assert page.locator("details[open]").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})  # 18 cm
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_without_scripts_the_tables_are_there(browser: Any, study: xr.Dataset, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report(study, tmp_path / "report.html").as_uri())
    assert "The plots need JavaScript; the tables do not." in page.inner_text("noscript")
    assert page.locator("tbody tr").count() > 12
    context.close()
