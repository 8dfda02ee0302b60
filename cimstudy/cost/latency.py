"""Time: of one token after another, and with as many in flight as there are stages, in closed form over the context."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cimstudy.cost import counts
from cimstudy.cost.counts import total
from cimstudy.cost.shapes import Attention


@dataclass(frozen=True, kw_only=True, eq=False)
class Attending:
    """Times of attention in layers alike, s. A pair: a token and one that it sees, in one layer."""

    groups: Sequence[Attention]
    token: Any  # of one layer
    pair: Any
    shared_pair: Any  # of the digital units or the memory, whichever is busier
    blocks: "Callable[[Span], Any] | None" = None  # of all blocks of a span but the first of each token

    @property
    def layers(self) -> int:
        """How many."""
        return sum(group.layers for group in self.groups)


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """Times of a token, s."""

    static: Any  # products with static matrices, one after another
    head: Any  # those of a token that is followed by a new one
    longest: Any  # stage among them and the arrays of attention
    attention: Sequence[Attending]
    vector: Any  # norms and activations of all layers
    links: Any  # from chip to chip

    @cached_property
    def token(self) -> Any:
        """What of a token's time does not depend on its context."""
        fixed = self.static + self.vector + self.links
        return fixed + total(layers.layers * layers.token for layers in self.attention)


@dataclass(frozen=True, kw_only=True, eq=False)
class Span:
    """So many tokens after `start`, each of which sees those up to itself; or all see all (`causal=False`)."""

    start: Any
    tokens: Any
    causal: bool = True

    @cached_property
    def stop(self) -> Any:
        """The last of them."""
        return np.add(self.start, self.tokens)

    @cached_property
    def unlimited(self) -> Any:
        """Pairs in one layer, where a token sees all that it may."""
        if not self.causal:
            return self.tokens * self.stop
        return self.tokens * ((self.start + 1 + self.stop) / 2)

    def pairs(self, group: Attention) -> Any:
        """Pairs in one layer of a group."""
        return self.within(group.window)

    def within(self, window: Any) -> Any:
        """Pairs in one layer, where a token sees at most so many; None: all."""
        if window is None:
            return self.unlimited
        if not self.causal:
            return self.tokens * np.minimum(self.stop, window)
        return counts.seen(self.stop, window) - counts.seen(self.start, window)

    def blocks(self, group: Attention, size: Any) -> Any:
        """Blocks of `size` tokens in sight in one layer of a group, summed over tokens."""
        if not self.causal:
            most = self.stop if group.window is None else np.minimum(self.stop, group.window)
            return self.tokens * np.ceil(np.divide(most, size))
        return counts.tiles_seen(self.stop, group.window, size) - counts.tiles_seen(self.start, group.window, size)


def all_pairs(span: Span, groups: Sequence[Attention]) -> Any:
    """Pairs in all layers."""
    return total(group.layers * span.pairs(group) for group in groups)


def streamed(timing: Timing, span: Span, followed: Any) -> Any:
    """Time of a span's tokens, one after another, s. followed : how many of them by a new token."""
    blocks = [layers.blocks(span) for layers in timing.attention if layers.blocks is not None]
    pairs = [layers.pair * group.layers * span.pairs(group) for layers in timing.attention for group in layers.groups]
    seeing = total([*pairs, *blocks])
    return span.tokens * timing.token + seeing + followed * timing.head


def stages(timing: Timing, span: Span) -> Any:
    """Sum over a span's tokens of the longest stage, s.

    Arrays are stages of their own; the digital units and the memory serve all layers, so that their times add up.
    """
    windows = [group.window for layers in timing.attention for group in layers.groups]
    if not span.causal:
        seeing = shared(timing, lambda group: np.minimum(span.stop, window_of(group)))
        return span.tokens * np.maximum(timing.longest, seeing + timing.vector)
    edges = sorted({window for window in windows if window is not None})
    found, below = 0.0, 0.0
    for edge in [*edges, np.inf]:
        low, high = (within(end, below, edge) for end in (span.start, span.stop))
        found = found + counts.sum_of_larger(timing.longest, line_of(timing, edge), (low, high))
        below = edge
    return found


def within(end: Any, below: float, edge: float) -> Any:
    """An end of a span, at least `below` and at most `edge`."""
    return end if (below, edge) == (0, np.inf) else np.clip(end, below, edge)


def line_of(timing: Timing, edge: float) -> tuple[Any, Any]:
    """Slope and offset of a token's time in the digital units or the memory, where windows below `edge` are full."""
    growing = shared(timing, lambda group: window_of(group) >= edge)
    full = shared(timing, lambda group: window_of(group) if window_of(group) < edge else 0)
    return growing, full + timing.vector


def window_of(group: Attention) -> float:
    """Tokens that one sees at most."""
    return np.inf if group.window is None else group.window


def shared(timing: Timing, seen: Callable[[Attention], Any]) -> Any:
    """Time of a token in the digital units or the memory, s. seen : tokens in sight, in a layer of a group."""
    return total(
        layers.shared_pair * total(group.layers * seen(group) for group in layers.groups) for layers in timing.attention
    )


def first_token(timing: Timing, prefill: Span) -> Any:
    """Time until the first token with full pipelining, s: the last token's pass, and a stage for each before it."""
    last = np.maximum(np.subtract(prefill.stop, 1), 0)
    followed = np.minimum(prefill.stop, 1)
    passing = streamed(timing, Span(start=last, tokens=followed), followed)
    if prefill.causal:
        return passing + stages(timing, Span(start=0.0, tokens=last))
    return passing + stages(timing, prefill) / np.maximum(prefill.stop, 1) * last
