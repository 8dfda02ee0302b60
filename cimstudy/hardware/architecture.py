"""Architecture: what runs where and how, as one value."""

from typing import Literal

from pydantic import Field

from cimstudy.hardware.attention import Attention, FullAttention
from cimstudy.hardware.part import Part
from cimstudy.hardware.placement import Placement
from cimstudy.hardware.system import Buffers, Chips, KeyValues, Links, Logic


class Architecture(Part):
    """What runs where and how. The default: every static matrix in crossbars, everything else digital and exact."""

    name: str = "static-weights"
    placement: Placement = Placement()
    attention: Attention = FullAttention()
    drift_compensation: Literal["global", "per_column"] | None = Field(
        default=None, description="digital factors against drift: one for each array, or for each of its columns"
    )
    kv: KeyValues = KeyValues()
    buffers: Buffers = Buffers()
    links: Links = Links()
    logic: Logic = Logic()
    chips: Chips = Chips()
    pipelining: Literal["stream", "full"] = Field(
        default="stream", description="one token at a time, or as many as there are stages"
    )
