"""Statistics over chips: what a study's dataset says about each point, with failed and pending cases left out."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis import chips, intervals
from cimstudy.analysis.dataset import (
    cases,
    check_confidence,
    counts,
    described,
    over_chips,
    own_dims,
    reference_of,
    rows_of,
    swept,
)
from cimstudy.analysis.yields import Limit, yield_
from cimstudy.errors import InputError

QUANTILES = {"q05": 0.05, "median": 0.5, "q95": 0.95}
STATISTICS = {
    "mean": "mean of {}",
    "std": "standard deviation of {} over chips",
    "ci_low": "lower end of the interval of the mean of {}",
    "ci_high": "upper end of the interval of the mean of {}",
    "q05": "5 % quantile of {} over chips",
    "median": "median of {} over chips",
    "q95": "95 % quantile of {} over chips",
    "worst": "{} of the worst chip",
    "q05_low": "lower end of the interval of the 5 % quantile of {}",
    "q05_high": "upper end of the interval of the 5 % quantile of {}",
    "median_low": "lower end of the interval of the median of {}",
    "median_high": "upper end of the interval of the median of {}",
    "q95_low": "lower end of the interval of the 95 % quantile of {}",
    "q95_high": "upper end of the interval of the 95 % quantile of {}",
}
COUNTS = ("collapsed", "n", "missing")
RARE = 1e-3  # share of points with collapsed chips that chance alone may give


class CollapseWarning(UserWarning):
    """Some chips are far worse than the rest, and a mean hides them."""


def summary(
    ds: xr.Dataset,
    metric: str,
    confidence: float = 0.95,
    *,
    at_most: Limit | None = None,
    at_least: Limit | None = None,
) -> xr.Dataset:
    """The statistics of one metric over its chips, at every point.

    Variables: mean, std (of a sample: n - 1), ci_low and ci_high (Student's t; NaN for fewer than two chips); q05,
    median, q95, each with the ends `_low` and `_high` of its interval (order statistics; infinite where there are too
    few chips for an end); worst; collapsed: how many chips are far worse than the rest. They have the dimensions of the
    metric without `trial`; n and missing those of the points. With a limit also share, share_low and share_high: the
    share of chips that meet it, as `yield_` gives it.
    Only cases that are done count. A NaN that a case returned is a result: the statistics of its point are NaN.
    Lazy where `ds` is; where it is in memory, a CollapseWarning says that a mean hides collapsed chips.

    Raises InputError for an unknown metric, a confidence outside (0, 1), or a dataset without cases.
    """
    found = summarised(ds, metric, confidence)
    if found["collapsed"].chunks is None:
        warn_of_collapse(metric, found["collapsed"].to_numpy())
    if at_most is None and at_least is None:
        return found
    met = yield_(ds, metric, at_most=at_most, at_least=at_least, confidence=confidence)
    return found.assign(share=met["share"], share_low=met["ci_low"], share_high=met["ci_high"])


def summarised(ds: xr.Dataset, metric: str, confidence: float) -> xr.Dataset:
    """`summary`, without a warning."""
    check_confidence(confidence)
    values, done = cases(ds, metric)
    check_names(ds)
    attrs = {"long_name": metric} | values.attrs
    settings = {"confidence": confidence, "better": attrs.get("better"), "reference": reference_of(attrs)}
    found = over_chips(describe, (*STATISTICS, "collapsed"), values, done, **settings)
    count = found["collapsed"].astype(int).assign_attrs(long_name="chips far worse than the rest", units="1")
    labelled = {name: described(found[name], attrs, meaning) for name, meaning in STATISTICS.items()}
    return xr.Dataset(
        labelled | {"collapsed": count} | counts(ds, done), attrs={"metric": metric, "confidence": confidence}
    )


def table(ds: xr.Dataset, metric: str, confidence: float = 0.95) -> pd.DataFrame:
    """`summary` in long form: one row a point, a column for each axis and each statistic."""
    rows = rows_of(ds, summarised(ds, metric, confidence), own_dims(ds, metric))
    warn_of_collapse(metric, rows["collapsed"].to_numpy())
    return rows


def describe(
    values: NDArray[Any], done: NDArray[np.bool_], *, confidence: float, better: str | None, reference: float | None
) -> NDArray[np.float64]:
    """The statistics named in STATISTICS over the last axis, of the cases that are done, and the collapsed chips.

    values, done : (..., trials).  Returns (..., statistics).
    """
    done, values = np.broadcast_arrays(done, values)
    n, ordered = done.sum(-1), chips.ranked(values, done)
    found = {name: chips.interpolated(ordered, n, q) for name, q in QUANTILES.items()}
    for name, q in QUANTILES.items():
        found[f"{name}_low"], found[f"{name}_high"] = intervals.of_quantile(ordered, n, q, confidence)
    found["mean"], found["std"] = chips.moments(values, done, found["median"])
    found["ci_low"], found["ci_high"] = intervals.of_mean(found["mean"], found["std"], n, confidence)
    centre = found["median"] if reference is None else np.float64(reference)
    found["worst"] = chips.worst_of(ordered[..., 0], chips.interpolated(ordered, n, 1.0), centre, better)
    undefined = (done & np.isnan(values)).any(-1)[..., None]
    stacked = np.where(undefined, np.nan, np.stack([found[name] for name in STATISTICS], axis=-1))
    return np.concatenate([stacked, chips.collapsed(values, done, found["median"], better)[..., None]], axis=-1)


def warn_of_collapse(metric: str, collapsed: NDArray[np.int_]) -> None:
    """Warn of chips far worse than the rest, at more points than chance gives."""
    if is_collapse(collapsed):
        warnings.warn(collapse(metric, collapsed), CollapseWarning, stacklevel=3)


def is_collapse(collapsed: NDArray[np.int_]) -> bool:
    """Whether more points have chips far worse than the rest than chance gives."""
    return bool(np.count_nonzero(collapsed) > RARE * collapsed.size)


def collapse(metric: str, collapsed: NDArray[np.int_]) -> str:
    """What to say of chips far worse than the rest."""
    return (
        f"{metric}: {collapsed.sum()} chips at {np.count_nonzero(collapsed)} of {collapsed.size} points are far worse "
        "than the rest, and the mean hides them; look at the worst chip, at quantiles and at the yield"
    )


def check_names(ds: xr.Dataset) -> None:
    """Refuse axes whose names the statistics need."""
    for name in swept(ds):
        if name in (*STATISTICS, *COUNTS):
            raise InputError(f"axis {name!r} has the name of a statistic; rename it: ds.rename({name}=...)")
