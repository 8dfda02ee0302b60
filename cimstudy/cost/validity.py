"""Which designs cannot be, and why: a bit for each reason, as a sweep needs."""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from cimstudy.cost import meeting, search
from cimstudy.cost.coefficients import table
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.run import Layers, Run

REASONS = {
    1: "keys and values need more than architecture.kv.capacity, or than architecture.buffers.capacity where they are",
    2: "arrays need more than architecture.chips.count chips",
    4: "arrays are written at inference, and their cells are not rewritable",
    16: "keys and values are in arrays, and scores, values or a search are computed elsewhere",
    32: "the sequence is longer than the network's context",
    128: "which keys attention keeps, or which tokens layers compute, is known neither from the scheme nor from a run: "
    "cost=True of a workload that runs the network counts it; data.scored, data.kept and data.computed say it",
    512: "an engine cannot do what the scheme needs of it: currents (cascaded) go from crossbar to dynamic-crossbar; "
    "searches are on digital, and of threshold and fused on dynamic-crossbar, of hashed on cam, of product_quantised "
    "on crossbar or dynamic-crossbar",
    8192: "device.cost does not say all of a cell, nor do the coefficients of device.technology; known: "
    + ", ".join(table("cells")),
}


def reasons(run: Run, kv_bytes: Any, chips: Any) -> Any:
    """Sum of the codes of what is wrong with each point. kv_bytes : of all sequences together."""
    shape, group, numbers = run.shape, run.group, run.group.numbers
    products = [(name, layers.settings[name].group) for layers in run.attention for name in layers.products]
    placed = [(engine_of(name, own), own) for name, own in products if name != "search" or search.is_placed(own)]
    kept = group.choices["architecture.kv.location"] == "array"
    reading = {engine_of(name, own) for name, own in products if reads_keys(name, own)}
    tokens = numbers["workload.prefill"] + numbers["workload.decode"]
    room = numbers["architecture.kv.capacity"]
    if group.choices["architecture.kv.location"] == "buffer":
        room = np.minimum(room, chips * numbers["architecture.buffers.capacity"])
    found = {
        1: kv_bytes > room,
        2: chips > numbers["architecture.chips.count"],
        4: any_of(own.numbers["device.rewritable"] == 0 for engine, own in placed if engine == "dynamic-crossbar"),
        16: kept and not reading <= {"dynamic-crossbar", "sram-cim"},
        32: tokens > (shape.context or np.inf),
        128: unknown_keys(run),
        512: any(misplaced(layers) for layers in run.attention),
        8192: any_of(unknown_cells(setting.group) for setting in run.settings),
    }
    return total(code * flags for code, flags in found.items() if np.any(flags))


def any_of(found: Iterable[Any]) -> Any:
    """Where any of these is true; nowhere of none."""
    return functools.reduce(np.logical_or, found, False)


def reads_keys(name: str, group: Group) -> bool:
    """Whether an operator reads keys or values from where they are kept, or holds them."""
    return search.is_approximate(group) if name == "search" else not meeting.holds_charges(group)


def misplaced(layers: Layers) -> bool:
    """Whether an engine cannot do what a scheme needs of it."""
    group = layers.settings["search"].group
    if search.searches(group) and not search.is_counted(group):
        return True
    names = ("projections", "scores", "values")
    cascaded = meeting.kind_of(layers.group) == "cascaded"
    return cascaded and [engine_of(name, layers.group) for name in names] != ["crossbar", *["dynamic-crossbar"] * 2]


def unknown_keys(run: Run) -> Any:
    """Whether it is not known which keys attention keeps, or which tokens layers compute."""
    shares = [share for layers in run.attention for pair in layers.known_shares.values() for share in pair]
    left = 0.0 if run.known_left is None else run.known_left
    return np.isnan(total(shares) + left)


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
