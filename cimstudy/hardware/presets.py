"""Presets: one TOML file per device, crossbar, architecture or whole hardware, each number with its source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from cimstudy.errors import InputError
from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.device import Device
from cimstudy.hardware.part import Part


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a preset's number comes from, and how far to trust it.

    `confidence` is `code` (read in an open implementation), `abstract` (from the paper's abstract), `secondary` (from a
    digest of the paper) or `assumed` (a choice of ours, to be overridden).
    """

    source: str
    confidence: str


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named description as its file states it."""

    name: str
    kind: str  # device, crossbar, architecture or hardware
    summary: str
    values: Mapping[str, Any]
    sources: Mapping[str, Source] = field(default_factory=dict)  # by field name

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
    """A preset from the text of its TOML file."""
    table = tomllib.loads(text)
    sources = {name: Source(**entry) for name, entry in table.get("sources", {}).items()}
    return Preset(
        name=table["name"], kind=table["kind"], summary=table["summary"], values=table["values"], sources=sources
    )


def load_preset(name: str) -> Preset:
    """The preset of this name, with its sources. Raises InputError naming the known ones."""
    for preset in presets():
        if preset.name == name:
            return preset
    raise InputError(f"unknown preset {name!r}; known: {', '.join(preset.name for preset in presets())}")


def preset(name: str) -> Part:
    """The description (Device, Crossbar, Architecture or Hardware) of this name.

    Raises InputError naming the known presets.
    """
    return load_preset(name).build()
