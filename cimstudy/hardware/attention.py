"""Attention schemes: what a chip computes between the queries, keys and values of a layer.

Where products of queries, keys and values run (digital, in arrays that are written at inference, in SRAM) is said by
the architecture's placement; a scheme says which of them are computed, and from what. `seen` keys are those that the
model lets a query see; a scheme keeps some of them.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cimstudy.hardware.part import Part

Count = Annotated[int, Field(ge=1)]
OperandBits = Annotated[int, Field(ge=2, le=16)]
Share = Annotated[float, Field(gt=0, le=1)]


class FullAttention(Part):
    """Softmax over all keys that a query sees."""

    kind: Literal["full"] = "full"


class WindowAttention(Part):
    """A query at position i sees the keys at i - width to i + width only (ReBERT)."""

    kind: Literal["window"] = "window"
    width: Annotated[int, Field(ge=0)] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (
        Field(description="keys to either side: one number, or one for each layer")
    )


class BlockedAttention(Part):
    """Scores of `size` queries and keys at a time, joined by an online softmax (X-Former): no row is ever whole."""

    kind: Literal["blocked"] = "blocked"
    size: Count = Field(default=64, description="tokens of a block")


class TopKAttention(Part):
    """Softmax over the `k` highest scores, as a converter with a falling ramp finds them (Topkima)."""

    kind: Literal["top_k"] = "top_k"
    k: Count = Field(default=5, description="keys that a query keeps")


class Searched(Part):
    """Keys are kept whose approximate score, of operands of few bits, reaches a threshold.

    Where `placement.search` is an array, approximate scores have the errors of its cells.
    """

    bits: Annotated[int, Field(ge=2, le=16)] = Field(default=4, description="of approximate operands, with the sign")
    threshold: float | Annotated[tuple[float, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="of scores as softmax takes them: one number, or one for each layer; None: all are kept",
    )
    keep: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="in place of a threshold: share of the keys that it keeps of the calibration batch"
    )
    comparator_std: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="of the offset of each column's comparator, in scores; fixed per chip"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.threshold is not None and self.keep is not None:
            raise ValueError("keep stands in place of threshold; allowed: one of the two")
        return self


class ThresholdAttention(Searched):
    """Exact scores of those keys whose approximate score reaches a threshold (SPRINT)."""

    kind: Literal["threshold"] = "threshold"


class FusedAttention(Searched):
    """Scores from X (W_Q W_K^T) X^T: inputs are written in place of keys, and a mask of few bits hides some (CPSAA).

    For models without rotary positions and without norms of queries and keys.
    """

    kind: Literal["fused"] = "fused"


class DecomposedAttention(Part):
    """Scores from (Q W_K^T) X^T: the inputs are written in place of keys, which are never computed (ReTransformer).

    With `context="inputs"` the softmax is multiplied by the inputs as well, and their average by W_V: no values are
    written. For models without rotary positions and without norms of queries and keys.
    """

    kind: Literal["decomposed"] = "decomposed"
    context: Literal["inputs", "values"] = "inputs"


class CascadedAttention(Part):
    """Keys and values leave their arrays as currents and are written as such: no converter between (ReCAT).

    For models without rotary positions and without norms of keys, with the products on `dynamic-crossbar`.
    """

    kind: Literal["cascaded"] = "cascaded"


class ProductQuantisedAttention(Part):
    """The k keys of highest relevance, a sum of table entries for each part of a key's nearest centroids (HARDSEA).

    Centroids are those of the calibration batch. Where `placement.search` is an array, tables have the errors of its
    cells.
    """

    kind: Literal["product_quantised"] = "product_quantised"
    k: Count = Field(description="keys that a query keeps")
    subspaces: Count = Field(default=8, description="parts of a key; they divide the width of a head")
    centroids: Count = Field(default=16, description="of each part")


class HashedAttention(Part):
    """Keys whose hash is at most `distance` bits from the query's, and some at fixed places (iMCAT, iMTransformer).

    Bits are signs of products with random vectors, which belong to the chip.
    """

    kind: Literal["hashed"] = "hashed"
    bits: Annotated[int, Field(ge=1, le=4096)] = Field(default=64, description="of a hash")
    distance: Annotated[int, Field(ge=0)] = Field(description="bits in which matching hashes may differ")
    flip_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of stored bits that are wrong, drawn at every writing"
    )
    window: Annotated[int, Field(ge=0)] = Field(default=0, description="keys to either side that are always kept")
    stride: Count | None = Field(default=None, description="also every so many-th key before or after the query")
    sinks: Annotated[int, Field(ge=0)] = Field(default=0, description="also so many keys at the beginning")


class GainCellAttention(Part):
    """Keys and values as charges that leak, multiplied through a polynomial, and a pulse in place of softmax.

    A stored number u in [-1, 1] of age t multiplies as p(u exp(-t / tau)), p(u) = u + quadratic u**2 + cubic u**3. The
    pulse is clip(slope s + offset, 0, 1) of a score s. (Leroux et al. 2025.)
    """

    kind: Literal["gain_cell"] = "gain_cell"
    window: Count = Field(default=1024, description="tokens that are held: a new one overwrites the oldest")
    rows: Count = Field(default=64, description="tokens of a sub-tile, whose output is counted by itself")
    operand_bits: OperandBits | None = Field(
        default=3, description="of keys and values, with the sign; None: not rounded"
    )
    query_bits: OperandBits | None = Field(default=4, description="of queries, with the sign; None: not rounded")
    output_bits: OperandBits | None = Field(
        default=5, description="of a sub-tile's counter, with the sign; None: exact"
    )
    tau: Annotated[float, Field(gt=0)] | None = Field(default=5e-3, description="s; None: charges stay")
    token_time: Annotated[float, Field(ge=0)] = Field(default=65e-9, description="s from one token to the next")
    quadratic: float = Field(default=0.0, description="of the multiplier")
    cubic: float = Field(default=0.0, description="of the multiplier")
    write_std: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="error of a written charge, of full scale"
    )
    pulse: Literal["hard_sigmoid", "softmax"] = Field(default="hard_sigmoid", description="what scores become")
    slope: Annotated[float, Field(gt=0)] = Field(default=1 / 6, description="of the pulse, for pulse='hard_sigmoid'")
    offset: float = Field(default=0.5, description="of the pulse, for pulse='hard_sigmoid'")


class TokenPruning(Part):
    """Each layer attends to the tokens that earlier layers have attended to most.

    What counts is the probability that a token has received from all heads and, in decoders, all queries so far. Models
    that see both sides do not compute tokens again that they have dropped; the first token stays.
    """

    kind: Literal["token_pruning"] = "token_pruning"
    keep: Share | Annotated[tuple[Share, ...], Field(min_length=1)] = Field(
        description="share of the tokens: of the last layer, in a straight line from 1 at the first; or of each layer"
    )


class EarlyExit(Part):
    """A token leaves once a layer hardly turns it: when the cosine of its states before and after is at least so high.

    Later layers see the state with which it left.
    """

    kind: Literal["early_exit"] = "early_exit"
    cosine: float = Field(gt=0, description="at which tokens leave; more than 1: never")
    least: Count = Field(default=1, description="layers that every token goes through")


def by_kind(value: Any) -> Any:
    """Accept a kind in place of a scheme that has no fields, or only defaults."""
    return {"kind": value} if isinstance(value, str) else value


Attention = Annotated[
    Annotated[
        FullAttention
        | WindowAttention
        | BlockedAttention
        | TopKAttention
        | ThresholdAttention
        | FusedAttention
        | DecomposedAttention
        | CascadedAttention
        | ProductQuantisedAttention
        | HashedAttention
        | GainCellAttention
        | TokenPruning
        | EarlyExit,
        Field(discriminator="kind"),
    ],
    BeforeValidator(by_kind),
]
