"""What a study's dataset is: its metrics, its axes, and which of its cases are done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.plan import DONE

NO_RESULTS = {*BOOKKEEPING, "status"}  # variables over cases
OF_POINTS = ("point", "setting")  # coordinates of points that are no axes


def metrics(ds: xr.Dataset) -> tuple[str, ...]:
    """Names of the results in a study's dataset, in the workload's order where the dataset says it."""
    found = [str(name) for name, values in ds.items() if "trial" in values.dims and name not in NO_RESULTS]
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


def validity(ds: xr.Dataset, names: Iterable[str]) -> list[str]:
    """The variables that say where these metrics can be had (CF's `ancillary_variables`), of those there are."""
    said = [flag for name in names for flag in str(ds[name].attrs.get("ancillary_variables", "")).split()]
    return [flag for flag in dict.fromkeys(said) if flag in ds]


def with_status(ds: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """These metrics with what says which of their cases count."""
    return ds[[*dict.fromkeys([*names, *validity(ds, names), "status"])]]


def one_chunk(values: xr.DataArray) -> xr.DataArray:
    """`values`, if lazy then with all chips of a point in one chunk, as a sort needs them."""
    return values if values.chunks is None else values.chunk(trial=-1)


def cases(ds: xr.Dataset, metric: str) -> tuple[xr.DataArray, xr.DataArray]:
    """The values of a metric, and which cases are done; if lazy, with all chips of a point in one chunk.

    Raises InputError for an unknown metric, and for a dataset without cases.
    """
    values, done = result(ds, metric), case_status(ds) == DONE
    if done.size == 0:
        raise InputError("this study has no cases yet; need at least one point and one chip")
    return one_chunk(values), one_chunk(done)


def counts(ds: xr.Dataset, done: xr.DataArray) -> dict[str, xr.DataArray]:
    """How many chips of each point count, and how many of those asked for do not."""
    n = done.sum("trial")
    asked = ds["needed"] if "needed" in ds else done.sizes["trial"]  # of a study with a stopping rule
    missing = (asked - n).clip(min=0)
    return {
        "n": n.assign_attrs(long_name="chips counted", units="1"),
        "missing": missing.assign_attrs(long_name="chips left out: failed or pending", units="1"),
    }


def over_chips(
    function: Callable[..., NDArray[np.float64]], names: Sequence[str], *arrays: xr.DataArray, **settings: Any
) -> dict[str, xr.DataArray]:
    """What `function` makes of the chips of each point, under the names of what it returns. Lazy where the arrays are.

    function : of arrays (..., trials) and the settings.  Returns (..., len(names)).
    """
    stacked = xr.apply_ufunc(
        function,
        *arrays,
        kwargs=settings,
        input_core_dims=[["trial"]] * len(arrays),
        output_core_dims=[["statistic"]],
        dask="parallelized",
        output_dtypes=[float],
        keep_attrs=False,
        dask_gufunc_kwargs={"output_sizes": {"statistic": len(names)}},
    )
    return {name: stacked.isel(statistic=i) for i, name in enumerate(names)}


def rows_of(ds: xr.Dataset, found: xr.Dataset, own: Sequence[str] = ()) -> pd.DataFrame:
    """Statistics of a dataset's points in long form: a column for each axis, for each of `own`, and each statistic."""
    columns = [*swept(ds), *own, *map(str, found.data_vars)]
    dims = found if found.dims else found.expand_dims("point")
    return dims.compute().to_dataframe().reset_index()[columns]  # all columns in one pass over the data


def described(values: xr.DataArray, attrs: Mapping[Any, Any], meaning: str) -> xr.DataArray:
    """`values` with the units of a metric of these attributes, and `meaning` of its name in words."""
    known = {key: attrs[key] for key in ("units", "better", "reference") if key in attrs}
    return values.assign_attrs(known, long_name=meaning.format(attrs.get("long_name", "the metric")))


def check_plain(ds: xr.Dataset, metric: str) -> None:
    """Refuse a metric with axes of its own, such as `layer`."""
    if own := own_dims(ds, metric):
        raise InputError(f"{metric} has a value for each {' and '.join(own)}; choose one: ds.isel({own[0]}=0)")


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is no probability."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence!r}: allowed are values between 0 and 1, such as 0.95")


def at_places(values: xr.DataArray, places: NDArray[np.intp]) -> NDArray[Any]:
    """The chips of some points, by their places in C order: (places, trials)."""
    found = at_points(values.to_dataset(name="values"), places, values)["values"]
    return found.transpose("place", "trial").to_numpy()


def at_points(ds: xr.Dataset, places: NDArray[np.intp], like: xr.DataArray) -> xr.Dataset:
    """Some points of a dataset, by their places in C order of the dimensions of `like`, along `place`."""
    sizes = {dim: size for dim, size in like.sizes.items() if dim != "trial"}
    if not sizes:
        return ds.expand_dims("place")
    where = np.unravel_index(places, tuple(sizes.values()))
    return ds.isel({dim: xr.DataArray(place, dims="place") for dim, place in zip(sizes, where, strict=True)})
