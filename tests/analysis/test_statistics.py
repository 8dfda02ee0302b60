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
from hypothesis.extra.numpy import arrays

from cimstudy.analysis.dataset import metrics, own_dims, swept
from cimstudy.analysis.statistics import COUNTS, STATISTICS, describe, summary, table
from cimstudy.errors import InputError

BASICS = ("mean", "std", "ci_low", "ci_high", "q05", "median", "q95", "worst")
chips = arrays(float, st.integers(2, 12), elements=st.floats(-1e6, 1e6))
better = st.sampled_from([None, "lower", "higher"])


def statistics_of(
    values: Any, done: Any = None, confidence: float = 0.95, better: str | None = None, reference: float | None = None
) -> Any:
    values = np.asarray(values, dtype=float)
    done = np.ones(values.shape, dtype=bool) if done is None else np.asarray(done, dtype=bool)
    found = describe(values, done, confidence=confidence, better=better, reference=reference)
    return dict(zip((*STATISTICS, "collapsed"), np.moveaxis(found, -1, 0), strict=True))


def basics_of(*arguments: Any, **settings: Any) -> Any:
    """Those without intervals of quantiles."""
    found = statistics_of(*arguments, **settings)
    return {name: found[name] for name in BASICS}


def test_four_chips_have_the_statistics_of_the_closed_forms() -> None:
    found = basics_of([2.0, 4.0, 6.0, 12.0], better="lower")
    std = math.sqrt((16 + 4 + 0 + 36) / 3)
    half = 3.1824463052837 * std / 2  # t(3) at 0.975, from a table
    expected = {"mean": 6, "std": std, "ci_low": 6 - half, "ci_high": 6 + half, "q05": 2.3, "median": 5, "q95": 11.1}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected | {"worst": 12})


@given(chips, st.floats(0.5, 0.999))
def test_statistics_agree_with_numpy_and_scipy(values: Any, confidence: float) -> None:
    found = basics_of(values, confidence=confidence)
    scale = max(1.0, np.abs(values).max())
    mean, std = values.mean(), values.std(ddof=1)
    half = scipy.stats.t.ppf((1 + confidence) / 2, values.size - 1) * std / math.sqrt(values.size)
    expected = [mean, std, mean - half, mean + half, *np.quantile(values, [0.05, 0.5, 0.95])]
    np.testing.assert_allclose(list(found.values())[:7], expected, rtol=1e-9, atol=1e-12 * scale * 1e3)


@given(chips, better, st.randoms(use_true_random=False))
def test_the_order_of_chips_changes_nothing(values: Any, better: str | None, random: Any) -> None:
    shuffled = random.sample(list(values), values.size)
    before, after = basics_of(values, better=better), basics_of(shuffled, better=better)
    assert {name: before[name] for name in ("q05", "median", "q95", "worst")} == {
        name: after[name] for name in ("q05", "median", "q95", "worst")
    }
    scale = max(1.0, np.abs(values).max())
    np.testing.assert_allclose(list(after.values()), list(before.values()), rtol=1e-9, atol=1e-12 * scale * 1e3)


@given(chips, better, st.data())
def test_cases_that_are_not_done_change_no_statistic(values: Any, better: str | None, data: Any) -> None:
    junk = data.draw(arrays(float, st.integers(0, 6), elements=st.floats(allow_nan=True, allow_infinity=True)))
    order = data.draw(st.permutations(range(values.size + junk.size)))
    done = np.r_[np.ones(values.size, bool), np.zeros(junk.size, bool)][order]
    everything = np.r_[values, junk][order]
    alone, among = basics_of(everything[done], better=better), basics_of(everything, done, better=better)
    scale = max(1.0, np.abs(values).max())  # sums over more terms round differently
    np.testing.assert_allclose(list(among.values()), list(alone.values()), rtol=1e-9, atol=1e-12 * scale * 1e3)


@given(st.floats(-1e6, 1e6), st.integers(2, 50))
def test_equal_chips_have_no_spread_at_all(value: float, n: int) -> None:
    found = basics_of(np.full(n, value))
    assert {name: float(at) for name, at in found.items()} == dict.fromkeys(BASICS, value) | {"std": 0.0}


def test_one_chip_has_a_mean_and_no_interval() -> None:
    found = basics_of([7.0])
    assert [float(found[name]) for name in ("mean", "q05", "median", "q95", "worst")] == [7.0] * 5
    assert np.isnan([found[name] for name in ("std", "ci_low", "ci_high")]).all()


@pytest.mark.filterwarnings("error")
def test_no_chip_has_no_statistics_and_no_warning() -> None:
    assert np.isnan(list(basics_of([1.0, 2.0], [False, False]).values())).all()


@pytest.mark.filterwarnings("error")
def test_an_infinite_result_counts() -> None:
    found = basics_of([1.0, 2.0, np.inf], better="lower")
    assert [float(found[name]) for name in ("mean", "median", "worst")] == [np.inf, 2.0, np.inf]
    assert np.isnan(found["std"])


def test_a_result_that_is_no_number_is_never_left_out_in_silence() -> None:
    assert np.isnan(list(basics_of([1.0, 2.0, np.nan]).values())).all()


@pytest.mark.parametrize(
    ("better", "reference", "worst"),
    [("lower", None, 9.0), ("higher", None, 1.0), (None, 8.0, 1.0), (None, 2.0, 9.0), (None, None, 9.0)],
)
def test_the_worst_chip_is_the_one_farthest_on_the_bad_side(
    better: str | None, reference: float | None, worst: float
) -> None:
    assert basics_of([4.0, 1.0, 9.0], better=better, reference=reference)["worst"] == worst


def test_the_interval_covers_the_mean_of_normal_chips_as_often_as_stated() -> None:
    studies, chips_each = 20_000, 8
    values = np.random.default_rng(11).normal(3.0, 2.0, (studies, chips_each))
    for confidence in (0.8, 0.95):
        found = basics_of(values, confidence=confidence)
        covered = np.mean((found["ci_low"] <= 3.0) & (found["ci_high"] >= 3.0))
        assert abs(covered - confidence) < 5 * math.sqrt(confidence * (1 - confidence) / studies)


def test_every_point_of_a_grid_has_the_statistics_of_its_own_done_chips(grid: xr.Dataset) -> None:
    found = summary(grid, "perplexity")
    done = grid["status"].data == 1
    for place in np.ndindex(4, 3):
        values = grid["perplexity"].data[place][done[place]]
        assert float(found["mean"].data[place]) == pytest.approx(values.mean())
        assert float(found["std"].data[place]) == pytest.approx(values.std(ddof=1))
        assert float(found["worst"].data[place]) == values.max()
        assert int(found["n"].data[place]) == values.size
        assert int(found["missing"].data[place]) == 16 - values.size
    assert found["n"].sum() == 12 * 16 - 2


def test_a_grid_and_its_points_have_the_same_statistics(grid: xr.Dataset, flat: xr.Dataset) -> None:
    along, over = summary(flat, "perplexity"), summary(grid, "perplexity")
    for name in (*STATISTICS, *COUNTS):
        np.testing.assert_array_equal(along[name].data, over[name].data.ravel())


def test_a_lazy_store_has_the_statistics_of_the_same_numbers_in_memory(store: Path, flat: xr.Dataset) -> None:
    with xr.open_zarr(store) as lazy:
        found = summary(lazy, "perplexity")
        assert found["mean"].chunks is not None
        assert found["n"].chunks is not None
        xr.testing.assert_allclose(found.compute(), summary(flat, "perplexity"))


def test_a_metric_of_layers_has_statistics_at_each_layer(make: Callable[..., xr.Dataset]) -> None:
    values = np.arange(2 * 5 * 3.0).reshape(2, 5, 3) ** 2
    status = np.ones((2, 5))
    status[1, 4] = 2
    ds = make({"adc_bits": [5, 6]}, values, status)
    found = summary(ds, "perplexity")
    assert own_dims(ds, "perplexity") == ("layer",)
    assert found["mean"].dims == ("point", "layer")
    np.testing.assert_allclose(found["mean"], [values[0].mean(0), values[1, :4].mean(0)])
    assert found["n"].values.tolist() == [5, 4]
    assert table(ds, "perplexity")[["adc_bits", "layer"]].values.tolist() == [
        [5, 0],
        [5, 1],
        [5, 2],
        [6, 0],
        [6, 1],
        [6, 2],
    ]


def test_statistics_keep_the_units_and_say_what_they_are(grid: xr.Dataset) -> None:
    found = summary(grid.assign(perplexity=grid["perplexity"].assign_attrs(units="J")), "perplexity", 0.9)
    assert found["ci_low"].attrs["units"] == "J"
    assert found["std"].attrs["long_name"] == "standard deviation of perplexity over chips"
    assert found["n"].attrs["units"] == "1"
    assert found.attrs == {"metric": "perplexity", "confidence": 0.9}


def test_a_table_has_a_row_for_each_point(grid: xr.Dataset, flat: xr.Dataset) -> None:
    rows = table(grid, "perplexity")
    assert list(rows.columns) == ["programming_std", "adc_bits", *STATISTICS, *COUNTS]
    assert rows.equals(table(flat, "perplexity"))
    assert rows["adc_bits"].tolist() == [5, 6, 8] * 4


def test_a_study_of_one_point_without_axes_has_a_table_of_one_row(make: Callable[..., xr.Dataset]) -> None:
    ds = make({}, [[1.0, 3.0]]).isel(point=0)
    assert swept(ds) == ()
    assert table(ds, "perplexity")["mean"].tolist() == [2.0]


def test_metrics_are_the_variables_over_trials_that_are_no_bookkeeping(grid: xr.Dataset) -> None:
    assert metrics(grid.assign(weights=("layer", [1.0]))) == ("perplexity",)


def test_an_unknown_metric_is_refused_by_naming_the_known_ones(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"^unknown metric 'accuracy'; this study has: perplexity$"):
        summary(grid, "accuracy")


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_a_confidence_that_is_no_probability_is_refused(grid: xr.Dataset, confidence: float) -> None:
    with pytest.raises(InputError, match=r"^confidence .*: allowed are values between 0 and 1, such as 0.95$"):
        summary(grid, "perplexity", confidence)


def test_a_dataset_that_does_not_say_which_cases_are_done_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(
        InputError, match="need a study's dataset with `status` along `trial`, got variables: perplexity"
    ):
        summary(grid[["perplexity"]], "perplexity")


def test_an_axis_named_like_a_statistic_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"axis 'std' has the name of a statistic; rename it: ds.rename\(std=...\)"):
        summary(grid.rename(programming_std="std"), "perplexity")
