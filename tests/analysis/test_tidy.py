from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from cimstudy.analysis import failures, tidy
from cimstudy.errors import InputError


def test_a_case_is_a_row(grid: xr.Dataset, flat: xr.Dataset) -> None:
    rows = tidy(grid)
    assert list(rows.columns) == ["programming_std", "adc_bits", "trial", "status", "perplexity"]
    assert len(rows) == 12 * 16
    assert rows.equals(tidy(flat, "perplexity"))
    assert rows["status"].value_counts().to_dict() == {"done": 190, "failed": 1, "pending": 1}
    row = rows[(rows["programming_std"] == 0.05) & (rows["adc_bits"] == 6) & (rows["trial"] == 4)]
    assert row["perplexity"].item() == grid["perplexity"].sel(programming_std=0.05, adc_bits=6, trial=4).item()
    assert rows.loc[rows["status"] != "done", "perplexity"].isna().all()


def test_a_lazy_dataset_has_the_same_rows(grid: xr.Dataset) -> None:
    assert tidy(grid.chunk(adc_bits=1)).equals(tidy(grid))


def test_a_metric_of_layers_has_a_row_for_each(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6]}, np.arange(12.0).reshape(2, 2, 3))
    rows = tidy(ds, "perplexity")
    assert list(rows.columns) == ["adc_bits", "trial", "layer", "status", "perplexity"]
    assert rows["perplexity"].tolist() == list(range(12))
    assert list(tidy(ds).columns) == ["adc_bits", "trial", "status"]
    both = ds.assign(loss=ds["perplexity"].isel(layer=0))
    with pytest.raises(InputError, match="metrics with the same axes of their own, got perplexity: layer; loss: none"):
        tidy(both, ["perplexity", "loss"])


def test_failures_are_rows_with_their_tracebacks(grid: xr.Dataset, make: Callable[..., xr.Dataset]) -> None:
    rows = failures(grid.assign(error=grid["error"].where(grid["error"] == "", "ValueError: no\nTraceback: here")))
    assert rows.to_dict("records") == [
        {"programming_std": 0.02, "adc_bits": 5, "trial": 2, "error": "ValueError: no", "traceback": "Traceback: here"}
    ]
    none = failures(make({"adc_bits": [5]}, [[1.0]]))
    assert list(none.columns) == ["adc_bits", "trial", "error", "traceback"]
    assert none.empty
