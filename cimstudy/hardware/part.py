"""What every description has in common: frozen, keyword-only, checked once, and addressable by dotted paths."""

import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from cimstudy.errors import InputError

P = TypeVar("P", bound="Part")


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
        try:
            return with_value(self, path.split("."), value)
        except UnknownPathError as error:
            raise InputError(f"{path}: {error}") from None
        except InputError as error:
            leaf = path.rpartition(".")[2]
            reason = re.sub(rf"(?<!\w){re.escape(leaf)}: | \(given [^()]*\)", "", str(error))
            raise InputError(f"{path} = {short(value)}: {reason}") from None

    def at(self, path: str) -> Any:
        """The value at the dotted `path`. Raises InputError if there is none."""
        *outer, last = path.split(".")
        part: Part = self
        try:
            for name in outer:
                part = inner_part(part, name)
            check_field(part, last)
        except UnknownPathError as error:
            raise InputError(f"{path}: {error}") from None
        return getattr(part, last)

    def paths(self) -> list[str]:
        """Every dotted path that `replace` accepts here, parts before their fields."""
        found = []
        for name in type(self).model_fields:
            found.append(name)
            value = getattr(self, name)
            if isinstance(value, Part):
                found += [f"{name}.{inner}" for inner in value.paths()]
        return found


class UnknownPathError(InputError):
    """A dotted path that leads nowhere."""


def with_value(part: P, steps: Sequence[str], value: Any) -> P:
    """`part` with another value at the end of `steps`, validated from the inside out."""
    name, *rest = steps
    if rest:
        value = with_value(inner_part(part, name), rest, value)
    check_field(part, name)
    return type(part)(**{field: getattr(part, field) for field in type(part).model_fields} | {name: value})


def check_field(part: Part, name: str) -> None:
    """Raise UnknownPathError unless `part` has a field `name`."""
    fields = type(part).model_fields
    if name not in fields:
        raise UnknownPathError(f"{name!r} is unknown; {type(part).__name__} has: {', '.join(fields)}")


def inner_part(part: Part, name: str) -> Part:
    """The part in field `name`. Raises UnknownPathError if that field holds none."""
    check_field(part, name)
    value = getattr(part, name)
    if isinstance(value, Part):
        return value
    kinds = part_kinds(type(part).model_fields[name].annotation)
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
