"""Time: of one token after another, and with as many in flight as there are stages, in closed form over the context."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cimstudy.cost import counts
from cimstudy.cost.counts import total
from cimstudy.cost.shapes import Attention


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """Times of a token, s. A pair: the token and one that it sees, in one layer."""

    static: Any  # products with static matrices, one after another
    head: Any  # those of a token that is followed by a new one
    longest: Any  # stage among them and the arrays of attention
    attention_token: Any  # of one layer
    attention_pair: Any
    shared_pair: Any  # of the digital units or the memory, whichever is busier
    vector: Any  # norms and activations of all layers
    links: Any  # from chip to chip

    def token(self, layers: int) -> Any:
        """What of a token's time does not depend on its context."""
        return self.static + self.vector + self.links + layers * self.attention_token


@dataclass(frozen=True, kw_only=True, eq=False)
class Span:
    """Tokens from after `start` to `stop`, each of which sees those up to itself; or all see all (`causal=False`)."""

    start: Any
    stop: Any
    causal: bool = True

    @cached_property
    def tokens(self) -> Any:
        """How many."""
        return np.subtract(self.stop, self.start)

    def pairs(self, group: Attention) -> Any:
        """Pairs in one layer of a group."""
        return self.within(group.window)

    def within(self, window: Any) -> Any:
        """Pairs in one layer, where a token sees at most so many; None: all."""
        if not self.causal:
            return self.tokens * (self.stop if window is None else np.minimum(self.stop, window))
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


def streamed(timing: Timing, span: Span, groups: Sequence[Attention], followed: Any) -> Any:
    """Time of a span's tokens, one after another, s. followed : how many of them by a new token."""
    layers = total(group.layers for group in groups)
    passing = span.tokens * timing.token(layers) + timing.attention_pair * all_pairs(span, groups)
    return passing + followed * timing.head


def stages(timing: Timing, span: Span, groups: Sequence[Attention]) -> Any:
    """Sum over a span's tokens of the longest stage, s.

    Arrays are stages of their own; the digital units and the memory serve all layers, so that their times add up.
    """
    if not span.causal:
        last = total(group.layers * np.minimum(span.stop, group.window or np.inf) for group in groups)
        return span.tokens * np.maximum(timing.longest, timing.shared_pair * last + timing.vector)
    edges = sorted({group.window for group in groups if group.window is not None})
    found, below = 0.0, 0.0
    for edge in [*edges, np.inf]:
        low, high = (np.clip(end, below, edge) for end in (span.start, span.stop))
        growing = total(group.layers for group in groups if group.window is None or group.window >= edge)
        full = total(
            group.layers * group.window for group in groups if group.window is not None and group.window < edge
        )
        line = (timing.shared_pair * growing, timing.shared_pair * full + timing.vector)
        found = found + counts.sum_of_larger(timing.longest, line, (low, high))
        below = edge
    return found


def first_token(timing: Timing, prefill: Span, groups: Sequence[Attention]) -> Any:
    """Time until the first token with full pipelining, s: the last token's pass, and a stage for each before it."""
    last = np.maximum(np.subtract(prefill.stop, 1), 0)
    passing = streamed(timing, Span(start=last, stop=prefill.stop), groups, np.minimum(prefill.stop, 1))
    if prefill.causal:
        return passing + stages(timing, Span(start=0, stop=last), groups)
    return passing + stages(timing, prefill, groups) / np.maximum(prefill.stop, 1) * last
