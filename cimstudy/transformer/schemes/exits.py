"""Tokens that leave once a layer hardly changes them.

The measure is that of CALM (Schuster et al. 2022, arXiv 2207.07061), the cosine of a token's states before and after a
layer, and so is what later layers see of a token that has left: the state that it left with.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import EarlyExit
from cimstudy.transformer.attention import attend, merge_heads
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Exits(Scheme):
    """Softmax attention in layers that tokens leave."""

    operands: Operands
    given: EarlyExit

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, EarlyExit)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), given=given)

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        return merge_heads(attend(found, self.operands.products(asked, found)))

    def layer(self, asked: Asked) -> Array:
        """A layer that leaves tokens as they are that have left before it."""
        gone = asked.notes["gone"] if asked.layer else np.zeros(asked.x.shape[:2], np.bool_)
        before = asked.x.copy()
        after = np.where(gone[..., None], before, super().layer(asked))
        asked.count(computed=(~gone & asked.real).sum())
        if asked.layer + 1 >= self.given.least:
            asked.notes["gone"] = gone | (cosines(before, after) >= self.given.cosine)
        else:
            asked.notes["gone"] = gone
        return after


def cosines(x: Array, y: Array) -> Array:
    """Of the angles between vectors (..., n): (...)."""
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.asarray(np.vecdot(x, y) / np.maximum(lengths, np.finfo(np.float32).tiny))
