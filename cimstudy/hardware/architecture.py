"""Architecture: what runs where and how, as one value."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.attention import Attention, BlockedAttention, FullAttention, GainCellAttention
from cimstudy.hardware.nonlinear import (
    ActivationUnit,
    ExactActivation,
    ExactNorm,
    ExactSoftmax,
    NormUnit,
    SoftmaxUnit,
)
from cimstudy.hardware.part import Part
from cimstudy.hardware.placement import Placement
from cimstudy.hardware.redundancy import Redundancy
from cimstudy.hardware.system import Buffers, Chips, KeyValues, Links, Logic


class Architecture(Part):
    """What runs where and how. The default: every static matrix in crossbars, everything else digital and exact."""

    name: str = "static-weights"
    placement: Placement = Placement()
    attention: Attention = FullAttention()
    softmax: SoftmaxUnit = ExactSoftmax()
    norm: NormUnit = ExactNorm()
    activation: ActivationUnit = ExactActivation()
    drift_compensation: Literal["global", "per_column"] | None = Field(
        default=None, description="digital factors against drift: one for each array, or for each of its columns"
    )
    redundancy: Redundancy | None = Field(default=None, description="of arrays; None: as many as the weights need")
    kv: KeyValues = KeyValues()
    buffers: Buffers = Buffers()
    links: Links = Links()
    logic: Logic = Logic()
    chips: Chips = Chips()
    pipelining: Literal["stream", "full"] = Field(
        default="stream", description="one token at a time, or as many as there are stages"
    )

    @model_validator(mode="after")
    def _joined(self) -> Self:
        if isinstance(self.attention, BlockedAttention | GainCellAttention) and self.softmax != ExactSoftmax():
            kind = self.attention.kind
            raise ValueError(
                f"attention.kind={kind!r} has a softmax of its own; allowed beside it: softmax.kind='exact'"
            )
        return self
