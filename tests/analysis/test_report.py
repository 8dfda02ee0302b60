"""The report as a text: what it says of a study, and what it must never hold. Its plots: test_report_browser.py."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cimstudy.analysis import pareto, report, summary, table
from cimstudy.analysis.report.convergence import convergence
from cimstudy.analysis.report.data import payload
from cimstudy.analysis.report.fronts import fronts
from cimstudy.analysis.report.hardware import hardware_values
from cimstudy.analysis.report.markup import Markup, element
from cimstudy.analysis.report.page import page
from cimstudy.analysis.report.sample import MOST_ROWS, samples, thinned
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, load_preset

Make = Callable[..., xr.Dataset]


def data_of(text: str) -> Any:
    """What the page's plots show."""
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', text, flags=re.DOTALL)
    assert found
    return json.loads(found.group(1))


def words(text: str) -> str:
    """What a reader sees of a page, without its plots."""
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@pytest.fixture
def told(grid: xr.Dataset) -> xr.Dataset:
    """The grid with a second metric, and with what a store says of its study."""
    hardware = Hardware(device="rram-neurram", crossbar="sliced-128").model_dump(mode="json")
    study = {"name": "synthetic", "workload": {"type": "cimstudy.workloads:Thing"}, "hardware": hardware}
    attrs = {
        "study": json.dumps(study | {"space": {"kind": "grid", "axes": []}, "trials": 16, "seed": 3}),
        "seed": 3,
        "versions": {"python": "3.12.1", "zarr": "3.1.6"},
        "machine": {"cpu": "a processor"},
        "checksums": {"model": "abc123"},
        "metrics": ["perplexity", "energy"],
    }
    energy = (2.0 ** grid["adc_bits"] * 1e-9 * (1 + 0 * grid["perplexity"])).transpose(*grid["perplexity"].dims)
    ds = grid.assign(energy=energy.assign_attrs(units="J", long_name="energy", better="lower")).assign_attrs(attrs)
    ds["adc_bits"].attrs["path"] = "crossbar.adc.bits"
    return ds


def test_the_page_asks_for_nothing_outside_itself(told: xr.Dataset) -> None:
    text = page(told)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg|http-equiv", "", text)
    assert "default-src 'none'" in text


def test_the_page_says_the_question_and_how_far_the_study_is(told: xr.Dataset) -> None:
    text = words(page(told))
    assert (
        "How do perplexity, energy of Thing depend on programming std (0, 0.02, 0.05, 0.1) and ADC bits (5, 6, 8)"
        in text
    )
    assert "12 points, 16 chips at each: 190 of 192 cases are done, 1 failed." in text
    assert "This report is partial: 1 of 192 cases are still to be computed." in text
    done = told.assign(status=told["status"] * 0 + 1)
    assert "This report is partial" not in words(page(done))


def test_the_page_names_the_best_point_with_its_interval(told: xr.Dataset) -> None:
    rows = table(told, "perplexity").sort_values("mean")
    best = rows.iloc[0]
    interval = f"{best['mean']:#.5g} ({best['ci_low']:#.5g} to {best['ci_high']:#.5g})"
    expected = f"Lowest perplexity: {interval} at programming std = 0, ADC bits = 8; the digital run has 20.000."
    assert expected in words(page(told))


def test_the_best_point_is_a_valid_one(told: xr.Dataset) -> None:
    valid = (told["adc_bits"] != 8) & told["perplexity"].notnull()
    ds = told.assign(valid=valid.transpose(*told["perplexity"].dims).astype(float))
    ds = ds.assign_attrs(metrics=["perplexity", "energy", "valid"])
    ds["perplexity"].attrs["ancillary_variables"] = "valid"
    assert re.search(r"Lowest perplexity: \S+ \(\S+ to \S+\) at programming std = 0, ADC bits = 6;", words(page(ds)))


def test_one_chip_has_no_interval(told: xr.Dataset) -> None:
    text = words(page(told.isel(trial=slice(0, 1))))
    assert "12 points, 1 chip at each:" in text
    assert re.search(r"Lowest perplexity: [\d.]+ at programming std", text)


def test_every_value_of_the_hardware_has_its_source(told: xr.Dataset) -> None:
    text = words(page(told))
    entry = load_preset("rram-neurram")
    source = next(iter(entry.sources.values()))
    assert f"] {source.source} ({source.confidence})" in text
    assert "device.g_max 4e-05 S preset rram-neurram [1]" in text
    assert "crossbar.adc.bits varied: 5, 6, 8" in text


def test_what_the_study_changes_is_told_from_presets_and_defaults() -> None:
    hardware = Hardware(device="rram-neurram", crossbar="sliced-128").replace("crossbar.rows", 77)
    found = {value.path: value for value in hardware_values(hardware.model_dump(mode="json"), {})}
    assert (found["crossbar.rows"].value, found["crossbar.rows"].origin) == ("77", "the study")
    assert found["crossbar.columns"].origin == "preset sliced-128"
    assert found["crossbar.dac.percentile"].origin == "default"
    assert found["crossbar.rows"].cells([]) == ["crossbar.rows", "77", found["crossbar.rows"].meaning, "the study"]


def test_hardware_that_this_version_does_not_know_is_listed_as_it_is() -> None:
    (found,) = hardware_values({"device": {"quantum": 3}}, {})
    assert (found.path, found.value, found.meaning, found.origin) == ("device.quantum", "3", "", "the study")


def test_presets_along_an_axis_are_listed_with_their_sources(make: Make) -> None:
    ds = make({"device": ["pcm-joshi", "rram-neurram"]}, np.ones((2, 3)))
    ds.attrs["study"] = json.dumps({"hardware": Hardware().model_dump(mode="json"), "workload": {"type": "m:f"}})
    ds["device"].attrs["path"] = "device"
    text = words(page(ds))
    for name in ("pcm-joshi", "rram-neurram"):
        assert f"{name} {load_preset(name).summary}" in text
    assert "device varied: pcm-joshi, rram-neurram" in text
    assert "device.g_max" not in text  # the device varies as a whole


def test_failures_are_listed_by_what_they_raised_and_escaped(make: Make) -> None:
    ds = make({"adc_bits": [5, 6]}, np.ones((2, 3)), [[1, 2, 2], [1, 1, 2]])
    error = "OSError: <script>alert(1)</script>\nTraceback: <b>"
    ds["error"] = ds["error"].where(ds["status"] != 2, error)
    ds["error"][0, 1] = "ValueError: once\nTraceback of it"
    text = page(ds)
    assert "OSError, 2 times; the first: OSError: &lt;script&gt;alert(1)" in text
    assert "ValueError, 1 times; the first: ValueError: once" in words(text)
    assert text.index("OSError, 2 times") < text.index("ValueError, 1 times")
    assert "<script>alert" not in text
    assert "No case has failed." in words(page(make({"adc_bits": [5]}, [[1.0, 2.0]])))


def test_provenance_says_versions_data_and_the_line_that_reproduces(told: xr.Dataset) -> None:
    text = page(told)
    for said in ("seed 3", "python 3.12.1, zarr 3.1.6", "cpu a processor", "model abc123"):
        assert said in words(text)
    assert "cimstudy run study.json --store again.zarr" in words(text)
    assert "beside it" not in words(text)
    own = json.loads(told.attrs["study"]) | {"workload": {"type": "mine:Toy"}}
    assert "with mine.py, which defines the workload, beside it" in words(
        page(told.assign_attrs(study=json.dumps(own)))
    )


def test_a_dataset_that_says_nothing_of_its_study_still_has_a_report(grid: xr.Dataset) -> None:
    text = words(page(grid))
    assert "Hardware and its sources" not in text
    assert "cimstudy run" not in text


def test_plots_show_the_statistics_and_no_single_chip(told: xr.Dataset) -> None:
    (shown,) = data_of(page(told))["tables"]
    rows = table(told, "perplexity")
    found = shown["metrics"]["perplexity"]
    for short, long in {"mean": "mean", "low": "ci_low", "high": "ci_high", "worst": "worst"}.items():
        np.testing.assert_allclose(found[short], rows[long], rtol=1e-4)
    assert shown["n"] == rows["n"].tolist()
    for name, axis in shown["axes"].items():
        np.testing.assert_array_equal(np.array(axis["values"])[axis["codes"]], rows[name])
    assert found["reference"] == 20
    assert set(found) == {"name", "units", "better", "reference", "mean", "low", "high", "worst"}


def test_metrics_with_axes_of_their_own_are_tables_of_their_own(make: Make) -> None:
    ds = make({"adc_bits": [5, 6]}, np.arange(2 * 3 * 4.0).reshape(2, 3, 4))
    ds["loss"] = ds["perplexity"].mean("layer")
    first, second = data_of(page(ds))["tables"]
    assert (list(first["metrics"]), list(second["metrics"])) == (["loss"], ["perplexity"])
    assert list(second["axes"]) == ["adc_bits", "layer"]
    assert len(second["n"]) == 8


def test_what_is_no_number_is_null(make: Make) -> None:
    ds = make({"adc_bits": [5, 6, 8]}, [[np.inf, 1.0], [np.nan, 1.0], [1.0, 2.0]], [[1, 1], [1, 1], [0, 0]])
    assert data_of(page(ds))["tables"][0]["metrics"]["perplexity"]["mean"] == [None, None, None]


def test_a_large_study_is_shown_in_part_and_the_page_says_so(make: Make) -> None:
    n = 3 * MOST_ROWS
    ds = make({"rows": list(range(n))}, np.random.default_rng(0).normal(20, 1, (n, 2)))
    text = page(ds)
    (shown,) = data_of(text)["tables"]
    values = shown["axes"]["rows"]["values"]
    assert MOST_ROWS / 2 < len(values) <= MOST_ROWS
    assert (values[0], values[-1]) == (0, n - 1)
    assert shown["note"] == f"Shown are {len(values)} of {n} points, evenly chosen; cimstudy show lists all."
    assert len(text) < 400_000


@pytest.mark.parametrize("sizes", [{"a": 50, "b": 4}, {"a": 7, "b": 7, "layer": 9}, {"a": 1000}])
def test_thinning_keeps_the_ends_of_every_axis(sizes: dict[str, int]) -> None:
    shape = tuple(sizes.values())
    ds = xr.Dataset(
        {"m": ((*sizes, "trial"), np.zeros((*shape, 3)))}, {dim: range(size) for dim, size in sizes.items()}
    )
    kept = thinned(ds, 60)
    assert np.prod([kept.sizes[dim] for dim in sizes]) <= 60
    for dim, size in sizes.items():
        assert (kept[dim][0], kept[dim][-1]) == (0, size - 1)
        assert np.ptp(np.diff(kept[dim])) <= 1
    xr.testing.assert_identical(thinned(ds, 10**6), ds)


def test_convergence_ends_at_the_statistics_of_all_chips(told: xr.Dataset) -> None:
    (shown,) = samples(told)
    rows = shown.rows["perplexity"]
    widest, middle = convergence(shown)["perplexity"]["points"]
    half = (rows["ci_high"] - rows["ci_low"]).sort_values()
    for point, place in ((widest, half.index[-1]), (middle, half.index[(len(half) - 1) // 2])):
        row = rows.loc[place]
        assert point["n"][-1] == row["n"]
        np.testing.assert_allclose([point["mean"][-1], point["low"][-1]], [row["mean"], row["ci_low"]], rtol=1e-4)
        assert point["name"].endswith(f"programming std = {row['programming_std']:g}, ADC bits = {row['adc_bits']:g}")
    place = rows.loc[half.index[-1], ["programming_std", "adc_bits"]].to_dict()
    first = summary(told.isel(trial=slice(2)), "perplexity").sel(place)
    assert widest["mean"][0] == pytest.approx(float(first["mean"]), rel=1e-4)


def test_one_chip_has_no_convergence(make: Make) -> None:
    assert "Convergence" not in words(page(make({"adc_bits": [5, 6]}, [[1.0], [2.0]])))


def test_the_front_of_the_page_is_the_pareto_front(told: xr.Dataset) -> None:
    (shown,) = samples(told)
    found = pareto(told, ["perplexity", "energy"], resamples=400)
    rows = shown.rows["perplexity"]
    on = found.to_dataframe().query("front").index
    expected = set(rows.set_index(["programming_std", "adc_bits"]).index.get_indexer(on))
    assert {row for row, _ in fronts(shown)["perplexity|energy"]} == expected
    text = words(page(told))
    assert "Points that no other beats in lower perplexity and lower energy" in text


def test_without_two_directed_metrics_there_is_nothing_to_trade(grid: xr.Dataset) -> None:
    assert "Trade-offs" not in words(page(grid))
    assert data_of(page(grid))["fronts"] == {}


def test_chips_that_a_mean_hides_are_pointed_out(make: Make) -> None:
    values = np.random.default_rng(0).normal(20, 0.1, (2, 50))
    values[0, 7] = 900.0
    assert "1 chips at 1 of 2 points are far worse than the rest" in words(page(make({"adc_bits": [5, 6]}, values)))


def test_a_report_is_one_file_and_the_same_for_the_same_study(told: xr.Dataset, tmp_path: Path) -> None:
    first, second = report(told, tmp_path / "new/a.html"), told.cim.report(str(tmp_path / "b.html"))
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) < 80_000


def test_a_store_gives_the_same_report_as_its_dataset(store: Path, flat: xr.Dataset) -> None:
    with xr.open_zarr(store) as ds:
        assert data_of(page(ds))["tables"] == data_of(page(flat))["tables"]


def test_a_study_of_one_point_has_a_report(make: Make) -> None:
    assert "What are perplexity of the workload, from chip to chip?" in words(page(make({}, [[1.0, 2.0, 3.0]])))


@pytest.mark.parametrize(("name", "message"), [("x.pdf", "cannot write a report to '.*x.pdf': allowed are names")])
def test_another_suffix_is_refused(grid: xr.Dataset, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        report(grid, tmp_path / name)


def test_a_dataset_without_results_is_refused() -> None:
    with pytest.raises(InputError, match=r"^this dataset holds no results"):
        page(xr.Dataset())


def test_a_value_inside_a_script_cannot_end_it() -> None:
    text = payload({"name": "</script><script>alert(1)//"})
    assert "<" not in text
    assert json.loads(text)["name"] == "</script><script>alert(1)//"


def test_what_is_not_markup_is_escaped() -> None:
    assert element("p", "a < b", Markup("<i>c</i>"), title='"') == '<p title="&quot;">a &lt; b<i>c</i></p>'
