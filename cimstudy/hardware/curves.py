"""Curves: how a coefficient of a law depends on the conductance `r` = g / g_max of a cell."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.part import Part

Number = Annotated[float, Field(ge=-1e9, le=1e9)]


class Polynomial(Part):
    """sum_i coefficients[i] * r**i."""

    kind: Literal["polynomial"] = "polynomial"
    coefficients: Annotated[tuple[float, ...], Field(min_length=1, max_length=16)] = Field(description="in powers of r")


class Logarithm(Part):
    """Slope * ln(r) + offset, between low and high."""

    kind: Literal["logarithm"] = "logarithm"
    slope: Number
    offset: Number
    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"need low <= high, got low={self.low:g}, high={self.high:g}")
        return self


class Power(Part):
    """Factor * r**exponent, at most high."""

    kind: Literal["power"] = "power"
    factor: Number
    exponent: Number
    high: Number


class SaturatingExponential(Part):
    """Amplitude * (1 - exp(-r / knee))."""

    kind: Literal["saturating_exponential"] = "saturating_exponential"
    amplitude: Number
    knee: Annotated[float, Field(gt=0)]


class Table(Part):
    """Straight lines between the given values, and the end values beyond them."""

    kind: Literal["table"] = "table"
    r: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="g / g_max, ascending")
    values: Annotated[tuple[float, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if len(self.r) != len(self.values):
            raise ValueError(f"a table needs a value for each place, got {len(self.r)} and {len(self.values)}")
        if any(first >= second for first, second in pairwise(self.r)):
            raise ValueError(f"the places of a table must ascend, got {self.r}")
        return self


Smooth = Annotated[Polynomial | Logarithm | Power | SaturatingExponential | Table, Field(discriminator="kind")]


class Piecewise(Part):
    """One curve below a threshold of r, another from there on."""

    kind: Literal["piecewise"] = "piecewise"
    threshold: Annotated[float, Field(gt=0)]
    below: Smooth
    above: Smooth


Curve = Annotated[
    Polynomial | Logarithm | Power | SaturatingExponential | Table | Piecewise, Field(discriminator="kind")
]
