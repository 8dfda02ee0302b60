"""Which rows of a store a study's points are, and whether the study may use the store at all."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.study.axis import Axis
from cimstudy.study.codec import bare, canonical, describe, differences
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.resolve import Resolved, Resolver
from cimstudy.study.store import Rows, case_arrays, stored_axes, stored_settings
from cimstudy.study.study import Study
from cimstudy.study.workload import metrics_of

SHOWN = 4  # differences that a refusal lists


def matched_rows(group: zarr.Group, study: Study, resolved: Sequence[Resolved]) -> tuple[Rows, NDArray[np.intp]]:
    """The rows of the store once it holds this study too, and the row of each of its points.

    Points are recognised by what they are, so another order, more values, or an axis more move nothing.
    Raises InputError, naming the difference, if the store belongs to another study.
    """
    check_same(group, study)
    axes = joint_axes(stored_axes(group), study.space.axes)
    old = stored_study(group, study)
    resolver = Resolver(old.hardware, old.workload)
    present = [resolver(setting) for setting in stored_settings(group)]
    check_base(present[0], study, axes)
    places = {row.identity: place for place, row in enumerate(present)}
    for point in resolved:
        if places.setdefault(point.identity, len(present)) == len(present):
            present.append(point)
    return Rows(axes=axes, resolved=present), np.array([places[point.identity] for point in resolved])


def check_same(group: zarr.Group, study: Study) -> None:
    """Raise InputError if seed, workload, model, data or metrics are not those of the store."""
    stored = json.loads(str(group.attrs["study"]))
    old = {"seed": stored["seed"], "workload": stored["workload"]["type"], "checksums": group.attrs["checksums"]}
    new = {"seed": study.seed, "workload": describe(study.workload)["type"], "checksums": study.checksums()}
    if metrics_of(study.workload):
        old["metrics"] = sorted(case_arrays(group).keys() - BOOKKEEPING)
        new["metrics"] = sorted(metrics_of(study.workload))
    refuse(differences(old, new))


def refuse(found: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise InputError if there are differences."""
    if not found:
        return
    texts = [f"{path} is {canonical(old)} there, {canonical(new)} here" for path, (old, new) in found.items()]
    more = f", and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    raise InputError(f"the store holds another study: {', '.join(texts[:SHOWN])}{more}; use another store")


def stored_study(group: zarr.Group, study: Study) -> Study:
    """The study that the store's settings refer to, with its space left out."""
    stored = json.loads(str(group.attrs["study"]))
    fields = {name: value for name, value in stored["workload"].items() if name != "type"}
    workload = type(study.workload)(**fields) if isinstance(study.workload, Part) else study.workload
    if not isinstance(study.workload, Part):
        refuse(differences(stored["workload"], describe(study.workload)))
    return Study(name=stored["name"], workload=workload, hardware=Hardware(**stored["hardware"]), seed=stored["seed"])


def joint_axes(old: Mapping[str, str], new: Sequence[Axis]) -> dict[str, str]:
    """The store's axes, then those that the study adds: path -> name. Raises InputError if a name means two things."""
    paths = {name: path for path, name in old.items()}
    for axis in new:
        known = old.get(axis.path, axis.dimension)
        if known != axis.dimension:
            raise InputError(f"axis {axis.path} is named {known} in the store, {axis.dimension} here; name it {known}")
        if paths.get(axis.dimension, axis.path) != axis.path:
            there = paths[axis.dimension]
            raise InputError(f"{axis.dimension} is {there} in the store, {axis.path} here; name it otherwise")
    return {**old, **{axis.path: axis.dimension for axis in new}}


def check_base(row: Resolved, study: Study, paths: Iterable[str]) -> None:
    """Raise InputError if the study's hardware or workload differ from the store's in what no axis varies.

    A row of the store must be the same point when it is built from the study's own base.
    """
    try:
        here = study.resolve({path: bare(row.at(path)) for path in paths})
    except InputError:  # the bases are too different to have the same axes
        here = study.resolve({})
    old = row.hardware.model_dump(mode="json") | {"workload": describe(row.workload)}
    new = here.hardware.model_dump(mode="json") | {"workload": describe(here.workload)}
    refuse(differences(old, new))
