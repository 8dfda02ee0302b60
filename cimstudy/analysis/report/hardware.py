"""The hardware of a study, value by value, and where each value comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import xarray as xr

from cimstudy.analysis.dataset import swept
from cimstudy.analysis.selection import is_category, levels, listed, written
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Preset, presets
from cimstudy.hardware.sources import cited, leaves, meaning, source_of

HEADER = ("value", "is", "unit or meaning", "from")
MOST_VALUES = 8  # of an axis that are named
MOST_LETTERS = 90  # of a value
STUDY, DEFAULT = "the study", "default"
PRESET_HEADER = ("preset", "what it is", "sources")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of the hardware."""

    path: str
    value: str
    meaning: str  # or its unit
    origin: str  # a preset, the study or a default
    source: str = ""  # of what a preset says, and how far to trust it

    def cells(self, sources: Sequence[str]) -> list[str]:
        """A row of the table, that refers to a list of sources by number."""
        cited = f" [{sources.index(self.source) + 1}]" if self.source else ""
        return [self.path, self.value, self.meaning, self.origin + cited]


def hardware_values(stored: Mapping[str, Any], varied: Mapping[str, str]) -> Iterator[Value]:
    """The values of the base hardware.

    stored : the hardware as the study's JSON says it.  varied : the values of each axis, by its path.
    """
    built, whole = hardware_of(stored), ""
    for path, value in leaves(stored):
        axis = next((axis for axis in varied if f"{path}.".startswith(f"{axis}.")), None)
        if axis is None:
            if not path.endswith(".name") and value is not None:
                origin, source = origin_of(stored, built, path, value)
                meant = meaning_of(built, path)
                yield Value(path=path, value=short(value), meaning=meant, origin=origin, source=source)
        elif axis != whole:
            yield Value(path=axis, value=f"varied: {varied[axis]}", meaning=meaning_of(built, axis), origin=STUDY)
            whole = axis  # a part that varies as a whole is one row


def hardware_of(stored: Mapping[str, Any]) -> Hardware | None:
    """The hardware; None where this version does not know it."""
    try:
        return Hardware(**stored)
    except InputError:
        return None


def varied_values(ds: xr.Dataset) -> dict[str, str]:
    """What the axes of a study are given, by path."""
    return {str(ds[name].attrs.get("path", name)): given(ds[name]) for name in swept(ds)}


def given(axis: xr.DataArray) -> str:
    """The values of an axis in words: all of a few, the range of many numbers."""
    found = levels(axis.to_series())
    if len(found) <= MOST_VALUES or is_category(axis.to_series()):
        return listed(found, MOST_VALUES)
    return f"{len(found)} values from {found[0]:.4g} to {found[-1]:.4g}"


def meaning_of(built: Hardware | None, path: str) -> str:
    """What a field is, or its unit."""
    return "" if built is None else meaning(built, path)


def origin_of(stored: Mapping[str, Any], built: Hardware | None, path: str, value: Any) -> tuple[str, str]:
    """Where a value comes from (the preset that says it, a default, or the study), and a preset's source of it."""
    part, field = part_around(stored, path)
    entry = preset_called(part.get("name"))
    if entry is not None and dict(leaves(entry.values)).get(field) == value:
        known = source_of(entry, field)
        return f"preset {entry.name}", "" if known is None else f"{known.source} ({known.confidence})"
    return DEFAULT if built is not None and is_default(built, path) else STUDY, ""


def part_around(stored: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any], str]:
    """The whole part that a path leads into, of the hardware or of an override, and the path in it."""
    root, _, field = path.partition(".")
    if root != "overrides":
        return stored[root], field
    name, _, inner = field.partition(".")
    found: Mapping[str, Any] = next((override for override in stored[root] if override["name"] == name), {})
    kind, _, field = inner.partition(".")
    return (found[kind], field) if field else (found, inner)


def is_default(built: Hardware, path: str) -> bool:
    """Whether a field has the value that it has if nothing is said."""
    outer, _, name = path.rpartition(".")
    owner = built.at(outer) if outer else built
    found: bool = type(owner).model_fields[name].default == built.at(path)
    return found


def short(value: Any) -> str:
    """A value of a description as it is printed, cut if it is long."""
    return shorten(written(value), MOST_LETTERS, placeholder=" ...")


def preset_called(name: str | None) -> Preset | None:
    """The preset of this name, if there is one."""
    return next((entry for entry in presets() if entry.name == name), None)


def presets_on_axes(ds: xr.Dataset) -> Iterator[list[str]]:
    """The presets that axes take for whole parts: name, what it is, sources."""
    taken = {written(value) for name in swept(ds) for value in levels(ds[name].to_series())}
    for entry in presets():
        if entry.name in taken:
            yield [entry.name, entry.summary, "; ".join(cited(entry))]
