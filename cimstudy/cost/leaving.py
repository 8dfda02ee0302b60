"""Tokens that leave before the last layer: which shares of a layer's tokens it computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.latency import Span
from cimstudy.cost.shapes import ModelShape

KEEP = "architecture.attention.keep"
OF_LAYERS = ("qkv", "output", "ffn_up", "ffn_down", "norm", "activation", "attention", "keys")


def leave(group: Group, prefill: Span) -> bool:
    """Whether a scheme lets tokens leave. Dropped tokens of a decoder are no keys, but go on."""
    kind = group.choices["architecture.attention.kind"]
    return kind == "early_exit" or (kind == "token_pruning" and not prefill.causal)


def computed_share(group: Group, prefill: Span, depth: int) -> Any:
    """Share of a layer's tokens that it computes, the mean of all layers; NaN where it is not known."""
    numbers = group.numbers
    if group.choices["architecture.attention.kind"] == "token_pruning":
        known = total(alive(group, prefill, depth)) / depth
    else:
        never = (numbers["architecture.attention.cosine"] > 1) | (numbers["architecture.attention.least"] >= depth)
        known = np.where(never, 1.0, np.nan)
    given = numbers["data.computed"]
    return np.where(np.isnan(given), known, given)


def squared_share(group: Group, prefill: Span, depth: int) -> Any:
    """Share of a layer's pairs whose tokens both are left, the mean of all layers."""
    return total(np.square(share) for share in alive(group, prefill, depth)) / depth


def alive(group: Group, prefill: Span, depth: int) -> list[Any]:
    """Share of the tokens that each layer still has: so many of them as its share says, of those that are left."""
    tokens = np.maximum(prefill.tokens, 1)
    found, before = [], tokens
    for share in shares_by_layer(group, depth):
        before = np.minimum(np.ceil(share * tokens), before)
        found.append(before / tokens)
    return found


def shares_by_layer(group: Group, depth: int) -> list[Any]:
    """Shares of the tokens that each layer keeps: its own, or from 1 at the first in a straight line to the last."""
    last, own = group.numbers[KEEP], own_of_layers(group, KEEP, depth)
    falling = [*(1 + layer * ((last - 1) / (depth - 1)) for layer in range(depth - 1)), last]
    if not own:
        return falling
    return [np.where(np.isnan(mine), line, mine) for mine, line in zip(own, falling, strict=True)]


def own_of_layers(group: Group, path: str, depth: int) -> Sequence[Any]:
    """A number of each layer, NaN where it has none of its own; nothing if no layer has."""
    own = [group.numbers.get(f"{path}.{layer}", np.full(1, np.nan)) for layer in range(depth)]
    return [] if all(np.all(np.isnan(mine)) for mine in own) else own


def share_of(operator: str, shape: ModelShape, group: Group, share: Any) -> Any:
    """Share of the work of an operator, of queries ("attention") or of keys, if layers compute this share of tokens.

    A token that has left by `early_exit` is still seen: its keys and values are computed from the state that it left
    with, and for these the norm ahead of them.
    """
    if operator not in OF_LAYERS:
        return 1.0
    if group.choices["architecture.attention.kind"] == "token_pruning":
        return share
    kept = {"qkv": 2 * shape.kv_heads / (shape.heads + 2 * shape.kv_heads), "norm": 0.5, "keys": 1.0}.get(operator, 0.0)
    return kept + (1 - kept) * share
