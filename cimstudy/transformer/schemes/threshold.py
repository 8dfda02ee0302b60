"""Exact scores of the keys that a search of few bits has found: SPRINT (arXiv 2209.00606)."""

from dataclasses import dataclass
from typing import Self

from cimstudy.hardware import Attention, ThresholdAttention
from cimstudy.transformer.attention import attend, merge_heads
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.search import OF_WRITTEN_KEYS, Threshold, check_thresholds
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholded(Scheme):
    """Softmax over keys whose approximate scores reach a threshold. search : None if all do."""

    searches = OF_WRITTEN_KEYS

    operands: Operands
    search: Threshold | None

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for another number of thresholds than of layers."""
        assert isinstance(given, ThresholdAttention)  # noqa: S101 - chosen by type
        check_thresholds(config, given)

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, ThresholdAttention)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), search=Threshold.of(setup, given, met))

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        if self.search is None:
            return merge_heads(attend(found, self.operands.products(asked, found)))
        return attend_to_kept(asked, found, self.operands, self.search.keep(asked, found))
