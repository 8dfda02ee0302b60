"""What each value of a description means, and where a preset has it from."""

from collections.abc import Iterator, Mapping
from typing import Any

from cimstudy.hardware.part import Part
from cimstudy.hardware.presets import Preset, Source


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by dotted name; tables in a row go by their names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
            yield from leaves({item["name"]: item for item in value}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def source_of(entry: Preset, path: str) -> Source | None:
    """Where a value comes from: what is said of it, of the table around it, or of all values."""
    steps = path.split(".")
    around = [".".join(steps[:end]) for end in range(len(steps), 0, -1)]
    return next((entry.sources[name] for name in (*around, "values") if name in entry.sources), None)


def meaning(part: Part, path: str) -> str:
    """What the field at a path is, or its unit."""
    outer, _, name = path.rpartition(".")
    owner = part.at(outer) if outer else part
    return type(owner).model_fields[name].description or ""


def cited(entry: Preset) -> list[str]:
    """The sources of a preset, each once."""
    return list(dict.fromkeys(source.source for source in entry.sources.values()))
