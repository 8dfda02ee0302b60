import numpy as np
import pytest
import xarray as xr

from cimstudy.analysis import two_level
from cimstudy.errors import InputError


def dataset(values: np.ndarray, status: np.ndarray | None = None) -> xr.Dataset:
    """values : (points, chips, items)."""
    points, chips, _ = values.shape
    done = np.ones((points, chips), np.int8) if status is None else status
    return xr.Dataset(
        {
            "nll": (("point", "trial", "sequence"), values, {"units": "nat", "long_name": "surprise"}),
            "status": (("point", "trial"), done),
        }
    )


def test_a_table_of_sums_has_the_spreads_it_was_made_of() -> None:
    """Without a rest the components are exact: the variances of the chips' and the items' parts."""
    rng = np.random.default_rng(0)
    chip, item = rng.normal(0, 2, (1, 7, 1)), rng.normal(0, 5, (1, 1, 9))
    found = two_level(dataset(3 + chip + item), "nll").squeeze()
    assert float(found["chip_std"]) == pytest.approx(chip.std(ddof=1))
    assert float(found["item_std"]) == pytest.approx(item.std(ddof=1))
    assert float(found["rest_std"]) == pytest.approx(0, abs=1e-7)
    assert float(found["error"]) == pytest.approx(np.sqrt(chip.var(ddof=1) / 7 + item.var(ddof=1) / 9))
    assert found["chip_std"].attrs["units"] == "nat"


def test_components_are_unbiased() -> None:
    """Over many tables the squares average to the true variances, within five standard errors."""
    rng = np.random.default_rng(1)
    tables, chips, items = 4000, 5, 6
    chip, item = rng.normal(0, 1.0, (tables, chips, 1)), rng.normal(0, 2.0, (tables, 1, items))
    values = chip + item + rng.normal(0, 0.5, (tables, chips, items))
    found = two_level(dataset(values), "nll")
    for name, variance in {"chip_std": 1.0, "item_std": 4.0, "rest_std": 0.25}.items():
        squares = found[name].to_numpy() ** 2
        assert abs(squares.mean() - variance) < 5 * squares.std() / np.sqrt(tables)
    errors = found["error"].to_numpy() ** 2
    means = found["mean"].to_numpy()
    assert abs(errors.mean() - means.var()) < 5 * (errors.std() + means.var() * np.sqrt(2)) / np.sqrt(tables)


def test_only_cases_that_are_done_count() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 6, 4))
    status = np.ones((2, 6), np.int8)
    status[0, 4:] = 2
    broken = values.copy()
    broken[0, 4:] = np.nan
    found, alone = two_level(dataset(broken, status), "nll"), two_level(dataset(values[:1, :4]), "nll")
    for name in alone:
        np.testing.assert_allclose(found[name].isel(point=0), alone[name].isel(point=0))
    lazy = two_level(dataset(broken, status).chunk(point=1), "nll")
    assert lazy["error"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), found)


def test_one_chip_says_nothing_about_chips() -> None:
    found = two_level(dataset(np.arange(4.0).reshape(1, 1, 4)), "nll")
    assert np.isnan(found["chip_std"]).all()
    assert float(found["mean"].squeeze()) == 1.5


def test_a_metric_without_items_is_refused() -> None:
    ds = dataset(np.zeros((1, 2, 3))).assign(total=(("point", "trial"), np.zeros((1, 2))))
    with pytest.raises(InputError, match=r"total has the axes \(\) beside points and chips; allowed: one"):
        two_level(ds, "total")
