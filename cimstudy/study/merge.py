"""Which rows of a store a study's points are, and whether the study may use the store at all."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.study.axis import Varied
from cimstudy.study.codec import canonical, describe, differences
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.resolve import Resolution, Resolved, Resolver, first_same, resolve_table, root_of
from cimstudy.study.space import LatinHypercube, leaves, space_of
from cimstudy.study.store import Rows, case_arrays, stored_axes, stored_settings
from cimstudy.study.study import Study
from cimstudy.study.table import Point, stacked
from cimstudy.study.workload import metrics_of

SHOWN = 4  # differences that a refusal lists
UNIT = re.compile(r"(S|V|A|s|K|J|F|Hz|ohm|m2?|W|C)")  # with which a field's description starts


def matched_rows(group: zarr.Group, study: Study, resolved: Resolution) -> tuple[Rows, NDArray[np.intp]]:
    """The rows of the store once it holds this study too, and the row of each of its points.

    Points are recognised by what they are, so another order, more values, or an axis more move nothing.
    Raises InputError, naming the difference, if the store belongs to another study.
    """
    check_same(group, study)
    axes = joint_axes(stored_axes(group), study.space.varied())
    old = stored_study(group, study)
    present = resolve_table(Resolver(old.hardware, old.workload), stored_settings(group))
    settings = present.settings(axes)
    check_base(present[0], study, settings.point(0))
    first = first_same(np.concatenate([present.identities, resolved.identities]))
    ranks = np.cumsum(fresh := first[len(present) :] == len(present) + np.arange(len(resolved)))
    if fresh.any():
        settings = stacked([settings, resolved.take(np.flatnonzero(fresh)).settings(axes)])
    rows = Rows(axes=axes, settings=settings, meanings=meanings(study, resolved, axes))
    numbers = np.concatenate([np.arange(len(present)), len(present) + ranks - 1])
    return rows, numbers[first[len(present) :]]


def rows_of(study: Study, resolved: Resolution) -> Rows:
    """The rows of a new store."""
    axes = study.space.names()
    return Rows(axes=axes, settings=resolved.settings(axes), meanings=meanings(study, resolved, axes))


def meanings(study: Study, resolved: Resolution, paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the fields at these paths say of themselves: path -> attributes of its coordinate."""
    parts = [resolved[0].parts(), study.resolve({}).parts()]
    return {path: next(filter(None, (meaning(each[root_of(path)], path) for each in parts)), {}) for path in paths}


def meaning(part: Any, path: str) -> dict[str, str]:
    """The attributes of a coordinate, from the description of the field at a path; none if the field is not there."""
    outer, _, name = path.partition(".")[2].rpartition(".")
    owner = part
    for step in filter(None, outer.split(".")):
        owner = getattr(owner, step, None)
    if not name or not isinstance(owner, Part) or name not in type(owner).model_fields:
        return {}
    text = type(owner).model_fields[name].description or ""
    unit, _, rest = text.partition(";")
    found = {"description": text}
    if UNIT.fullmatch(unit):
        found |= {"units": unit, "long_name": rest.strip()}
    return {key: value for key, value in found.items() if value}


def check_same(group: zarr.Group, study: Study) -> None:
    """Raise InputError if seed, workload, model, data or metrics are not those of the store."""
    stored = json.loads(str(group.attrs["study"]))
    old = {"seed": stored["seed"], "workload": stored["workload"]["type"], "checksums": group.attrs["checksums"]}
    new = {"seed": study.seed, "workload": describe(study.workload)["type"], "checksums": study.checksums()}
    if metrics_of(study.workload):
        old["metrics"] = sorted(case_arrays(group).keys() - BOOKKEEPING)
        new["metrics"] = sorted(metrics_of(study.workload))
    study.check_trials(sorted(case_arrays(group).keys() - BOOKKEEPING))
    refuse(differences(old, new))
    check_hypercubes(space_of(stored["space"]), study.space)


def check_hypercubes(old: Any, new: Any) -> None:
    """Raise InputError if a Latin hypercube of the store has another number of points now."""
    there = [leaf for leaf in leaves(old) if isinstance(leaf, LatinHypercube)]
    for cube in leaves(new):
        if not isinstance(cube, LatinHypercube) or cube in there:
            continue
        for known in there:
            if cube == known.replace("n", cube.n):
                raise InputError(
                    f"a Latin hypercube cannot grow: n is {known.n} there, {cube.n} here; "
                    "add one with another seed to it (space + LatinHypercube(...)), or use Sobol, which grows"
                )


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


def joint_axes(old: Mapping[str, str], new: Sequence[Varied]) -> dict[str, str]:
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


def check_base(row: Resolved, study: Study, setting: Point) -> None:
    """Raise InputError if the study's hardware or workload differ from the store's in what no axis varies.

    A row of the store must be the same point when it is built from the study's own base.
    """
    try:
        here = study.resolve(setting)
    except InputError:  # the bases are too different to have the same axes
        here = study.resolve({})
    old = row.hardware.model_dump(mode="json") | {"workload": describe(row.workload)}
    new = here.hardware.model_dump(mode="json") | {"workload": describe(here.workload)}
    refuse(differences(old, new))
