"""Device: one memory-cell technology: its conductances, and the laws of its cells."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from cimstudy.hardware.laws import Cost, Current, Drift, Faults, LognormalOfTarget, Programming, ReadNoise, Tabulated
from cimstudy.hardware.part import Part


class Device(Part):
    """One memory-cell technology.

    The default is an ideal cell: no error, no noise, conductances from 0 to 25 uS.
    """

    name: str = "ideal"
    technology: str = Field(default="ideal", description="ReRAM, PCM, FeFET, MRAM, flash, SRAM, ...")
    g_min: float = Field(default=0.0, ge=0, description="S; the conductance of a cell that holds 0")
    g_max: float = Field(default=25e-6, gt=0, description="S")
    levels: Annotated[int, Field(ge=2, le=65536)] | None = Field(
        default=None, description="evenly spaced conductances that a cell can be meant to hold; None: any"
    )
    programming: Programming | None = Field(
        default=None, description="error of a written conductance; device-to-device: drawn per cell and chip"
    )
    drift: Drift | None = Field(default=None, description="how written conductances change with time")
    read_noise: ReadNoise | None = Field(
        default=None, description="noise of a read conductance; cycle-to-cycle: fresh at every read"
    )
    current: Current | None = Field(default=None, description="over the voltage of a read; None: ohmic")
    faults: Faults | None = Field(default=None, description="cells that cannot be written")
    rewritable: bool = Field(default=True, description="can be written at inference, as keys and values are")
    temperature: Annotated[float, Field(gt=0, le=1000)] = Field(default=300.0, description="K")
    cost: Cost | None = Field(default=None, description="what a cell costs; changes no result")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.g_min >= self.g_max:
            raise ValueError(f"need g_min < g_max, got g_min={self.g_min:g} S, g_max={self.g_max:g} S")
        if self.programming is not None and self.programming.exact:
            raise ValueError("programming.exact is of read noise: programming error is drawn for every cell as it is")
        lognormal = isinstance(self.programming, LognormalOfTarget)
        if lognormal and isinstance(self.drift, Tabulated):
            raise ValueError("a tabulated drift goes on from a normal programming error, not from a lognormal one")
        return self

    def without_errors(self) -> Self:
        """A cell of the same conductances that holds what it is meant to hold, and is read exactly."""
        return type(self)(g_min=self.g_min, g_max=self.g_max, levels=self.levels, current=self.current)
