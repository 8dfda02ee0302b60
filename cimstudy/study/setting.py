"""Settings: a hardware or a workload with other values at some dotted paths, all at once."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeVar

from cimstudy.errors import InputError
from cimstudy.hardware import Part

P = TypeVar("P", bound=Part)


def settle(part: P, changes: Mapping[str, Any]) -> P:
    """A copy of `part` with every change made; a whole part is set before its fields are.

    Changes are made together, since some are valid only together (a longer `adc.range` and more slices).
    Raises InputError naming the path, the value and what is allowed.
    """
    try:
        return together(part, changes)
    except InputError:
        return one_by_one(part, changes)  # says which change is the bad one


def together(part: P, changes: Mapping[str, Any]) -> P:
    """A copy of `part` with all changes made and validated once."""
    inner: dict[str, dict[str, Any]] = defaultdict(dict)
    values = dict(vars(part))  # its fields
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if name not in values:
            raise InputError(f"{name!r} is unknown")
        if rest:
            inner[name][rest] = value
        else:
            values[name] = value
    for name, deeper in inner.items():
        whole = part if name not in changes else part.replace(name, changes[name])
        if not isinstance(inner_part := getattr(whole, name), Part):
            raise InputError(f"{name} has no fields")
        values[name] = together(inner_part, deeper)
    return type(part)(**values)


def one_by_one(part: P, changes: Mapping[str, Any]) -> P:
    """The changes in turn, whole parts first, each validated."""
    for path in sorted(changes, key=lambda path: path.count(".")):
        part = part.replace(path, changes[path])
    return part
