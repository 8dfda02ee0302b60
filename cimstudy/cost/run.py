"""A network on the points of a group: the entries that each operator sees, and the tokens of both phases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cimstudy.cost import latency, nonlinear, schemes, search
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.events import Events, events_of
from cimstudy.cost.latency import Span
from cimstudy.cost.shapes import ModelShape, Product

ATTENTION = ("scores", "values", "search", "softmax")  # operators of each layer's attention
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

    shape : of these layers alone.  settings : of each operator of attention.  spans : of both phases.
    """

    shape: ModelShape
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
        found = schemes.shares(self.group, self.spans, self.shape.attention)
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

    def blocks(self, size: Any) -> Pair:
        """Blocks of tokens in sight in each phase, in all of these layers."""
        first, second = (
            total(group.layers * span.blocks(group, size) for group in self.shape.attention) for span in self.spans
        )
        return first, second


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


def run_of(shape: ModelShape, group: Group) -> Run:
    """A network on the points of a group."""
    base = Setting(group=group, events=events_of(group))
    read, written = group.numbers["workload.prefill"], group.numbers["workload.decode"]
    prefill = Span(start=0.0, tokens=read, causal=shape.causal)
    decode = Span(start=read, tokens=written)
    whole = Layers(shape=shape, settings=dict.fromkeys(ATTENTION, base), spans=(prefill, decode))
    return Run(
        shape=shape,
        base=base,
        steps=tuple(Step(count=product.steps, products=((product, base),)) for product in shape.products),
        attention=(whole,),
        elements={
            "norm": ((shape.norm_elements, base),),
            "activation": ((shape.activation_elements, base),),
        },
        prefill=prefill,
        decode=decode,
    )
