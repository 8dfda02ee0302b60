"""Quantiles over chips, with intervals that hold for any law."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis import chips, intervals
from cimstudy.analysis.dataset import cases, check_confidence, counts, described, over_chips
from cimstudy.errors import InputError

MEANINGS = {
    "value": "quantile of {} over chips",
    "ci_low": "lower end of the interval of the quantile of {}",
    "ci_high": "upper end of the interval of the quantile of {}",
}


def quantile(ds: xr.Dataset, metric: str, q: float | Sequence[float] = 0.5, confidence: float = 0.95) -> xr.Dataset:
    """Quantiles of one metric over its chips, at every point.

    Variables: value, with its interval ci_low and ci_high between order statistics (infinite where there are too few
    chips for an end), along `quantile` if several are asked for; n and missing. Lazy where `ds` is.

    Raises InputError for an unknown metric, a quantile or a confidence outside (0, 1), or a dataset without cases.
    """
    check_confidence(confidence)
    asked: list[Any] = np.atleast_1d(np.asarray(q, object)).tolist()
    if not asked:
        raise InputError("no quantile is asked for; allowed: one or more, between 0 and 1")
    for share in asked:
        if not isinstance(share, int | float | np.number) or not 0 < share < 1:
            raise InputError(f"quantile {share!r}: allowed are values between 0 and 1, such as 0.05")
    values, done = cases(ds, metric)
    attrs = {"long_name": metric} | values.attrs
    each = [
        xr.Dataset(over_chips(quantile_of, tuple(MEANINGS), values, done, q=share, confidence=confidence))
        for share in asked
    ]
    found = xr.concat(each, pd.Index(asked, name="quantile"))
    found = found.isel(quantile=0) if np.ndim(q) == 0 else found
    labelled = {name: described(found[name], attrs, meaning) for name, meaning in MEANINGS.items()}
    return xr.Dataset(labelled | counts(ds, done), attrs={"metric": metric, "confidence": confidence})


def quantile_of(values: NDArray[Any], done: NDArray[np.bool_], *, q: float, confidence: float) -> NDArray[np.float64]:
    """A quantile and its interval over the last axis, of the cases that are done.

    values, done : (..., trials).  Returns (..., 3).
    """
    done, values = np.broadcast_arrays(done, values)
    n, ordered = done.sum(-1), chips.ranked(values, done)
    found = np.stack([chips.interpolated(ordered, n, q), *intervals.of_quantile(ordered, n, q, confidence)], axis=-1)
    return np.where((done & np.isnan(values)).any(-1)[..., None], np.nan, found)
