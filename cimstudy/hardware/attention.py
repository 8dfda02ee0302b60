"""Attention schemes: what a chip computes between the queries, keys and values of a layer.

Where products of queries, keys and values run (digital, in arrays that are written at inference, in SRAM) is said by
the architecture's placement; a scheme says which of them are computed, and from what. `seen` keys are those that the
model lets a query see; a scheme keeps some of them.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cimstudy.hardware.part import Part

Count = Annotated[int, Field(ge=1)]


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


def by_kind(value: Any) -> Any:
    """Accept a kind in place of a scheme that has no fields, or only defaults."""
    return {"kind": value} if isinstance(value, str) else value


Attention = Annotated[
    Annotated[FullAttention | WindowAttention | BlockedAttention | TopKAttention, Field(discriminator="kind")],
    BeforeValidator(by_kind),
]
