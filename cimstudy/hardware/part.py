"""What every description has in common: frozen, keyword-only, checked once, and addressable by dotted paths."""

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from cimstudy.errors import InputError


class Part(BaseModel):
    """A frozen description. SI units; each field's description states its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(explain(error, type(self))) from None

    def replace(self, path: str, value: Any) -> Self:
        """A copy in which the field at the dotted `path` has another value; the whole is validated again.

        Raises InputError, naming the valid paths or the allowed values.
        """
        changed: Self = replaced(self, path, value)
        return changed

    def at(self, path: str) -> Any:
        """The value at the dotted `path`. Raises InputError if there is none."""
        *outer, last = path.split(".")
        try:
            return step_into(reduce(inner, outer, self), last)
        except UnknownPathError as error:
            raise InputError(f"{path}: {error}") from None

    def paths(self) -> list[str]:
        """Every dotted path that `replace` accepts here, parts before their fields."""
        return list(paths_within(self))


class UnknownPathError(InputError):
    """A dotted path that leads nowhere."""


def replaced(whole: Any, path: str, value: Any) -> Any:
    """A part, or parts in a row, with another value at the dotted `path`. As `Part.replace`."""
    try:
        return with_value(whole, path.split("."), value)
    except UnknownPathError as error:
        raise InputError(f"{path}: {error}") from None
    except InputError as error:
        leaf = path.rpartition(".")[2]
        reason = re.sub(rf"(?<!\w){re.escape(leaf)}: | \(given [^()]*\)", "", str(error))
        raise InputError(f"{path} = {short(value)}: {reason}") from None


def with_value(whole: Any, steps: Sequence[str], value: Any) -> Any:
    """`whole` with another value at the end of `steps`, validated from the inside out."""
    name, *rest = steps
    if rest:
        value = with_value(inner(whole, name), rest, value)
    if isinstance(whole, tuple):
        place = place_of(whole, name)
        return (*whole[:place], value, *whole[place + 1 :])
    check_field(whole, name)
    return type(whole)(**{field: getattr(whole, field) for field in type(whole).model_fields} | {name: value})


def paths_within(whole: Any) -> Iterator[str]:
    """Every dotted path into a part, or into parts in a row that have names."""
    steps = [part.name for part in whole] if isinstance(whole, tuple) else type(whole).model_fields
    for name in steps:
        yield name
        value = step_into(whole, name)
        if is_inner(value):
            yield from (f"{name}.{path}" for path in paths_within(value))


def is_inner(value: Any) -> bool:
    """Whether paths lead on from here: a part, or parts in a row that have names."""
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(item, Part) and hasattr(item, "name") for item in value)
    return isinstance(value, Part)


def step_into(whole: Any, name: str) -> Any:
    """What is called `name` in a part, or in parts in a row. Raises UnknownPathError."""
    if isinstance(whole, tuple):
        return whole[place_of(whole, name)]
    if not isinstance(whole, Part):
        raise UnknownPathError(f"{short(whole)} has no fields")
    check_field(whole, name)
    return getattr(whole, name)


def place_of(parts: tuple[Any, ...], name: str) -> int:
    """Where the part of this name stands in a row. Raises UnknownPathError naming those there are."""
    names = [getattr(part, "name", "") for part in parts]
    if name not in names:
        raise UnknownPathError(f"{name!r} is unknown; there are: {', '.join(names) or 'none'}")
    return names.index(name)


def check_field(part: Part, name: str) -> None:
    """Raise UnknownPathError unless `part` has a field `name`."""
    fields = type(part).model_fields
    if name not in fields:
        raise UnknownPathError(f"{name!r} is unknown; {type(part).__name__} has: {', '.join(fields)}")


def inner(whole: Any, name: str) -> Any:
    """The part, or the parts in a row, called `name`. Raises UnknownPathError if there is none."""
    value = step_into(whole, name)
    if is_inner(value):
        return value
    kinds = [] if isinstance(whole, tuple) else part_kinds(type(whole).model_fields[name].annotation)
    if value is None and kinds:
        raise UnknownPathError(f"{name} is None here and has no fields; first give it a {' or '.join(kinds)}")
    raise UnknownPathError(f"{name} is {short(value)}, which has no fields")


def part_kinds(annotation: Any) -> list[str]:
    """Names of the parts that a field of this type can hold."""
    if get_origin(annotation) in (Union, UnionType):
        return [name for option in get_args(annotation) for name in part_kinds(option)]
    inner = get_args(annotation)
    if inner and not isinstance(annotation, type):  # Annotated[...]
        return part_kinds(inner[0])
    return [annotation.__name__] if isinstance(annotation, type) and issubclass(annotation, Part) else []


def explain(error: ValidationError, owner: type[Part]) -> str:
    """One line for a failed validation: each field, what was given, what is allowed."""
    lines = []
    for problem in error.errors():
        place = field_path(problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
        if problem["type"] == "extra_forbidden":
            message = f"unknown; {owner.__name__} has: {', '.join(owner.model_fields)}"
        given = "" if problem["type"] == "missing" or not place else f" (given {short(problem['input'])})"
        lines.append(f"{place}: {message}{given}" if place else message)
    return "; ".join(dict.fromkeys(lines))


def field_path(location: tuple[int | str, ...]) -> str:
    """The dotted path of a validation error, without the steps by which pydantic names the options of a union."""
    names = [step for step in location if isinstance(step, int) or re.fullmatch(r"\w+", step)]
    known = [step for step in names if step not in {"tuple", "str", "int", "float"}]
    return ".".join(map(str, known))


def short(value: Any, width: int = 80) -> str:
    """`repr`, cut to `width`."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."
