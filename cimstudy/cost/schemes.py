"""Attention schemes: which shares of the pairs of a token and one that it sees they compute, in each phase."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.latency import Span, all_pairs
from cimstudy.cost.shapes import Attention

Pair = tuple[Any, Any]  # prefill, decode
Count = Callable[[Span, Attention], Any]  # pairs that are kept in one layer of a group
SHARES = {"scores": "data.scored", "values": "data.kept"}
UNKNOWN = (np.nan,) * 2
ALL = (1.0,) * 2


def shares(group: Group, spans: Sequence[Span], layers: Sequence[Attention]) -> dict[str, Pair]:
    """Shares of the pairs whose exact scores are computed, and whose values are weighed.

    What the design says of its data comes before what follows from the scheme; NaN where neither is known.
    """
    found = of_scheme(group, spans, layers)
    return {name: said(group.numbers[path], found[name]) for name, path in SHARES.items()}


def said(given: Any, known: Pair) -> Pair:
    """What is given, and what is known where that is nothing."""
    return in_phases(lambda share: np.where(np.isnan(given), share, given), known)


def in_phases(change: Callable[[Any], Any], share: Pair) -> Pair:
    """A share of each phase, changed: one object if it was one, so that what follows from it is found once."""
    first = change(share[0])
    return first, first if share[1] is share[0] else change(share[1])


def of_scheme(group: Group, spans: Sequence[Span], layers: Sequence[Attention]) -> Mapping[str, Pair]:
    """Shares that follow from a scheme's fields and the tokens of both phases."""
    kind, numbers = group.choices["architecture.attention.kind"], group.numbers
    if kind in {"threshold", "fused"}:
        kept: Pair = (numbers["architecture.attention.keep"],) * 2
    elif kind in {"hashed", "token_pruning"}:
        kept = UNKNOWN
    elif kind in COUNTS:
        path, count = COUNTS[kind]
        kept = mean_shares(count(numbers[f"architecture.attention.{path}"]), spans, layers)
    else:
        kept = ALL
    return {"scores": ALL if kind == "top_k" else kept, "values": kept}


def mean_shares(count: Count, spans: Sequence[Span], layers: Sequence[Attention]) -> Pair:
    """Kept pairs over all pairs, of all layers and of the tokens of each phase."""
    first, second = (
        total(group.layers * count(span, group) for group in layers) / np.maximum(all_pairs(span, layers), 1)
        for span in spans
    )
    return first, second


def at_most(most: Any) -> Count:
    """A token keeps so many of those that it sees."""
    return lambda span, group: span.within(most if group.window is None else np.minimum(group.window, most))


def to_either_side(width: Any) -> Count:
    """A token keeps itself and those at most `width` places away."""

    def count(span: Span, group: Attention) -> Any:
        if span.causal:
            return at_most(np.add(width, 1))(span, group)
        inside = np.minimum(width, np.maximum(np.subtract(span.stop, 1), 0))
        return np.minimum(span.tokens * (2 * inside + 1) - inside * (inside + 1), span.pairs(group))

    return count


COUNTS: Mapping[str, tuple[str, Callable[[Any], Count]]] = {
    "window": ("width", to_either_side),
    "top_k": ("k", at_most),
    "product_quantised": ("k", at_most),
    "gain_cell": ("window", at_most),
}
