"""Scores from one fused matrix, under a mask of few bits: CPSAA (Li et al., doi 10.1109/tcad.2023.3344524).

The scores Q K^T are X (W_Q W_K^T) X^T: one static matrix for each head, and the inputs written in place of keys. A bias
of Q is taken into X (W_Q W_K^T) in digital.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import Attention, FusedAttention
from cimstudy.transformer.attention import Meeting, attend, merge_heads, split_heads
from cimstudy.transformer.calibration import Tokens
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Weighted, meeting
from cimstudy.transformer.schemes.decomposed import check_products_of_inputs, k_transposed
from cimstudy.transformer.schemes.heads import HeadMatrices
from cimstudy.transformer.schemes.kept import attend_to_kept
from cimstudy.transformer.schemes.operands import Operands, calibration_meetings
from cimstudy.transformer.schemes.search import OF_WRITTEN_KEYS, Threshold, check_thresholds
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Fused(Scheme):
    """Softmax over keys that a mask leaves, with W_Q W_K^T for two projections. mask : None if it leaves all."""

    searches = OF_WRITTEN_KEYS

    operands: Operands
    qk: HeadMatrices
    mask: Threshold | None

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for a model whose scores are no product of inputs, or a wrong number of thresholds."""
        assert isinstance(given, FusedAttention)  # noqa: S101 - chosen by type
        check_products_of_inputs(config, given.kind)
        check_thresholds(config, given)

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, FusedAttention)  # noqa: S101 - chosen by type
        return cls(
            operands=Operands.of(setup, met_fused),
            qk=HeadMatrices.of(setup, "q times k transposed", q_times_k, inputs_of_batch, "q"),
            mask=Threshold.of(setup, given, met_fused),
        )

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = fused_meeting(asked, self.qk)
        if self.mask is None:
            return merge_heads(attend(found, self.operands.products(asked, found)))
        return attend_to_kept(asked, found, self.operands, self.mask.keep(asked, found))


def fused_meeting(asked: Asked, qk: HeadMatrices) -> Meeting:
    """The meeting of X (W_Q W_K^T) with X."""
    config, x = asked.run.config, asked.x[:, None]
    repeated = np.broadcast_to(x, (len(x), config.heads, *x.shape[2:]))
    m = qk.times(asked.group, repeated, asked.first_vector)
    bias = asked.run.model.weights.get(f"{asked.name}.q.bias")
    if bias is not None:
        m += bias.reshape(config.heads, 1, -1) @ k_of_queries(asked.run.model, asked.group)
    v = split_heads(asked.run.product(f"{asked.name}.v", asked.x), config.kv_heads)
    return meeting(asked.run, asked.layer, (m, x, v))


def k_of_queries(model: Weighted, group: int) -> Array:
    """W_K^T for each query head, (heads, d_head, width)."""
    return np.repeat(k_transposed(model, group), model.config.heads // model.config.kv_heads, axis=0)


def q_times_k(model: Weighted, group: int) -> Array:
    """W_Q W_K^T of each head, (heads, width, width)."""
    w = model.weights[f"layers.{group}.attention.q"]
    return np.asarray(w.reshape(len(w), model.config.heads, -1).swapaxes(0, 1) @ k_of_queries(model, group))


def met_fused(asked: Asked) -> Meeting:
    """What meets in the digital run."""
    return fused_meeting(asked, HeadMatrices(weights={asked.group: q_times_k(asked.run.model, asked.group)}, arrays={}))


def inputs_of_batch(model: Model, tokens: Tokens, layer: int) -> Array:
    """What each head's matrix is multiplied by in the digital run."""
    x = calibration_meetings(model, tokens, met_fused)[layer].k
    return np.broadcast_to(x.reshape(1, -1, x.shape[-1]), (model.config.heads, x.shape[0] * x.shape[2], x.shape[-1]))
