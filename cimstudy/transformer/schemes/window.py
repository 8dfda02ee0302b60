"""Attention within a window of keys: ReBERT (Kang, Shin and Kim, IEEE TCAD 2021)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import Attention, WindowAttention
from cimstudy.transformer.attention import Block
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup, for_each_layer


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(Scheme):
    """Softmax over the keys that are at most so many places away. widths : of each layer."""

    operands: Operands
    widths: tuple[int, ...]

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, WindowAttention)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), widths=for_each_layer("width", given.width, setup.model.config))

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for another number of widths than of layers."""
        assert isinstance(given, WindowAttention)  # noqa: S101 - chosen by type
        for_each_layer("width", given.width, config)

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found, width = met(asked), self.widths[asked.layer]

        def keep(block: Block, scores: Array) -> Array:  # noqa: ARG001 - as Keep
            return np.asarray(np.abs(found.distances(block)) <= width)

        return attend_to_kept(asked, found, self.operands, keep)
