"""The points of one group: every operator enters what it takes, and totals follow."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from cimstudy.cost import dynamic, latency, nonlinear, schemes, search
from cimstudy.cost.area import areas, chips_of, static_power
from cimstudy.cost.coefficients import event
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.events import Events, events_of
from cimstudy.cost.kv import lifetime
from cimstudy.cost.latency import Span, Timing
from cimstudy.cost.ledger import OPERATIONS, PHASES, Ledger
from cimstudy.cost.shapes import ModelShape, Product
from cimstudy.cost.static import Use, use_of
from cimstudy.cost.validity import reasons

BYTE = 8  # bits
BOTH = ("scores", "values")
Pair = tuple[Any, Any]  # prefill, decode
Uses = list[tuple[Product, Use, Use]]  # in each phase


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A network, the points of a group, and the tokens of both phases."""

    shape: ModelShape
    group: Group
    events: Events
    prefill: Span
    decode: Span

    @cached_property
    def tokens(self) -> Pair:
        """Of each phase."""
        return self.prefill.tokens, self.decode.tokens

    @cached_property
    def pairs(self) -> Pair:
        """Of each phase, in all layers."""
        groups = self.shape.attention
        return latency.all_pairs(self.prefill, groups), latency.all_pairs(self.decode, groups)

    @cached_property
    def units(self) -> Mapping[str, nonlinear.Unit]:
        """Of softmax, norms and activations."""
        return nonlinear.units(self.group, self.events)

    @cached_property
    def known_shares(self) -> Mapping[str, Pair]:
        """Of the pairs that each product of attention takes, in each phase; NaN where they are not known."""
        found = schemes.shares(self.group, (self.prefill, self.decode), self.shape.attention)
        return found | ({"search": schemes.ALL} if search.is_counted(self.group) else {})

    @cached_property
    def shares(self) -> Mapping[str, Pair]:
        """The same; all pairs where they are not known."""
        return {
            name: schemes.in_phases(lambda share: np.where(np.isnan(share), 1.0, share), pair)
            for name, pair in self.known_shares.items()
        }

    @cached_property
    def computed(self) -> Mapping[str, Pair]:
        """Pairs of each phase, in all layers, that each product of attention takes."""
        (read, written), shares = self.pairs, self.shares
        return {name: (read * first, written * second) for name, (first, second) in shares.items()}

    @cached_property
    def ends(self) -> Pair:
        """Tokens of each phase that are followed by a new one."""
        return np.minimum(self.tokens[0], 1), self.tokens[1]

    @cached_property
    def read(self) -> Pair:
        """Tokens of the first phase alone."""
        return self.tokens[0], 0.0

    @cached_property
    def written(self) -> Pair:
        """Tokens of the second phase alone."""
        return 0.0, self.tokens[1]

    def blocks(self, size: Any) -> Pair:
        """Blocks of tokens in sight in each phase, in all layers."""
        first, second = (
            total(group.layers * span.blocks(group, size) for group in self.shape.attention)
            for span in (self.prefill, self.decode)
        )
        return first, second


def run_of(shape: ModelShape, group: Group) -> Run:
    """A network on the points of a group."""
    read, written = group.numbers["workload.prefill"], group.numbers["workload.decode"]
    return Run(
        shape=shape,
        group=group,
        events=events_of(group),
        prefill=Span(start=0.0, stop=read, causal=shape.causal),
        decode=Span(start=read, stop=read + written),
    )


def evaluate(shape: ModelShape, group: Group, *, breakdown: bool) -> dict[str, Any]:
    """Every quantity at the points of a group."""
    run = run_of(shape, group)
    events = run.events
    ledger = Ledger(group.points, breakdown=breakdown)
    uses = uses_of(run)
    parts = {name: dynamic.attended(name, shape, group, events) for name in BOTH}
    if search.is_counted(group):
        parts["search"] = search.searched(shape, group)
    stock = stock_of([use for _, _, use in uses])
    held = total_arrays(run, stock)
    kv_bits = kept_bits(run)
    chips = chips_of(group, total(held))
    buffered = kv_bits if group.choices["architecture.kv.location"] == "buffer" else 0.0
    area = areas(group, events, held, buffered, nonlinear.area_of(run.units, group))
    power = static_power(group, area)
    speed = speeds(run, timings_of(run, uses, parts, chips))
    enter(run, ledger, uses, parts)
    enter_vectors(run, ledger)
    enter_links(run, ledger, chips)
    ledger.leak((power * speed["prefill"], power * speed["decode"]))
    code = reasons(shape, group, kv_bits / BYTE, chips, unknown(run))
    found = totals(run, ledger, speed) | {
        "static_power": power,
        "area": total(area.values()),
        "arrays": total(held),
        "chips": chips,
        "utilisation": utilisation(run, stock),
        "kv_traffic": traffic(run),
        "programming_energy": programming(run, stock),
        "lifetime": wear(run, speed, kv_bits),
        "valid": np.equal(code, 0),
        "invalid_reason": code,
    }
    return found | (details(run, ledger, uses, parts, area) if breakdown else {})


def unknown(run: Run) -> Any:
    """Whether it is not known which keys attention keeps."""
    return np.isnan(total(share for pair in run.known_shares.values() for share in pair))


def uses_of(run: Run) -> Uses:
    """What each product takes in each phase: the tokens of a sequence that is read meet each weight that is read."""
    batch, read = run.group.numbers["workload.batch"], np.maximum(run.tokens[0], 1)
    found = []
    for product in run.shape.products:
        use = use_of(product, run.group, run.events, batch)
        together = use.shared and not product.last_only
        found.append((product, use_of(product, run.group, run.events, batch * read) if together else use, use))
    return found


def enter(run: Run, ledger: Ledger, uses: Uses, parts: Mapping[str, dynamic.Attended]) -> None:
    """Energies and times of all products."""
    for product, first, second in uses:
        alike = [(first, run.ends if product.last_only else run.tokens)]
        for use, tokens in alike if first is second else [(first, run.read), (second, run.written)]:
            ledger.pay(product.operator, use.energies, tokens, product.used)
            ledger.spend(product.operator, product.steps * use.time, tokens)
    layers = run.shape.layers
    for name, part in parts.items():
        ledger.pay(name, part.per_pair, run.computed[name])
        ledger.pay(name, part.per_token, run.tokens, layers)
        if part.per_block:
            ledger.pay(name, part.per_block, run.blocks(part.block))
        ledger.spend(name, part.pair_time, run.computed[name])
        ledger.spend(name, layers * part.token_time, run.tokens)


def vectors(run: Run) -> dict[str, tuple[Any, Pair]]:
    """Elements of softmax, norms and activations for each pair or token, and how many of these each phase has."""
    return {
        "softmax": (run.shape.heads, run.computed["values"]),
        "norm": (run.shape.norm_elements, run.tokens),
        "activation": (run.shape.activation_elements, run.tokens),
    }


def element_time(run: Run, name: str) -> Any:
    """Time of an element of softmax, norms or activations, s, with all lanes at work."""
    return run.units[name].time / run.group.numbers["architecture.logic.lanes"]


def enter_vectors(run: Run, ledger: Ledger) -> None:
    """Energies and times of softmax, norms and activations."""
    for name, (elements, uses) in vectors(run).items():
        ledger.pay(name, run.units[name].energies, uses, elements)
        ledger.spend(name, elements * element_time(run, name), uses)


def link_time(run: Run, chips: Any) -> Any:
    """Time of a token on its way from chip to chip, s."""
    given = run.group.numbers["architecture.links.bandwidth"]
    bandwidth = np.where(np.isnan(given), event("link", "bandwidth"), given)
    return (chips - 1) * run.shape.width * run.group.numbers["crossbar.input_bits"] / bandwidth


def enter_links(run: Run, ledger: Ledger, chips: Any) -> None:
    """Energy and time between chips: what leaves the layers of one goes to the next."""
    bits = (chips - 1) * run.shape.width * run.group.numbers["crossbar.input_bits"]
    ledger.pay("ffn_down", {"link": bits * run.events.bit_between_chips}, run.tokens)
    ledger.spend("ffn_down", link_time(run, chips), run.tokens)


def timings_of(run: Run, uses: Uses, parts: Mapping[str, dynamic.Attended], chips: Any) -> tuple[Timing, Timing]:
    """The times of a token in each phase."""
    second = timing_of(run, 1, [(product, use) for product, _, use in uses], parts, chips)
    shares_alike = all(first is last for first, last in run.shares.values())
    if shares_alike and all(first is last for _, first, last in uses):
        return second, second
    return timing_of(run, 0, [(product, use) for product, use, _ in uses], parts, chips), second


def timing_of(
    run: Run, phase: int, uses: list[tuple[Product, Use]], parts: Mapping[str, dynamic.Attended], chips: Any
) -> Timing:
    """The times of a token of a phase."""
    softmax = run.shape.heads * run.shares["values"][phase] * element_time(run, "softmax")
    in_turn = total((product.steps * use.time for product, use in uses if use.shared))
    longest = in_turn
    for part in parts.values():
        longest = np.maximum(longest, part.token_time)
    for _, use in uses:
        if not use.shared:
            longest = np.maximum(longest, use.time)
    pair = total(part.pair_time * run.shares[name][phase] for name, part in parts.items())
    return Timing(
        static=total(product.steps * use.time for product, use in uses if not product.last_only),
        head=total(product.steps * use.time for product, use in uses if product.last_only),
        longest=longest,
        attention_token=total(part.token_time for part in parts.values()),
        attention_pair=pair + softmax,
        shared_pair=np.maximum(pair, softmax),
        vector=total(
            elements * element_time(run, name) for name, (elements, _) in vectors(run).items() if name != "softmax"
        ),
        links=link_time(run, chips),
    )


def speeds(run: Run, timings: tuple[Timing, Timing]) -> dict[str, Any]:
    """Times of both phases: those that are outputs, and those that a sequence takes of the machine."""
    groups, numbers = run.shape.attention, run.group.numbers
    written, batch = run.decode.tokens, numbers["workload.batch"]
    read = {
        "stream": latency.streamed(timings[0], run.prefill, groups, np.minimum(run.prefill.tokens, 1)),
        "full": latency.first_token(timings[0], run.prefill, groups),
    }
    streamed = latency.streamed(timings[1], run.decode, groups, written)
    staged = latency.stages(timings[1], run.decode, groups)
    decode = {"stream": streamed, "full": np.maximum(staged, streamed / batch)}
    pipelining = run.group.choices["architecture.pipelining"]
    return {
        "first_token_stream": read["stream"],
        "first_token_pipelined": read["full"],
        "time_per_token": ratio(streamed, written),
        "tokens_per_second_stream": ratio(written, streamed),
        "tokens_per_second_pipelined": ratio(written, staged),
        "prefill": read[pipelining],
        "decode": decode[pipelining],
    }


def ratio(first: Any, second: Any) -> Any:
    """One over the other; NaN where both are zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(first, second)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Stock:
    """What weights occupy."""

    arrays: Any
    sram_arrays: Any
    cells: Any
    sram_cells: Any


def stock_of(uses: list[Use]) -> Stock:
    """What all products occupy."""
    return Stock(**{item.name: total(getattr(use, item.name) for use in uses) for item in fields(Stock)})


def total_arrays(run: Run, stock: Stock) -> Pair:
    """Analog arrays and SRAM arrays, those for keys and values of the longest context included."""
    tokens, batch = run.decode.stop, run.group.numbers["workload.batch"]
    kept = [dynamic.arrays(name, run.shape, run.group, tokens) for name in BOTH]
    if search.is_counted(run.group):
        kept.append(search.arrays(run.shape, run.group, tokens))
    analog = stock.arrays + batch * total(first for first, _ in kept)
    return analog, stock.sram_arrays + batch * total(second for _, second in kept)


def utilisation(run: Run, stock: Stock) -> Any:
    """Share of the cells of weight arrays that hold weights; NaN without any."""
    size = run.group.numbers["crossbar.rows"] * run.group.numbers["crossbar.columns"]
    return ratio(stock.cells + stock.sram_cells, (stock.arrays + stock.sram_arrays) * size)


def programming(run: Run, stock: Stock) -> Any:
    """Energy of writing all weights once, J."""
    return stock.cells * run.events.cells.write_energy + stock.sram_cells * run.events.sram_write


def kept_bits(run: Run) -> Any:
    """Bits of keys and values of all sequences at their longest."""
    numbers = run.group.numbers
    return run.decode.stop * numbers["workload.batch"] * run.shape.kv_elements * dynamic.entry_bits(run.group)


def traffic(run: Run) -> Any:
    """Bytes of keys and values that are read for a written token."""
    pairs = (run.computed["scores"][1] + run.computed["values"][1]) / 2
    entries = run.shape.kv_elements / run.shape.layers
    return ratio(pairs * entries * dynamic.entry_bits(run.group) / BYTE, run.decode.tokens)


def wear(run: Run, speed: Mapping[str, Any], kv_bits: Any) -> Any:
    """Time until cells that hold keys and values are worn out, s; infinite if they are not in such cells."""
    group, numbers = run.group, run.group.numbers
    written = (*BOTH, "search") if search.is_counted(group) else BOTH
    if not any(group.choices[f"architecture.placement.{name}"] == "dynamic-crossbar" for name in written):
        return np.inf
    decoding = run.decode.tokens > 0
    sequence = np.where(decoding, speed["decode"], speed["prefill"])  # s
    ring = group.choices["architecture.kv.rotation"] == "ring"
    if group.choices["architecture.kv.location"] != "array":  # all in sight are written for every token
        return lifetime(run.events.cells.endurance, ratio(np.where(decoding, *run.tokens[::-1]), sequence))
    writes = ratio(np.where(decoding, run.decode.tokens, 1), sequence)
    capacity = numbers["architecture.kv.capacity"] * BYTE / ratio(kv_bits, run.decode.stop)
    most = np.where(np.isinf(capacity), run.decode.stop, capacity)
    return lifetime(run.events.cells.endurance, writes, shared_by=np.where(decoding & ring, most, 1.0))


def details(
    run: Run,
    ledger: Ledger,
    uses: Uses,
    parts: Mapping[str, dynamic.Attended],
    area: Mapping[str, Any],
) -> dict[str, Any]:
    """What the breakdown adds."""
    size = (len(PHASES), len(OPERATIONS), run.group.points)
    conversions, macs = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for product, _, use in uses:
        place = OPERATIONS.index(product.operator)
        for phase, tokens in enumerate(run.ends if product.last_only else run.tokens):
            conversions[phase, place] += tokens * product.used * use.conversions
            macs[phase, place] += tokens * product.used * product.rows * product.columns
    for name, part in parts.items():
        place, blocks = OPERATIONS.index(name), run.blocks(part.block)
        for phase, pairs in enumerate(run.computed[name]):
            conversions[phase, place] += pairs * part.conversions[0] + blocks[phase] * part.conversions[1]
            macs[phase, place] += pairs * run.shape.heads * run.shape.head_width
    return {
        "energy": ledger.energy,
        "latency": ledger.time,
        "conversions": conversions,
        "macs": macs,
        "area_of": np.stack([np.broadcast_to(value, run.group.points) for value in area.values()]),
    }
