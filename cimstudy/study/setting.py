"""Settings: a hardware or a workload with other values at some dotted paths, all at once."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeVar

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.hardware.part import inner, replaced, with_value

W = TypeVar("W", Part, tuple[Part, ...])


def settle(whole: W, changes: Mapping[str, Any]) -> W:
    """A copy of a part, or of parts in a row, with every change made; a whole part is set before its fields are.

    Changes are made together, since some are valid only together (a longer `adc.range` and more slices).
    Raises InputError naming the path, the value and what is allowed.
    """
    try:
        return together(whole, changes)
    except InputError:
        return one_by_one(whole, changes)  # says which change is the bad one


def together(whole: W, changes: Mapping[str, Any]) -> W:
    """A copy with all changes made, each part validated once."""
    values: dict[str, Any] = {}
    deeper: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            deeper[name][rest] = value
        else:
            values[name] = value
    for name, changed in deeper.items():
        start = with_value(whole, [name], values[name]) if name in values else whole
        values[name] = together(inner(start, name), changed)
    if not isinstance(whole, tuple):
        return type(whole)(**{**vars(whole), **values})
    for name, value in values.items():
        whole = with_value(whole, [name], value)
    return whole


def one_by_one(whole: W, changes: Mapping[str, Any]) -> W:
    """The changes in turn, whole parts first, each validated."""
    for path in sorted(changes, key=lambda path: path.count(".")):
        whole = replaced(whole, path, changes[path])
    return whole
