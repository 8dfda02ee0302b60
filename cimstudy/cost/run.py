"""A network on the points of a group: the entries that each operator sees, and the tokens of both phases."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cimstudy.cost import latency, leaving, meeting, nonlinear, online, schemes, search
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.events import Events, events_of
from cimstudy.cost.latency import Span
from cimstudy.cost.placed import OPERATORS, Source, placed_in
from cimstudy.cost.placed import Step as PlacedStep
from cimstudy.cost.shapes import Attention, ModelShape, Product
from cimstudy.hardware.placement import ENGINES

Pair = tuple[Any, Any]  # prefill, decode


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """Entries that some operators see, and what events cost with them."""

    group: Group
    events: Events

    @cached_property
    def units(self) -> Mapping[str, nonlinear.Unit]:
        """Of softmax, norms and activations."""
        return nonlinear.units(self.group, self.events)

    def element_time(self, name: str) -> Any:
        """Time of an element of softmax, norms or activations, s, with all lanes at work."""
        return self.units[name].time / self.group.numbers["architecture.logic.lanes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Products that stand side by side, each with its setting. count : of such steps, which wait for one another."""

    count: float
    products: tuple[tuple[Product, Setting], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layers:
    """Layers whose attention sees the same entries.

    shape : of these layers alone.  depth : layers of the network.  settings : of each operator of attention.
    spans : of both phases.
    """

    shape: ModelShape
    depth: int
    settings: Mapping[str, Setting]
    spans: tuple[Span, Span]

    @property
    def group(self) -> Group:
        """Entries that no override changes, and those of scores."""
        return self.settings["scores"].group

    @property
    def products(self) -> tuple[str, ...]:
        """Those that are counted: a search is one of them where there are counts of it."""
        return ("scores", "values", *(("search",) if search.is_counted(self.settings["search"].group) else ()))

    @cached_property
    def pairs(self) -> Pair:
        """Of each phase, in all of these layers."""
        first, second = (latency.all_pairs(span, self.shape.attention) for span in self.spans)
        return first, second

    @cached_property
    def known_shares(self) -> Mapping[str, Pair]:
        """Of the pairs that each product of attention takes, in each phase; NaN where they are not known."""
        found = schemes.shares(self.group, self.spans, self.shape.attention, self.depth)
        return found | ({"search": schemes.ALL} if "search" in self.products else {})

    @cached_property
    def shares(self) -> Mapping[str, Pair]:
        """The same; all pairs where they are not known."""
        return {
            name: schemes.in_phases(lambda share: np.where(np.isnan(share), 1.0, share), pair)
            for name, pair in self.known_shares.items()
        }

    @cached_property
    def computed(self) -> Mapping[str, Pair]:
        """Pairs of each phase, in all of these layers, that each product of attention takes."""
        (read, written), shares = self.pairs, self.shares
        return {name: (read * first, written * second) for name, (first, second) in shares.items()}

    @property
    def sought(self) -> search.Sought:
        """What their search is of."""
        setting, (prefill, decode) = self.settings["search"], self.spans
        return search.Sought(
            shape=self.shape,
            group=setting.group,
            events=setting.events,
            depth=self.depth,
            span=prefill,
            longest=decode.stop,
        )

    @property
    def in_sight(self) -> Iterable[Attention]:
        """Layers by the tokens that are held for one at most: charges of the oldest are overwritten."""
        if not meeting.holds_charges(self.group):
            return self.shape.attention
        held = meeting.kept_tokens(self.group, self.spans[1].stop)
        return [replace(layer, window=np.minimum(layer.window or np.inf, held)) for layer in self.shape.attention]

    def blocks(self, size: Any) -> Pair:
        """Blocks of tokens in sight in each phase, in all of these layers."""
        first, second = (
            total(group.layers * span.blocks(group, size) for group in self.in_sight) for span in self.spans
        )
        return first, second

    def later_blocks(self, span: Span, phase: int) -> Any:
        """Blocks after the first of each query of a span, in all of these layers, where softmax is online."""
        size, read = self.group.numbers["architecture.attention.size"], phase == 0
        return total(layer.layers * online.later(span, layer, size, together=read) for layer in self.shape.attention)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A network, the points of a group, and the tokens of both phases.

    base : what operators see that no override reaches.  elements : of norms and activations, a token, with the setting
    of those that share one.
    """

    shape: ModelShape
    base: Setting
    steps: tuple[Step, ...]
    attention: tuple[Layers, ...]
    elements: Mapping[str, tuple[tuple[float, Setting], ...]]
    prefill: Span
    decode: Span

    @property
    def group(self) -> Group:
        """The points."""
        return self.base.group

    @property
    def events(self) -> Events:
        """What events cost where no override reaches."""
        return self.base.events

    @property
    def settings(self) -> Iterable[Setting]:
        """Those that operators have, each once."""
        steps = [setting for step in self.steps for _, setting in step.products]
        attention = [setting for layers in self.attention for setting in layers.settings.values()]
        elements = [setting for parts in self.elements.values() for _, setting in parts]
        return dict.fromkeys((*steps, *attention, *elements))

    @cached_property
    def link_bits(self) -> Any:
        """Bits of an element on its way from layer to layer: of inputs of what it meets first, on average of layers."""
        steps = [step for step in self.steps if step.products[0][0].operator == "qkv"]
        settings = {setting for step in steps for _, setting in step.products}
        if len(settings) < 2:
            return (settings.pop() if settings else self.base).group.numbers["crossbar.input_bits"]
        bits = total(step.count * most_bits(setting for _, setting in step.products) for step in steps)
        return bits / total(step.count for step in steps)

    @cached_property
    def known_left(self) -> Any:
        """Share of a layer's tokens that it computes; NaN where it is not known, and None where no token leaves."""
        if not leaving.leave(self.group, self.prefill):
            return None
        return leaving.computed_share(self.group, self.prefill, self.shape.layers)

    def remaining(self, operator: str, amount: Any) -> Any:
        """An amount of the work of an operator, without that for tokens that have left."""
        return amount if self.known_left is None else amount * self.left(operator)

    def left(self, operator: str) -> Any:
        """Share of the work of an operator, or of attention, for tokens that a layer still computes."""
        if self.known_left is None:
            return 1.0
        share = np.where(np.isnan(self.known_left), 1.0, self.known_left)
        return leaving.share_of(operator, self.shape, self.group, share)

    @cached_property
    def tokens(self) -> Pair:
        """Of each phase."""
        return self.prefill.tokens, self.decode.tokens

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


def held_by(name: str, setting: Setting) -> Setting:
    """A setting as arrays see it into which keys and values are written."""
    group = meeting.of_currents(setting.group) if name in {"scores", "values"} else setting.group
    return setting if group is setting.group else Setting(group=group, events=events_of(group))


def together(steps: Iterable[PlacedStep]) -> list[PlacedStep]:
    """Steps, where products that stand beside those before them are one with these."""
    found: list[PlacedStep] = []
    for count, products in steps:
        if products[0][0].beside and found and found[-1][0] == count:
            found[-1] = (count, (*found[-1][1], *products))
        else:
            found.append((count, products))
    return found


def tables_of(layers: Layers) -> list[Step]:
    """Tables of a search in arrays."""
    setting = layers.settings["search"]
    tables = search.tables(layers.shape, setting.group)
    return [Step(count=table.steps, products=((table, setting),)) for table in tables]


def most_bits(settings: Iterable[Setting]) -> Any:
    """Bits of the longest input."""
    return functools.reduce(np.maximum, [setting.group.numbers["crossbar.input_bits"] for setting in settings])


def run_of(shape: ModelShape, group: Group) -> Run:
    """A network on the points of a group."""
    base = Setting(group=group, events=events_of(group))
    settings: dict[Source, Setting] = {(): base}

    def setting_of(source: Source) -> Setting:
        if source not in settings:
            own = seen_from(group, source)
            settings[source] = Setting(group=own, events=events_of(own))
        return settings[source]

    read, written = group.numbers["workload.prefill"], group.numbers["workload.decode"]
    prefill = Span(start=0.0, tokens=read, causal=shape.causal)
    decode = Span(start=read, tokens=written)
    placed = placed_in(meeting.with_products(shape, group), group)
    attention = tuple(
        Layers(
            shape=replace(shape, attention=groups),
            depth=shape.layers,
            settings={name: held_by(name, setting_of(own)) for name, own in zip(OPERATORS, sources, strict=True)},
            spans=(prefill, decode),
        )
        for groups, sources in placed.attention
    )
    return Run(
        shape=shape,
        base=base,
        steps=tuple(
            Step(count=count, products=tuple((product, setting_of(own)) for product, own in products))
            for count, products in together(placed.steps)
        )
        + tuple(step for layers in attention for step in tables_of(layers)),
        attention=attention,
        elements={
            name: tuple((elements, setting_of(own)) for elements, own in parts)
            for name, parts in placed.elements.items()
        },
        prefill=prefill,
        decode=decode,
    )


def seen_from(group: Group, source: Source) -> Group:
    """The points with the entries that overrides give operators of a source."""
    numbers, choices = dict(group.numbers), dict(group.choices)
    for part, number in source:
        own = group.overrides[number]
        if part == "engine":
            choices |= {f"architecture.placement.{kind}": own.engine for kind in ENGINES if own.engine in ENGINES[kind]}
        else:
            numbers |= own.numbers[part]
            choices |= own.choices[part]
    return replace(group, numbers=numbers, choices=choices)
