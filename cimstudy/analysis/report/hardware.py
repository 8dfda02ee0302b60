"""The hardware of a study, value by value, and where each value comes from."""

from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from cimstudy.analysis.dataset import swept
from cimstudy.analysis.selection import is_category, levels, listed, written
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Preset, presets
from cimstudy.hardware.sources import cited, leaves, meaning, source_of

HEADER = ("value", "is", "unit or meaning", "from")
MOST_VALUES = 8  # of an axis that are named
PRESET_HEADER = ("preset", "what it is", "sources")


def hardware_rows(stored: Mapping[str, Any], varied: Mapping[str, str]) -> Iterator[list[str]]:
    """The values of the base hardware: name, value, unit or meaning, source.

    stored : the hardware as the study's JSON says it.  varied : the values of each axis, by its path.
    """
    whole = ""
    for path, value in leaves(stored):
        axis = next((axis for axis in varied if f"{path}.".startswith(f"{axis}.")), None)
        if axis is None:
            if not path.endswith(".name") and value is not None:
                yield [path, written(value), meaning_of(stored, path), origin(stored, path, value)]
        elif axis != whole:
            yield [axis, f"varied: {varied[axis]}", meaning_of(stored, axis), "the study"]
            whole = axis  # a part that varies as a whole is one row


def varied_values(ds: xr.Dataset) -> dict[str, str]:
    """What the axes of a study are given, by path."""
    return {str(ds[name].attrs.get("path", name)): given(ds[name]) for name in swept(ds)}


def given(axis: xr.DataArray) -> str:
    """The values of an axis in words: all of a few, the range of many numbers."""
    found = levels(axis.to_series())
    if len(found) <= MOST_VALUES or is_category(axis.to_series()):
        return listed(found, MOST_VALUES)
    return f"{len(found)} values from {found[0]:.4g} to {found[-1]:.4g}"


def meaning_of(stored: Mapping[str, Any], path: str) -> str:
    """What a field is, or its unit; nothing where this version does not know it."""
    try:
        return meaning(Hardware(**stored), path)
    except InputError:
        return ""


def origin(stored: Mapping[str, Any], path: str, value: Any) -> str:
    """Where a value comes from: the preset that says it, with its source, or the study."""
    root, _, field = path.partition(".")
    entry = preset_called(stored[root].get("name"))
    if entry is None:
        return "the study"
    if dict(leaves(entry.values)).get(field) != value:
        return "the study, or a default"
    known = source_of(entry, field)
    return f"preset {entry.name}" + ("" if known is None else f": {known.source} ({known.confidence})")


def preset_called(name: str | None) -> Preset | None:
    """The preset of this name, if there is one."""
    return next((entry for entry in presets() if entry.name == name), None)


def presets_on_axes(ds: xr.Dataset) -> Iterator[list[str]]:
    """The presets that axes take for whole parts: name, what it is, sources."""
    taken = {written(value) for name in swept(ds) for value in levels(ds[name].to_series())}
    for entry in presets():
        if entry.name in taken:
            yield [entry.name, entry.summary, "; ".join(cited(entry))]
