"""Which designs cannot be, and why: a bit for each reason, as a sweep needs."""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from cimstudy.cost.coefficients import table
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.run import Run

REASONS = {
    1: "keys and values need more than architecture.kv.capacity, or than architecture.buffers.capacity where they are",
    2: "arrays need more than architecture.chips.count chips",
    4: "arrays are written at inference, and their cells are not rewritable",
    8: "a search in content-addressable memory is not counted",
    16: "keys and values are in arrays, and scores, values or a search are computed elsewhere",
    32: "the sequence is longer than the network's context",
    128: "which keys attention keeps is known neither from the scheme nor from a run of the network",
    256: "arrays are redundant (architecture.redundancy), which is not counted",
    512: "the search for keys (other than of a threshold), or for tokens to prune, is not counted",
    1024: "products with inputs in place of keys (decomposed, fused) are not counted",
    2048: "tokens that leave before the last layer (early_exit; token_pruning of both sides) are not counted",
    4096: "currents that are not converted (cascaded), and the pulses and counters of gain_cell, are not counted",
    8192: "device.cost does not say all of a cell, nor do the coefficients of device.technology; known: "
    + ", ".join(table("cells")),
}
SEARCHING = ("threshold", "fused", "product_quantised", "hashed", "token_pruning")


def reasons(run: Run, kv_bytes: Any, chips: Any) -> Any:
    """Sum of the codes of what is wrong with each point. kv_bytes : of all sequences together."""
    shape, group, numbers = run.shape, run.group, run.group.numbers
    kind = group.choices["architecture.attention.kind"]
    products = [(name, layers.settings[name].group) for layers in run.attention for name in layers.products]
    placed = [(engine_of(name, own), own) for name, own in products]
    kept = group.choices["architecture.kv.location"] == "array"
    tokens = numbers["workload.prefill"] + numbers["workload.decode"]
    room = numbers["architecture.kv.capacity"]
    if group.choices["architecture.kv.location"] == "buffer":
        room = np.minimum(room, chips * numbers["architecture.buffers.capacity"])
    searching = run.attention if kind in SEARCHING else ()
    searched = all("search" in layers.products for layers in searching)
    found = {
        1: kv_bytes > room,
        2: chips > numbers["architecture.chips.count"],
        4: any_of(own.numbers["device.rewritable"] == 0 for engine, own in placed if engine == "dynamic-crossbar"),
        8: any(engine_of("search", layers.settings["search"].group) == "cam" for layers in searching),
        16: kept and not {engine for engine, _ in placed} <= {"dynamic-crossbar", "sram-cim"},
        32: tokens > (shape.context or np.inf),
        128: unknown_keys(run),
        256: any_of(is_redundant(setting.group) for setting in run.settings),
        512: not searched,
        1024: kind in {"decomposed", "fused"},
        2048: kind == "early_exit" or (kind == "token_pruning" and not shape.causal),
        4096: kind in {"cascaded", "gain_cell"},
        8192: any_of(unknown_cells(setting.group) for setting in run.settings),
    }
    return total(code * flags for code, flags in found.items() if np.any(flags))


def any_of(found: Iterable[Any]) -> Any:
    """Where any of these is true; nowhere of none."""
    return functools.reduce(np.logical_or, found, False)


def unknown_keys(run: Run) -> Any:
    """Whether it is not known which keys attention keeps."""
    shares = [share for layers in run.attention for pair in layers.known_shares.values() for share in pair]
    return np.isnan(total(shares))


def is_redundant(group: Group) -> Any:
    """Whether there are more arrays than weights need."""
    numbers = group.numbers
    return (numbers["architecture.redundancy.copies"] > 1) | ~np.isnan(numbers["architecture.redundancy.share"])


def unknown_cells(group: Group) -> Any:
    """Whether neither a device nor its technology says what a cell costs."""
    if group.choices["device.technology"] in table("cells"):
        return False
    return np.isnan(total(entry for path, entry in group.numbers.items() if path.startswith("device.cost.")))


def engine_of(name: str, group: Group) -> str:
    """The engine of a kind of operator."""
    return group.choices[f"architecture.placement.{name}"]


def explained(code: float) -> list[str]:
    """What is wrong with a point of this code."""
    return [text for bit, text in REASONS.items() if int(code) & bit]
