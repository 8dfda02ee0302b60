"""Converters: what drives the rows of an array and what reads its columns.

Ranges of output converters are in *cell units*: 1 is the current of one cell at g_max driven by a full-scale input, so
a range does not depend on the read voltage.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cimstudy.hardware.coding import Bits, Percentile
from cimstudy.hardware.laws import Positive
from cimstudy.hardware.measured import read_output_noise, read_transitions
from cimstudy.hardware.part import Part

FullScale = Annotated[float, Field(ge=1e-9, le=1e9)]
Spread = Annotated[float, Field(ge=0, le=1)]
Bend = Annotated[float, Field(ge=-1, le=1)]


class Dac(Part):
    """Input converter: one level per input, or a series of narrower pulses.

    `range="per_token"` scales each input vector by its largest magnitude; `"calibrated"` clips at a percentile of the
    magnitudes of a calibration batch (100: its absolute maximum); a number is the magnitude that drives a row fully.
    An unsigned converter has no levels below zero and clips negative inputs there.
    """

    bits: Bits = Field(default=8, description="with the sign, if signed")
    signed: bool = True
    serial_bits: Bits | None = Field(
        default=None, description="bits per pulse; None: one multi-level pulse; 1: bit-serial"
    )
    range: Literal["per_token", "calibrated"] | FullScale = "per_token"
    percentile: Percentile = Field(default=99.9, description="of input magnitudes, for range='calibrated'")
    model: Literal["library", "zigzag28"] = Field(default="library", description="of its energy; changes no result")

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.signed and self.bits < 2:
            raise ValueError(f"bits={self.bits}; allowed: 2 to 16 if signed, 1 to 16 if not")
        return self

    @property
    def magnitude_bits(self) -> int:
        """Bits of a level's magnitude."""
        return self.bits - 1 if self.signed else self.bits

    @property
    def top(self) -> int:
        """The largest level: it drives a row fully."""
        return int(2**self.magnitude_bits - 1)

    @property
    def cycles(self) -> int:
        """Pulses that one input takes."""
        return 1 if self.serial_bits is None else -(-self.magnitude_bits // self.serial_bits)


class Mismatch(Part):
    """How the converters of one chip differ: normal, drawn once for the converter of each column of each array."""

    gain_std: Spread = Field(default=0.0, description="standard deviation of the gain, fraction of the gain")
    offset_std_of_range: Spread = Field(default=0.0, description="standard deviation of the offset, fraction of range")


class Inl(Part):
    """Integral nonlinearity: how far the middle of the curve is from the straight line through its ends.

    At the position p in [-1, 1] between the lowest and the highest code a code is too high by
    bow (1 - p**2) + s_shape (p - p**3) 3 sqrt(3) / 2.
    """

    bow_of_range: Bend = Field(default=0.0, description="largest deviation of the even part, fraction of range")
    s_shape_of_range: Bend = Field(default=0.0, description="largest deviation of the odd part, fraction of range")


class OutputNoise(Part):
    """Measured noise of an output converter: its standard deviation at some codes, straight lines between them."""

    codes: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="ascending")
    sigmas: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = Field(
        description="codes; cycle-to-cycle: fresh at every conversion"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.codes) != len(self.sigmas):
            raise ValueError(f"need a sigma for each code, got {len(self.codes)} codes and {len(self.sigmas)} sigmas")
        if any(first >= second for first, second in pairwise(self.codes)):
            raise ValueError("the codes of output noise must ascend")
        return self


class Transitions(Part):
    """Measured transitions of an output converter, the same for all converters: where it begins to give each code."""

    first_code: int = Field(description="the code that begins at the first level: the lowest but one")
    levels: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="fractions of range, not descending")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(first > second for first, second in pairwise(self.levels)):
            raise ValueError("the levels of transitions must not descend")
        return self


def from_csv(read: Callable[[str], dict[str, Any]]) -> BeforeValidator:
    """Accept the path of a CSV file of measurements in place of a part."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


class Adc(Part):
    """Output converter: one conversion per column, array, slice and input pulse.

    A signed one has 2**bits - 1 levels around zero, on [-range, range]; an unsigned one 2**bits, on [0, range].
    `range="full"` covers every current the array can produce; `"calibrated"` clips at a percentile of the current
    magnitudes of a calibration batch, one range per slice; `"granular"` has a code for each level of a cell times each
    level of a pulse, whatever it clips; numbers (one, or one per slice) are magnitudes in cell units.
    `per_pulse=False`: the pulses of an input are accumulated, weighed, as currents, and converted once.
    `model`, `rate`, `per_array` and the scales say what it costs, and change no result.
    """

    bits: Annotated[int, Field(ge=2, le=16)] = 8
    range: Literal["full", "calibrated", "granular"] | FullScale | tuple[FullScale, ...] = "calibrated"
    percentile: Percentile = Field(default=99.9, description="of current magnitudes, for range='calibrated'")
    signed: bool = True
    per_pulse: bool = True
    mismatch: Mismatch | None = Field(default=None, description="between converters, fixed per chip")
    inl: Inl | None = Field(default=None, description="integral nonlinearity, the same for all converters")
    noise_std_of_range: Spread | None = Field(
        default=None, description="noise before rounding, fresh at every conversion, fraction of range"
    )
    output_noise: Annotated[OutputNoise | None, from_csv(read_output_noise)] = Field(
        default=None, description="measured noise over output code, in place of noise_std_of_range; or a CSV's path"
    )
    transitions: Annotated[Transitions | None, from_csv(read_transitions)] = Field(
        default=None, description="measured transitions, in place of inl; or a CSV's path"
    )
    model: Literal["survey", "zigzag28", "table"] = Field(default="survey", description="of its energy and area")
    rate: Positive | None = Field(default=None, description="conversions a second, Hz; None: 1.28 GHz")
    per_array: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="converters that an array's columns share; None: 1"
    )
    energy_scale: Positive = Field(default=1.0, description="multiplies the model's energy")
    area_scale: Positive = Field(default=1.0, description="multiplies the model's area")

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.output_noise is not None and self.noise_std_of_range is not None:
            raise ValueError("output_noise stands in place of noise_std_of_range; allowed: one of the two")
        if self.transitions is not None and self.inl is not None:
            raise ValueError("transitions stand in place of inl; allowed: one of the two")
        if self.transitions is not None:
            first, count = (1 - self.top, 2 * self.top) if self.signed else (1, self.top)
            given = (self.transitions.first_code, len(self.transitions.levels))
            if given != (first, count):
                last = [code + number - 1 for code, number in (given, (first, count))]
                allowed = f"allowed for this converter: {first} to {last[1]}"
                raise ValueError(f"transitions are of codes {given[0]} to {last[0]}; {allowed}")
        return self

    def without_errors(self) -> Self:
        """The same range of currents, in a perfect converter of the usual resolution: what a calibration depends on."""
        return type(self)(range=self.range, percentile=self.percentile, signed=self.signed, per_pulse=self.per_pulse)

    @property
    def is_perfect(self) -> bool:
        """Whether it does nothing but round and clip."""
        effects = (self.mismatch, self.inl, self.noise_std_of_range, self.output_noise, self.transitions)
        return all(effect is None for effect in effects)

    @property
    def top(self) -> int:
        """The largest code: `range` divided by the step."""
        return int(2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1)
