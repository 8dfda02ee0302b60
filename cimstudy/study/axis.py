"""Axis: one parameter that a study varies, and its values."""

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import field_serializer, model_validator

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.study.codec import encode, plain

RESERVED = frozenset({"point", "trial", "status", "error", "duration", "setting"})


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
        if not re.fullmatch(r"\w+(\.\w+)*", self.path):
            raise InputError(f"axis {self.path!r} is no dotted path such as 'device.programming.std'")
        if not self.values:
            raise InputError(f"axis {self.path} has no values; allowed: one or more")
        if not self.dimension.isidentifier() or self.dimension in RESERVED:
            raise InputError(
                f"axis {self.path} cannot be named {self.dimension!r}; allowed: letters, digits and '_', except "
                + ", ".join(sorted(RESERVED))
            )
        twins = [(isinstance(value, bool), value) for value in self.values]  # True and 1 are two values
        repeated = [value for place, (_, value) in enumerate(twins) if twins[place] in twins[:place]]
        if repeated:
            raise InputError(f"axis {self.path} has the value {repeated[0]!r} twice; allowed: each value once")
        return self

    @field_serializer("values")
    def _as_json(self, values: tuple[Any, ...]) -> list[Any]:
        return [encode(value) for value in values]

    @property
    def dimension(self) -> str:
        """The name of this axis in the results."""
        return self.name or "_".join(self.path.split(".")[-2:])


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
