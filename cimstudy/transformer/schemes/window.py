"""Attention within a window of keys: ReBERT (Kang, Shin and Kim, IEEE TCAD 2021)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.errors import InputError
from cimstudy.hardware import WindowAttention
from cimstudy.transformer.attention import Block
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(Scheme):
    """Softmax over the keys that are at most so many places away. widths : of each layer."""

    operands: Operands
    widths: tuple[int, ...]

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given, layers = setup.hardware.architecture.attention, setup.model.config.layers
        assert isinstance(given, WindowAttention)  # noqa: S101 - chosen by type
        widths = (given.width,) * layers if isinstance(given.width, int) else given.width
        if len(widths) != layers:
            raise InputError(f"architecture.attention.width has {len(widths)} numbers; allowed: one, or {layers}")
        return cls(operands=Operands.of(setup, met), widths=widths)

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found, width = met(asked), self.widths[asked.layer]

        def keep(block: Block, scores: Array) -> Array:  # noqa: ARG001 - as Keep
            places = np.arange(block.keys.start, block.keys.stop)
            far = np.abs(found.positions[:, block.rows, None] - places)
            near: Array = far[block.some if len(far) > 1 else slice(None), None] <= width
            return near

        return attend_to_kept(asked, found, self.operands, keep)
