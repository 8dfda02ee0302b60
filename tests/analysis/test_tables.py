import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cimstudy.analysis import compared, first_metric, front, sensitivities, shown, table, text_table
from cimstudy.analysis.tables import in_units, number, thousands
from cimstudy.errors import InputError

ENDS = [f"{name}_{end}" for name in ("q05", "median", "q95") for end in ("low", "high")]


def test_a_text_table_says_of_each_point_what_the_statistics_say(make: Callable[..., xr.Dataset]) -> None:
    status = [[1, 1, 1], [1, 2, 1], [1, 0, 0]]
    ds = make({"adc_bits": [5, 6, 8], "device": ["a", "b", "[c]"]}, [[1, 2, 3], [5, 0, 7], [4, 0, 0]], status)
    found = text_table(ds, "perplexity")
    assert found.header == ["adc_bits", "device", "mean", "95 % interval", "worst chip", "chips"]
    assert found.rows == [
        ["5", "a", "2.0000", "-0.48414 to 4.4841", "3.0000", "3"],
        ["6", "b", "6.0000", "-6.7062 to 18.706", "7.0000", "2 of 3"],
        ["8", "[c]", "4.0000", "-", "4.0000", "1 of 3"],
    ]
    assert found.title == "perplexity"
    assert found.caption == "digital: 20.000\npartial: of 9 cases 1 failed and 2 pending"


def test_a_cut_table_says_how_many_points_it_leaves_out(grid: xr.Dataset) -> None:
    found = text_table(grid, "perplexity", most=5)
    assert len(found.rows) == 5
    assert found.caption == "digital: 20.000; and 7 more points\npartial: of 192 cases 1 failed and 1 pending"


def test_small_numbers_are_printed_in_a_power_of_ten_that_the_title_names(make: Callable[..., xr.Dataset]) -> None:
    attrs = {"units": "J", "long_name": "energy", "reference": 1e-6}
    found = text_table(make({"adc_bits": [5]}, [[2e-6, 4e-6]], attrs=attrs), "perplexity")
    assert found.title == "energy (1e-6 J)"
    assert found.rows[0][1:2] == ["3.0000"]
    assert found.caption == "digital: 1.0000"


@pytest.mark.parametrize(
    ("largest", "power"),
    [
        (0, 0),
        (0.01, 0),
        (99_999, 0),
        (0.0099, -3),
        (1e-3, -3),
        (9.99e-4, -6),
        (1e5, 3),
        (1e6, 6),
        (np.nan, 0),
        (np.inf, 0),
    ],
)
def test_powers_are_multiples_of_three_and_none_for_everyday_numbers(largest: float, power: int) -> None:
    assert thousands(largest) == power


@pytest.mark.parametrize(
    ("unit", "power", "text"), [("1", 0, ""), ("", 0, ""), ("J", 0, " (J)"), ("1", 3, " (1e3)"), ("J", -6, " (1e-6 J)")]
)
def test_units_are_printed_unless_they_are_one(unit: str, power: int, text: str) -> None:
    assert in_units(unit, power) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.0000"), (123456.0, "1.2346e+05"), (12345.6, "12346"), (np.nan, "-"), (np.inf, "inf")]
)
def test_a_number_has_five_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_document_is_json_with_null_where_there_is_no_number(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6]}, [[1.5], [np.inf]])
    found = json.loads(json.dumps(shown(ds, "perplexity").document, allow_nan=False))
    first = {name: value for name, value in found["points"][0].items() if name not in ENDS}
    assert first == {
        "adc_bits": 5,
        "mean": 1.5,
        "std": None,
        "ci_low": None,
        "ci_high": None,
        "q05": 1.5,
        "median": 1.5,
        "q95": 1.5,
        "worst": 1.5,
        "collapsed": 0,
        "n": 1,
        "missing": 0,
    }
    assert all(found["points"][0][name] is None for name in ENDS)  # of quantiles: one chip bounds none
    assert found["points"][1]["mean"] is None
    assert {name: found[name] for name in ("metric", "units", "better", "reference", "confidence")} == {
        "metric": "perplexity",
        "units": "1",
        "better": "lower",
        "reference": 20.0,
        "confidence": 0.95,
    }


def test_a_document_has_every_row_of_the_table(grid: xr.Dataset) -> None:
    points = pd.DataFrame(shown(grid, "perplexity").document["points"])
    pd.testing.assert_frame_equal(points.drop(columns=ENDS), table(grid, "perplexity").drop(columns=ENDS))


def test_the_first_metric_is_the_one_that_the_dataset_names_first(grid: xr.Dataset) -> None:
    both = grid.assign(accuracy=grid["perplexity"])
    assert first_metric(both) == "perplexity"
    assert first_metric(both.assign_attrs(metrics=["accuracy", "perplexity"])) == "accuracy"


def test_a_dataset_without_results_has_no_first_metric(grid: xr.Dataset) -> None:
    with pytest.raises(
        InputError, match=r"^this dataset holds no results; need a study's dataset with results along `trial`$"
    ):
        first_metric(grid[["status"]])


def is_json(document: object) -> bool:
    return bool(json.dumps(document, allow_nan=False))


def test_a_shown_limit_adds_the_yield(make: Callable[..., xr.Dataset]) -> None:
    found = shown(make({"adc_bits": [5, 6]}, [[1, 2, 3], [5, 6, 7]]), "perplexity", at_most=2.5)
    assert found.table.header[-3:] == ["yield", "95 % interval", "chips"]
    assert [row[-3:] for row in found.table.rows] == [
        ["66.7 %", "9.43 % to 99.2 %", "3"],
        ["0 %", "0 % to 70.8 %", "3"],
    ]
    assert found.document["points"][0]["share"] == pytest.approx(2 / 3)
    assert is_json(found.document)


def test_collapsed_chips_are_said_below_the_table(make: Callable[..., xr.Dataset]) -> None:
    values = np.r_[np.random.default_rng(0).normal(0.8, 0.03, 95), np.full(5, 0.2)]
    found = text_table(make({"adc_bits": [5]}, [values], attrs={"better": "higher"}), "perplexity")
    assert found.caption.startswith(
        "perplexity: 5 chips at 1 of 1 points are far worse than the rest, and the mean hides"
    )


def test_a_comparison_has_a_row_for_each_point_and_a_verdict_if_asked(grid: xr.Dataset) -> None:
    found = compared(grid, "perplexity", {"adc_bits": 8})
    assert found.table.title == "perplexity, minus that at adc_bits=8"
    assert found.table.header == ["programming_std", "adc_bits", "difference", "95 % interval", "r", "chips"]
    assert found.table.rows[2] == ["0", "8", "0.0000", "0.0000 to 0.0000", "1.0000", "16"]
    assert found.table.caption.splitlines()[-1] == "partial: of 192 cases 1 failed and 1 pending"
    judged = compared(grid, "perplexity", {"adc_bits": 8}, margin=0.1)
    assert judged.table.header[-3:] == ["verdict", "detects", "chips"]
    assert [row[-3] for row in judged.table.rows][:3] == ["worse", "worse", "equivalent"]
    assert (judged.document["to"], judged.document["margin"]) == ("adc_bits=8", 0.1)
    assert is_json(judged.document)


def test_a_front_lists_its_points_and_those_that_may_be_on_it(grid: xr.Dataset) -> None:
    energy = (1e-12 * 2.0 ** grid["adc_bits"] + 0 * grid["perplexity"]).assign_attrs(units="J", long_name="energy")
    found = front(grid.assign(energy=energy), {"perplexity": None, "energy": "lower"}, resamples=50)
    assert found.table.title == "Pareto front of perplexity and energy (1e-12 J)"
    assert [row[1] for row in found.table.rows] == ["8", "6", "5"]
    assert [row[3] for row in found.table.rows] == ["256.00", "64.000", "32.000"]
    assert {row[-2] for row in found.table.rows} == {"yes"}
    assert found.table.caption.splitlines()[0] == "3 of 12 points are on the front of means"
    assert is_json(found.document)
    assert len(found.document["points"]) == 3


def test_sensitivities_come_largest_first(grid: xr.Dataset) -> None:
    found = sensitivities(grid, "perplexity")
    assert found.table.title == "Sensitivity of perplexity (anova, 12 points)"
    assert [row[0] for row in found.table.rows] == ["programming_std", "adc_bits"]
    assert found.table.caption.splitlines()[0].endswith("of the variance is noise of so few chips")
    assert [axis["axis"] for axis in found.document["axes"]] == ["programming_std", "adc_bits"]
    assert is_json(found.document)
    by_regression = sensitivities(grid, "perplexity", "sobol")
    assert "the regression predicts" in by_regression.table.caption
    assert is_json(by_regression.document)
    screened = sensitivities(grid, "perplexity", "morris")
    assert screened.table.header == ["axis", "mu*", "mu", "sigma", "effects"]
    assert [row[-1] for row in screened.table.rows] == ["9", "8"]
    assert is_json(screened.document)
