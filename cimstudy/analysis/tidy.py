"""Cases as rows: what a study's dataset holds, for whoever thinks in tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import case_status, metrics, own_dims, result, swept
from cimstudy.errors import InputError
from cimstudy.study.plan import FAILED

STATES = ("pending", "done", "failed")  # what the values of `status` mean


def tidy(ds: xr.Dataset, names: str | Sequence[str] | None = None) -> pd.DataFrame:
    """One row a case: a column for each axis, `trial`, `status`, and one for each metric; NaN where it is not done.

    names : of metrics; default: all that have one value a case. Metrics that share axes of their own, such as `layer`,
    give a row for each value along those.
    Raises InputError for unknown metrics, and for metrics that do not share their axes.
    """
    chosen = [names] if isinstance(names, str) else list(names or plain_metrics(ds))
    own = {own_dims(ds, name) for name in chosen}
    if len(own) > 1:
        axes = "; ".join(f"{name}: {', '.join(own_dims(ds, name)) or 'none'}" for name in chosen)
        raise InputError(f"one table needs metrics with the same axes of their own, got {axes}")
    dims = [*case_status(ds).dims, *(next(iter(own)) if own else ())]
    columns = xr.Dataset({name: result(ds, name) for name in chosen} | {"status": case_status(ds)})
    rows = columns.to_dataframe(dim_order=[str(dim) for dim in dims]).reset_index()
    rows["status"] = pd.Categorical.from_codes(rows["status"].to_numpy(np.int8), pd.Index(STATES))
    return rows[[*swept(ds), "trial", *(next(iter(own)) if own else ()), "status", *chosen]]


def plain_metrics(ds: xr.Dataset) -> tuple[str, ...]:
    """The metrics with one value a case."""
    return tuple(name for name in metrics(ds) if not own_dims(ds, name))


def failures(ds: xr.Dataset) -> pd.DataFrame:
    """The failed cases, one row each: a column for each axis, `trial`, `error` (one line) and `traceback`."""
    status = case_status(ds)
    places = np.nonzero((status == FAILED).to_numpy())
    chosen = {dim: xr.DataArray(place, dims="case") for dim, place in zip(status.dims, places, strict=True)}
    failed = ds[["error"]].isel(chosen).compute()
    texts = [str(text).partition("\n") for text in failed["error"].to_numpy()]
    columns = {name: failed[name].to_numpy() for name in (*swept(ds), "trial")}
    return pd.DataFrame(columns | {"error": [text[0] for text in texts], "traceback": [text[2] for text in texts]})
