from typing import Any

import numpy as np
import pytest
import xarray as xr

from cimstudy.analysis import knee, summary
from cimstudy.errors import InputError


def priced(grid: xr.Dataset) -> xr.Dataset:
    """With an energy that grows with resolution."""
    return grid.assign(
        energy=xr.DataArray(2.0 ** grid["adc_bits"] + xr.zeros_like(grid["status"])).assign_attrs(units="J")
    )


def test_the_knee_is_the_cheapest_point_that_is_surely_within_the_loss(grid: xr.Dataset) -> None:
    ds = priced(grid)
    found = knee(ds, "perplexity", "energy", 2.0)
    surely = summary(ds, "perplexity")["ci_high"] <= 20 + 2.0
    cheapest = ds["energy"].mean("trial").where(surely).min()
    assert float(found["cost"]) == float(cheapest) == 64
    assert (int(found["adc_bits"]), float(found["programming_std"])) == (6, 0.0)
    assert float(found["loss"]) == pytest.approx(float(found["mean"]) - 20)
    assert float(found["ci_high"]) <= 22
    assert int(found["n"]) == 16


def test_without_a_digital_run_loss_counts_from_the_best_point(grid: xr.Dataset) -> None:
    ds = priced(grid)
    del ds["perplexity"].attrs["reference"]
    found = knee(ds, "perplexity", "energy", 0.5)
    assert int(found["adc_bits"]) == 8
    assert float(found["loss"]) == pytest.approx(0)


def test_a_higher_metric_loses_downwards(grid: xr.Dataset) -> None:
    ds = priced(grid).assign(accuracy=(-grid["perplexity"]).assign_attrs(better="higher", reference=-20.0))
    for loss in (2.0, 10.0):
        one, other = knee(ds, "perplexity", "energy", loss), knee(ds, "accuracy", "energy", loss)
        assert float(one["cost"]) == float(other["cost"])
        assert float(one["loss"]) == pytest.approx(float(other["loss"]))


def test_where_no_point_loses_so_little_the_message_says_how_little_there_is(grid: xr.Dataset) -> None:
    with pytest.raises(
        InputError, match=r"^no point is surely within 0 of perplexity's best; the closest is within 0\.\d+$"
    ):
        knee(priced(grid), "perplexity", "energy", 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("perplexity", "energy", -1), "loss -1: allowed are 0 or more, in the units of perplexity"),
        (("perplexity", "area", 1), "unknown metric 'area'; this study has: perplexity, energy"),
        (("energy", "perplexity", 1), "which energy is better is not known"),
    ],
)
def test_bad_arguments_are_refused(grid: xr.Dataset, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        knee(priced(grid), *arguments)


def test_one_chip_a_point_has_no_interval_and_no_chip_no_result(grid: xr.Dataset) -> None:
    ds = priced(grid)
    with pytest.raises(InputError, match="no point has an interval yet; need two chips or more at a point"):
        knee(ds.isel(trial=[0]), "perplexity", "energy", 1)
    pending = ds.assign(status=0 * ds["status"], perplexity=ds["perplexity"].copy(data=np.full((4, 3, 16), np.nan)))
    with pytest.raises(InputError, match="no chip has a result yet, so there is no knee"):
        knee(pending, "perplexity", "energy", 1)
