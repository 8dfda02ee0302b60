"""Yield: the share of chips that meet a specification."""

import numpy as np
import xarray as xr

from cimstudy.analysis.dataset import cases, check_confidence, counts
from cimstudy.analysis.intervals import of_share
from cimstudy.errors import InputError

Limit = float | xr.DataArray


def yield_(
    ds: xr.Dataset,
    metric: str,
    *,
    at_most: Limit | None = None,
    at_least: Limit | None = None,
    confidence: float = 0.95,
) -> xr.Dataset:
    """The share of chips whose metric is at most or at least a limit, or between two, at every point.

    A limit is a number, or a DataArray: one for each point, or with a dimension of its own for a yield curve.
    Variables: share, with its Clopper-Pearson interval ci_low and ci_high; met: how many chips; n and missing. A result
    that is no number meets no limit. Lazy where `ds` is.

    Raises InputError for an unknown metric, no limit or limits that no result can meet, a confidence outside (0, 1), or
    a dataset without cases.
    """
    check_confidence(confidence)
    if at_most is None and at_least is None:
        raise InputError(f"yield of {metric}: no limit is given; allowed: at_most=, at_least=, or both")
    check_limits(metric, at_most, at_least)
    values, done = cases(ds, metric)
    good = done & (values == values)  # noqa: PLR0124 - false for what is no number
    good = good if at_most is None else good & (values <= at_most)
    good = good if at_least is None else good & (values >= at_least)
    met, number = good.sum("trial"), counts(ds, done)
    low, high = xr.apply_ufunc(
        of_share,
        met,
        number["n"],
        kwargs={"confidence": confidence},
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[float, float],
    )
    limits = " and ".join(
        f"at {word} {limit:g}" if isinstance(limit, int | float) else f"at {word} a limit"
        for word, limit in (("most", at_most), ("least", at_least))
        if limit is not None
    )
    what = f"chips with {values.attrs.get('long_name', metric)} {limits}"
    found = {
        "share": (met / number["n"].where(number["n"] > 0)).assign_attrs(long_name=f"share of {what}", units="1"),
        "ci_low": low.assign_attrs(long_name=f"lower end of the interval of the share of {what}", units="1"),
        "ci_high": high.assign_attrs(long_name=f"upper end of the interval of the share of {what}", units="1"),
        "met": met.assign_attrs(long_name=what, units="1"),
    }
    return xr.Dataset(found | number, attrs={"metric": metric, "confidence": confidence})


def check_limits(metric: str, at_most: Limit | None, at_least: Limit | None) -> None:
    """Refuse what is no limit, and limits that exclude each other."""
    for name, limit in (("at_most", at_most), ("at_least", at_least)):
        number = isinstance(limit, int | float | np.number) and limit == limit  # noqa: PLR0124 - false for NaN
        if limit is not None and not number and not isinstance(limit, xr.DataArray):
            raise InputError(f"yield of {metric}: {name} = {limit!r}; allowed: a number or a DataArray of numbers")
    if isinstance(at_most, int | float) and isinstance(at_least, int | float) and at_most < at_least:
        raise InputError(
            f"yield of {metric}: at_most = {at_most:g} is below at_least = {at_least:g}; allowed: up to at_most"
        )
