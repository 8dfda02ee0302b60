"""Crossbar: an array of cells and its periphery. Rows are inputs that are driven, columns are outputs that are read."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cimstudy.hardware.coding import Differential, Offset
from cimstudy.hardware.converters import Adc, Dac, FullScale
from cimstudy.hardware.laws import Positive
from cimstudy.hardware.part import Part
from cimstudy.hardware.wires import Wires


def differential_unless_said(value: Any) -> Any:
    """A table of fields without a kind describes a differential coding."""
    return {"kind": "differential"} | value if isinstance(value, dict) else value


Coded = Annotated[
    Annotated[Differential | Offset, Field(discriminator="kind")], BeforeValidator(differential_unless_said)
]


class Crossbar(Part):
    """An array and its periphery. The default: 128 x 128, 8-bit weights in one pair, 8-bit DAC, 8-bit ADC."""

    name: str = "differential-128"
    rows: int = Field(default=128, ge=1, le=65536, description="inputs per array")
    columns: int = Field(default=128, ge=1, le=65536, description="outputs per array")
    split: Literal["even", "maximal"] = Field(
        default="even", description="matrices larger than an array: cut evenly, or into full arrays and a rest"
    )
    weights: Coded = Differential()
    dac: Dac | None = Field(default=Dac(), description="None: inputs are not rounded")
    adc: Adc | None = Field(default=Adc(), description="None: column currents are read exactly")
    current_limit: FullScale | None = Field(
        default=None, description="magnitude at which the current of a column of cells saturates, cell units"
    )
    wires: Wires | None = Field(default=None, description="None: wires have no resistance")
    periphery_scale: Positive = Field(
        default=1.0, description="multiplies the energy of what is around arrays but the ADC; changes no result"
    )

    @model_validator(mode="after")
    def _wired(self) -> Self:
        if self.wires is None:
            return self
        if self.weights.subtraction == "reference_column":
            raise ValueError("weights.subtraction='reference_column' has no wires; allowed with wires: 'digital'")
        if self.wires.interleaved and (self.weights.subtraction != "current" or self.wires.feed != "rows"):
            raise ValueError("wires.interleaved=True needs weights.subtraction='current' and wires.feed='rows'")
        switched = self.dac is not None and self.dac.serial_bits == 1 and len(self.weights.cells) == 1
        if self.wires.feed == "source_lines" and not switched:
            raise ValueError(
                "wires.feed='source_lines' needs inputs of 1 bit (dac.serial_bits=1) and one of weights.cells"
            )
        return self

    @model_validator(mode="after")
    def _converters(self) -> Self:
        if self.adc is None:
            return self
        if isinstance(self.adc.range, tuple) and len(self.adc.range) != self.weights.slices:
            given = len(self.adc.range)
            raise ValueError(
                f"adc.range has {given} values, allowed: one number or {self.weights.slices}, a slice each"
            )
        if self.adc.range == "granular" and (self.weights.bits is None or self.dac is None):
            raise ValueError("adc.range='granular' needs levels of weights and of inputs: weights.bits and a dac")
        subtracted = isinstance(self.weights, Differential) and self.weights.subtraction == "current"
        if not self.adc.signed and (subtracted or self.dac is None or self.dac.signed):
            raise ValueError(
                "adc.signed=False needs currents that are never negative; allowed: dac.signed=False, with weights that "
                "are offset or weights.subtraction='digital'"
            )
        return self
