"""Results of a store: a lazy dataset, N-dimensional where the points are a grid; and what is done and what failed."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cimstudy.study import store as stores
from cimstudy.study.axis import label
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.notes import Note, notes
from cimstudy.study.place import location, opened
from cimstudy.study.plan import DONE, FAILED, PENDING, asked
from cimstudy.study.stopping import judge
from cimstudy.study.store import CASE
from cimstudy.study.verdict import bounds_of, stored_trials, trials_of, verdict


def open_results(store: str | Path) -> xr.Dataset:
    """The results of a study, read when they are used.

    If the study's space is a `Grid` and the store's points are a full one: one dimension for each axis, in the study's
    order, then `trial`. Otherwise along `point`, with a coordinate for each axis.
    Raises InputError if there is no such store.
    """
    place = location(store)
    group = stores.open_group(place)
    data = xr.open_zarr(group.store, consolidated=True, chunks={}, zarr_format=3)
    data = data[[*data.attrs["metrics"], *reversed(BOOKKEEPING)]]
    data["error"] = data["error"].astype(object)  # xarray's `where` and `concat` fail on NumPy's variable-length text
    with dask.config.set(scheduler="synchronous"):  # coordinates are small: no cluster is asked for them
        data = data.assign_coords(data.coords.to_dataset().load().coords)
        return gridded(data.assign(decisions(data)))


def decisions(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """What the study's stopping rule says of each point, worked out when it is used; nothing if it has none."""
    rule = trials_of(json.loads(data.attrs["study"]))
    if isinstance(rule, int):
        return {}
    whole = data[["status", *rule.targets]].isel(trial=slice(rule.max)).chunk(trial=-1)
    bounds = {name: bounds_of(rule, name, data[name].attrs) for name in rule.targets}

    def judged(status: NDArray[np.int8], *values: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        named = {name: np.moveaxis(array, -1, 1) for name, array in zip(rule.targets, values, strict=True)}
        found = judge(rule, status, named, bounds)
        return found.needed, found.capped

    needed, capped = xr.apply_ufunc(
        judged,
        *(whole[name].transpose("point", ..., "trial") for name in whole),
        input_core_dims=[[*(dim for dim in whole[name].dims if dim not in CASE), "trial"] for name in whole],
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[int, bool],
    )
    needed = needed.assign_attrs(long_name="chips that the stopping rule asks for", units="1")
    capped = capped.assign_attrs(long_name="whether the most chips were not enough for the interval asked for")
    return {"needed": needed, "capped": capped}


def gridded(data: xr.Dataset) -> xr.Dataset:
    """The dataset with the axes as dimensions if its points are a full grid of them; else as it is."""
    space = json.loads(data.attrs["study"])["space"]
    if space["kind"] != "grid":
        return data
    order_of = ordered_axes(data, space["axes"])
    columns = [data[name].to_numpy() for name in order_of]
    levels = {name: levels_of(column, order_of[name]) for name, column in zip(order_of, columns, strict=True)}
    order = grid_order(columns, list(levels.values()), data.sizes["point"])
    if order is None:
        return data
    kept = [str(name) for name in data.variables if name not in levels and name != "setting"]
    variables = {name: spread(data.variables[name], levels, order) for name in kept}
    variables |= {name: xr.Variable((name,), values, data[name].attrs) for name, values in levels.items()}
    return xr.Dataset(variables, attrs=data.attrs).set_coords("trial")


def ordered_axes(data: xr.Dataset, axes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The axes' names and the labels that the study gives their values: in its order, earlier studies' axes last."""
    names = {data[name].attrs["path"]: name for name in data.attrs["axes"]}
    now = {axis["path"]: axis["values"] for axis in axes}
    found = {names[path]: [label(value) for value in values] for path, values in now.items()}
    return found | {name: [] for name in names.values() if name not in found}


def levels_of(values: NDArray[Any], order: Sequence[Any]) -> NDArray[Any]:
    """The distinct values of an axis: first those in `order`, in that order, then others as they come."""
    distinct = values[np.sort(np.unique(values, return_index=True)[1])]
    places: dict[Any, int] = {}
    for place, value in enumerate(order):
        places |= {value: place, str(value): place}  # values of mixed kinds are text in the coordinate
    ranks = [places.get(value, len(order)) for value in distinct.tolist()]
    return distinct[np.argsort(ranks, kind="stable")]


def grid_order(columns: Sequence[NDArray[Any]], levels: Sequence[NDArray[Any]], points: int) -> NDArray[np.intp] | None:
    """The rows in the order of a full grid over `levels`, last axis fastest; None if the rows are no such grid."""
    if math.prod(map(len, levels)) != points:
        return None
    place = np.zeros(points, np.intp)
    for column, values in zip(columns, levels, strict=True):
        ranks = np.argsort(values, kind="stable")
        place = place * len(values) + ranks[np.searchsorted(values, column, sorter=ranks)]
    order = np.argsort(place)
    return order if np.array_equal(place[order], np.arange(points)) else None


def spread(variable: xr.Variable, levels: Mapping[str, NDArray[Any]], order: NDArray[np.intp]) -> xr.Variable:
    """A variable along `point` as one over the axes; others as they are."""
    if variable.dims[:1] != ("point",):
        return variable
    ordered = variable if np.array_equal(order, np.arange(len(order))) else variable.isel(point=order)
    shape = tuple(map(len, levels.values()))
    values = ordered.data.reshape((*shape, *ordered.shape[1:]))
    return xr.Variable((*levels, *ordered.dims[1:]), values, variable.attrs)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed case."""

    point: Mapping[str, Any]  # coordinate values by dimension
    trial: int
    error: str  # type and message, one line
    traceback: str

    @property
    def kind(self) -> str:
        """The exception's type."""
        return self.error.partition(":")[0]

    def as_json(self) -> dict[str, Any]:
        """Everything about it, as JSON can hold it."""
        return {"point": dict(self.point), "trial": self.trial, "type": self.kind, "error": self.error} | {
            "traceback": self.traceback
        }


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    """How far a store is."""

    name: str
    points: int
    trials: int
    cases: int  # asked for
    done: int
    failed: int
    pending: int
    capped: int  # points whose intervals are wider than asked for after the most chips there may be
    failures: tuple[Failure, ...]
    runners: tuple[Note, ...]  # that are at work on it


def store_status(store: str | Path) -> StoreStatus:
    """What is done in a store, what failed and why. Raises InputError if there is no such store."""
    place = location(store)
    group = stores.open_group(place)
    status = stores.read_status(group)
    rule = stored_trials(group)
    found = verdict(group, status.shape[1] if isinstance(rule, int) else rule)  # all there is, of a plain number
    mine = asked(found.needed, (0, status.shape[1])) | (status != PENDING)
    return StoreStatus(
        name=str(group.attrs["name"]),
        points=status.shape[0],
        trials=status.shape[1],
        cases=int(np.count_nonzero(mine)),
        done=int(np.count_nonzero(status == DONE)),
        failed=int(np.count_nonzero(status == FAILED)),
        pending=int(np.count_nonzero(mine & (status == PENDING))),
        capped=int(np.count_nonzero(found.capped)),
        failures=tuple(failures(xr.open_zarr(opened(place), consolidated=True, chunks=None, zarr_format=3), status)),
        runners=tuple(notes(place)),
    )


def failures(data: xr.Dataset, status: NDArray[np.int8]) -> Iterator[Failure]:
    """The failed cases, by point and trial."""
    rows, trials = np.nonzero(status == FAILED)
    for row in dict.fromkeys(rows.tolist()):
        texts = data["error"][row].to_numpy()
        point = {name: data[name][row].item() for name in data.attrs["axes"]}
        for trial in trials[rows == row].tolist():
            error, _, traceback = str(texts[trial]).partition("\n")
            yield Failure(point=point, trial=trial, error=error, traceback=traceback)
