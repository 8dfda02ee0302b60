from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cimstudy.analysis import front, pareto, shown
from cimstudy.analysis.pareto import nondominated, resampled
from cimstudy.errors import InputError
from tests.analysis.conftest import point_dataset

# few levels: ties in one metric and in all are common
costs = arrays(float, st.tuples(st.integers(0, 25), st.integers(1, 4)), elements=st.sampled_from([0, 1, 2, 3, np.inf]))


def two_metrics(seed: int, *, points: int = 40, trials: int = 8, spread: float = 0.5) -> xr.Dataset:
    """Points near a front, whose chips share most of their luck; some cases failed or pending."""
    random = np.random.default_rng(seed)
    place = random.uniform(0, 1, points)
    luck = random.standard_normal((2, 1, trials)) + 0.5 * random.standard_normal((2, points, trials))
    quality = (1 - place**2)[:, None] + 0.1 * random.uniform(0, 1, points)[:, None] + spread * luck[0]
    energy = np.round(3 * place)[:, None] + np.zeros(trials)  # the same on every chip, and at many points
    status = np.where(random.uniform(size=(points, trials)) < 0.1, 2, 1).astype("int8")
    status[3] = 0
    case = ("point", "trial")
    metrics = {
        "loss": (case, np.where(status == 1, quality, np.nan), {"better": "lower", "units": "1"}),
        "speed": (case, np.where(status == 1, -energy, np.nan)),
        "status": (case, status),
    }
    return xr.Dataset(metrics, {"place": ("point", place), "trial": np.arange(trials)}, {"axes": ["place"]})


def by_hand(values: Any) -> Any:
    """Which rows no other row beats: pair by pair. Rows with NaN are none."""
    mine, theirs = values[:, None, :], values[None, :, :]
    beats = (theirs <= mine).all(-1) & (theirs < mine).any(-1)
    return ~beats.any(1) & ~np.isnan(values).any(1)


@given(costs)
def test_the_front_is_what_comparing_every_pair_leaves(values: Any) -> None:
    np.testing.assert_array_equal(nondominated(values), by_hand(values))


def test_rows_that_are_no_numbers_are_beaten_and_beat_none() -> None:
    assert nondominated(np.array([[np.nan, 0.0], [1.0, 1.0], [2.0, np.nan]])).tolist() == [False, True, False]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.0, 0.02, 0.5])
def test_probabilities_agree_with_brute_force(seed: int, spread: float) -> None:
    ds = two_metrics(seed, spread=spread)
    found = pareto(ds, {"loss": None, "speed": "higher"}, resamples=200, seed=seed)
    done = ds["status"].data == 1
    times, with_results = np.zeros(40), done.any(1)
    for weights in resampled(8, 200, seed):
        drawn = done * weights
        with np.errstate(invalid="ignore"):
            loss = np.nansum(drawn * ds["loss"].data, 1) / drawn.sum(1)
        times += by_hand(np.stack([loss, -np.nanmax(np.where(done, ds["speed"].data, -9), 1)], -1))
    np.testing.assert_allclose(found["probability"].data[with_results], times[with_results] / 200)
    assert np.isnan(found["probability"].data[~with_results]).all()
    assert not found["front"].data[~with_results].any()


def test_without_spread_a_point_is_on_the_front_or_not() -> None:
    found = pareto(two_metrics(1, spread=0.0), {"loss": "lower", "speed": "higher"}, resamples=50)
    has = found["n"].data > 0
    np.testing.assert_array_equal(found["probability"].data[has], found["front"].data[has])


def test_a_lazy_dataset_has_the_same_front(tmp_path: Any) -> None:
    ds = two_metrics(2)
    lazy = ds.chunk(point=7, trial=3)
    one = pareto(ds, {"loss": "lower", "speed": "higher"}, resamples=100)
    xr.testing.assert_identical(pareto(lazy, {"loss": "lower", "speed": "higher"}, resamples=100), one)


def test_a_grid_has_the_front_of_its_points(grid: xr.Dataset, flat: xr.Dataset) -> None:
    given = {"perplexity": "lower", "bits": "lower"}
    over = pareto(grid.assign(bits=grid["adc_bits"] + 0 * grid["perplexity"]), given)
    along = pareto(flat.assign(bits=flat["adc_bits"] + 0 * flat["perplexity"]), given)
    assert over["front"].dims == ("programming_std", "adc_bits")
    np.testing.assert_array_equal(over["front"].data.ravel(), along["front"].data)
    np.testing.assert_array_equal(over["probability"].data.ravel(), along["probability"].data)
    assert over["front"].sel(programming_std=0.0).all()
    assert not over["front"].sel(programming_std=0.1).any()


def test_means_and_counts_come_with_the_front() -> None:
    ds = two_metrics(3)
    found = pareto(ds, {"loss": "lower", "speed": "higher"}, resamples=1)
    np.testing.assert_allclose(found["speed"], ds["speed"].mean("trial"))
    np.testing.assert_allclose(found["loss"], ds["loss"].mean("trial"))
    np.testing.assert_array_equal(found["n"] + found["missing"], 8)
    assert found["loss"].attrs["long_name"] == "mean of loss"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["loss"], "a front needs two metrics or more, got loss"),
        ("loss", "a front needs two metrics or more, got loss"),
        (["loss", "speed"], 'which speed is better is not known; allowed: {\'speed\': "lower"} or "higher"'),
        ({"loss": "up", "speed": "higher"}, "which loss is better is 'up'; allowed: {'loss': \"lower\"} or \"higher\""),
        (["loss", "accuracy"], "unknown metric 'accuracy'; this study has: loss, speed"),
    ],
)
def test_bad_metrics_are_refused(metrics: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        pareto(two_metrics(0), metrics)
    assert str(caught.value) == message


def test_a_metric_of_layers_is_refused() -> None:
    ds = two_metrics(0)
    with pytest.raises(InputError, match=r"^layered has a value for each layer; choose one: ds.isel\(layer=0\)$"):
        pareto(ds.assign(layered=ds["loss"].expand_dims(layer=3)), {"layered": "lower", "speed": "higher"})


def test_no_resamples_are_refused() -> None:
    with pytest.raises(InputError, match=r"^resamples = 0; allowed: 1 or more$"):
        pareto(two_metrics(0), {"loss": "lower", "speed": "higher"}, resamples=0)


def test_points_at_which_a_metric_is_not_valid_are_on_no_front() -> None:
    ds = point_dataset({"bits": [1, 2, 3]}, [[1.0] * 4, [2.0] * 4, [3.0] * 4])
    ds["energy"] = ds["perplexity"].copy(data=[[3.0] * 4, [1.0] * 4, [2.0] * 4]).assign_attrs(better="lower")
    assert pareto(ds, ["perplexity", "energy"])["front"].values.tolist() == [True, True, False]
    ds["energy"].attrs["ancillary_variables"] = "valid"
    ds["valid"] = ds["perplexity"].copy(data=[[1.0] * 4, [0.0] * 4, [1.0] * 4]).assign_attrs({}, better="higher")
    found = pareto(ds, ["perplexity", "energy"])
    assert found["front"].values.tolist() == [True, False, True]
    assert np.isnan(found["probability"].values).tolist() == [False, True, False]
    assert "valid is 0 at 1 of 3 points" in front(ds, ["perplexity", "energy"]).table.caption
    assert "valid is 0 at 1 of 3 points" in shown(ds, "energy").table.caption
    assert "valid" not in shown(ds, "perplexity").table.caption
