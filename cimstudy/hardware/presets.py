"""Presets: one TOML file per device, crossbar, architecture or whole hardware, each number with its source.

A file of one's own, TOML or a CSV of measured statistics, is named by its path wherever a preset's name is allowed.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from cimstudy.errors import InputError
from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.device import Device
from cimstudy.hardware.measured import read_statistics
from cimstudy.hardware.part import Part

KINDS = ("device", "crossbar", "architecture", "hardware")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a preset's number comes from, and how far to trust it.

    `confidence` is `code` (read in an open implementation), `abstract` (from the paper's abstract), `secondary` (from a
    digest of the paper), `assumed` (a choice of ours, to be overridden), `measured` (the user's own) or `unknown` (no
    source says it; what stands there is ours).
    """

    source: str
    confidence: str


UNKNOWN = Source(source="no source says it; a choice of this project stands in its place", confidence="unknown")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that the authors of an accelerator report.

    value : or the least and the largest.  units : SI, or "ratio" to a baseline, or "fraction".
    """

    quantity: str
    value: float | tuple[float, float]
    units: str
    confidence: str
    baseline: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named description as its file states it."""

    name: str
    kind: str  # device, crossbar, architecture or hardware
    summary: str
    values: Mapping[str, Any]
    sources: Mapping[str, Source] = field(default_factory=dict)  # by field name
    unknown: tuple[str, ...] = ()  # fields that no source says
    published: tuple[Published, ...] = ()
    year: int | None = None  # of an accelerator
    technology: str | None = None

    def build(self) -> Part:
        """The description itself, validated."""
        from cimstudy.hardware.hardware import Hardware  # noqa: PLC0415 - a whole hardware names other presets

        kinds: dict[str, type[Part]] = {
            "device": Device,
            "crossbar": Crossbar,
            "architecture": Architecture,
            "hardware": Hardware,
        }
        name = {} if self.kind == "hardware" else {"name": self.name}
        return kinds[self.kind](**self.values, **name)


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, by kind and name."""
    files = resources.files("cimstudy.hardware") / "data"
    found = [read_preset(entry.read_text("utf-8")) for entry in files.iterdir() if entry.name.endswith(".toml")]
    return tuple(sorted(found, key=lambda preset: (preset.kind, preset.name)))


def read_preset(text: str) -> Preset:
    """A preset from the text of its TOML file. Raises KeyError or TypeError for what a preset lacks."""
    table = tomllib.loads(text)
    unknown = tuple(table.get("unknown", ()))
    said = {name: Source(**entry) for name, entry in table.get("sources", {}).items()}
    return Preset(
        name=table["name"],
        kind=table["kind"],
        summary=table["summary"],
        values=without(table["values"], table.get("absent", ())),
        sources=said | dict.fromkeys(unknown, UNKNOWN),
        unknown=unknown,
        published=tuple(published_of(entry) for entry in table.get("published", ())),
        year=table.get("year"),
        technology=table.get("technology"),
    )


def without(values: Mapping[str, Any], absent: Iterable[str]) -> dict[str, Any]:
    """Values with None at the dotted paths of what is not there, which TOML cannot say."""
    found = dict(values)
    for path in absent:
        name, _, rest = path.partition(".")
        found[name] = without(found.get(name, {}), [rest]) if rest else None
    return found


def published_of(entry: Mapping[str, Any]) -> Published:
    """A reported number from its table."""
    value = entry["value"]
    return Published(**{**entry, "value": tuple(map(float, value)) if isinstance(value, list) else float(value)})


def load_preset(name: str) -> Preset:
    """The preset of this name, or in the file of this path, with its sources.

    Raises InputError naming the known ones.
    """
    for preset in presets():
        if preset.name == name:
            return preset
    if name.endswith((".toml", ".csv")):
        return load_file(name)
    raise InputError(f"unknown preset {name!r}; known: {', '.join(preset.name for preset in presets())}")


def load_file(path: str) -> Preset:
    """The preset in a file of one's own. Raises InputError naming the file and what is wrong with it."""
    file = Path(path)
    if file.suffix == ".csv":
        return Preset(
            name=file.stem,
            kind="device",
            summary="statistics of cells as measured",
            values=read_statistics(path),
            sources={"values": Source(source=str(file), confidence="measured")},
        )
    try:
        preset = read_preset(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: a preset needs kind, name, summary and a table [values], and in [sources] for each field a "
            "source and a confidence"
        ) from None
    if preset.kind not in KINDS:
        raise InputError(f"{path}: kind is {preset.kind!r}; allowed: {', '.join(KINDS)}")
    return preset


def preset(name: str) -> Part:
    """The description (Device, Crossbar, Architecture or Hardware) of this name.

    Raises InputError naming the known presets.
    """
    return load_preset(name).build()
