"""The design of a described hardware: what its parts say, by path; and what follows from how they code numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.design import CHOICES, NUMBERS, PER_LAYER, UNSAID
from cimstudy.cost.overrides import Overrides, Own
from cimstudy.hardware import (
    Architecture,
    Crossbar,
    Differential,
    GainCellAttention,
    Hardware,
    Override,
    Searched,
    ThresholdAttention,
)

PATHS = (*NUMBERS, *CHOICES)
Parts = Mapping[str, tuple[Sequence[Any], NDArray[np.intp]]]  # by name: distinct ones, and which of them a point has


def design_of(hardware: Hardware) -> dict[str, Any]:
    """The entries of a design that a hardware states; it leaves the others at their defaults."""
    parts = {root: ([getattr(hardware, root)], np.zeros(1, np.intp)) for root in Hardware.model_fields}
    return design_of_points(parts)


def design_of_points(parts: Parts) -> dict[str, Any]:
    """The same for many points: an entry is one value, or (points,)."""
    design: dict[str, Any] = {}
    for root, (distinct, which) in parts.items():
        if root == "overrides":
            own = [[own_of(override) for override in each] for each in distinct]
            design |= {root: Overrides(distinct=own, which=which)} if any(own) else {}
            continue
        listed = [stated(root, part) for part in distinct]
        for path in dict.fromkeys(path for entries in listed for path in entries):
            values = np.array([entries.get(path, default(path)) for entries in listed])
            same = (values == values[0]).all()
            design[path] = values[0] if same else values[which]
    return design


def own_of(override: Override) -> Own:
    """The entries that an override gives: all of each of its parts."""
    given = dict(override.parts)
    engine = given.pop("engine", None)
    return Own(pattern=override.pattern, engine=engine, parts={name: whole(name, part) for name, part in given.items()})


def whole(name: str, part: Any) -> dict[str, Any]:
    """All entries of a part in an override, those that it does not state included."""
    root = name if name in {"device", "crossbar"} else f"architecture.{name}"
    return {path: default(path) for path in paths_of(root)} | stated(root, part)


def default(path: str) -> Any:
    """What an entry is where nothing is said."""
    if path.rpartition(".")[0] in PER_LAYER:
        return UNSAID
    return (NUMBERS[path] if path in NUMBERS else CHOICES[path]).default


def stated(root: str, part: Any) -> dict[str, Any]:
    """The entries that a part of a hardware states. root : the path of the part itself."""
    mine = {path: value_at(part, path.removeprefix(f"{root}.")) for path in paths_of(root)}
    found = {path: value for path, value in mine.items() if value is not None and not isinstance(value, tuple)}
    if isinstance(part, Architecture):
        return found | all_kept(part) | by_layer(part) | counters(part)
    return found | coded(part) if isinstance(part, Crossbar) else found


def paths_of(root: str) -> list[str]:
    """All entries within a part."""
    return [path for path in PATHS if path.startswith(f"{root}.")]


def value_at(part: Any, path: str) -> Any:
    """The value at a path within a part; None if it has no such field, or says nothing there."""
    for name in path.split("."):
        part = getattr(part, name, None)
    return part


def all_kept(architecture: Architecture) -> dict[str, Any]:
    """Schemes that search for keys and have no threshold keep all of them, and those that do no more are plain."""
    given = architecture.attention
    if not isinstance(given, Searched) or given.threshold is not None or given.keep is not None:
        return {}
    if isinstance(given, ThresholdAttention):
        return {"architecture.attention.kind": "full"}
    return {"architecture.attention.keep": 1.0, "architecture.attention.mask": "none"}


def by_layer(architecture: Architecture) -> dict[str, Any]:
    """Numbers that a scheme has for each layer."""
    found = {path: value_at(architecture, path.removeprefix("architecture.")) for path in PER_LAYER}
    return {
        f"{path}.{layer}": number
        for path, numbers in found.items()
        if isinstance(numbers, tuple)
        for layer, number in enumerate(numbers)
    }


def counters(architecture: Architecture) -> dict[str, Any]:
    """Gain cells whose outputs are exact have no counters."""
    given = architecture.attention
    exact = isinstance(given, GainCellAttention) and given.output_bits is None
    return {"architecture.attention.output_bits": 0} if exact else {}


def coded(crossbar: Crossbar) -> dict[str, Any]:
    """How many cells, conversions and pulses weights and inputs take."""
    weights, dac = crossbar.weights, crossbar.dac
    pair = isinstance(weights, Differential)
    lines = 2 if pair and weights.subtraction == "digital" else 1
    found: dict[str, Any] = {
        "crossbar.cells_per_weight": weights.slices * len(weights.cells) * (2 if pair else 1),
        "crossbar.conversions_per_weight": 0 if crossbar.adc is None else weights.slices * lines,
        "crossbar.cells_of_current": len(weights.cells) * (2 if pair else 1),
        "crossbar.conversions_of_current": 0 if crossbar.adc is None else lines,
    }
    if weights.bits is not None:
        found["crossbar.weight_bits"] = weights.bits
    if dac is not None:
        each = crossbar.adc is None or crossbar.adc.per_pulse
        found |= {
            "crossbar.input_bits": dac.bits,
            "crossbar.pulse_bits": dac.serial_bits or dac.magnitude_bits,
            "crossbar.pulses": dac.cycles,
            "crossbar.converted_pulses": dac.cycles if each else 1,
        }
    return found
