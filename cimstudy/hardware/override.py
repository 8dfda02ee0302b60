"""Override: other parts of the hardware for the operators whose names fit a pattern."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from cimstudy.errors import InputError
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.device import Device
from cimstudy.hardware.nonlinear import ActivationUnit, NormUnit, SoftmaxUnit
from cimstudy.hardware.part import Part
from cimstudy.hardware.placement import Engine, Pattern
from cimstudy.hardware.presets import load_preset
from cimstudy.hardware.redundancy import Redundancy


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


class Override(Part):
    """Other parts for the operators whose dotted names fit `pattern`. None: as without the override.

    In a pattern `*` stands for anything and a number may be a range: `layers.0-3.attention.*`. Operators are the
    matrices ("layers.0.attention.q"), "layers.0.attention.scores", ".values", ".softmax", "layers.0.ffn.activation" and
    the norms.
    """

    name: Annotated[str, Field(pattern=r"^\w+$")] = Field(default="", description="by which paths lead to it")
    pattern: Pattern = Field(description="of names of operators")
    engine: Engine | None = Field(default=None, description="for those of the operators that can run there")
    device: Annotated[Device | None, named(Device)] = None
    crossbar: Annotated[Crossbar | None, named(Crossbar)] = None
    redundancy: Redundancy | None = None
    softmax: SoftmaxUnit | None = None
    norm: NormUnit | None = None
    activation: ActivationUnit | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """Without a name, the pattern is one."""
        if not isinstance(given, dict) or given.get("name") or not isinstance(given.get("pattern"), str):
            return given
        return {**given, "name": re.sub(r"\W+", "_", given["pattern"]).strip("_") or "all"}

    @property
    def parts(self) -> dict[str, Any]:
        """What it gives, by field."""
        return {name: part for name, part in self if part is not None and name not in {"name", "pattern"}}
