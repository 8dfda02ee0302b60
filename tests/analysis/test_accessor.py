import inspect
from pathlib import Path

import pytest
import xarray as xr

from cimstudy import analysis
from cimstudy.analysis.accessor import Accessor, Plots
from cimstudy.analysis.method import Method

METHODS = [
    (holder, name) for holder in (Accessor, Plots) for name, value in vars(holder).items() if isinstance(value, Method)
]


def test_the_accessor_says_what_the_functions_say(grid: xr.Dataset) -> None:
    assert grid.cim.metrics == analysis.metrics(grid) == ("perplexity",)
    xr.testing.assert_identical(grid.cim.summary("perplexity", 0.9), analysis.summary(grid, "perplexity", 0.9))
    assert grid.cim.table("perplexity").equals(analysis.table(grid, "perplexity"))


@pytest.mark.parametrize(("holder", "name"), METHODS, ids=str)
def test_a_method_is_the_function_of_its_name_without_the_dataset(
    grid: xr.Dataset, holder: type[Accessor | Plots], name: str
) -> None:
    function = getattr(analysis.plots if holder is Plots else analysis, name)
    bound = getattr(holder(grid), name)
    assert getattr(holder, name) is function
    assert bound.__doc__ == function.__doc__
    assert ["ds", *inspect.signature(bound).parameters] == [*inspect.signature(function).parameters]


def test_the_accessor_draws_what_the_function_draws(grid: xr.Dataset) -> None:
    by_accessor = grid.cim.plot.line("perplexity", hue="programming_std", select={"programming_std": [0.02, 0.1]})
    by_function = analysis.plots.line(
        grid, "perplexity", hue="programming_std", select={"programming_std": [0.02, 0.1]}
    )
    drawn = [[line.get_xydata().tolist() for line in ax.get_lines()] for ax in (by_accessor, by_function)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 3  # two lines and the reference


def test_a_plain_zarr_dataset_has_the_accessor(store: Path, grid: xr.Dataset) -> None:
    with xr.open_zarr(store) as ds:
        assert ds.cim.metrics == ("perplexity",)
        assert (
            ds.cim.summary("perplexity")["n"].compute().values.tolist()
            == grid.cim.summary("perplexity")["n"].values.ravel().tolist()
        )
        assert len(ds.cim.plot.line("perplexity").get_lines()) == 4
