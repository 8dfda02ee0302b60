"""What attention did, counted while a chip runs: closed forms of these numbers are what a scheme promises."""

from typing import Any

import numpy as np

from cimstudy.transformer.attention import Block, Keep, Meeting, capped, digital_scores
from cimstudy.transformer.schemes.setup import Asked

Array = np.ndarray[Any, np.dtype[Any]]


def counted(keep: Keep, asked: Asked, met: Meeting) -> Keep:
    """The same choice of keys, with a note of how many of the seen keys it keeps, and which of the true top ones.

    Counts `seen` and `kept` keys, summed over queries and heads, and `found`: kept keys among as many with the highest
    digital scores. Queries behind the end of a sequence do not count.
    """
    if asked.watch is None:
        return keep

    def noted(block: Block, scores: Array) -> Array:
        chosen = keep(block, scores)
        seen = (scores > -np.inf) & real_queries(asked, block)
        kept = seen & chosen
        exact = np.where(seen, capped(digital_scores(met, block), met.cap), -np.inf)
        asked.count(seen=seen.sum(), kept=kept.sum(), found=(kept & true_top(exact, kept.sum(axis=-1))).sum())
        return chosen

    return noted


def real_queries(asked: Asked, block: Block) -> Array:
    """Which queries of a block are before the end of their sequence: (sequences or 1, 1, queries, 1)."""
    lengths = asked.run.lengths
    places = np.arange(block.rows.start, block.rows.stop)
    if lengths is None:
        return np.ones((1, 1, len(places), 1), np.bool_)
    found: Array = places < lengths[block.some, None]
    return found[:, None, :, None]


def true_top(scores: Array, counts: Array) -> Array:
    """Whether a score is among its row's `counts` (...,) highest of (..., K)."""
    order = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1, kind="stable")
    found: Array = order < counts[..., None]
    return found
