"""Statistics over chips: what a study's dataset says about each point, with failed and pending cases left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

from cimstudy.errors import InputError

DONE = 1  # the value of `status` for a case that returned a result
OF_POINTS = ("point", "setting")  # coordinates of points that are no axes
BOOKKEEPING = ("status", "error", "duration")  # of a case, not results of it
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
}
COUNTS = ("n", "missing")


def metrics(ds: xr.Dataset) -> tuple[str, ...]:
    """Names of the results in a study's dataset, in the workload's order where the dataset says it."""
    found = [str(name) for name, values in ds.items() if "trial" in values.dims and name not in BOOKKEEPING]
    return ranked(found, ds.attrs.get("metrics"))


def first_metric(ds: xr.Dataset) -> str:
    """The first result of a study. Raises InputError if it has none."""
    found = metrics(ds)
    if not found:
        raise InputError("this dataset holds no results; need a study's dataset with results along `trial`")
    return found[0]


def swept(ds: xr.Dataset) -> tuple[str, ...]:
    """Names of a study's axes: dimensions if the points are a full grid, else coordinates along `point`."""
    if "point" not in ds.dims:
        return tuple(str(dim) for dim in case_status(ds).dims if dim != "trial")
    found = [str(name) for name, axis in ds.coords.items() if axis.dims == ("point",) and name not in OF_POINTS]
    return ranked(found, ds.attrs.get("axes"))


def ranked(names: Iterable[str], order: Sequence[str] | None) -> tuple[str, ...]:
    """The names as `order` has them, others last: the variables of a store have no order of their own."""
    places = {name: place for place, name in enumerate(order or ())}
    return tuple(sorted(names, key=lambda name: places.get(name, len(places))))


def own_dims(ds: xr.Dataset, metric: str) -> tuple[str, ...]:
    """Dimensions that a metric has beyond those of a case, such as `layer`."""
    cases = case_status(ds).dims
    return tuple(str(dim) for dim in result(ds, metric).dims if dim not in cases)


def summary(ds: xr.Dataset, metric: str, confidence: float = 0.95) -> xr.Dataset:
    """The statistics of one metric over its chips, at every point.

    Variables: mean, std (of a sample: n - 1), ci_low and ci_high (Student's t; NaN for fewer than two chips), q05,
    median, q95, worst, with the dimensions of the metric without `trial`; n and missing, with those of the points.
    Only cases that are done count. A NaN that a case returned is a result: the statistics of its point are NaN.
    Lazy where `ds` is.

    Raises InputError for an unknown metric or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence!r}: allowed are values between 0 and 1, such as 0.95")
    values = one_chunk(result(ds, metric))
    done = one_chunk(case_status(ds) == DONE)
    check_names(ds)
    stacked = xr.apply_ufunc(
        describe,
        values,
        done,
        kwargs={
            "confidence": confidence,
            "better": values.attrs.get("better"),
            "reference": reference_of(values.attrs),
        },
        input_core_dims=[["trial"], ["trial"]],
        output_core_dims=[["statistic"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"statistic": len(STATISTICS)}},
    )
    known = {key: values.attrs[key] for key in ("units", "better", "reference") if key in values.attrs}
    long_name = values.attrs.get("long_name", metric)
    found = {
        name: stacked.isel(statistic=i).assign_attrs(known, long_name=meaning.format(long_name))
        for i, (name, meaning) in enumerate(STATISTICS.items())
    }
    n = done.sum("trial").assign_attrs(long_name="chips counted", units="1")
    missing = (done.sizes["trial"] - n).assign_attrs(long_name="chips left out: failed or pending", units="1")
    return xr.Dataset(found | {"n": n, "missing": missing}, attrs={"metric": metric, "confidence": confidence})


def table(ds: xr.Dataset, metric: str, confidence: float = 0.95) -> pd.DataFrame:
    """`summary` in long form: one row a point, a column for each axis and each statistic."""
    statistics = summary(ds, metric, confidence)
    columns = [*swept(ds), *own_dims(ds, metric), *STATISTICS, *COUNTS]
    if not statistics.dims:
        statistics = statistics.expand_dims("point")
    return statistics.to_dataframe().reset_index()[columns]


def describe(
    values: NDArray[Any], done: NDArray[np.bool_], *, confidence: float, better: str | None, reference: float | None
) -> NDArray[np.float64]:
    """The statistics named in STATISTICS over the last axis, of the cases that are done.

    values, done : (..., trials).  Returns (..., statistics).
    """
    done, values = np.broadcast_arrays(done, values)
    n = done.sum(-1)
    ordered = np.sort(np.where(done, values, np.nan), axis=-1)  # those not done come last
    quantiles = {name: quantile(ordered, n, q) for name, q in QUANTILES.items()}
    mean, std = moments(values, done, quantiles["median"])
    half = stdtrit(np.where(n > 1, n - 1, np.nan), (1 + confidence) / 2) * std / np.sqrt(np.maximum(n, 1))
    with np.errstate(invalid="ignore"):  # an infinite result has a mean and no interval
        interval = {"ci_low": mean - half, "ci_high": mean + half}
    centre = quantiles["median"] if reference is None else np.float64(reference)
    worst = worst_of(ordered[..., 0], quantile(ordered, n, 1.0), centre, better)
    found = {"mean": mean, "std": std, "worst": worst} | interval | quantiles
    stacked = np.stack([found[name] for name in STATISTICS], axis=-1)
    undefined = (done & np.isnan(values)).any(-1)
    return np.where(undefined[..., None], np.nan, stacked)


def moments(
    values: NDArray[Any], done: NDArray[np.bool_], median: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample standard deviation of the cases that are done; NaN where there are too few.

    values, done : (..., trials).  median : (...).  Sums are taken about the median, so equal chips have a spread of
    exactly 0.
    """
    n = done.sum(-1)
    shift = np.where(np.isfinite(median), median, 0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = shift + np.where(done, values - shift[..., None], 0.0).sum(-1) / n
        squares = np.where(done, (values - mean[..., None]) ** 2, 0.0).sum(-1)
        return mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


def quantile(ordered: NDArray[np.float64], n: NDArray[np.int_], q: float) -> NDArray[np.float64]:
    """Linearly interpolated quantile of the first `n` values; NaN where there are none.

    ordered : (..., trials), ascending.  n : (...).
    """
    place = np.maximum(n - 1, 0) * q
    below = np.floor(place).astype(int)
    low = np.take_along_axis(ordered, below[..., None], -1)[..., 0]
    high = np.take_along_axis(ordered, np.ceil(place).astype(int)[..., None], -1)[..., 0]
    part = place - below
    with np.errstate(invalid="ignore"):  # between equal infinities there is nothing to interpolate
        between = low + (high - low) * part
    found: NDArray[np.float64] = np.where((low == high) | (part == 0), low, between)
    return found


def worst_of(
    low: NDArray[np.float64], high: NDArray[np.float64], centre: NDArray[np.float64] | np.float64, better: str | None
) -> NDArray[np.float64]:
    """The worst of the values between `low` and `high`; where no side is better, the one farther from `centre`."""
    if better == "lower":
        return high
    if better == "higher":
        return low
    with np.errstate(invalid="ignore"):
        return np.where(high - centre >= centre - low, high, low)


def reference_of(attrs: Mapping[Any, Any]) -> float | None:
    """What the digital run measured; None if it is not known."""
    value = attrs.get("reference")
    if value is None or np.ndim(value) > 0 or not np.isfinite(value):
        return None
    return float(value)


def result(ds: xr.Dataset, metric: str) -> xr.DataArray:
    """The values of one metric. Raises InputError naming the metrics there are."""
    known = metrics(ds)
    if metric not in known:
        raise InputError(f"unknown metric {metric!r}; this study has: {', '.join(known) or 'none'}")
    return ds[metric]


def case_status(ds: xr.Dataset) -> xr.DataArray:
    """Which cases are done. Raises InputError if the dataset does not say."""
    if "status" not in ds or "trial" not in ds["status"].dims:
        raise InputError(
            f"need a study's dataset with `status` along `trial`, got variables: {', '.join(map(str, ds)) or 'none'}"
        )
    return ds["status"]


def check_names(ds: xr.Dataset) -> None:
    """Refuse axes whose names the statistics need."""
    for name in swept(ds):
        if name in (*STATISTICS, *COUNTS):
            raise InputError(f"axis {name!r} has the name of a statistic; rename it: ds.rename({name}=...)")


def one_chunk(values: xr.DataArray) -> xr.DataArray:
    """`values`, if lazy then with all chips of a point in one chunk, as a sort needs them."""
    return values if values.chunks is None else values.chunk(trial=-1)
