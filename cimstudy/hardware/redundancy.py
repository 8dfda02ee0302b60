"""Redundancy: more arrays than the weights need, against cells that fail or err."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.laws import Faults
from cimstudy.hardware.part import Part


class Voting(Part):
    """Several copies of each array, and a vote on what their converters give.

    With `slices`, only those of the most significant bits have copies, as in Li, arXiv 2401.11664 (there in cells that
    pruning has freed).
    """

    kind: Literal["voting"] = "voting"
    copies: Annotated[int, Field(ge=2, le=15)] = Field(default=3, description="of an array, itself included")
    vote: Literal["median", "mean"] = Field(default="median", description="median: what the majority is at or beyond")
    slices: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description="most significant ones that have copies; None: all"
    )

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.vote == "median" and self.copies % 2 == 0:
            raise ValueError(f"copies={self.copies} may be split evenly; allowed with vote='median': 3, 5, 7, ...")
        return self


class FaultFree(Part):
    """As many arrays for one as it takes until a share of all places has a cell that can be written, which is used.

    The number is what independent faults need on average. Guo et al. (ATT), ICCD 2020, ask for a share of 0.9, 0.95 or
    0.99 according to a layer's sparsity: overrides say which layer has which.
    """

    kind: Literal["fault-free"] = "fault-free"
    share: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.95, description="of places with a sound cell")

    def arrays(self, faults: Faults | None) -> int:
        """Arrays that stand for one. Raises ValueError if no number would do."""
        failing = 0.0 if faults is None else faults.stuck_on + faults.stuck_off
        if failing >= 1:
            raise ValueError("redundancy.share cannot be reached: all cells are stuck")
        return 1 if failing == 0 else max(1, math.ceil(math.log(1 - self.share) / math.log(failing) - 1e-9))


Redundancy = Annotated[Voting | FaultFree, Field(discriminator="kind")]


def arrays_of(redundancy: Voting | FaultFree | None, faults: Faults | None, slices: int) -> int:
    """Arrays that hold what so many slices would take without redundancy."""
    if isinstance(redundancy, FaultFree):
        return slices * redundancy.arrays(faults)
    if isinstance(redundancy, Voting):
        return slices + (redundancy.copies - 1) * min(redundancy.slices or slices, slices)
    return slices
