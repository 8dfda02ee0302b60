"""Crossbar: an array of cells and its periphery: rows, columns, weight coding, input coding, DAC, ADC.

Ranges of converters are in *cell units*: 1 is the current of one cell at g_max driven by a full-scale input, so a
range does not depend on the read voltage. `inputs` are the rows that are driven, `outputs` the columns that are read.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.part import Part

Bits = Annotated[int, Field(ge=1, le=16)]
Percentile = Annotated[float, Field(gt=50, le=100)]


class Differential(Part):
    """Signed weights as the difference of two cells, subtracted as currents before the converter.

    A weight is rounded to `bits` (one of them its sign), and its magnitude is cut into slices of `slice_bits`, least
    significant first, each held by a pair of cells. `bits=None` programs the weight as it is, in one pair.
    """

    kind: Literal["differential"] = "differential"
    bits: Annotated[int, Field(ge=2, le=16)] | None = Field(default=8, description="of a weight, with its sign")
    slice_bits: Bits | None = Field(default=None, description="of one cell; None: all magnitude bits in one cell")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.slice_bits is not None and self.bits is None:
            raise ValueError(f"slice_bits={self.slice_bits} needs bits, but bits is None (weights are not rounded)")
        if self.slice_bits is not None and self.bits is not None and self.slice_bits > self.bits - 1:
            held = f"the {self.bits - 1} magnitude bits of a {self.bits}-bit weight"
            raise ValueError(f"slice_bits={self.slice_bits} is more than {held}")
        return self

    @property
    def cell_bits(self) -> int | None:
        """Bits that one cell holds; None if cells hold any conductance."""
        return self.slice_bits if self.bits is None or self.slice_bits else self.bits - 1

    @property
    def slices(self) -> int:
        """Number of cell pairs that hold one weight."""
        if self.bits is None or self.cell_bits is None:
            return 1
        return -(-(self.bits - 1) // self.cell_bits)


class Dac(Part):
    """Input converter: signed inputs, as one level per input or as a series of narrower pulses.

    `range="per_token"` scales each input vector by its largest magnitude; `"calibrated"` clips at a percentile of the
    magnitudes of a calibration batch; a number is the magnitude that drives a row fully.
    """

    bits: Annotated[int, Field(ge=2, le=16)] = Field(default=8, description="with the sign")
    serial_bits: Bits | None = Field(
        default=None, description="bits per pulse; None: one multi-level pulse; 1: bit-serial"
    )
    range: Literal["per_token", "calibrated"] | Annotated[float, Field(gt=0)] = "per_token"
    percentile: Percentile = Field(default=99.9, description="of input magnitudes, for range='calibrated'")

    @property
    def cycles(self) -> int:
        """Pulses that one input takes."""
        return 1 if self.serial_bits is None else -(-(self.bits - 1) // self.serial_bits)


class Adc(Part):
    """Output converter: one conversion per column, row tile, slice and input pulse; 2**bits - 1 levels around zero.

    `range="full"` covers every current the array can produce; `"calibrated"` clips at a percentile of the current
    magnitudes of a calibration batch, one range per slice; numbers (one, or one per slice) are magnitudes in cell
    units.
    """

    bits: Annotated[int, Field(ge=2, le=16)] = 8
    range: Literal["full", "calibrated"] | Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...] = (
        "calibrated"
    )
    percentile: Percentile = Field(default=99.9, description="of current magnitudes, for range='calibrated'")


class Crossbar(Part):
    """An array and its periphery. The default: 128 x 128, 8-bit weights in one pair, 8-bit DAC, 8-bit ADC."""

    name: str = "differential-128"
    rows: int = Field(default=128, ge=1, le=65536, description="inputs per array; longer matrices are cut evenly")
    columns: int = Field(default=128, ge=1, le=65536, description="outputs per array")
    weights: Differential = Differential()
    dac: Dac | None = Field(default=Dac(), description="None: inputs are not rounded")
    adc: Adc | None = Field(default=Adc(), description="None: column currents are read exactly")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        explicit = self.adc.range if self.adc else ()
        if isinstance(explicit, tuple) and explicit and len(explicit) != self.weights.slices:
            raise ValueError(
                f"adc.range has {len(explicit)} values, allowed: one number or {self.weights.slices}, a slice each"
            )
        return self
