"""Products with static matrices: what one of them takes on each engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cimstudy.cost import counts
from cimstudy.cost.design import Group
from cimstudy.cost.events import (
    Events,
    memory,
    multiply_accumulate,
    sram_multiply_accumulate,
    sram_product,
)
from cimstudy.cost.prices import Bill, Price
from cimstudy.cost.redundancy import Redundancy
from cimstudy.cost.shapes import Product


@dataclass(frozen=True, kw_only=True, eq=False)
class Use:
    """What one product with one matrix takes, and what all matrices of its shape occupy."""

    energies: Mapping[str, Any] | Bill  # J, by component
    time: Any  # s
    shared: bool  # by all products: a digital unit, or a memory; arrays work side by side
    conversions: Any = 0.0
    arrays: Any = 0.0  # analog
    sram_arrays: Any = 0.0
    cells: Any = 0.0  # analog ones that hold weights
    sram_cells: Any = 0.0
    memory_area: Any = 0.0  # m2, of what holds weights beside the chip


def traffic(group: Group, inputs: Any, outputs: Any) -> Any:
    """Bits that go to arrays and come from them."""
    numbers = group.numbers
    return inputs * numbers["crossbar.input_bits"] + outputs * numbers["architecture.logic.partial_sum_bits"]


def on_crossbar(product: Product, group: Group, events: Events, batch: Any) -> Use:
    """In analog arrays whose cells are written once."""
    del batch
    numbers = group.numbers
    cells = numbers["crossbar.cells_per_weight"]
    high = counts.row_tiles(product.rows, numbers["crossbar.rows"])
    wide = counts.column_tiles(product.columns, cells, numbers["crossbar.columns"])
    inputs, outputs = product.rows * wide, product.columns * high
    vector = events.vector(product.operator)
    weights = product.rows * product.columns
    use = Use(
        energies=Bill(
            lines=(
                (inputs, vector.input),
                (weights, vector.read),
                (outputs, events.output),
                (outputs - product.columns, events.sum),
            )
        ),
        time=events.product_time,
        shared=False,
        conversions=outputs * events.conversions,
        arrays=product.count * high * wide,
        cells=product.count * weights * cells,
    )
    if product.currents:
        use = as_currents(product, group, events, (high, wide))
    return use if events.redundancy is None else with_others(use, product, group, events.redundancy)


def with_others(use: Use, product: Product, group: Group, redundancy: Redundancy) -> Use:
    """The same in redundant arrays."""
    numbers, matrix = group.numbers, (product.rows, product.columns)
    size = (numbers["crossbar.rows"], numbers["crossbar.columns"])
    arrays = product.count * redundancy.arrays(matrix, numbers["crossbar.cells_per_weight"], size)
    return replace(
        use,
        energies=redundancy.energies(dict(use.energies.items()), use.conversions, arrays / use.arrays),
        conversions=use.conversions * redundancy.read,
        arrays=arrays,
        cells=use.cells * redundancy.written,
    )


def as_currents(product: Product, group: Group, events: Events, tiles: tuple[Any, Any]) -> Use:
    """In analog arrays whose outputs are sampled, and go on as they are. tiles : arrays in both directions."""
    numbers, (high, wide) = group.numbers, tiles
    inputs, weights = product.rows * wide, product.rows * product.columns
    vector, cells = events.vector(product.operator), numbers["crossbar.cells_per_weight"]
    sample = Price(energies={"adc": events.scaling.energy("sample_hold")})
    return Use(
        energies=Bill(lines=((inputs, vector.input), (weights, vector.read), (product.columns * high, sample))),
        time=numbers["crossbar.pulses"] * events.turns * events.cells.read_time + events.hop_time,
        shared=False,
        arrays=product.count * high * wide,
        cells=product.count * weights * cells,
    )


def in_sram(product: Product, group: Group, events: Events, batch: Any) -> Use:
    """In arrays of SRAM with adder trees, a bit of a weight in each cell."""
    del batch
    numbers = group.numbers
    rows, bits = numbers["crossbar.rows"], numbers["crossbar.weight_bits"]
    widths = (numbers["crossbar.input_bits"], bits)
    high = counts.row_tiles(product.rows, rows)
    wide = counts.column_tiles(product.columns, bits, numbers["crossbar.columns"])
    weights = product.rows * product.columns
    outputs = product.columns * high
    moved = traffic(group, product.rows * wide, outputs)
    return Use(
        energies={
            "mac": weights * sram_multiply_accumulate(events.scaling, rows, widths),
            "partial_sum": (outputs - product.columns) * events.add,
            "buffer": moved * events.bit_to_array,
            "noc": moved * events.bit_between_tiles,
        },
        time=sram_product(events.scaling, rows, widths) + events.hop_time,
        shared=False,
        sram_arrays=product.count * high * wide,
        sram_cells=product.count * weights * bits,
    )


def beside_memory(name: str) -> Callable[[Product, Group, Events, Any], Use]:
    """In digital units that read weights from a memory, once for a batch."""

    def run(product: Product, group: Group, events: Events, batch: Any) -> Use:
        numbers, where = group.numbers, memory(name)
        weights = product.rows * product.columns
        bits = weights * numbers["crossbar.weight_bits"] / batch
        widths = (numbers["crossbar.input_bits"], numbers["crossbar.weight_bits"])
        speed = numbers["architecture.logic.macs"] * numbers["architecture.logic.clock"]
        return Use(
            energies={
                "mac": weights * multiply_accumulate(events.scaling, widths),
                "memory": bits * where.energy,
                "buffer": (product.rows + product.columns) * numbers["crossbar.input_bits"] * events.bit_to_array,
            },
            time=np.maximum(weights / speed, bits / where.bandwidth),
            shared=True,
            memory_area=product.weights * numbers["crossbar.weight_bits"] * where.area,
        )

    return run


ENGINES: Mapping[str, Callable[[Product, Group, Events, Any], Use]] = {
    "crossbar": on_crossbar,
    "dynamic-crossbar": on_crossbar,  # tables of a search, which are written once
    "sram-cim": in_sram,
    "digital": beside_memory("hbm"),
    "near-memory": beside_memory("near_memory"),
}
KINDS = {  # of the placement
    "embedding": "embedding",
    "qkv": "projections",
    "output": "projections",
    "ffn_up": "ffn",
    "ffn_down": "ffn",
    "head": "head",
    "search": "search",
}


def use_of(product: Product, group: Group, events: Events, batch: Any) -> Use:
    """What a product takes on the engine that the design places it on."""
    return ENGINES[group.choices[f"architecture.placement.{KINDS[product.operator]}"]](product, group, events, batch)
