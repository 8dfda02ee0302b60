"""Attention to some of the keys that a query sees: which, and how many of them were the right ones."""

from typing import Any

import numpy as np

from cimstudy.transformer.attention import Block, Keep, Meeting, attend, capped, digital_scores, merge_heads
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Asked

Array = np.ndarray[Any, np.dtype[Any]]


def attend_to_kept(asked: Asked, met: Meeting, operands: Operands, keep: Keep) -> Array:
    """What the heads bring each token, (sequences, T, heads d_head), from the keys that are kept."""
    return merge_heads(attend(met, operands.products(asked, met), counted(keep, asked, met)))


def highest(scores: Array, k: int) -> Array:
    """Whether a score is among the k highest of its row; of equal ones the first come first, unseen ones never."""
    if scores.shape[-1] <= k:
        return np.asarray(scores > -np.inf)
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    found = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(found, order, values=True, axis=-1)
    return found & (scores > -np.inf)


def counted(keep: Keep, asked: Asked, met: Meeting) -> Keep:
    """The same choice of keys, with a note of how many of the seen keys it keeps, and which of the true top ones.

    Counts `seen` and `kept` keys, summed over queries and heads, and `found`: kept keys among as many with the highest
    digital scores. Queries behind the end of a sequence do not count.
    """
    if asked.watch is None:
        return keep

    def noted(block: Block, scores: Array) -> Array:
        chosen = keep(block, scores)
        seen = (scores > -np.inf) & asked.real[block.some, None, block.rows, None]
        kept = seen & chosen
        exact = np.where(seen, capped(digital_scores(met, block), met.cap), -np.inf)
        asked.count(seen=seen.sum(), kept=kept.sum(), found=(kept & true_top(exact, kept.sum(axis=-1))).sum())
        return chosen

    return noted


def true_top(scores: Array, counts: Array) -> Array:
    """Whether a score is among its row's `counts` (...,) highest of (..., K)."""
    order = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1, kind="stable")
    found: Array = order < counts[..., None]
    return found
