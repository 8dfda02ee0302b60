"""Placement: the engine of each kind of operator, and the names by which operators are chosen."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from cimstudy.hardware.part import Part

Engine = Literal["crossbar", "dynamic-crossbar", "sram-cim", "digital", "cam", "near-memory"]
Static = Literal["crossbar", "sram-cim", "near-memory", "digital"]
Dynamic = Literal["dynamic-crossbar", "sram-cim", "cam", "near-memory", "digital"]
Search = Literal["crossbar", "dynamic-crossbar", "cam", "digital"]
Nonlinear = Literal["crossbar", "sram-cim", "cam", "near-memory", "digital"]


class Placement(Part):
    """Where each kind of operator runs; `"digital"` in place of a placement: all of them there.

    `crossbar`: analog arrays whose cells are written once. `dynamic-crossbar`: analog arrays written at inference.
    `sram-cim`, `near-memory`: exact arithmetic of integers, in SRAM arrays or beside a memory, of as many bits as the
    crossbar's weights and inputs. `cam`: content-addressable memory. `digital`: a unit of single precision.
    """

    embedding: Static = Field(default="crossbar", description="matrices ahead of the first layer")
    projections: Static = Field(default="crossbar", description="matrices of attention")
    ffn: Static = Field(default="crossbar", description="matrices of the FFN: those of experts and their router, too")
    head: Static = Field(default="crossbar", description="matrices after the last layer")
    scores: Dynamic = Field(default="digital", description="queries times keys")
    values: Dynamic = Field(default="digital", description="softmax times values")
    search: Search = Field(default="digital", description="what chooses keys, where the attention scheme chooses some")
    softmax: Nonlinear = "digital"
    norm: Nonlinear = "digital"
    activation: Nonlinear = "digital"

    @model_validator(mode="before")
    @classmethod
    def _digital(cls, given: Any) -> Any:
        return dict.fromkeys(cls.model_fields, given) if given == "digital" else given


OPERATORS = tuple(Placement.model_fields)
ENGINES: dict[str, tuple[str, ...]] = {name: get_args(info.annotation) for name, info in Placement.model_fields.items()}


def operator_kind(name: str) -> str:
    """The kind of the operator of this name: "layers.0.attention.q" is one of the projections."""
    first, last = name.partition(".")[0], name.rpartition(".")[2]
    if last in {"scores", "values", "search", "softmax", "activation"}:
        return last
    if last in {"norm", "norm_after", "q_norm", "k_norm"}:
        return "norm"
    if first in {"embedding", "head"}:
        return first
    return "ffn" if ".ffn." in name else "projections"


def check_pattern(pattern: str) -> str:
    """The pattern, if it is one. Raises ValueError if not."""
    if not re.fullmatch(r"[\w*.-]+", pattern):
        raise ValueError(f"pattern {pattern!r}: allowed are names, dots, '*' and ranges such as 0-3")
    return pattern


Pattern = Annotated[str, AfterValidator(check_pattern)]


def matches(pattern: str, name: str) -> bool:
    """Whether a dotted `name` fits `pattern`: `*` stands for anything, `0-3` for the numbers 0 to 3."""
    low_high = re.compile(r"(\d+)-(\d+)")
    parts = []
    for step in pattern.split("."):
        bounds = low_high.fullmatch(step)
        if bounds:
            numbers = range(int(bounds[1]), int(bounds[2]) + 1)
            parts.append("(" + "|".join(map(str, numbers)) + ")")
        else:
            parts.append(".*".join(re.escape(piece) for piece in step.split("*")))
    return re.fullmatch(r"\.".join(parts), name) is not None


def winners(overrides: Sequence[tuple[str, Mapping[str, Any]]], operator: str) -> dict[str, int]:
    """Which override gives each part to an operator: the last whose pattern fits its name.

    overrides : pattern and parts of each; an `engine` among the parts goes to operators that can run there.
    """
    engines = ENGINES[operator_kind(operator)]
    found: dict[str, int] = {}
    for number, (pattern, parts) in enumerate(overrides):
        if matches(pattern, operator):
            found |= {part: number for part, given in parts.items() if part != "engine" or given in engines}
    return found
