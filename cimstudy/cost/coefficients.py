"""The coefficients: what one event costs, each with its source and how far to trust it. Data files, in SI units."""

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

CONFIDENCES = ("code", "abstract", "recalled", "computed", "assumed")


@cache
def table(name: str) -> Mapping[str, Any]:
    """The file `name`.toml of coefficients."""
    file = resources.files("cimstudy.cost") / "data" / f"{name}.toml"
    return tomllib.loads(file.read_text("utf-8"))


@cache
def event(name: str, quantity: str) -> float:
    """A coefficient of an event or a unit, such as the `energy` of a `shift_add`."""
    return float(table("events")[name][quantity])


def node_of(name: str) -> float:
    """The node for which the coefficients of an event hold, m."""
    return float(table("events")[name]["node_nm"]) * 1e-9


def cell(technology: str) -> Mapping[str, float]:
    """What a cell of a technology costs where a device does not say; that of ReRAM, if it is unknown (`validity`)."""
    cells = table("cells")
    found: Mapping[str, float] = cells.get(technology, cells["ReRAM"])
    return found


@cache
def sources() -> Mapping[str, Mapping[str, Any]]:
    """Every coefficient by name: its numbers, its source, and how far to trust it."""
    found: dict[str, Mapping[str, Any]] = {"technology": table("technology")}
    for name in ("adc", "events", "cells", "nonlinear", "gpus"):
        found |= {f"{name}.{entry}": values for entry, values in table(name).items()}
    return {name: {key: readable(value) for key, value in entry.items()} for name, entry in found.items()}


def readable(value: Any) -> Any:
    """A value as JSON can hold it."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
