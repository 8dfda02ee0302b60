from pathlib import Path

import xarray as xr

from cimstudy import analysis


def test_the_accessor_says_what_the_functions_say(grid: xr.Dataset) -> None:
    assert grid.cim.metrics == analysis.metrics(grid) == ("perplexity",)
    xr.testing.assert_identical(grid.cim.summary("perplexity", 0.9), analysis.summary(grid, "perplexity", 0.9))
    assert grid.cim.table("perplexity").equals(analysis.table(grid, "perplexity"))


def test_the_accessor_draws_what_the_function_draws(grid: xr.Dataset) -> None:
    by_accessor = grid.cim.plot.line("perplexity", hue="programming_std", select={"programming_std": [0.02, 0.1]})
    by_function = analysis.line(grid, "perplexity", hue="programming_std", select={"programming_std": [0.02, 0.1]})
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
