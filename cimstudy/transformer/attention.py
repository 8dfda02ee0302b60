"""Attention of queries to keys, and the cache that keeps keys and values while a text grows.

A sequence's results do not depend, bit for bit, on the other sequences of the batch: NumPy multiplies stacked
matrices one at a time, so each sequence is a product of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.elementwise import exponentials

Array = NDArray[np.float32]
Places = NDArray[np.integer]

# Scores are computed in pieces that stay in a core's cache; few queries at a time, so that few keys too late for all of
# them are multiplied in vain. Both numbers touch the speed only.
_QUERIES_AT_A_TIME = 64
_SCORES_AT_A_TIME = 2**18


@dataclass(eq=False)
class Cache:
    """Keys and values of the tokens so far, for each layer; made for so many sequences of at most `capacity` tokens.

    lengths : (sequences,), tokens of each sequence. Places beyond a sequence's length hold nothing that counts.
    keys, values : of each layer, (sequences, heads, capacity, width); what a scheme keeps in their place may have
        other heads and widths than the model.  notes : what else a scheme has to remember of the tokens so far.
    """

    config: TransformerConfig
    sequences: int
    capacity: int
    lengths: Places = field(init=False)
    keys: dict[int, Array] = field(default_factory=dict, repr=False)
    values: dict[int, Array] = field(default_factory=dict, repr=False)
    notes: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.config.causal:
            raise InputError("this model sees later tokens too; a cache of keys and values is for decoders")
        if not 1 <= self.capacity <= self.config.context:
            raise InputError(f"a cache of {self.capacity} tokens; allowed: 1 to {self.config.context}, the context")
        self.lengths = np.zeros(self.sequences, np.intp)

    def put(self, layer: int, k: Array, v: Array, positions: Places) -> tuple[Array, Array]:
        """Keep keys and values, each (sequences, heads, T, width), at `positions` (sequences, T).

        Returns all so far, (sequences, heads, longest so far, width).
        """
        rows, filled = np.arange(self.sequences)[:, None], positions.max() + 1
        for kept, new in ((self.keys, k), (self.values, v)):
            if layer not in kept:
                kept[layer] = np.zeros((*new.shape[:2], self.capacity, new.shape[3]), np.float32)
            kept[layer][rows, :, positions] = new.swapaxes(1, 2)
        return self.keys[layer][:, :, :filled], self.values[layer][:, :, :filled]


@dataclass(frozen=True, kw_only=True)
class View:
    """Which keys a query sees: up to its own position if `causal`, the last `window` of them, below `lengths`."""

    causal: bool = True
    window: int | None = None
    lengths: Places | None = None  # (sequences,), of texts that are shorter than the batch; None: all are as long

    def keys(self, positions: Places, count: int) -> slice:
        """Keys of which any may be seen from `positions` (sequences or 1, Q)."""
        first = 0 if self.window is None else max(0, positions.min(initial=count) - self.window + 1)
        return slice(int(first), int(min(count, positions.max(initial=0) + 1)) if self.causal else count)

    def mask(self, positions: Places, keys: slice) -> Array:
        """Zero for the keys that are seen, minus infinity for the others: (sequences or 1, Q, K)."""
        places = np.arange(keys.start, keys.stop)
        seen = np.ones((*positions.shape, len(places)), np.bool_)
        if self.causal:
            seen &= places <= positions[..., None]
        if self.window is not None:
            seen &= places > positions[..., None] - self.window
        if self.lengths is not None:
            seen = seen & (places < self.lengths[:, None, None])
        return np.where(seen, np.float32(0), np.float32(-np.inf))


def exact_softmax(_: "Block", scores: Array, /) -> tuple[Array, Array]:
    """As `Softmax`, in single precision."""
    return exponentials(scores)


@dataclass(frozen=True, eq=False, kw_only=True)
class Meeting:
    """The queries of one layer, and the keys and values that they meet.

    q : (sequences, heads, Q, d), times the scale of scores.  k, v : (sequences, heads of their own, K, d or another
        width), key j at position j; query heads that share a key head or a value head lie side by side.
    positions : (sequences or 1, Q), of the queries, rising.  cap : scores become cap * tanh(score / cap).
    softmax : of the scores.
    """

    q: Array
    k: Array
    v: Array
    positions: Places
    view: View
    cap: float | None = None
    softmax: "Softmax" = exact_softmax

    def blocks(self) -> Iterator[tuple["Block", Array]]:
        """Parts whose scores are computed together, each with what hides keys: (sequences or 1, 1, queries, keys)."""
        sequences, heads, n_queries, _ = self.q.shape
        for rows in slices(n_queries, _QUERIES_AT_A_TIME):
            keys = self.view.keys(self.positions[:, rows], self.k.shape[2])
            mask = self.view.mask(self.positions[:, rows], keys)[:, None]
            step = max(1, _SCORES_AT_A_TIME // (heads * mask[0].size))
            for some in slices(sequences, step):
                yield Block(some, rows, keys), mask if len(mask) == 1 else mask[some]

    def distances(self, block: "Block") -> Places:
        """How many places a key is before a query, (sequences or 1, 1, queries, keys); negative if it is after it."""
        some = block.some if len(self.positions) > 1 else slice(None)
        found: Places = self.positions[some, None, block.rows, None] - np.arange(block.keys.start, block.keys.stop)
        return found


class Block(NamedTuple):
    """Some sequences, queries and keys of a meeting."""

    some: slice
    rows: slice
    keys: slice


class Softmax(Protocol):
    """How scores become weights."""

    def __call__(self, block: Block, scores: Array, /) -> tuple[Array, Array]:
        """Weights of scores (sequences, heads, queries, keys), and what they are to be divided by (..., 1).

        Scores of keys that are not seen are minus infinity; their weights are 0.  May overwrite the scores.
        """


class Products(NamedTuple):
    """The two products of a meeting.

    scores : of a block, queries times keys, (sequences, heads, queries, keys).
    values : of a block, its weights (sequences, heads, queries, keys), and their sums (..., 1): values times weights,
        over the sums, (sequences, heads, queries, width of the values).
    """

    scores: Callable[[Block], Array]
    values: Callable[[Block, Array, Array], Array]


def digital(meeting: Meeting) -> Products:
    """Both products in single precision."""
    return Products(partial(digital_scores, meeting), partial(digital_values, meeting))


def digital_scores(meeting: Meeting, block: Block) -> Array:
    """The scores of a block, as `Products`."""
    q, k = meeting.q[block.some, :, block.rows], meeting.k[block.some, :, block.keys]
    grouped = q.reshape(len(q), k.shape[1], -1, *q.shape[2:])
    found: Array = grouped @ k.swapaxes(-1, -2)[:, :, None]
    return found.reshape(*q.shape[:3], -1)


def digital_values(meeting: Meeting, block: Block, weights: Array, sums: Array) -> Array:
    """The averages of a block, as `Products`."""
    v = meeting.v[block.some, :, block.keys]
    grouped = weights.reshape(len(v), v.shape[1], -1, *weights.shape[2:])
    found: Array = grouped @ v[:, :, None]
    found = found.reshape(*weights.shape[:3], -1)
    found /= sums
    return found


Keep = Callable[["Block", Array], NDArray[np.bool_]]


def attend(meeting: Meeting, products: Products | None = None, keep: Keep | None = None) -> Array:
    """Values averaged by softmax of the scores, over the keys that a query sees: (sequences, heads, Q, width).

    keep : which of the keys count, from a block and its scores (sequences, heads, queries, keys), minus infinity for
        keys that are not seen; broadcasts against them.  A query that keeps no key gets zeros.
    """
    products = products or digital(meeting)
    sequences, heads, n_queries, _ = meeting.q.shape
    out = np.empty((sequences, heads, n_queries, meeting.v.shape[3]), np.float32)
    for block, mask in meeting.blocks():
        scores = capped(products.scores(block), meeting.cap)
        scores += mask
        if keep is not None:
            scores = np.where(keep(block, scores), scores, np.float32(-np.inf))
        out[block.some, :, block.rows] = products.values(block, *meeting.softmax(block, scores))
    return out


def capped(scores: Array, cap: float | None) -> Array:
    """Scores that cannot be beyond the cap."""
    return scores if cap is None else np.float32(cap) * np.tanh(scores / np.float32(cap))


def slices(length: int, step: int) -> Iterator[slice]:
    """Consecutive parts of at most `step`."""
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def split_heads(x: Array, heads: int) -> Array:
    """View of (sequences, T, heads d_head) as (sequences, heads, T, d_head)."""
    return x.reshape(*x.shape[:2], heads, x.shape[-1] // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """Rows (sequences, T, heads d_head) of x : (sequences, heads, T, d_head)."""
    sequences, heads, n_tokens, d_head = x.shape
    return x.swapaxes(1, 2).reshape(sequences, n_tokens, heads * d_head)
