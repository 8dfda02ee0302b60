import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from cimstudy.analysis import claim, compare, summary
from cimstudy.errors import InputError
from cimstudy.study.sequences import empirical_bernstein, ends, students


def test_a_difference_is_that_of_chips_that_both_points_have(grid: xr.Dataset) -> None:
    found = compare(grid, "perplexity", {"adc_bits": 8})
    values, done = grid["perplexity"].data, grid["status"].data == 1
    for std, bits in np.ndindex(4, 3):
        both = done[std, bits] & done[std, 2]
        away = values[std, bits][both] - values[std, 2][both]
        assert float(found["difference"].data[std, bits]) == pytest.approx(away.mean())
        assert float(found["std"].data[std, bits]) == pytest.approx(away.std(ddof=1), abs=1e-12)
        assert int(found["n"].data[std, bits]) == both.sum()
        assert int(found["missing"].data[std, bits]) == 16 - both.sum()
    assert found["difference"].dims == ("programming_std", "adc_bits")
    assert (found["difference"].sel(adc_bits=8) == 0).all()
    assert found.attrs["to"] == "adc_bits=8"
    assert "reference" not in found["difference"].attrs


def test_points_and_a_grid_compare_alike(grid: xr.Dataset, flat: xr.Dataset) -> None:
    for to in ({"adc_bits": 8}, {"adc_bits": 6, "programming_std": 0.02}):
        over, along = compare(grid, "perplexity", to), compare(flat, "perplexity", to)
        for name in over.data_vars:
            np.testing.assert_array_equal(along[name].data, over[name].transpose("programming_std", ...).data.ravel())
    one = compare(flat, "perplexity", {"point": 4})
    xr.testing.assert_identical(
        one.drop_attrs(), compare(flat, "perplexity", {"adc_bits": 6, "programming_std": 0.02}).drop_attrs()
    )


def test_a_point_without_a_partner_has_no_difference(flat: xr.Dataset) -> None:
    found = compare(flat.isel(point=slice(1, None)), "perplexity", {"adc_bits": 5})
    assert found["n"].values.tolist()[:2] == [0, 0]
    assert found["difference"].isnull().values.tolist()[:3] == [True, True, False]


def test_lazy_datasets_compare_lazily(store: Path, flat: xr.Dataset, grid: xr.Dataset) -> None:
    with xr.open_zarr(store) as lazy:
        for to in ({"adc_bits": 8}, "digital"):
            found = compare(lazy, "perplexity", to)
            assert found["difference"].chunks is not None
            xr.testing.assert_allclose(found.compute(), compare(flat, "perplexity", to))
            assert claim(lazy, "perplexity", to)["verdict"].chunks is not None
    chunked = grid.chunk(programming_std=3, adc_bits=2, trial=5)
    for function in (compare, claim):
        expected = function(grid, "perplexity", {"adc_bits": 8})
        xr.testing.assert_allclose(function(chunked, "perplexity", {"adc_bits": 8}).compute(), expected)


def test_the_correlation_over_chips_is_that_of_numpy(make: Callable[..., xr.Dataset]) -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((2, 500)) @ np.diag(np.ones(500)) + random.standard_normal(500)
    found = compare(make({"adc_bits": [5, 6]}, values), "perplexity", {"adc_bits": 6})
    assert float(found["correlation"][0]) == pytest.approx(np.corrcoef(values)[0, 1])
    alone = summary(make({"adc_bits": [5, 6]}, values), "perplexity")["std"]
    saved = float(found["std"][0] ** 2 / (alone**2).sum())
    assert saved == pytest.approx(1 - float(found["correlation"][0]), rel=0.05)


def test_the_digital_run_is_a_baseline(grid: xr.Dataset) -> None:
    found = compare(grid, "perplexity", "digital")
    xr.testing.assert_allclose(
        found["difference"].drop_attrs(), (summary(grid, "perplexity")["mean"] - 20).drop_attrs()
    )


def test_intervals_of_differences_are_those_of_a_paired_t_test(grid: xr.Dataset) -> None:
    found = compare(grid, "perplexity", {"programming_std": 0.0}, 0.9)
    pair = [grid["perplexity"].sel(programming_std=std, adc_bits=8) for std in (0.1, 0.0)]
    expected = scipy.stats.ttest_rel(*pair).confidence_interval(0.9)
    interval = found[["ci_low", "ci_high"]].sel(programming_std=0.1, adc_bits=8)
    assert [float(interval[name]) for name in ("ci_low", "ci_high")] == pytest.approx(list(expected))


BOUNDED = [
    lambda random, shape: random.uniform(0, 1, shape),
    lambda random, shape: random.beta(0.5, 4, shape),
    lambda random, shape: (random.uniform(size=shape) < 0.04).astype(float),
]


@pytest.mark.parametrize("draw", BOUNDED)
def test_the_empirical_bernstein_sequence_holds_at_all_numbers_of_chips(draw: Any) -> None:
    studies, mean = 2000, [0.5, 1 / 9, 0.04][BOUNDED.index(draw)]
    values = draw(np.random.default_rng(4), (studies, 300))
    low, high = ends(*empirical_bernstein(values, np.ones(values.shape, bool), (0, 1), 0.05), (0, 1))
    missed = np.mean((low > mean) | (high < mean))  # the ends are what the intervals at all numbers have in common
    assert missed < 0.05 + 5 * math.sqrt(0.05 * 0.95 / studies)
    assert (high - low).mean() < 0.35


def test_the_t_sequence_holds_at_all_numbers_of_chips_and_is_not_idle() -> None:
    studies = 4000
    values = np.random.default_rng(5).normal(3.0, 2.0, (studies, 200))
    low, high = ends(*students(values, np.ones(values.shape, bool), 0.1))
    missed = np.mean((low > 3.0) | (high < 3.0))
    assert 0.02 < missed < 0.1 + 5 * math.sqrt(0.1 * 0.9 / studies)


@pytest.mark.parametrize(
    "sequence", [students, lambda x, counted, alpha: empirical_bernstein(x, counted, (0, 1), alpha)]
)
def test_chips_that_do_not_count_change_no_sequence(sequence: Any) -> None:
    random = np.random.default_rng(6)
    values, counted = random.uniform(size=(20, 40)), random.uniform(size=(20, 40)) < 0.7
    for row, kept in zip(values, counted, strict=True):
        alone = ends(*sequence(row[kept], np.ones(kept.sum(), bool), 0.05))
        np.testing.assert_allclose(ends(*sequence(np.where(kept, row, 0.3), kept, 0.05)), alone, rtol=1e-12)


def accuracies(*shifts: float, spread: float = 0.01, chips: int = 400) -> xr.Dataset:
    """Points along `bits` whose chips share their luck, shifted against the first; higher is better."""
    random = np.random.default_rng(7)
    luck = 0.5 + 0.03 * random.standard_normal(chips)
    values = luck + np.array([0.0, *shifts])[:, None] + spread * random.standard_normal((1 + len(shifts), chips))
    metrics = {
        "accuracy": (("bits", "trial"), values, {"better": "higher"}),
        "status": (("bits", "trial"), values * 0 + 1),
    }
    return xr.Dataset(metrics, {"bits": range(1 + len(shifts))})


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_claims_are_better_worse_equivalent_or_undecided(bounds: Any) -> None:
    ds = accuracies(0.2, -0.2, 0.0)
    found = claim(ds, "accuracy", {"bits": 0}, margin=0.08, bounds=bounds)
    assert found["verdict"].values.tolist() == ["equivalent", "better", "worse", "equivalent"]
    assert found.attrs["comparisons"] == 3
    assert found.attrs["interval"] == ("t" if bounds is None else "empirical Bernstein")
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()
    few = claim(ds.isel(trial=slice(6)), "accuracy", {"bits": 0}, margin=0.005, bounds=bounds)
    assert few["verdict"].values.tolist()[3] == "undecided"
    assert (few["detectable"][1:] > found["detectable"][1:]).all()
    lower = claim(ds, "accuracy", {"bits": 0}, margin=0.08, bounds=bounds, better="lower")
    assert lower["verdict"].values.tolist()[1:3] == ["worse", "better"]


def test_two_chips_decide_nothing() -> None:
    found = claim(accuracies(0.5, chips=2), "accuracy", {"bits": 0})
    assert found["verdict"].values.tolist()[1] == "undecided"
    assert np.isinf(found["detectable"][1])


def test_a_point_without_chips_is_undecided() -> None:
    ds = accuracies(0.5)
    ds["status"][1] = 0
    assert claim(ds, "accuracy", {"bits": 0})["verdict"].values.tolist()[1] == "undecided"


def test_claims_about_a_grid_are_wrong_at_any_point_as_seldom_as_stated() -> None:
    wrong = 0
    for seed in range(200):
        values = np.random.default_rng([8, seed]).standard_normal((20, 60))
        variables = {
            "loss": (("bits", "trial"), values, {"better": "lower"}),
            "status": (("bits", "trial"), values * 0 + 1),
        }
        found = claim(xr.Dataset(variables, {"bits": range(20)}), "loss", {"bits": 0}, confidence=0.9)
        wrong += bool(np.isin(found["verdict"], ["better", "worse"]).any())
    assert wrong / 200 < 0.1 + 5 * math.sqrt(0.1 * 0.9 / 200)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ({}, "nothing to compare with; allowed: values of axes, such as {'adc_bits': 8}, or 'digital'"),
        (8, "nothing to compare with; allowed: values of axes, such as {'adc_bits': 8}, or 'digital'"),
        ({"bits": 8}, "unknown axis 'bits'; this study has: programming_std, adc_bits"),
        ({"adc_bits": 7}, "adc_bits has no value 7; there are: 5, 6, 8"),
        ("analog", "perplexity compared with 'analog': allowed are values of axes; the digital run is 'digital'"),
    ],
)
def test_bad_baselines_are_refused(grid: xr.Dataset, flat: xr.Dataset, to: Any, message: str) -> None:
    for ds in (grid, flat):
        with pytest.raises(InputError) as caught:
            compare(ds, "perplexity", to)
        assert str(caught.value) == message


def test_baselines_of_points_that_are_not_one_are_refused(flat: xr.Dataset) -> None:
    twice = xr.concat([flat, flat], "point")
    with pytest.raises(InputError, match=r"several points have {'adc_bits': 5} and the same other axes; name one"):
        compare(twice, "perplexity", {"adc_bits": 5})
    for to in ({"point": 12}, {"point": 0, "adc_bits": 5}):
        with pytest.raises(InputError, match=r"allowed: {'point': 0} to {'point': 11}, by itself$"):
            compare(flat, "perplexity", to)


def test_a_digital_run_that_is_not_known_is_no_baseline(make: Callable[..., xr.Dataset]) -> None:
    with pytest.raises(InputError, match=r"the digital run is not known$"):
        compare(make({"adc_bits": [5]}, [[1.0]], attrs={}), "perplexity", "digital")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -1}, "margin -1: allowed are 0 or more"),
        ({"margin": math.nan}, "margin nan: allowed are 0 or more"),
        ({"bounds": (1, 0)}, "bounds of accuracy are .*; allowed: its smallest and its largest value, or None"),
        ({"bounds": (0, 0.5)}, "some results lie beyond the bounds 0 to 0.5; allowed: bounds of all"),
        ({"better": "more"}, "which accuracy is better is 'more'; allowed: "),
    ],
)
def test_bad_claims_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        claim(accuracies(0.1), "accuracy", {"bits": 0}, **options)
