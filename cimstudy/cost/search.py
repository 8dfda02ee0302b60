"""The search of a threshold: approximate scores of all pairs, from operands of few bits, where the search is placed."""

from dataclasses import replace
from typing import Any

import numpy as np

from cimstudy.cost import dynamic
from cimstudy.cost.design import Group
from cimstudy.cost.events import events_of
from cimstudy.cost.shapes import ModelShape

PLACEMENT = "architecture.placement.search"
PLACED = ("digital", "dynamic-crossbar")
IN_ARRAYS = {  # of an operand and its product: a pair of cells of many levels, one pulse, a comparator
    "crossbar.cells_per_weight": 2.0,
    "crossbar.conversions_per_weight": 1.0,
    "crossbar.converted_pulses": 1.0,
    "crossbar.pulses": 1.0,
    "crossbar.adc.bits": 1.0,
}


def is_counted(group: Group) -> bool:
    """Whether the scheme has a search, and there are counts of it."""
    return group.choices["architecture.attention.kind"] == "threshold" and group.choices[PLACEMENT] in PLACED


def of_few_bits(group: Group) -> Group:
    """The same points with scores as the search computes them."""
    bits = group.numbers["architecture.attention.bits"]
    few = {
        "architecture.kv.bits": bits,
        "crossbar.input_bits": bits,
        "crossbar.pulse_bits": bits - 1,
        **{path: np.full(1, value) for path, value in IN_ARRAYS.items()},
    }
    engine = {"architecture.placement.scores": group.choices[PLACEMENT]}
    return replace(group, numbers={**group.numbers, **few}, choices={**group.choices, **engine})


def searched(shape: ModelShape, group: Group) -> dynamic.Attended:
    """What a search takes. Digital units read the first bits of keys that are written once, for their exact scores."""
    few = of_few_bits(group)
    found = dynamic.attended("scores", shape, few, events_of(few))
    return replace(found, per_token={}) if group.choices[PLACEMENT] == "digital" else found


def arrays(shape: ModelShape, group: Group, tokens: Any) -> tuple[Any, Any]:
    """Analog and SRAM arrays of the operands of few bits of so many tokens."""
    return dynamic.arrays("scores", shape, of_few_bits(group), tokens)
