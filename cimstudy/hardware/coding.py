"""Coding: how cells hold a signed weight. One polarity beside the other, or one cell above a common offset.

A weight is scaled, clipped, rounded to `bits`, and cut into slices, least significant first. `level` is what a rounded
weight's cells hold together, `digit` what those of one slice hold.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.part import Part

Bits = Annotated[int, Field(ge=1, le=16)]
Percentile = Annotated[float, Field(gt=50, le=100)]
Significance = Annotated[float, Field(gt=0, le=1e6)]


class Coding(Part):
    """What both codings have in common. `bits=None` programs weights as they are, in one slice."""

    bits: Annotated[int, Field(ge=2, le=16)] | None = Field(default=8, description="of a weight, with its sign")
    slice_bits: Bits | Annotated[tuple[Bits, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="of one cell: one number, or one a slice, least significant first; None: all bits in one cell",
    )
    scale: Literal["matrix", "column"] = Field(default="matrix", description="weights that share a full scale")
    percentile: Percentile = Field(
        default=100.0, description="of weight magnitudes: the full scale, at which larger ones are clipped"
    )
    cells: Annotated[tuple[Significance, ...], Field(min_length=1, max_length=16)] = Field(
        default=(1.0,), description="significance of each of the cells that hold one digit together"
    )
    fill: Literal["in_order", "even"] = Field(
        default="in_order", description="several cells: fill one after the other, or all alike"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.slice_bits is None:
            return self
        if self.bits is None:
            raise ValueError(f"slice_bits={self.slice_bits} needs bits, but bits is None (weights are not rounded)")
        needed, held = self.level_bits, f"the {self.level_bits} {self._content} bits of a {self.bits}-bit weight"
        if isinstance(self.slice_bits, int):
            if self.slice_bits > needed:
                raise ValueError(f"slice_bits={self.slice_bits} is more than {held}")
        elif not sum(self.slice_bits[:-1]) < needed <= sum(self.slice_bits):
            slices = f"slice_bits={self.slice_bits}: {len(self.slice_bits)} slices of {sum(self.slice_bits)} bits"
            raise ValueError(f"{slices}; allowed: slices that hold {held}, none of them empty")
        return self

    @property
    def _content(self) -> str:
        return "magnitude"

    @property
    def level_bits(self) -> int:
        """Bits of a level."""
        return 0 if self.bits is None else self.bits - 1

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Bits of each slice, least significant first; None if weights are not rounded."""
        if self.bits is None:
            return None
        if isinstance(self.slice_bits, tuple):
            return self.slice_bits
        width = self.slice_bits or self.level_bits
        return (width,) * -(-self.level_bits // width)

    @property
    def slices(self) -> int:
        """Number of slices that hold one weight."""
        return 1 if self.widths is None else len(self.widths)


class Differential(Coding):
    """Signed weights as the difference of two cells.

    `sides="one"`: one of the pair holds the magnitude, the other g_min. `"two"`: the pair moves in opposite directions
    from the middle, and each cell is rounded by itself. Currents are subtracted before the converter (`"current"`) or
    after a conversion of each (`"digital"`).
    """

    kind: Literal["differential"] = "differential"
    sides: Literal["one", "two"] = "one"
    subtraction: Literal["current", "digital"] = "current"


class Offset(Coding):
    """Signed weights as one cell, whose middle level stands for zero.

    What the middle level adds to a current is subtracted after conversion: as computed from the inputs (`"digital"`),
    or as read from a column of cells that hold it, one beside the columns of each array (`"reference_column"`).
    """

    kind: Literal["offset"] = "offset"
    subtraction: Literal["digital", "reference_column"] = "digital"

    @property
    def _content(self) -> str:
        return "level"

    @property
    def level_bits(self) -> int:
        """Bits of a level."""
        return self.bits or 0
