"""What surrounds the arrays: where keys and values live, buffers, links and chips.

All but `KeyValues.bits` count energy, time and area, and change no result. None: not known, or not limited.
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
    bits: Bits = Field(
        default=16,
        description="of an entry of a key or a value, with the sign; below 16 and outside arrays, entries are rounded "
        "with a scale for each head and token",
    )
    capacity: Positive | None = Field(
        default=None,
        description="bytes for keys and values of all sequences where they are kept; None: enough. More are computed "
        "all the same, and their cost is not valid",
    )
    energy: Positive | None = Field(default=None, description="J a bit that is read; None: that of the location")
    bandwidth: Positive | None = Field(default=None, description="bit/s; None: that of the location")
    rotation: Literal["ring", "none"] = Field(
        default="ring", description="in arrays: whether new entries take all places in turn, or always the same"
    )


class Buffers(Part):
    """On-chip memory between operators."""

    capacity: Positive | None = Field(
        default=None, description="bytes on a chip, which limit keys and values that are kept there; None: enough"
    )
    energy: Positive | None = Field(default=None, description="J a bit, read or written")
    bank: Positive | None = Field(default=None, description="bytes of a tile's buffer; None: 64 KiB")


class Links(Part):
    """What carries numbers between chips."""

    bandwidth: Positive | None = Field(default=None, description="bit/s of a chip's links together")
    energy: Positive | None = Field(default=None, description="J a bit")
    hops: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="routers between two tiles of a chip, on average; None: 4"
    )


class Logic(Part):
    """Digital circuits. None: the default of the cost room."""

    voltage: Positive | None = Field(default=None, description="supply, V; None: 0.8")
    clock: Positive | None = Field(default=None, description="Hz; None: 1 GHz")
    macs: Count | None = Field(
        default=None, description="8-bit multiply-accumulates a clock of all units together; None: 16384"
    )
    lanes: Count | None = Field(default=None, description="elements a clock of all vector units together; None: 1024")
    partial_sum_bits: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="bits of a sum between arrays; None: 16"
    )
    leakage_scale: Annotated[float, Field(ge=0)] = Field(default=1.0, description="multiplies static power")


class Chips(Part):
    """What the arrays are cut into."""

    arrays: Count | None = Field(default=None, description="arrays that compute, on one chip")
    tiers: Count = Field(default=1, description="arrays stacked in one place, one of which computes at a time")
    count: Count | None = Field(default=None, description="chips there are; None: as many as the network needs")
    tile_arrays: Count | None = Field(default=None, description="arrays that share a buffer and a router; None: 96")
    area: Positive | None = Field(default=None, description="m2 of one chip; None: the sum of its parts")
    node: Positive | None = Field(default=None, description="feature size of its logic, m; None: 32 nm")
