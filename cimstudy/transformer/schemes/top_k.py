"""Softmax over the highest scores: Topkima-Former (arXiv 2411.13050)."""

from dataclasses import dataclass
from typing import Self

from cimstudy.hardware import TopKAttention
from cimstudy.transformer.attention import Block
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept, highest
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(Scheme):
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

        return attend_to_kept(asked, found, self.operands, keep)
