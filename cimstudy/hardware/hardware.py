"""Hardware: device + crossbar + architecture, the thing under study."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from cimstudy.errors import InputError
from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.device import Device
from cimstudy.hardware.part import Part
from cimstudy.hardware.presets import load_preset


def named(kind: type[Part]) -> BeforeValidator:
    """Accept a preset's name in place of a part of this kind."""

    def resolve(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        part = load_preset(value).build()
        if not isinstance(part, kind):
            raise InputError(f"preset {value!r} is a {type(part).__name__}, here a {kind.__name__} is needed")
        return part

    return BeforeValidator(resolve)


class Hardware(Part):
    """What is under study. Any part may be given by the name of a preset."""

    device: Annotated[Device, named(Device)] = Device()
    crossbar: Annotated[Crossbar, named(Crossbar)] = Crossbar()
    architecture: Annotated[Architecture, named(Architecture)] = Architecture()

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        wires = self.crossbar.wires
        if self.device.current is None or wires is None:
            return self
        if wires.interleaved or wires.feed != "rows" or len(self.crossbar.weights.cells) > 1:
            raise ValueError(
                "cells that are not ohmic (device.current) have wires only with wires.feed='rows', without "
                "wires.interleaved, and with one of weights.cells"
            )
        return self


def assemble(names: Iterable[str]) -> Hardware:
    """Hardware of these presets, each a whole or one of its parts; later ones replace earlier ones."""
    found = Hardware()
    for name in names:
        part = load_preset(name).build()
        found = part if isinstance(part, Hardware) else found.replace(type(part).__name__.lower(), part)
    return found
