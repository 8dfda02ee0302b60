import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cimstudy.analysis import document, first_metric, table, text_table
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
    assert (found.title, found.caption) == ("perplexity", "digital: 20.000")


def test_a_cut_table_says_how_many_points_it_leaves_out(grid: xr.Dataset) -> None:
    found = text_table(grid, "perplexity", most=5)
    assert len(found.rows) == 5
    assert found.caption == "digital: 20.000; and 7 more points"


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
    found = json.loads(json.dumps(document(ds, "perplexity"), allow_nan=False))
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
    points = pd.DataFrame(document(grid, "perplexity")["points"])
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
