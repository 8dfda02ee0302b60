"""Axis and Range: one parameter that a study varies, by its values or by its bounds."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_serializer, model_validator

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.study.codec import encode, plain
from cimstudy.study.table import Column, compact, hashable

RESERVED = frozenset({"point", "trial", "status", "error", "duration", "peak_memory", "setting", "needed", "capped"})
DIGITS = 12  # significant digits of values on logarithmic ranges: the last ones differ between mathematical libraries


class Axis(Part):
    """A parameter by its dotted path, the values it takes, and the name of its dimension in the results.

    Values are numbers, text, true, false, None, tuples, or whole parts (which may be given by a preset's name). The
    dimension is named by the path's last two parts joined with `_`, unless `name` says otherwise.
    """

    path: str
    values: tuple[Any, ...]
    name: str | None = None

    def __init__(self, path: str, values: Iterable[Any], name: str | None = None) -> None:
        super().__init__(path=path, values=listed(path, values), name=name)

    @model_validator(mode="after")
    def _usable(self) -> "Axis":
        check_named(self.path, self.dimension)
        if not self.values:
            raise InputError(f"axis {self.path} has no values; allowed: one or more")
        return self

    @field_serializer("values")
    def _as_json(self, values: tuple[Any, ...]) -> list[Any]:
        return [encode(value) for value in values]

    @property
    def dimension(self) -> str:
        """The name of this axis in the results."""
        return self.name or default_name(self.path)

    def spread(self, share: NDArray[np.float64]) -> Column:
        """The values at these shares of the axis, each value an equal part of it. share: in [0, 1)."""
        codes = np.minimum((share * len(self.values)).astype(np.intp), len(self.values) - 1)
        return Column(values=compact(self.values), codes=codes)


class Range(Part):
    """A parameter that takes any value from `low` to `high`, in spaces that choose values themselves.

    `scale="log"` spreads values evenly over the orders of magnitude; `integer` rounds, every integer having an equal
    part of the scale. `name`: of the coordinate, as for `Axis`.
    """

    path: str
    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False
    name: str | None = None

    def __init__(  # noqa: PLR0913, PLR0917 - the fields of a range
        self,
        path: str,
        low: float,
        high: float,
        scale: str = "linear",
        integer: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(path=path, low=low, high=high, scale=scale, integer=integer, name=name)

    @model_validator(mode="after")
    def _usable(self) -> "Range":
        check_named(self.path, self.dimension)
        given = f"range {self.path} from {self.low:g} to {self.high:g}"
        if not self.low < self.high:
            raise InputError(f"{given}; allowed: low < high")
        if self.scale == "log" and self.low <= 0:
            raise InputError(f"{given}; allowed on a log scale: 0 < low")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise InputError(f"{given}; allowed for integers: bounds that are integers")
        return self

    @property
    def dimension(self) -> str:
        """The name of this axis in the results."""
        return self.name or default_name(self.path)

    def spread(self, share: NDArray[np.float64]) -> Column:
        """The values at these shares of the range. share: in [0, 1)."""
        margin = 0.5 if self.integer else 0.0
        low, high = self.low - margin, self.high + margin
        if self.scale == "linear":
            found = low + share * (high - low)
        else:
            found = rounded(np.exp(np.log(low) + share * np.log(high / low)))
        found = np.clip(np.rint(found) if self.integer else found, self.low, self.high)
        values, codes = np.unique(found.astype(np.int64) if self.integer else found, return_inverse=True)
        return Column(values=values, codes=codes)


Varied = Axis | Range


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values with DIGITS significant digits."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.tolist()])


def default_name(path: str) -> str:
    """The last two parts of a path."""
    return "_".join(path.split(".")[-2:])


def check_named(path: str, name: str) -> None:
    """Raise InputError for a path that is none, or a name that a coordinate cannot have."""
    if not re.fullmatch(r"\w+(\.\w+)*", path):
        raise InputError(f"axis {path!r} is no dotted path such as 'device.programming.std'")
    if not name.isidentifier() or name in RESERVED:
        raise InputError(
            f"axis {path} cannot be named {name!r}; allowed: letters, digits and '_', except "
            + ", ".join(sorted(RESERVED))
        )


def check_distinct(axes: Iterable[Varied]) -> None:
    """Raise InputError if two axes vary one path, or would share a dimension's name."""
    axes = list(axes)
    for path, count in Counter(axis.path for axis in axes).items():
        if count > 1:
            raise InputError(f"{path} is varied by {count} axes; allowed: one axis for each path")
    for name, count in Counter(axis.dimension for axis in axes).items():
        if count > 1:
            same = " and ".join(axis.path for axis in axes if axis.dimension == name)
            raise InputError(f"axes {same} are both named {name}; name one of them: Axis(path, values, name=...)")


def check_once(axis: Varied) -> None:
    """Raise InputError if an axis has a value twice."""
    seen = set()
    for value in axis.values if isinstance(axis, Axis) else ():
        if hashable(value) in seen:
            raise InputError(f"axis {axis.path} has the value {value!r} twice; allowed: each value once")
        seen.add(hashable(value))


def as_axes(axes: Mapping[str, Any] | Iterable[Any]) -> list[Any]:
    """Axes from `{path: values}`, or from a list of them."""
    if isinstance(axes, Mapping):
        return [Axis(path, values) for path, values in axes.items()]
    return listed_axes(axes)


def as_varied(axes: Mapping[str, Any] | Iterable[Any]) -> list[Any]:
    """Axes and ranges from `{path: [values] or (low, high)}`, or from a list of them or of their JSON forms."""
    if isinstance(axes, Mapping):
        return [ranged(path, given) if isinstance(given, tuple) else Axis(path, given) for path, given in axes.items()]
    return [as_one(axis) for axis in listed_axes(axes)]


def listed_axes(axes: Any) -> list[Any]:
    """A list of axes."""
    if isinstance(axes, str) or not isinstance(axes, Iterable):
        raise InputError(f"axes are {axes!r}; allowed: {{path: values}} or a list of Axis")
    return list(axes)


def as_one(axis: Any) -> Any:
    """An axis or a range from its JSON form; what is none as it is."""
    if not isinstance(axis, Mapping):
        return axis
    return Range(**axis) if "low" in axis else Axis(**axis)


def ranged(path: str, given: tuple[Any, ...]) -> Range:
    """The range of `(low, high)`, `(low, high, "log")` or `(low, high, "integer")`."""
    flags = given[2:]
    if len(given) < 2 or not set(flags) <= {"linear", "log", "integer"}:
        raise InputError(
            f'axis {path} is {given!r}; allowed: (low, high), with "log" or "integer" after it, or [values]'
        )
    return Range(path, given[0], given[1], "log" if "log" in flags else "linear", "integer" in flags)


def listed(path: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """The values of an axis, as plain as they can be."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"axis {path}: values are {values!r}; allowed: a list of values")
    return tuple(plain(value, f"axis {path}") for value in values)


def label(value: Any) -> Any:
    """What stands for a value, or its JSON, in a coordinate: itself, a part's name, or short text."""
    if isinstance(value, Part):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        fields = ", ".join(f"{key}={label(item)}" for key, item in value.items() if key != "type")
        return value.get("name") or fields
    if isinstance(value, tuple | list):
        return json.dumps([label(item) for item in value])
    return value
