"""The points of one group: every operator enters what it takes, and totals follow."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cimstudy.cost import meeting, online, search
from cimstudy.cost.area import areas, chips_of, static_power
from cimstudy.cost.counts import chosen, ratio, total
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import Attended, entry_bits
from cimstudy.cost.events import Memory, memory_of
from cimstudy.cost.kv import lifetime
from cimstudy.cost.ledger import OPERATIONS, PHASES, Ledger
from cimstudy.cost.run import Layers, Pair, Run, Setting, run_of
from cimstudy.cost.shapes import ModelShape
from cimstudy.cost.stock import held_of, programming, stocks_of, utilisation
from cimstudy.cost.taken import Parts, Taken, Taking, attended, steps_of
from cimstudy.cost.times import link_time, speeds, timings_of
from cimstudy.cost.validity import reasons

BYTE = 8  # bits


def evaluate(shape: ModelShape, group: Group, *, breakdown: bool) -> dict[str, Any]:
    """Every quantity at the points of a group."""
    run = run_of(shape, group)
    ledger = Ledger(group.points, breakdown=breakdown)
    steps = steps_of(run)
    parts = [(layers, attended(layers)) for layers in run.attention]
    stocks = stocks_of(steps)
    held = held_of(run, stocks)
    arrays = total(total(pair) for pair in held.values())
    kv_bits = kept_bits(run)
    chips = chips_of(group, arrays)
    buffered = kv_bits if group.choices["architecture.kv.location"] == "buffer" else 0.0
    dram = total((*(stock.memory_area for stock in stocks.values()), kept_area(run)))
    area = areas(run, held, chips, buffered, dram)
    power = static_power(group, area)
    speed = speeds(run, timings_of(run, steps, parts, chips))
    enter(run, ledger, steps, parts)
    enter_links(run, ledger, chips)
    if ledger.is_timed:
        enter_times(run, ledger, steps, parts)
        ledger.spend("ffn_down", link_time(run, chips), run.tokens)
    ledger.leak((power * speed["prefill"], power * speed["decode"]))
    code = reasons(run, kv_bits / BYTE, chips)
    found = totals(run, ledger, speed) | {
        "static_power": power,
        "area": total(area.values()),
        "arrays": arrays,
        "chips": chips,
        "utilisation": utilisation(stocks),
        "kv_traffic": traffic(run),
        "programming_energy": programming(stocks),
        "lifetime": wear(run, speed, kv_bits),
        "valid": np.equal(code, 0),
        "invalid_reason": code,
    }
    return found | (details(run, ledger, steps, parts, area) if breakdown else {})


def phases_of(run: Run, taking: Taken | Taking, *, last_only: bool) -> list[tuple[int, Pair]]:
    """The phases of which a product takes something of its own, and the tokens of each."""
    if taking.alike:
        return [(1, run.ends if last_only else run.tokens)]
    return [(0, run.read), (1, run.written)]


def enter(run: Run, ledger: Ledger, steps: list[Taking], parts: Parts) -> None:
    """Energies of all operators."""
    for step in steps:
        for taken in step.products:
            for phase, tokens in phases_of(run, taken, last_only=step.last_only):
                count = taken.product.used * run.left(step.operator)
                ledger.pay(step.operator, taken.uses[phase].energies, tokens, count)
    for layers, products in parts:
        for name, part in products.items():
            enter_attended(run, ledger, layers, (name, part))
    for name, elements, setting, uses in elements_of(run):
        ledger.pay(name, setting.units[name].energies, uses, elements)
    for layers in run.attention:
        if online.is_online(layers.group):
            operation = layers.settings["softmax"].events.scaling.energy("vector_operation")
            ledger.pay("softmax", {"mac": online.operations(layers.shape) * operation}, later_blocks(run, layers))


def enter_attended(run: Run, ledger: Ledger, layers: Layers, product: tuple[str, Attended]) -> None:
    """Energies of a product or a search of attention."""
    name, part = product
    ledger.pay(name, part.per_pair, layers.computed[name])
    ledger.pay(name, part.per_token, run.tokens, layers.shape.layers * run.left("keys"))
    if part.per_block:
        ledger.pay(name, part.per_block, layers.blocks(part.block), run.left("attention"))
    if part.per_kept:
        ledger.pay(name, part.per_kept, layers.computed["values"])


def later_blocks(run: Run, layers: Layers) -> Pair:
    """Blocks after the first of each query, in each phase, in some layers."""
    return layers.later_blocks(run.prefill, 0), layers.later_blocks(run.decode, 1)


def enter_times(run: Run, ledger: Ledger, steps: list[Taking], parts: Parts) -> None:
    """Times of all operators."""
    for step in steps:
        for phase, tokens in phases_of(run, step, last_only=step.last_only):
            ledger.spend(step.operator, run.remaining(step.operator, step.time(phase)), tokens)
    for layers, products in parts:
        for name, part in products.items():
            ledger.spend(name, part.pair_time, layers.computed[name])
            ledger.spend(name, part.kept_time, layers.computed["values"])
            ledger.spend(name, run.remaining("attention", layers.shape.layers * part.token_time), run.tokens)
    for name, elements, setting, uses in elements_of(run):
        ledger.spend(name, elements * setting.element_time(name), uses)
    for layers in run.attention:
        if online.is_online(layers.group):
            element = layers.settings["softmax"].element_time("softmax")
            ledger.spend("softmax", online.elements(layers.shape) * element, later_blocks(run, layers))


def elements_of(run: Run) -> Iterator[tuple[str, Any, Setting, Pair]]:
    """Elements of softmax, norms and activations for each pair or token, and how many of these each phase has."""
    for layers in run.attention:
        if meeting.needs_softmax(layers.group):
            yield "softmax", layers.shape.heads, layers.settings["softmax"], layers.computed["values"]
    for name, parts in run.elements.items():
        for elements, setting in parts:
            yield name, elements * run.left(name), setting, run.tokens


def enter_links(run: Run, ledger: Ledger, chips: Any) -> None:
    """Energy between chips: what leaves the layers of one goes to the next."""
    bits = (chips - 1) * (run.shape.width * run.link_bits)
    ledger.pay("ffn_down", {"link": bits * run.events.bit_between_chips}, run.tokens)


def totals(run: Run, ledger: Ledger, speed: Mapping[str, Any]) -> dict[str, Any]:
    """Energies of both phases, power, and the times that are outputs."""
    read, written = ledger.totals
    decoding = run.decode.tokens > 0
    busy = chosen(decoding, speed["decode"], speed["prefill"])
    return {
        "energy_prefill": read,
        "energy_per_token": ratio(written, run.decode.tokens),
        "power": ratio(chosen(decoding, written, read), busy),
        **{name: value for name, value in speed.items() if name not in PHASES},
    }


def kept_bits(run: Run) -> Any:
    """Bits of keys and values of all sequences at their longest."""
    tokens = meeting.kept_tokens(run.group, run.decode.stop) * run.group.numbers["workload.batch"]
    return tokens * total(
        meeting.kept_elements(name, layers.shape, layers.group) * entry_bits(layers.settings[name].group)
        for layers in run.attention
        for name in ("scores", "values")
    )


def kept_area(run: Run) -> Any:
    """Area of the memory beside the chips that holds keys and values, m2."""
    if run.group.choices["architecture.kv.location"] in {"array", "buffer"}:
        return 0.0
    tokens = meeting.kept_tokens(run.group, run.decode.stop) * run.group.numbers["workload.batch"]
    placed = [(name, layers, layers.settings[name]) for layers in run.attention for name in ("scores", "values")]
    return tokens * total(
        entry_bits(own.group) * (meeting.kept_elements(name, layers.shape, own.group) * memory_at(own, name).area)
        for name, layers, own in placed
    )


def memory_at(setting: Setting, name: str) -> Memory:
    """Where a product of attention reads keys or values."""
    return memory_of(setting.group, setting.events.scaling, setting.group.choices[f"architecture.placement.{name}"])


def traffic(run: Run) -> Any:
    """Bytes of keys and values that are read for a written token."""
    read = total(
        layers.computed[name][1] * (entries_of(name, layers) * entry_bits(layers.settings[name].group) / BYTE)
        for layers in run.attention
        for name in ("scores", "values")
    )
    return ratio(read, run.decode.tokens)


def entries_of(name: str, layers: Layers) -> int:
    """Numbers that a product of attention meets of a token, in one layer."""
    one = meeting.met(name, layers.shape, layers.group)
    return one.kv_heads * one.head_width


def wear(run: Run, speed: Mapping[str, Any], kv_bits: Any) -> Any:
    """Time until the first cells that hold keys and values are worn out, s; infinite if they are not in such cells."""
    written = dict.fromkeys(
        layers.settings[name]
        for layers in run.attention
        for name in layers.products
        if wears(name, layers.settings[name].group)
    )
    lives = [life(run, setting, speed, kv_bits) for setting in written]
    return functools.reduce(np.minimum, lives) if lives else np.inf


def wears(name: str, group: Group) -> bool:
    """Whether a product of attention writes cells that wear: charges and tables do not."""
    if group.choices[f"architecture.placement.{name}"] != "dynamic-crossbar" or meeting.holds_charges(group):
        return False
    return name != "search" or search.is_approximate(group)


def life(run: Run, setting: Setting, speed: Mapping[str, Any], kv_bits: Any) -> Any:
    """Time until cells of a setting are worn out by keys and values, s."""
    group, numbers, endurance = run.group, run.group.numbers, setting.events.cells.endurance
    decoding = run.decode.tokens > 0
    sequence = chosen(decoding, speed["decode"], speed["prefill"])  # s
    ring = group.choices["architecture.kv.rotation"] == "ring"
    if not meeting.stays_in_arrays(group):  # all in sight are written for every token
        return lifetime(endurance, ratio(chosen(decoding, *run.tokens[::-1]), sequence))
    writes = ratio(chosen(decoding, run.decode.tokens, 1.0), sequence)
    capacity = numbers["architecture.kv.capacity"] * BYTE / ratio(kv_bits, run.decode.stop)
    most = np.where(np.isinf(capacity), run.decode.stop, capacity)
    return lifetime(endurance, writes, shared_by=chosen(decoding & ring, most, 1.0))


def products_of(name: str, layers: Layers) -> int:
    """Multiply-accumulates of a pair, in one layer."""
    if name == "search" and not search.is_approximate(layers.settings[name].group):
        return 0
    return layers.shape.heads * meeting.met(name, layers.shape, layers.group).head_width


def details(
    run: Run,
    ledger: Ledger,
    steps: list[Taking],
    parts: Parts,
    area: Mapping[str, Any],
) -> dict[str, Any]:
    """What the breakdown adds."""
    size = (len(PHASES), len(OPERATIONS), run.group.points)
    conversions, macs = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for taken in (taken for step in steps for taken in step.products):
        product, use = taken.product, taken.uses[1]
        place = OPERATIONS.index(product.operator)
        used = product.used * run.left(product.operator)
        for phase, tokens in enumerate(run.ends if product.last_only else run.tokens):
            conversions[phase, place] += tokens * used * use.conversions
            macs[phase, place] += tokens * used * product.rows * product.columns
    for layers, products in parts:
        for name, part in products.items():
            place, blocks = OPERATIONS.index(name), layers.blocks(part.block)
            for phase, pairs in enumerate(layers.computed[name]):
                converted = blocks[phase] * run.left("attention") * part.conversions[1]
                conversions[phase, place] += pairs * part.conversions[0] + converted
                macs[phase, place] += pairs * products_of(name, layers)
    return {
        "energy": ledger.energy,
        "latency": ledger.time,
        "conversions": conversions,
        "macs": macs,
        "area_of": np.stack([np.broadcast_to(value, run.group.points) for value in area.values()]),
    }
