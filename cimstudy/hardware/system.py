"""What surrounds the arrays: where keys and values live, buffers, links and chips.

These numbers count energy, time and area. None: not known, or not limited.
"""

from typing import Annotated, Literal

from pydantic import Field

from cimstudy.hardware.coding import Bits
from cimstudy.hardware.part import Part

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class KeyValues(Part):
    """Where the keys and values of earlier tokens are kept.

    `array`: in the arrays that multiply by them. `buffer`: in SRAM on the chip. `hbm`, `lpddr`: in memory beside it.
    """

    location: Literal["array", "buffer", "hbm", "lpddr"] = "hbm"
    bits: Bits = Field(default=16, description="of an entry of a key or a value")
    capacity: Positive | None = Field(default=None, description="bytes for keys and values; None: enough")


class Buffers(Part):
    """On-chip memory between operators."""

    capacity: Positive | None = Field(default=None, description="bytes on a chip")
    energy: Positive | None = Field(default=None, description="J a bit, read or written")


class Links(Part):
    """What carries numbers between chips."""

    bandwidth: Positive | None = Field(default=None, description="bit/s of a chip's links together")
    energy: Positive | None = Field(default=None, description="J a bit")


class Chips(Part):
    """What the arrays are cut into."""

    arrays: Count | None = Field(default=None, description="arrays that compute, on one chip")
    tiers: Count = Field(default=1, description="arrays stacked in one place, one of which computes at a time")
    count: Count | None = Field(default=None, description="chips there are; None: as many as the network needs")
    area: Positive | None = Field(default=None, description="m2 of one chip")
    node: Positive | None = Field(default=None, description="feature size of its logic, m")
