"""Attention over all keys that a query sees, with its products wherever they are placed."""

from dataclasses import dataclass
from typing import Self

from cimstudy.transformer.attention import Meeting, attend, merge_heads
from cimstudy.transformer.network import meeting, projected
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Full(Scheme):
    """Softmax attention."""

    operands: Operands

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        return cls(operands=Operands.of(setup, met))

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        return merge_heads(attend(found, self.operands.products(asked, found)))


def met(asked: Asked) -> Meeting:
    """Queries, keys and values as the model defines them."""
    return meeting(asked.run, asked.layer, projected(asked.run, asked.name, asked.x))
