"""The forward pass of a decoder-only transformer, in one file; the matrix products are an argument.

`linear(name, x)` is the product of `x` with the static matrix `name`: digital, or a chip's. Everything else (norms,
rotary positions, softmax, the products of activations with activations) is float32 and the same in both.

A sequence's results do not depend, bit for bit, on the other sequences of the batch: NumPy multiplies stacked
matrices one at a time, so each sequence is a product of its own (and an injected product should keep it so).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.transformer.config import TransformerConfig

Array = NDArray[np.float32]
Linear = Callable[[str, Array], Array]

# Scores are computed in pieces that stay in a core's cache; few queries at a time, so that few keys too late for all of
# them are multiplied in vain. Both numbers touch the speed only.
_QUERIES_AT_A_TIME = 64
_SCORES_AT_A_TIME = 2**18


class Weighted(Protocol):
    """What the forward pass reads of a model."""

    @property
    def config(self) -> TransformerConfig:
        """Sizes."""
        ...

    @property
    def weights(self) -> Mapping[str, Array]:
        """Arrays by name."""
        ...


def forward(model: Weighted, tokens: NDArray[np.integer], linear: Linear) -> Array:
    """Logits of the next token at every position; causal.

    tokens : (..., T), integers below vocab_size, T at most the context.  Returns (..., T, vocab_size), float32.
    linear : called as (name, x) with x (sequences, T, n_in), float32; returns (sequences, T, n_out), float32, and
        leaves x as it is.
    """
    config, weights = model.config, model.weights
    positions = np.arange(tokens.shape[-1])

    def norm(name: str, x: Array) -> Array:
        return rms_norm(x, weights[name], config.norm_eps)

    x = weights["embedding"][tokens.reshape(-1, tokens.shape[-1])]  # (sequences, T, width)
    for i in range(config.layers):
        layer = f"layers.{i}"
        x += attention(norm(f"{layer}.attention.norm", x), f"{layer}.attention", config, positions, linear)
        x += gated_ffn(norm(f"{layer}.ffn.norm", x), f"{layer}.ffn", linear)
    logits = linear("head", norm("norm", x))  # (sequences, T, vocab)
    return logits.reshape(*tokens.shape, config.vocab_size)


def attention(x: Array, name: str, config: TransformerConfig, positions: NDArray[np.integer], linear: Linear) -> Array:
    """Causal self-attention with rotary positions.

    x : (sequences, T, width).  positions : (T,), places of the tokens in their sequence.  Returns x's shape.
    """
    turns = rotary_turns(positions, config)  # (2, T, heads d_head)
    q = split_heads(rotate(linear(f"{name}.q", x), turns, config.head_width), config.heads)
    k = split_heads(rotate(linear(f"{name}.k", x), turns, config.head_width), config.kv_heads)
    v = split_heads(linear(f"{name}.v", x), config.kv_heads)  # (sequences, kv_heads, T, d_head)
    return linear(f"{name}.o", merge_heads(attend(q, k, v, positions, positions)))


def gated_ffn(x: Array, name: str, linear: Linear) -> Array:
    """SiLU(x W_gate) * (x W_up), times W_down.  x : (sequences, T, width).  Returns x's shape."""
    hidden = silu(linear(f"{name}.gate", x))
    hidden *= linear(f"{name}.up", x)
    return linear(f"{name}.down", hidden)


def attend(q: Array, k: Array, v: Array, q_positions: NDArray[np.integer], k_positions: NDArray[np.integer]) -> Array:
    """Values averaged by softmax(q k / sqrt(d_head)), over the keys no later than the query.

    q : (sequences, heads, Q, d_head).  k, v : (sequences, kv_heads, K, d_head).  q_positions : (Q,).
    k_positions : (K,); both rise.  Returns (sequences, heads, Q, d_head).
    """
    sequences, heads, n_queries, d_head = q.shape
    groups = (k.shape[1], heads // k.shape[1])  # query heads that share a key head lie side by side
    q = (q * np.float32(1 / math.sqrt(d_head))).reshape(sequences, *groups, n_queries, d_head)
    k_turned, v = k.swapaxes(-1, -2)[:, :, None], v[:, :, None]  # one key head for each group of query heads
    out = np.empty_like(q)
    for rows in _slices(n_queries, _QUERIES_AT_A_TIME):
        keys = slice(np.searchsorted(k_positions, q_positions[rows][-1], side="right"))  # none later is seen
        mask = np.where(k_positions[keys] <= q_positions[rows, None], np.float32(0), np.float32(-np.inf))
        for some in _slices(sequences, max(1, _SCORES_AT_A_TIME // (heads * mask.size))):
            scores = q[some, ..., rows, :] @ k_turned[some, ..., keys]  # (sequences, kv_heads, group, rows, keys)
            scores += mask
            np.divide(*_exponential_average(scores, v[some, ..., keys, :]), out=out[some, ..., rows, :])
    return out.reshape(sequences, heads, n_queries, d_head)


def _exponential_average(scores: Array, v: Array) -> tuple[Array, Array]:
    """Sum of the values times exp(score), and of exp(score): (..., Q, d_head), (..., Q, 1).  Overwrites the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    return scores @ v, scores.sum(axis=-1, keepdims=True)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def rms_norm(x: Array, gain: Array, eps: float) -> Array:
    """Rows of x scaled to a root mean square of one, times the gain.  x : (..., width).  gain : (width,)."""
    mean_square = np.vecdot(x, x)[..., None] / np.float32(x.shape[-1])
    y: Array = x / np.sqrt(mean_square + np.float32(eps))
    y *= gain
    return y


def silu(x: Array) -> Array:
    """Elementwise x / (1 + exp(-x)), a new array."""
    y = np.negative(x)
    with np.errstate(over="ignore"):  # exp(-x) is inf far below zero, where the result is rightly -0
        np.exp(y, out=y)
    y += np.float32(1)
    return np.divide(x, y, out=y)


def rotary_turns(positions: NDArray[np.integer], config: TransformerConfig) -> Array:
    """Cosines and signed sines of position times frequency, repeated for every head: (2, T, heads d_head)."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_width, 2) / config.head_width)
    angles = np.outer(positions, frequencies)  # (T, d_head / 2)
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.stack([np.hstack([cos, cos]), np.hstack([-sin, sin])])
    return np.tile(turns.astype(np.float32), config.heads)


def rotate(x: Array, turns: Array, d_head: int) -> Array:
    """Rotary positions: turns the pairs (i, i + d_head / 2) of each head, as Hugging Face's Llama does.

    x : (sequences, T, heads d_head).  turns : (2, T, at least heads d_head).  Returns x's shape.
    """
    cos, sin = turns[..., : x.shape[-1]]
    halves = x.reshape(*x.shape[:2], x.shape[-1] // d_head, 2, d_head // 2)
    y = halves[..., ::-1, :].copy().reshape(x.shape)  # each half of a head in the other's place
    y *= sin
    y += x * cos
    return y


def split_heads(x: Array, heads: int) -> Array:
    """View of (sequences, T, heads d_head) as (sequences, heads, T, d_head)."""
    return x.reshape(*x.shape[:2], heads, x.shape[-1] // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """Rows (sequences, T, heads d_head) of x : (sequences, heads, T, d_head)."""
    sequences, heads, n_tokens, d_head = x.shape
    return x.swapaxes(1, 2).reshape(sequences, n_tokens, heads * d_head)
