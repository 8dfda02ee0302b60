"""Spaces: which points a study visits.

A space is a frozen value that knows its `axes` and yields `points()`, each a mapping from an axis's path to its value.
The order of points has no meaning: results are found by what a point is.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import field_validator

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.study.axis import Axis

Point = Mapping[str, Any]


class Grid(Part):
    """Every combination of the axes' values, the last axis fastest. Without axes: one point, the base hardware."""

    kind: Literal["grid"] = "grid"
    axes: tuple[Axis, ...] = ()

    def __init__(self, axes: Mapping[str, Iterable[Any]] | Iterable[Any] = (), *, kind: str = "grid") -> None:
        super().__init__(kind=kind, axes=as_axes(axes))

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        check_distinct(axes)
        return axes

    def __len__(self) -> int:
        count = 1
        for axis in self.axes:
            count *= len(axis.values)
        return count

    def names(self) -> dict[str, str]:
        """The axes: path -> name of the dimension."""
        return {axis.path: axis.dimension for axis in self.axes}

    def points(self) -> Iterator[dict[str, Any]]:
        """The points, each a mapping from path to value."""
        paths = [axis.path for axis in self.axes]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip(paths, values, strict=True))


Space = Grid  # further kinds join here, told apart by `kind`


def as_axes(axes: Mapping[str, Iterable[Any]] | Iterable[Any]) -> list[Any]:
    """Axes from `{path: values}`, or from a list of them."""
    if isinstance(axes, Mapping):
        return [Axis(path, values) for path, values in axes.items()]
    if isinstance(axes, str) or not isinstance(axes, Iterable):
        raise InputError(f"axes are {axes!r}; allowed: {{path: values}} or a list of Axis")
    return list(axes)


def check_distinct(axes: Iterable[Axis]) -> None:
    """Raise InputError if two axes vary one path, or would share a dimension's name."""
    axes = list(axes)
    paths = Counter(axis.path for axis in axes)
    twice = [path for path, count in paths.items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]} is varied by {paths[twice[0]]} axes; allowed: one axis for each path")
    for name, count in Counter(axis.dimension for axis in axes).items():
        if count > 1:
            same = " and ".join(axis.path for axis in axes if axis.dimension == name)
            raise InputError(f"axes {same} are both named {name}; name one of them: Axis(path, values, name=...)")
