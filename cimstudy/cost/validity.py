"""Which designs cannot be, and why: a bit for each reason, as a sweep needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cimstudy.cost.design import Group
from cimstudy.cost.shapes import ModelShape

REASONS = {
    1: "keys and values need more than architecture.kv.capacity, or than architecture.buffers.capacity where they are",
    2: "arrays need more than architecture.chips.count chips",
    4: "arrays are written at inference, and their cells are not rewritable",
    8: "an engine has no coefficients: cam, or a crossbar for softmax, norms or activations",
    16: "keys and values are in arrays, and scores or values are computed elsewhere",
    32: "the sequence is longer than the network's context",
    64: "overrides give some operators other parts, which is not counted",
    128: "the attention scheme drops or adds work, which is not counted",
    256: "arrays are redundant (architecture.redundancy), which is not counted",
}
NONLINEAR = ("softmax", "norm", "activation")


def reasons(shape: ModelShape, group: Group, kv_bytes: Any, chips: Any) -> Any:
    """Sum of the codes of what is wrong with each point. kv_bytes : of all sequences together."""
    numbers, engines = group.numbers, engines_of(group)
    dynamic = {engines["scores"], engines["values"]}
    kept = group.choices["architecture.kv.location"] == "array"
    unknown = "cam" in engines.values() or any(engines[name] == "crossbar" for name in NONLINEAR)
    tokens = numbers["workload.prefill"] + numbers["workload.decode"]
    room = numbers["architecture.kv.capacity"]
    if group.choices["architecture.kv.location"] == "buffer":
        room = np.minimum(room, chips * numbers["architecture.buffers.capacity"])
    return (
        1 * (kv_bytes > room)
        + 2 * (chips > numbers["architecture.chips.count"])
        + 4 * np.logical_and("dynamic-crossbar" in dynamic, numbers["device.rewritable"] == 0)
        + 8 * unknown
        + 16 * (kept and not dynamic <= {"dynamic-crossbar", "sram-cim"})
        + 32 * (tokens > (shape.context or np.inf))
        + 64 * (numbers["overrides"] > 0)
        + 128 * (group.choices["architecture.attention.kind"] not in {"full", "blocked"})
        + 256 * (numbers["architecture.redundancy"] > 0)
    )


def engines_of(group: Group) -> Mapping[str, str]:
    """The engine of each kind of operator."""
    root = "architecture.placement."
    return {path.removeprefix(root): name for path, name in group.choices.items() if path.startswith(root)}


def explained(code: float) -> list[str]:
    """What is wrong with a point of this code."""
    return [text for bit, text in REASONS.items() if int(code) & bit]
