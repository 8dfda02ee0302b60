"""Values of a study as JSON and back: parts and workloads are named by where they are defined."""

import dataclasses
import functools
import hashlib
import importlib
import json
import math
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError

from cimstudy.errors import InputError
from cimstudy.hardware import Part


def plain(value: Any, owner: str) -> Any:
    """`value` as a study keeps it: numpy scalars become Python's, arrays and lists tuples, JSON descriptions parts.

    Raises InputError, naming the `owner`, for what cannot be written as JSON.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(plain(item, owner) for item in value)
    if isinstance(value, Mapping) and "type" in value:
        return decode(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{owner}: {value!r} is not a finite number")
    if value is None or isinstance(value, bool | int | float | str | Part):
        return value
    raise InputError(
        f"{owner}: {value!r} is a {type(value).__name__}; allowed: numbers, text, true, false, None, tuples, parts"
    )


def encode(value: Any) -> Any:
    """The JSON form of an axis value or of a workload."""
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return describe(value)


def bare(value: Any) -> Any:
    """The JSON form of a value whose type its field knows."""
    if isinstance(value, tuple | list):
        return [bare(item) for item in value]
    return value.model_dump(mode="json") if isinstance(value, Part) else value


def describe(thing: Any) -> dict[str, Any]:
    """`{"type": "module:name", fields...}` of a part, a dataclass, another object or a function.

    Raises InputError for what this cannot name (lambdas, inner functions) or write as JSON.
    """
    if isinstance(thing, functools.partial | types.MethodType):
        raise InputError(
            f"{thing!r} has no name of its own; allowed: a function, or an instance of a class with fields"
        )
    if hasattr(thing, "__qualname__"):
        return {"type": type_name(thing)}
    try:
        fields = fields_of(thing)
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError, PydanticSerializationError) as error:
        raise InputError(
            f"{type(thing).__name__} cannot be written as JSON: {error}; allowed: numbers, text, parts"
        ) from None
    return {"type": type_name(type(thing)), **fields}


def fields_of(thing: Any) -> dict[str, Any]:
    """What distinguishes this object from others of its class."""
    if isinstance(thing, Part):
        return thing.model_dump(mode="json")
    if dataclasses.is_dataclass(thing):
        return {field.name: encode(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    return {name: encode(value) for name, value in vars(thing).items()}


def type_name(thing: Any) -> str:
    """`module:name` of a class or function. A script that is run has the name it has when it is loaded as a file."""
    module = thing.__module__
    if "<" in thing.__qualname__:
        raise InputError(
            f"{module}:{thing.__qualname__} has no name to be found by; define it at the top level of a file"
        )
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", "__main__")).stem
    return f"{module}:{thing.__qualname__}"


def decode(description: Mapping[str, Any]) -> Any:
    """The part, workload or function of this description. Raises InputError if its code cannot be imported."""
    fields = dict(description)
    name = fields.pop("type")
    found = locate(name)
    if isinstance(found, type):
        return found(**{key: value if isinstance(value, dict) else plain(value, key) for key, value in fields.items()})
    return found


def locate(name: str) -> Any:
    """The class or function called `module:qualname`."""
    module, _, qualname = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for step in qualname.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{name} cannot be imported ({error}); load the file that defines it first") from None
    return found


def canonical(value: Any) -> str:
    """One JSON text for equal values."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """A name for a JSON value: 32 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two JSON values differ: dotted path -> (old, new)."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if old == new else {path: (old, new)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*old, *new]):
        found |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return found
