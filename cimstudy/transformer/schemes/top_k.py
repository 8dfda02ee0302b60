"""Softmax over the highest scores: Topkima-Former (arXiv 2411.13050)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import TopKAttention
from cimstudy.transformer.attention import Block, attend, merge_heads
from cimstudy.transformer.schemes.counts import counted
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK:
    """Softmax over the k highest scores, as the products give them."""

    operands: Operands
    k: int

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, TopKAttention)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), k=given.k)

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)

        def keep(block: Block, scores: Array) -> Array:  # noqa: ARG001 - as Keep
            return highest(scores, self.k)

        products = self.operands.products(asked, found)
        return merge_heads(attend(found, products, counted(keep, asked, found)))


def highest(scores: Array, k: int) -> Array:
    """Whether a score is among the k highest of its row; of equal ones the first come first, unseen ones never."""
    if scores.shape[-1] <= k:
        return scores > -np.inf
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    found = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(found, order, values=True, axis=-1)
    return found & (scores > -np.inf)
