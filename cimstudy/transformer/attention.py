"""Attention of queries to keys, and the cache that keeps keys and values while a text grows.

A sequence's results do not depend, bit for bit, on the other sequences of the batch: NumPy multiplies stacked
matrices one at a time, so each sequence is a product of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.transformer.config import TransformerConfig

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
    """

    config: TransformerConfig
    sequences: int
    capacity: int
    lengths: Places = field(init=False)
    keys: list[Array] = field(init=False, repr=False)  # of each layer, (sequences, kv_heads, capacity, head_width)
    values: list[Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.config.causal:
            raise InputError("this model sees later tokens too; a cache of keys and values is for decoders")
        if not 1 <= self.capacity <= self.config.context:
            raise InputError(f"a cache of {self.capacity} tokens; allowed: 1 to {self.config.context}, the context")
        shape = (self.sequences, self.config.kv_heads, self.capacity, self.config.head_width)
        self.lengths = np.zeros(self.sequences, np.intp)
        self.keys = [np.zeros(shape, np.float32) for _ in range(self.config.layers)]
        self.values = [np.zeros(shape, np.float32) for _ in range(self.config.layers)]

    def put(self, layer: int, k: Array, v: Array, positions: Places) -> tuple[Array, Array]:
        """Keep keys and values (sequences, kv_heads, T, head_width) at `positions` (sequences, T).

        Returns all so far, (sequences, kv_heads, longest so far, head_width).
        """
        rows = np.arange(self.sequences)[:, None]
        self.keys[layer][rows, :, positions] = k.swapaxes(1, 2)
        self.values[layer][rows, :, positions] = v.swapaxes(1, 2)
        filled = positions.max() + 1
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


def attend(  # noqa: PLR0913, PLR0917 - queries, keys, values, and how they meet
    q: Array, k: Array, v: Array, positions: Places, view: View, scale: float, cap: float | None = None
) -> Array:
    """Values averaged by softmax(scale q k), over the keys that a query sees.

    q : (sequences, heads, Q, d_head).  k, v : (sequences, kv_heads, K, d_head), key j at position j.
    positions : (sequences or 1, Q), of the queries, rising.  cap : scores become cap * tanh(score / cap).
    Returns (sequences, heads, Q, d_head).
    """
    sequences, heads, n_queries, d_head = q.shape
    groups = (k.shape[1], heads // k.shape[1])  # query heads that share a key head lie side by side
    q = (q * np.float32(scale)).reshape(sequences, *groups, n_queries, d_head)
    k_turned, v = k.swapaxes(-1, -2)[:, :, None], v[:, :, None]  # one key head for each group of query heads
    out = np.empty_like(q)
    for rows in _slices(n_queries, _QUERIES_AT_A_TIME):
        keys = view.keys(positions[:, rows], k.shape[2])
        mask = view.mask(positions[:, rows], keys)[:, None, None]
        step = max(1, _SCORES_AT_A_TIME // (heads * mask[0].size))
        for some in _slices(sequences, step):
            scores = q[some, ..., rows, :] @ k_turned[some, ..., keys]  # (sequences, kv_heads, group, rows, keys)
            if cap is not None:
                scores = np.float32(cap) * np.tanh(scores / np.float32(cap))
            scores += mask if len(mask) == 1 else mask[some]
            np.divide(*_exponential_average(scores, v[some, ..., keys, :]), out=out[some, ..., rows, :])
    return out.reshape(sequences, heads, n_queries, d_head)


def _exponential_average(scores: Array, v: Array) -> tuple[Array, Array]:
    """Sum of the values times exp(score), and of exp(score): (..., Q, d_head), (..., Q, 1).  Overwrites the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    return scores @ v, scores.sum(axis=-1, keepdims=True)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def split_heads(x: Array, heads: int) -> Array:
    """View of (sequences, T, heads d_head) as (sequences, heads, T, d_head)."""
    return x.reshape(*x.shape[:2], heads, x.shape[-1] // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """Rows (sequences, T, heads d_head) of x : (sequences, heads, T, d_head)."""
    sequences, heads, n_tokens, d_head = x.shape
    return x.swapaxes(1, 2).reshape(sequences, n_tokens, heads * d_head)
