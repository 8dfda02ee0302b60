"""Attention schemes: which shares of the pairs of a token and one that it sees they compute, in each phase."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cimstudy.cost import leaving
from cimstudy.cost.counts import kept_of_share, total
from cimstudy.cost.design import Group
from cimstudy.cost.latency import Span, all_pairs
from cimstudy.cost.shapes import Attention

Pair = tuple[Any, Any]  # prefill, decode
Count = Callable[[Span, Attention], Any]  # pairs that are kept in one layer of a group
SHARES = {"scores": "data.scored", "values": "data.kept"}
UNKNOWN = (np.nan,) * 2
ALL = (1.0,) * 2


def shares(group: Group, spans: Sequence[Span], layers: Sequence[Attention], depth: int) -> dict[str, Pair]:
    """Shares of the pairs whose exact scores are computed, and whose values are weighed.

    What the design says of its data comes before what follows from the scheme; NaN where neither is known. depth :
    layers of the network.
    """
    found = of_scheme(group, spans, layers, depth)
    return {name: said(group.numbers[path], found[name]) for name, path in SHARES.items()}


def said(given: Any, known: Pair) -> Pair:
    """What is given, and what is known where that is nothing."""
    return in_phases(lambda share: np.where(np.isnan(given), share, given), known)


def in_phases(change: Callable[[Any], Any], share: Pair) -> Pair:
    """A share of each phase, changed: one object if it was one, so that what follows from it is found once."""
    first = change(share[0])
    return first, first if share[1] is share[0] else change(share[1])


def of_scheme(group: Group, spans: Sequence[Span], layers: Sequence[Attention], depth: int) -> Mapping[str, Pair]:
    """Shares that follow from a scheme's fields and the tokens of both phases."""
    kind, numbers = group.choices["architecture.attention.kind"], group.numbers
    if kind in {"threshold", "fused"}:
        kept: Pair = (numbers["architecture.attention.keep"],) * 2
    elif kind == "hashed":
        bits, distance = (numbers[f"architecture.attention.{name}"] for name in ("bits", "distance"))
        kept = (np.where(distance >= bits, 1.0, np.nan),) * 2
    elif kind == "early_exit":
        kept = (leaving.computed_share(group, spans[0], depth),) * 2
    elif kind == "token_pruning" and not spans[0].causal:
        kept = (leaving.squared_share(group, spans[0], depth),) * 2
    elif kind in COUNTS:
        path, count = COUNTS[kind]
        kept = mean_shares([count(number) for number in by_layer(group, path, depth)], spans, layers)
    else:
        kept = ALL
    return {"scores": ALL if kind == "top_k" else kept, "values": kept}


def by_layer(group: Group, path: str, depth: int) -> Sequence[Any]:
    """A scheme's number in each layer, or the one that all layers have."""
    if path == "keep":
        return leaving.shares_by_layer(group, depth)
    whole = group.numbers[f"architecture.attention.{path}"]
    own = leaving.own_of_layers(group, f"architecture.attention.{path}", depth)
    return [np.where(np.isnan(mine), whole, mine) for mine in own] or [whole]


def mean_shares(counts: Sequence[Count], spans: Sequence[Span], layers: Sequence[Attention]) -> Pair:
    """Kept pairs over all pairs, of all layers and of the tokens of each phase. counts : of each layer, or one."""
    first, second = (
        total(
            group.layers * total(count(span, group) for count in mine) / len(mine)
            for group, mine in of_groups(counts, layers)
        )
        / np.maximum(all_pairs(span, layers), 1)
        for span in spans
    )
    return first, second


def of_groups(counts: Sequence[Count], layers: Sequence[Attention]) -> Iterator[tuple[Attention, Sequence[Count]]]:
    """The counts of each group's layers; those of all layers where it is not known which are in it."""
    for group in layers:
        numbers = {int(name.split(".")[1]) for name in group.names}
        known = len(numbers) == group.layers and len(counts) > 1
        yield group, [counts[number] for number in sorted(numbers)] if known else counts


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


def of_those_before(share: Any) -> Count:
    """A token keeps a share of itself and those before it, at least one and at most those that it sees."""

    def count(span: Span, group: Attention) -> Any:
        return kept_of_share(share, span.stop, group.window) - kept_of_share(share, span.start, group.window)

    return count


COUNTS: Mapping[str, tuple[str, Callable[[Any], Count]]] = {
    "window": ("width", to_either_side),
    "top_k": ("k", at_most),
    "product_quantised": ("k", at_most),
    "gain_cell": ("window", at_most),
    "token_pruning": ("keep", of_those_before),
}
