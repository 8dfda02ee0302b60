"""Device: one memory-cell technology, and the laws of its errors.

Conductances are in siemens. `g` is a conductance, `r` = g / g_max. A law's name says what its coefficients refer to.
Programming error is drawn once per cell and chip, when the cell is written; read noise is drawn anew at every read.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.part import Part

MAX_COEFFICIENTS = 6  # of a polynomial law: up to the fifth power

Fraction = Annotated[float, Field(ge=0, le=10)]


class NormalOfRange(Part):
    """Normal, with one sigma for all conductances: std * (g_max - g_min)."""

    kind: Literal["normal_of_range"] = "normal_of_range"
    std: Fraction = Field(description="standard deviation, fraction of g_max - g_min")


class NormalOfTarget(Part):
    """Normal, with a sigma proportional to the target conductance: std * g."""

    kind: Literal["normal_of_target"] = "normal_of_target"
    std: Fraction = Field(description="standard deviation, fraction of the target conductance")


class PolynomialOfTarget(Part):
    """Normal, with sigma = g_max * scale * sum_i coefficients[i] * (g / g_max)**i, not below 0.

    The form in which programming statistics of PCM and ReRAM arrays are published.
    """

    kind: Literal["polynomial_of_target"] = "polynomial_of_target"
    coefficients: Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_COEFFICIENTS)] = Field(
        description="of sigma / g_max in powers of g / g_max"
    )
    scale: Fraction = Field(default=1.0, description="multiplies sigma: 1 is the published law")


Law = Annotated[NormalOfRange | NormalOfTarget | PolynomialOfTarget, Field(discriminator="kind")]


class Device(Part):
    """One memory-cell technology.

    The default is an ideal cell: no error, no noise, conductances from 0 to 25 uS.
    """

    name: str = "ideal"
    technology: str = Field(default="ideal", description="ReRAM, PCM, FeFET, MRAM, flash, SRAM, ...")
    g_min: float = Field(default=0.0, ge=0, description="S; the conductance of a cell that holds 0")
    g_max: float = Field(default=25e-6, gt=0, description="S")
    programming: Law | None = Field(default=None, description="error of a written conductance, drawn per cell and chip")
    read_noise: Law | None = Field(default=None, description="noise of a read conductance, fresh at every read")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.g_min >= self.g_max:
            raise ValueError(f"need g_min < g_max, got g_min={self.g_min:g} S, g_max={self.g_max:g} S")
        return self
