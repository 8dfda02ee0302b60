"""What the stopping rule of a store's study says of its points, from what the store holds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import zarr

from cimstudy.study import store as stores
from cimstudy.study.plan import PENDING
from cimstudy.study.stopping import Bounds, Trials, Verdict, judge, least

Arrays = stores.Arrays


def trials_of(study: Mapping[str, Any]) -> int | Trials:
    """The `trials` of a study's JSON."""
    found = study["trials"]
    return found if isinstance(found, int) else Trials(**found)


def verdict(group: zarr.Group, trials: int | Trials) -> Verdict:
    """What all points of a store need."""
    points = stores.status_array(group).shape[0]
    if isinstance(trials, int):
        return unseen(points, trials)
    arrays = stores.case_arrays(group)
    parts = [verdict_of(arrays, trials, rows) for rows in row_blocks(arrays)]
    return Verdict(
        needed=np.concatenate([part.needed for part in parts]), capped=np.concatenate([part.capped for part in parts])
    )


def unseen(points: int, trials: int | Trials) -> Verdict:
    """What points need of which nothing is known yet."""
    return Verdict(needed=np.full(points, least(trials)), capped=np.zeros(points, np.bool_))


def extended(known: Verdict, more: int, trials: int | Trials) -> Verdict:
    """A verdict with as many more points of which nothing is known."""
    fresh = unseen(more, trials)
    needed, capped = (known.needed, fresh.needed), (known.capped, fresh.capped)
    return Verdict(needed=np.concatenate(needed), capped=np.concatenate(capped))


def verdict_of(arrays: Arrays, rule: Trials, rows: slice) -> Verdict:
    """What these points need. No results are read but those that a look can use."""
    status = np.asarray(arrays["status"][rows, : rule.max], np.int8)
    seen = looked(rule, status)
    values = {name: np.asarray(arrays[name][rows, :seen], np.float64) for name in rule.targets} if seen else {}
    bounds = {name: bounds_of(rule, name, arrays[name].attrs) for name in rule.targets}
    return judge(rule, status[:, :seen], values, bounds)


def looked(rule: Trials, status: "np.typing.NDArray[np.int8]") -> int:
    """The chips at the last look that any point is ready for; 0 if none is."""
    ready = [0, *(n for n in rule.looks() if n <= status.shape[1] and (status[:, :n] != PENDING).all(1).any())]
    return ready[-1]


def bounds_of(rule: Trials, name: str, attributes: Mapping[Any, Any]) -> Bounds | None:
    """The bounds of a metric with these attributes."""
    known = attributes.get("bounds")
    return rule.bounds.get(name) or (None if known is None else (known[0], known[1]))


def row_blocks(arrays: Arrays) -> Iterator[slice]:
    """The rows of each row of blocks."""
    points, height = arrays["status"].shape[0], arrays["status"].chunks[0]
    for start in range(0, points, height):
        yield slice(start, min(start + height, points))


def stored_trials(group: zarr.Group) -> int | Trials:
    """The `trials` of the study that a store holds."""
    return trials_of(json.loads(str(group.attrs["study"])))
