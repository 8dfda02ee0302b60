"""Quantiles and yields, with their intervals."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.analysis import CollapseWarning, quantile, summary, table, yield_
from cimstudy.analysis.intervals import of_quantile, of_share
from cimstudy.errors import InputError


@given(st.integers(1, 200), st.data(), st.floats(0.5, 0.999))
def test_the_interval_of_a_share_is_the_one_of_scipy(n: int, data: Any, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    expected = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    np.testing.assert_allclose(of_share(np.array(k), np.array(n), confidence), expected, rtol=1e-9)


def test_no_chips_say_nothing_of_a_share() -> None:
    assert np.isnan(of_share(np.array([0]), np.array([0]), 0.95)).all()


@pytest.mark.parametrize(
    ("n", "q", "low", "high"), [(16, 0.5, 4, 13), (64, 0.5, 24, 41), (71, 0.05, None, 9), (72, 0.05, 1, 9)]
)
def test_the_ranks_of_a_quantile_are_those_of_the_binomial_law(n: int, q: float, low: int | None, high: int) -> None:
    found = of_quantile(np.arange(1.0, n + 1), np.array(n), q, 0.95)
    cdf = scipy.stats.binom(n, q).cdf
    assert found[0] == (-np.inf if low is None else low)
    assert found[1] == high
    if low is not None:
        assert cdf(low - 1) < 0.025 <= cdf(low)
    assert 1 - cdf(high - 1) <= 0.025 < 1 - cdf(high - 2)


def test_quantiles_are_those_of_numpy_over_the_chips_that_are_done(grid: xr.Dataset, flat: xr.Dataset) -> None:
    found = quantile(grid, "perplexity", [0.25, 0.5])
    assert found["value"].dims == ("quantile", "programming_std", "adc_bits")
    np.testing.assert_allclose(found["value"], grid["perplexity"].quantile([0.25, 0.5], "trial"))
    one = quantile(flat, "perplexity", 0.25)
    assert float(one["quantile"]) == 0.25
    np.testing.assert_array_equal(one["value"], found["value"].sel(quantile=0.25).data.ravel())
    assert found["missing"].sum() == 2
    assert found["value"].attrs["long_name"] == "quantile of perplexity over chips"


def test_a_yield_counts_the_chips_that_meet_a_limit(make: Callable[..., xr.Dataset]) -> None:
    ds = make(
        {"adc_bits": [5, 6, 8]}, [[1, 2, 3, 4], [2, 2, 2, np.nan], [9, 9, 9, 9]], [[1, 1, 1, 2], [1] * 4, [0] * 4]
    )
    found = yield_(ds, "perplexity", at_most=2)
    np.testing.assert_allclose(found["share"], [2 / 3, 3 / 4, np.nan])
    assert found["met"].values.tolist() == [2, 3, 0]
    assert found["n"].values.tolist() == [3, 4, 0]
    assert found["missing"].values.tolist() == [1, 0, 4]
    low, high = of_share(np.array(2), np.array(3), 0.95)
    assert (found["ci_low"][0], found["ci_high"][0]) == (low, high)
    assert yield_(ds, "perplexity", at_least=2, at_most=2)["met"].values.tolist() == [1, 3, 0]
    assert found["share"].attrs["long_name"] == "share of chips with perplexity at most 2"


def test_limits_along_an_axis_of_their_own_give_a_yield_curve(grid: xr.Dataset) -> None:
    limits = xr.DataArray([20.0, 30.0, 60.0], dims="limit", coords={"limit": [20.0, 30.0, 60.0]})
    found = yield_(grid, "perplexity", at_most=limits)
    for limit in limits.values:
        xr.testing.assert_allclose(
            found.sel(limit=limit, drop=True)[["share", "ci_low", "ci_high"]],
            yield_(grid, "perplexity", at_most=limit)[["share", "ci_low", "ci_high"]],
        )


def test_lazy_datasets_have_lazy_quantiles_and_yields(store: Path, flat: xr.Dataset) -> None:
    with xr.open_zarr(store) as lazy:
        for found, expected in (
            (quantile(lazy, "perplexity", [0.1, 0.9]), quantile(flat, "perplexity", [0.1, 0.9])),
            (yield_(lazy, "perplexity", at_most=25), yield_(flat, "perplexity", at_most=25)),
        ):
            assert all(variable.chunks is not None for variable in found.data_vars.values())
            xr.testing.assert_allclose(found.compute(), expected)


def test_a_summary_with_a_limit_has_the_share_that_meets_it(grid: xr.Dataset) -> None:
    found, met = summary(grid, "perplexity", at_most=25), yield_(grid, "perplexity", at_most=25)
    for name, of_yield in (("share", "share"), ("share_low", "ci_low"), ("share_high", "ci_high")):
        xr.testing.assert_identical(found[name].rename(None), met[of_yield].rename(None))


def rare_collapse(make: Callable[..., xr.Dataset], *, broken: int) -> xr.Dataset:
    """Eight points of 128 chips; at each of the first three, `broken` chips collapse."""
    random = np.random.default_rng(1)
    values = random.normal(0.80, 0.03, (8, 128))
    values[:3, :broken] = random.uniform(0.1, 0.4, (3, broken))
    return make({"adc_bits": range(8)}, values, attrs={"long_name": "accuracy", "better": "higher"})


def test_chips_that_collapse_are_counted_and_warned_of(make: Callable[..., xr.Dataset]) -> None:
    with pytest.warns(
        CollapseWarning, match="15 chips at 3 of 8 points are far worse than the rest, and the mean hides"
    ):
        found = summary(rare_collapse(make, broken=5), "perplexity", at_least=0.7)
    assert found["collapsed"].values.tolist() == [5] * 3 + [0] * 5
    assert (found["worst"][:3] < 0.4).all()
    assert (found["share"][:3] < 0.97).all()
    assert (found["mean"] > 0.77).all()  # which is all that a mean says


@pytest.mark.filterwarnings("error")
def test_chips_that_do_not_collapse_are_not_warned_of(make: Callable[..., xr.Dataset]) -> None:
    assert summary(rare_collapse(make, broken=0), "perplexity")["collapsed"].sum() == 0


def test_chips_far_better_than_the_rest_have_not_collapsed(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5]}, [[1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.0, 1.02, 30.0]], attrs={"better": "higher"})
    assert summary(ds, "perplexity")["collapsed"].item() == 0
    with pytest.warns(CollapseWarning):
        assert summary(ds.assign(perplexity=-ds["perplexity"].assign_attrs(better="higher")), "perplexity").sizes


def test_one_chip_among_equal_ones_is_far_from_them(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5]}, [[1.0] * 31 + [2.0]])
    with pytest.warns(CollapseWarning):
        assert table(ds, "perplexity")["collapsed"].tolist() == [1]


def test_normal_chips_hardly_ever_look_collapsed() -> None:
    random = np.random.default_rng(3)
    for chips in (8, 16, 64):
        values = random.standard_normal((20_000, chips))
        ds = xr.Dataset(
            {"loss": (("point", "trial"), values), "status": (("point", "trial"), np.ones(values.shape))},
            {"bits": ("point", np.arange(20_000))},
        )
        found = np.count_nonzero(summary(ds, "loss")["collapsed"])
        assert found < 20_000 * 1e-3, chips


@pytest.mark.parametrize("q", [0.0, 1.0, 5, math.nan, "half"])
def test_quantiles_outside_0_and_1_are_refused(grid: xr.Dataset, q: Any) -> None:
    with pytest.raises(InputError, match=r"^quantile .*: allowed are values between 0 and 1, such as 0.05$"):
        quantile(grid, "perplexity", q)


def test_a_yield_without_a_limit_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(
        InputError, match=r"^yield of perplexity: no limit is given; allowed: at_most=, at_least=, or both$"
    ):
        yield_(grid, "perplexity")


def test_no_quantile_at_all_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"^no quantile is asked for; allowed: one or more, between 0 and 1$"):
        quantile(grid, "perplexity", [])


@pytest.mark.parametrize("limit", [math.nan, "low"])
def test_what_is_no_limit_is_refused(grid: xr.Dataset, limit: Any) -> None:
    with pytest.raises(InputError, match=rf"at_most = {limit!r}; allowed: a number or a DataArray of numbers$"):
        yield_(grid, "perplexity", at_most=limit)


def test_limits_that_no_result_can_meet_are_refused(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"at_most = 2 is below at_least = 3; allowed: up to at_most$"):
        yield_(grid, "perplexity", at_most=2, at_least=3)


def test_a_study_without_cases_is_refused(grid: xr.Dataset) -> None:
    for empty in (grid.isel(trial=slice(0)), grid.isel(adc_bits=slice(0))):
        with pytest.raises(InputError, match=r"^this study has no cases yet; need at least one point and one chip$"):
            summary(empty, "perplexity")


def test_a_study_whose_cases_are_all_pending_has_counts_and_no_numbers(grid: xr.Dataset) -> None:
    pending = grid.assign(status=0 * grid["status"], perplexity=grid["perplexity"] * np.nan)
    assert (summary(pending, "perplexity")["missing"] == 16).all()
    assert quantile(pending, "perplexity", 0.5)["value"].isnull().all()
    assert yield_(pending, "perplexity", at_most=3)["ci_low"].isnull().all()
