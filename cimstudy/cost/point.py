"""The points of one group: every operator enters what it takes, and totals follow."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cimstudy.cost.area import areas, chips_of, static_power
from cimstudy.cost.counts import ratio, total
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import entry_bits
from cimstudy.cost.events import Memory, memory_of
from cimstudy.cost.kv import lifetime
from cimstudy.cost.ledger import OPERATIONS, PHASES, Ledger
from cimstudy.cost.run import Pair, Run, Setting, run_of
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
                ledger.pay(step.operator, taken.uses[phase].energies, tokens, taken.product.used)
    for layers, products in parts:
        for name, part in products.items():
            ledger.pay(name, part.per_pair, layers.computed[name])
            ledger.pay(name, part.per_token, run.tokens, layers.shape.layers)
            if part.per_block:
                ledger.pay(name, part.per_block, layers.blocks(part.block))
    for name, elements, setting, uses in elements_of(run):
        ledger.pay(name, setting.units[name].energies, uses, elements)


def enter_times(run: Run, ledger: Ledger, steps: list[Taking], parts: Parts) -> None:
    """Times of all operators."""
    for step in steps:
        for phase, tokens in phases_of(run, step, last_only=step.last_only):
            ledger.spend(step.operator, step.time(phase), tokens)
    for layers, products in parts:
        for name, part in products.items():
            ledger.spend(name, part.pair_time, layers.computed[name])
            ledger.spend(name, layers.shape.layers * part.token_time, run.tokens)
    for name, elements, setting, uses in elements_of(run):
        ledger.spend(name, elements * setting.element_time(name), uses)


def elements_of(run: Run) -> Iterator[tuple[str, Any, Setting, Pair]]:
    """Elements of softmax, norms and activations for each pair or token, and how many of these each phase has."""
    for layers in run.attention:
        yield "softmax", layers.shape.heads, layers.settings["softmax"], layers.computed["values"]
    for name, parts in run.elements.items():
        for elements, setting in parts:
            yield name, elements, setting, run.tokens


def enter_links(run: Run, ledger: Ledger, chips: Any) -> None:
    """Energy between chips: what leaves the layers of one goes to the next."""
    bits = (chips - 1) * (run.shape.width * run.link_bits)
    ledger.pay("ffn_down", {"link": bits * run.events.bit_between_chips}, run.tokens)


def totals(run: Run, ledger: Ledger, speed: Mapping[str, Any]) -> dict[str, Any]:
    """Energies of both phases, power, and the times that are outputs."""
    read, written = ledger.totals
    busy = np.where(run.decode.tokens > 0, speed["decode"], speed["prefill"])
    return {
        "energy_prefill": read,
        "energy_per_token": ratio(written, run.decode.tokens),
        "power": ratio(np.where(run.decode.tokens > 0, written, read), busy),
        **{name: value for name, value in speed.items() if name not in PHASES},
    }


def kept_bits(run: Run) -> Any:
    """Bits of keys and values of all sequences at their longest."""
    tokens = run.decode.stop * run.group.numbers["workload.batch"]
    return total(
        tokens * (layers.shape.kv_elements / 2) * entry_bits(layers.settings[name].group)
        for layers in run.attention
        for name in ("scores", "values")
    )


def kept_area(run: Run) -> Any:
    """Area of the memory beside the chips that holds keys and values, m2."""
    if run.group.choices["architecture.kv.location"] in {"array", "buffer"}:
        return 0.0
    tokens = run.decode.stop * run.group.numbers["workload.batch"]
    placed = [(name, layers, layers.settings[name]) for layers in run.attention for name in ("scores", "values")]
    return tokens * total(
        entry_bits(own.group) * (layers.shape.kv_elements / 2 * memory_at(own, name).area)
        for name, layers, own in placed
    )


def memory_at(setting: Setting, name: str) -> Memory:
    """Where a product of attention reads keys or values."""
    return memory_of(setting.group, setting.events.scaling, setting.group.choices[f"architecture.placement.{name}"])


def traffic(run: Run) -> Any:
    """Bytes of keys and values that are read for a written token."""
    entries = run.shape.kv_elements / run.shape.layers / 2
    read = total(
        layers.computed[name][1] * entry_bits(layers.settings[name].group)
        for layers in run.attention
        for name in ("scores", "values")
    )
    return ratio(read * entries / BYTE, run.decode.tokens)


def wear(run: Run, speed: Mapping[str, Any], kv_bits: Any) -> Any:
    """Time until the first cells that hold keys and values are worn out, s; infinite if they are not in such cells."""
    written = dict.fromkeys(
        layers.settings[name]
        for layers in run.attention
        for name in layers.products
        if layers.settings[name].group.choices[f"architecture.placement.{name}"] == "dynamic-crossbar"
    )
    lives = [life(run, setting, speed, kv_bits) for setting in written]
    return functools.reduce(np.minimum, lives) if lives else np.inf


def life(run: Run, setting: Setting, speed: Mapping[str, Any], kv_bits: Any) -> Any:
    """Time until cells of a setting are worn out by keys and values, s."""
    group, numbers, endurance = run.group, run.group.numbers, setting.events.cells.endurance
    decoding = run.decode.tokens > 0
    sequence = np.where(decoding, speed["decode"], speed["prefill"])  # s
    ring = group.choices["architecture.kv.rotation"] == "ring"
    if group.choices["architecture.kv.location"] != "array":  # all in sight are written for every token
        return lifetime(endurance, ratio(np.where(decoding, *run.tokens[::-1]), sequence))
    writes = ratio(np.where(decoding, run.decode.tokens, 1), sequence)
    capacity = numbers["architecture.kv.capacity"] * BYTE / ratio(kv_bits, run.decode.stop)
    most = np.where(np.isinf(capacity), run.decode.stop, capacity)
    return lifetime(endurance, writes, shared_by=np.where(decoding & ring, most, 1.0))


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
        for phase, tokens in enumerate(run.ends if product.last_only else run.tokens):
            conversions[phase, place] += tokens * product.used * use.conversions
            macs[phase, place] += tokens * product.used * product.rows * product.columns
    for layers, products in parts:
        for name, part in products.items():
            place, blocks = OPERATIONS.index(name), layers.blocks(part.block)
            for phase, pairs in enumerate(layers.computed[name]):
                conversions[phase, place] += pairs * part.conversions[0] + blocks[phase] * part.conversions[1]
                macs[phase, place] += pairs * run.shape.heads * run.shape.head_width
    return {
        "energy": ledger.energy,
        "latency": ledger.time,
        "conversions": conversions,
        "macs": macs,
        "area_of": np.stack([np.broadcast_to(value, run.group.points) for value in area.values()]),
    }
