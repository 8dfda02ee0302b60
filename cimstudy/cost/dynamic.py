"""Attention: products of queries with keys and of scores with values, which grow with the context.

Counts are of one layer. "A pair" is a token and one that it sees, and whose score is computed or whose values are
weighed; every sum over a growing context is in closed form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cimstudy.cost import counts, meeting
from cimstudy.cost.coefficients import event
from cimstudy.cost.design import Group
from cimstudy.cost.events import (
    BOUNDS,
    Events,
    memory_of,
    multiply_accumulate,
    sram_multiply_accumulate,
    sram_product,
)
from cimstudy.cost.redundancy import Redundancy
from cimstudy.cost.scaling import Scaling
from cimstudy.cost.shapes import ModelShape

Energies = Mapping[str, Any]
NIBBLE = 4  # bits of numbers whose product a content-addressable memory holds


@dataclass(frozen=True, kw_only=True, eq=False)
class Attended:
    """What a product or a search of one layer takes, for each pair, each token and each block of tokens in sight."""

    per_pair: Energies
    per_token: Energies
    per_block: Energies = field(default_factory=dict)
    per_kept: Energies = field(default_factory=dict)  # pair whose value is weighed
    block: Any = 1.0  # tokens
    pair_time: Any = 0.0  # s, in digital units or on the way from memory
    kept_time: Any = 0.0  # s, the same, for each pair whose value is weighed
    token_time: Any = 0.0  # s, in arrays
    conversions: tuple[Any, Any] = (0.0, 0.0)  # for each pair, and for each block


def digitally(operator: str, shape: ModelShape, group: Group, events: Events) -> Attended:
    """In units that read keys or values from where they are kept: of logic, or of content-addressable memory."""
    numbers, engine = group.numbers, group.choices[f"architecture.placement.{operator}"]
    bits = numbers["architecture.kv.bits"]
    where = memory_of(group, events.scaling, engine)
    macs, entries = shape.heads * shape.head_width, shape.kv_heads * shape.head_width * bits
    speed = numbers["architecture.logic.macs"] * numbers["architecture.logic.clock"]
    products, turns = multiplied(group, events, engine)
    return Attended(
        per_pair=products_of(macs, products) | {"memory": entries * where.energy},
        per_token={} if meeting.is_shared(operator, group) else {"memory": entries * where.energy},
        pair_time=np.maximum(macs * turns / speed, entries / where.bandwidth),
    )


def products_of(macs: int, each: Energies) -> dict[str, Any]:
    """Energies of so many multiply-accumulates."""
    return {name: macs * energy for name, energy in each.items()}


def multiplied(group: Group, events: Events, engine: str) -> tuple[Energies, Any]:
    """Energies of a multiply-accumulate of a unit, and how often a unit works for one.

    Digital units take operands as they are kept; others those of the crossbar, as the chip computes. A product in
    content-addressable memory is a sum of products of 4 bits, each a function of two numbers.
    """
    numbers, kept = group.numbers, group.numbers["architecture.kv.bits"]
    if engine == "digital":
        return {"mac": multiply_accumulate(events.scaling, (kept, kept))}, 1.0
    widths = (numbers["crossbar.input_bits"], numbers["crossbar.weight_bits"])
    if engine == "near-memory":
        return {"mac": multiply_accumulate(events.scaling, widths)}, 1.0
    parts = np.ceil(widths[0] / NIBBLE) * np.ceil(widths[1] / NIBBLE)
    return {
        "mac": parts * events.scaling.energy("accumulate"),
        "cell": parts * product_bits() * events.scaling.energy("cam_bit"),
    }, parts


def product_bits() -> float:
    """Bits that a search for a product of two numbers of 4 bits compares: two bounds of each number in each range."""
    return event("range_product", "ranges") * 2 * BOUNDS


def product_area(scaling: Scaling) -> Any:
    """Area of a memory that holds such products, m2."""
    return product_bits() * event("cam_bit", "area_F2") * np.square(scaling.node)


def entry_bits(group: Group) -> Any:
    """Bits of an entry of a key or a value where it is kept: in arrays that multiply by it, those of a weight."""
    in_arrays = group.choices["architecture.kv.location"] == "array"
    return group.numbers["crossbar.weight_bits" if in_arrays else "architecture.kv.bits"]


def rewritten(operator: str, group: Group, events: Events, entries: Any, cell: tuple[Any, Any]) -> Attended:
    """Writing keys or values into arrays: those of a new token, or of all in sight if they are kept elsewhere.

    entries : of a token.  cell : energy and time of writing an entry.
    """
    if meeting.is_shared(operator, group):
        return Attended(per_pair={}, per_token={})
    energy, time = cell
    write = {"write": entries * energy}
    if meeting.stays_in_arrays(group):
        return Attended(per_pair={}, per_token=write, token_time=time)
    where = memory_of(group, events.scaling, group.choices[f"architecture.placement.{operator}"])
    bits = entries * group.numbers["architecture.kv.bits"]
    return Attended(
        per_pair=write | {"memory": bits * where.energy},
        per_token={"memory": bits * where.energy},
        pair_time=np.maximum(time, bits / where.bandwidth),
    )


def in_analog_arrays(operator: str, shape: ModelShape, group: Group, events: Events) -> Attended:
    """In analog arrays, an entry in as many cells as a weight."""
    numbers, d, heads = group.numbers, shape.head_width, shape.heads
    cells, vector = numbers["crossbar.cells_per_weight"], events.vector(operator)
    converted = events.conversions
    conversion = events.conversion
    into, out = numbers["crossbar.input_bits"], numbers["architecture.logic.partial_sum_bits"]
    write = rewritten(
        operator,
        group,
        events,
        shape.kv_heads * d,
        (cells * events.cells.write_energy, events.cells.write_time),
    )
    if operator == "scores":  # keys side by side
        high = counts.row_tiles(d, numbers["crossbar.rows"])
        block = np.maximum(np.floor(numbers["crossbar.columns"] / cells), 1)
        found, per_pair, per_block = high * converted, high * out, d * into
        pair = {"partial_sum": (high - 1) * events.add}
        edge = {"dac": d * vector.row}
        conversions = (heads * found, 0.0)
        pair |= {"adc": found * conversion, "shift_add": found * events.shift_add}
    else:  # values one below the other
        wide = counts.column_tiles(d, cells, numbers["crossbar.columns"])
        block = meeting.rows_together(group)
        found, per_pair, per_block = d * converted, wide * into, d * out
        pair = {"dac": wide * vector.row}
        edge = {"adc": found * conversion, "shift_add": found * events.shift_add, "partial_sum": d * events.add}
        conversions = (0.0, heads * found)
    pair |= {"cell": d * vector.weight, **moved(per_pair, events)}
    edge |= moved(per_block, events)
    turns = heads / shape.kv_heads  # heads that share keys take turns
    found = Attended(
        per_pair=added({name: heads * energy for name, energy in pair.items()}, write.per_pair),
        per_token=write.per_token,
        per_block={name: heads * energy for name, energy in edge.items()},
        block=block,
        pair_time=write.pair_time,
        token_time=write.token_time + turns * events.product + events.hop_time,
        conversions=conversions,
    )
    return found if events.redundancy is None else with_others(found, events.redundancy)


def with_others(found: Attended, redundancy: Redundancy) -> Attended:
    """The same in redundant arrays."""
    pairs, blocks = found.conversions
    drives = redundancy.written
    return replace(
        found,
        per_pair=redundancy.energies(found.per_pair, pairs, drives),
        per_token=redundancy.energies(found.per_token, 0.0, drives),
        per_block=redundancy.energies(found.per_block, blocks, drives),
        conversions=(pairs * redundancy.read, blocks * redundancy.read),
    )


def moved(bits: Any, events: Events) -> dict[str, Any]:
    """Energy of bits that go to arrays or come from them."""
    return {"buffer": bits * events.bit_to_array, "noc": bits * events.bit_between_tiles}


def added(first: Energies, second: Energies) -> dict[str, Any]:
    """Energies of both, by component."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in dict.fromkeys((*first, *second))}


def in_sram_arrays(operator: str, shape: ModelShape, group: Group, events: Events) -> Attended:
    """In arrays of SRAM with adder trees, an entry in as many bits as a weight."""
    numbers, d = group.numbers, shape.head_width
    rows, bits = numbers["crossbar.rows"], numbers["crossbar.weight_bits"]
    widths = (numbers["crossbar.input_bits"], bits)
    clock = 1 / numbers["architecture.logic.clock"]
    write = rewritten(operator, group, events, shape.kv_heads * d, (bits * events.sram_write, clock))
    mac = {"mac": shape.heads * d * sram_multiply_accumulate(events.scaling, rows, widths)}
    moves = moved(shape.heads * numbers["architecture.logic.partial_sum_bits"], events)
    return Attended(
        per_pair=added(mac | moves, write.per_pair),
        per_token=write.per_token,
        pair_time=write.pair_time,
        token_time=write.token_time
        + shape.heads / shape.kv_heads * sram_product(events.scaling, rows, widths)
        + events.hop_time,
    )


ENGINES: Mapping[str, Callable[[str, ModelShape, Group, Events], Attended]] = {
    "digital": digitally,
    "near-memory": digitally,
    "dynamic-crossbar": in_analog_arrays,
    "sram-cim": in_sram_arrays,
    "cam": digitally,
}


def attended(operator: str, shape: ModelShape, group: Group, events: Events) -> Attended:
    """What a product of attention takes on the engine that the design places it on."""
    engine = ENGINES[group.choices[f"architecture.placement.{operator}"]]
    return engine(operator, meeting.met(operator, shape, group), group, events)


def arrays(
    operator: str, shape: ModelShape, group: Group, tokens: Any, redundancy: Redundancy | None
) -> tuple[Any, Any]:
    """Analog and SRAM arrays that hold the keys or the values of so many tokens."""
    numbers, engine = group.numbers, group.choices[f"architecture.placement.{operator}"]
    cells = {"dynamic-crossbar": "crossbar.cells_per_weight", "sram-cim": "crossbar.weight_bits"}.get(engine)
    if cells is None or meeting.is_shared(operator, group) or meeting.holds_charges(group):
        return 0.0, 0.0
    shape = meeting.met(operator, shape, group)
    size = (numbers["crossbar.rows"], numbers["crossbar.columns"])
    matrix = (shape.head_width, tokens) if operator == "scores" else (tokens, shape.head_width)
    heads = shape.layers * shape.kv_heads
    if engine == "sram-cim" or redundancy is None:
        found = heads * counts.arrays(matrix, numbers[cells], size)
    else:
        found = heads * redundancy.arrays(matrix, numbers[cells], size)
    return (found, 0.0) if engine == "dynamic-crossbar" else (0.0, found)
