"""Scores from inputs in place of keys: ReTransformer (Yang et al., ICCAD 2020, doi 10.1145/3400302.3415640).

With Q = X W_Q the scores Q K^T are (Q W_K^T) X^T, and the context P V is (P X) W_V: the arrays that are written at
inference hold X, which is there when the layer begins. What a bias of K adds is the same for all scores of a query, and
softmax does not see it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.errors import InputError
from cimstudy.hardware import Attention, DecomposedAttention
from cimstudy.transformer.attention import Meeting, attend, merge_heads, split_heads
from cimstudy.transformer.calibration import Tokens
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Weighted, meeting
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.heads import HeadMatrices
from cimstudy.transformer.schemes.operands import Operands, calibration_meetings
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Decomposed(Scheme):
    """Softmax attention that computes no keys. v : of each head, W_V; None where values are written as they are."""

    operands: Operands
    k: HeadMatrices
    v: HeadMatrices | None

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for a model whose scores are no product of inputs."""
        check_products_of_inputs(config, given.kind)

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, DecomposedAttention)  # noqa: S101 - chosen by type
        whole = given.context == "inputs"
        return cls(
            operands=Operands.of(setup, met_inputs if whole else met_values),
            k=HeadMatrices.of(setup, "k transposed", k_transposed, queries_of_batch, "k"),
            v=HeadMatrices.of(setup, "v of heads", v_of_heads, averages_of_batch, "v") if whole else None,
        )

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = inputs_met(asked, self.k, with_values=self.v is None)
        context = attend(found, self.operands.products(asked, found, shared=self.v is not None))
        return merge_heads(context if self.v is None else valued(asked, self.v, context))


def check_products_of_inputs(config: TransformerConfig, kind: str) -> None:
    """Raise InputError for a model whose scores depend on more than products of inputs with one matrix."""
    biased = "attention.k" in config.biases and config.score_cap is not None
    for what, there in (
        ("rotary positions", config.rotary is not None),
        ("norms of queries and keys", config.qk_norm),
        ("a cap on scores that a bias adds to", biased),
    ):
        if there:
            raise InputError(
                f"architecture.attention.kind = {kind!r}: the model has {what}; allowed: models without, such as GPT-2"
            )


def inputs_met(asked: Asked, k: HeadMatrices, *, with_values: bool) -> Meeting:
    """The meeting of Q W_K^T with inputs, which are also what is averaged, unless it is the values."""
    q = split_heads(asked.run.product(f"{asked.name}.q", asked.x), asked.run.config.heads)
    x = asked.x[:, None]
    v = split_heads(asked.run.product(f"{asked.name}.v", asked.x), asked.run.config.kv_heads) if with_values else x
    return meeting(asked.run, asked.layer, (k.times(asked.group, q, asked.first_vector), x, v))


def valued(asked: Asked, v: HeadMatrices, context: Array) -> Array:
    """Averaged inputs (sequences, heads, T, width) as averaged values (sequences, heads, T, d_head)."""
    config = asked.run.config
    y = v.times(asked.group, context, asked.first_vector)
    bias = asked.run.model.weights.get(f"{asked.name}.v.bias")
    if bias is not None:
        y += np.repeat(bias.reshape(config.kv_heads, 1, -1), config.heads // config.kv_heads, axis=0)
    return y


def k_transposed(model: Weighted, group: int) -> Array:
    """W_K^T of each head, (kv_heads, d_head, width)."""
    w = model.weights[f"layers.{group}.attention.k"]
    return np.ascontiguousarray(w.reshape(len(w), model.config.kv_heads, -1).transpose(1, 2, 0))


def v_of_heads(model: Weighted, group: int) -> Array:
    """W_V of each head, (kv_heads, width, d_head)."""
    w = model.weights[f"layers.{group}.attention.v"]
    return np.ascontiguousarray(w.reshape(len(w), model.config.kv_heads, -1).swapaxes(0, 1))


def digital_k(asked: Asked) -> HeadMatrices:
    """W_K^T of this layer, not in arrays."""
    return HeadMatrices(weights={asked.group: k_transposed(asked.run.model, asked.group)}, arrays={})


def met_inputs(asked: Asked) -> Meeting:
    """What meets in the digital run, where inputs are averaged."""
    return inputs_met(asked, digital_k(asked), with_values=False)


def met_values(asked: Asked) -> Meeting:
    """What meets in the digital run, where values are averaged."""
    return inputs_met(asked, digital_k(asked), with_values=True)


def by_head(x: Array, heads: int) -> Array:
    """Vectors (sequences, heads or a multiple, T, n) as those that each of `heads` sees, (heads, vectors, n)."""
    return np.ascontiguousarray(x.reshape(len(x), heads, -1, x.shape[-1]).swapaxes(0, 1)).reshape(
        heads, -1, x.shape[-1]
    )


def queries_of_batch(model: Model, tokens: Tokens, layer: int) -> Array:
    """What W_K^T of each head is multiplied by in the digital run."""
    scale = model.config.score_scale or model.config.head_width**-0.5
    return by_head(calibration_meetings(model, tokens, met)[layer].q / np.float32(scale), model.config.kv_heads)


def averages_of_batch(model: Model, tokens: Tokens, layer: int) -> Array:
    """What W_V of each head is multiplied by in the digital run."""
    return by_head(attend(calibration_meetings(model, tokens, met_inputs)[layer]), model.config.kv_heads)
