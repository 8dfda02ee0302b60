"""Attention in cells that hold charges: a charge a number, pulses for queries and scores, counters behind sub-tiles."""

from typing import Any

import numpy as np

from cimstudy.cost import meeting
from cimstudy.cost.coefficients import event
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import Attended, moved
from cimstudy.cost.events import Events, pulse_of
from cimstudy.cost.scaling import Scaling
from cimstudy.cost.shapes import ModelShape

CELL = "gain_cell"


def attended(operator: str, shape: ModelShape, group: Group, events: Events) -> Attended:
    """What a product takes. A token is written once; a sub-tile is a block, whose rows are driven together."""
    d, heads, scaling = shape.head_width, shape.heads, events.scaling
    numbers = {name: group.numbers[f"architecture.attention.{name}"] for name in ("rows", "query_bits", "output_bits")}
    out = group.numbers["architecture.logic.partial_sum_bits"]
    multiply = {"cell": d * scaling.energy(CELL)}
    if operator == "scores":
        pair = multiply | {"adc": scaling.energy("comparator")}  # that ends the pulse which the charge becomes
        driven = {"dac": d * pulse_of(group, scaling, np.maximum(numbers["query_bits"] - 1, 1))}
        block = driven | moved(d * numbers["query_bits"], events)
    else:
        pair = multiply | {"dac": pulse_of(group, scaling, np.ones(1))}
        counted = {"adc": d * count(scaling, numbers["output_bits"]), "partial_sum": d * events.add}
        block = counted | moved(d * out, events)
    return Attended(
        per_pair={name: heads * energy for name, energy in pair.items()},
        per_token={"write": shape.kv_heads * d * scaling.energy(CELL, "write_energy")},
        per_block={name: heads * energy for name, energy in block.items()},
        block=numbers["rows"],
        token_time=heads / shape.kv_heads * event(CELL, "time") + events.hop_time,
        conversions=(0.0, heads * d * (numbers["output_bits"] > 0)) if operator == "values" else (0.0, 0.0),
    )


def count(scaling: Scaling, bits: Any) -> Any:
    """Energy of a counter of so many bits with the sign, which counts to its end; none of no bits."""
    steps = np.where(bits > 0, np.exp2(np.maximum(bits - 1, 0)) - 1, 0.0)
    return scaling.energy("counter") * bits / event("counter", "bits") * steps


def area(shape: ModelShape, group: Group, scaling: Scaling) -> Any:
    """Area of the cells of one sequence, m2."""
    if not meeting.holds_charges(group):
        return 0.0
    numbers = 2 * shape.layers * shape.kv_heads * shape.head_width * group.numbers["architecture.attention.window"]
    return np.where(np.isnan(numbers), 0.0, numbers) * scaling.area(CELL)
