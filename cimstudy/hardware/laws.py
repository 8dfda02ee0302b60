"""Laws of cells: the error of writing them, their ageing, the noise of reading them, faults, nonlinearity.

`g` is a conductance in siemens, `r` = g / g_max. A law's name says what its numbers refer to: `of_range` to
g_max - g_min, `of_target` to the conductance that was meant (of read noise: the one that is held), `absolute` to
siemens. Programming error is device-to-device variation: drawn once per cell and chip, when the cell is written. Read
noise is cycle-to-cycle variation: drawn anew at every read.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cimstudy.hardware.curves import Curve
from cimstudy.hardware.part import Part

MAX_COEFFICIENTS = 6  # of a polynomial law: up to the fifth power

Fraction = Annotated[float, Field(ge=0, le=10)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Law(Part):
    """What all laws of programming error and read noise have in common."""

    exact: bool = Field(
        default=False, description="of read noise: draw it for every cell, not once per converter input"
    )


class NormalOfRange(Law):
    """Normal, with one sigma for all conductances: std * (g_max - g_min)."""

    kind: Literal["normal_of_range"] = "normal_of_range"
    std: Fraction = Field(description="standard deviation, fraction of g_max - g_min")


class NormalOfTarget(Law):
    """Normal, with a sigma proportional to the conductance: std * g."""

    kind: Literal["normal_of_target"] = "normal_of_target"
    std: Fraction = Field(description="standard deviation, fraction of the conductance")


class NormalAbsolute(Law):
    """Normal, with one sigma for all conductances, in siemens."""

    kind: Literal["normal_absolute"] = "normal_absolute"
    std: Annotated[float, Field(ge=0)] = Field(description="standard deviation, S")


class PolynomialOfTarget(Law):
    """Normal, with sigma = g_max * scale * sum_i coefficients[i] * (g / g_max)**i, not below 0.

    The form in which programming statistics of PCM and ReRAM arrays are published.
    """

    kind: Literal["polynomial_of_target"] = "polynomial_of_target"
    coefficients: Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_COEFFICIENTS)] = Field(
        description="of sigma / g_max in powers of g / g_max"
    )
    scale: Fraction = Field(default=1.0, description="multiplies sigma: 1 is the published law")


class CurveOfTarget(Law):
    """Normal, with sigma = g_max * scale * sigma(g / g_max), not below 0, around g + g_max * shift(g / g_max)."""

    kind: Literal["curve_of_target"] = "curve_of_target"
    sigma: Curve = Field(description="sigma / g_max")
    shift: Curve | None = Field(default=None, description="systematic error / g_max, of programming; None: 0")
    exact_below: Fraction = Field(default=0.0, description="targets below this fraction of g_max have no error")
    scale: Fraction = Field(default=1.0, description="multiplies sigma: 1 is the published law")


class LognormalOfTarget(Law):
    """Lognormal: g times exp(s z), where s goes in a straight line from `std_at_g_min` to `std` at g_max."""

    kind: Literal["lognormal_of_target"] = "lognormal_of_target"
    std: Fraction = Field(description="of ln(g)")
    std_at_g_min: Fraction | None = Field(default=None, description="of ln(g) at g_min; None: as std")


class SquareRootWindow(Law):
    """Normal, with sigma = gamma * std * sqrt((g - g_min) * (g_max - g_min))."""

    kind: Literal["square_root_window"] = "square_root_window"
    gamma: Fraction = 1.0
    std: Fraction = Field(description="dimensionless")


Programming = Annotated[
    NormalOfRange
    | NormalOfTarget
    | NormalAbsolute
    | PolynomialOfTarget
    | CurveOfTarget
    | LognormalOfTarget
    | SquareRootWindow,
    Field(discriminator="kind"),
]


class FlickerOfTarget(Law):
    """1/f noise that grows with the time since programming.

    sigma = g(t) * scale * relative(r as written) * sqrt(ln((t + t0 + t_read) / (2 t_read))).
    """

    kind: Literal["flicker_of_target"] = "flicker_of_target"
    relative: Curve = Field(description="of r as written")
    t_read: Positive = Field(description="s; duration of a read")
    t0: Annotated[float, Field(ge=0)] = Field(description="s; from programming to time 0")
    scale: Fraction = Field(default=1.0, description="multiplies sigma: 1 is the published law")


class FlickerAbsolute(Law):
    """1/f noise, with sigma = std * log10(g / S * 1e6) * sqrt(ln((t + t_read) / (2 t_read))); none below 1 uS."""

    kind: Literal["flicker_absolute"] = "flicker_absolute"
    std: Annotated[float, Field(ge=0)] = Field(description="S")
    t_read: Positive = Field(description="s; duration of a read")


class ShotNoise(Law):
    """Shot noise of the cell's current, with sigma = sqrt(2 q g bandwidth / read_voltage)."""

    kind: Literal["shot"] = "shot"
    bandwidth: Positive = Field(description="Hz")
    read_voltage: Positive = Field(description="V; of a fully driven row")


class ThermalNoise(Law):
    """Johnson noise of the cell, with sigma = sqrt(4 k T g bandwidth) / read_voltage at the device's temperature."""

    kind: Literal["thermal"] = "thermal"
    bandwidth: Positive = Field(description="Hz")
    read_voltage: Positive = Field(description="V; of a fully driven row")


ReadNoise = Annotated[
    NormalOfRange
    | NormalOfTarget
    | NormalAbsolute
    | PolynomialOfTarget
    | CurveOfTarget
    | FlickerOfTarget
    | FlickerAbsolute
    | ShotNoise
    | ThermalNoise,
    Field(discriminator="kind"),
]


class PowerLaw(Part):
    """Conductances fall as ((t + t0) / t0)**-nu.

    nu = scale * |mean + spread * z|, drawn once per cell; mean and spread belong to the target.
    """

    kind: Literal["power_law"] = "power_law"
    t0: Positive = Field(description="s; from programming to the first read, which is time 0")
    exponent: float | Curve = Field(description="mean of nu")
    exponent_std: Annotated[float, Field(ge=0)] | Curve = Field(
        default=0.0, description="device-to-device standard deviation of nu"
    )
    scale: Fraction = Field(default=1.0, description="multiplies nu: 1 is the published law")


class Tabulated(Part):
    """Statistics at some times after programming, which replace those of the programming error.

    At times[k] a cell holds target + shift[k] + scale * sigma[k] * z with the draw z of its programming. Time 0 is the
    programming error; between times mean and sigma change in a straight line, beyond the last they stay.
    """

    kind: Literal["tabulated"] = "tabulated"
    times: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(description="s, ascending")
    sigma: tuple[Curve, ...] = Field(description="sigma / g_max at each time")
    shift: tuple[Curve, ...] | None = Field(default=None, description="mean error / g_max at each time; None: 0")
    sigma_of: Literal["target", "mean"] = Field(default="target", description="the conductance that sigma belongs to")
    interpolation: Literal["time", "log_time"] = Field(
        default="log_time", description="what the line is straight in: t, or ln(1 + t / times[0])"
    )
    scale: Fraction = Field(default=1.0, description="multiplies sigma: 1 is the published law")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, curves in (("sigma", self.sigma), ("shift", self.shift)):
            if curves is not None and len(curves) != len(self.times):
                raise ValueError(f"{name} has {len(curves)} curves for {len(self.times)} times; allowed: one for each")
        if any(first >= second for first, second in pairwise(self.times)):
            raise ValueError(f"times must ascend, got {self.times}")
        return self


class LogTimeShift(Part):
    """From one second on conductances move by shift * ln(t / s), with a spread of spread + spread_slope * ln(t / s)."""

    kind: Literal["log_time_shift"] = "log_time_shift"
    shift: float = Field(description="S for each factor e of time")
    spread: Annotated[float, Field(ge=0)] = Field(description="S; device-to-device, at one second")
    spread_slope: Annotated[float, Field(ge=0)] = Field(default=0.0, description="S for each factor e of time")
    scale: Fraction = Field(default=1.0, description="multiplies shift and spread: 1 is the published law")


class ExponentialLeak(Part):
    """What is stored falls as exp(-t / tau). With an activation energy tau follows Arrhenius' law in temperature."""

    kind: Literal["exponential_leak"] = "exponential_leak"
    tau: Positive = Field(description="s, at 300 K")
    activation_energy: Annotated[float, Field(ge=0)] = Field(default=0.0, description="eV")


Drift = Annotated[PowerLaw | Tabulated | LogTimeShift | ExponentialLeak, Field(discriminator="kind")]


class CurrentOfConductance(Part):
    """A current that bends with the voltage, alike for all conductances: I = g (V + quadratic V |V| + cubic V**3)."""

    kind: Literal["current_of_conductance"] = "current_of_conductance"
    read_voltage: Positive = Field(description="V; of a fully driven row")
    quadratic: float = Field(default=0.0, description="1/V")
    cubic: float = Field(default=0.0, description="1/V2")


class CurrentAbsolute(Part):
    """A current that bends with the voltage: I = g V + n2 V |V| + n3 V**3.

    n2 and n3 are polynomials of log10(g / S).
    """

    kind: Literal["current_absolute"] = "current_absolute"
    read_voltage: Positive = Field(description="V; of a fully driven row")
    quadratic: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="of n2 / (A/V2), rising powers")
    cubic: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="of n3 / (A/V3), rising powers")


Current = Annotated[CurrentOfConductance | CurrentAbsolute, Field(discriminator="kind")]


class Faults(Part):
    """Cells that cannot be written, drawn once per cell and chip; they hold g_max or g_min for ever."""

    stuck_on: Probability = Field(default=0.0, description="share of cells stuck at g_max")
    stuck_off: Probability = Field(default=0.0, description="share of cells stuck at g_min")

    @model_validator(mode="after")
    def _sum(self) -> Self:
        if self.stuck_on + self.stuck_off > 1:
            raise ValueError(f"stuck_on={self.stuck_on:g} and stuck_off={self.stuck_off:g} are more than all cells")
        return self


class Cost(Part):
    """What a cell costs. Nothing here changes a result; None: not known."""

    read_voltage: Positive | None = Field(default=None, description="V")
    read_time: Positive | None = Field(default=None, description="s")
    write_voltage: Positive | None = Field(default=None, description="V")
    write_time: Positive | None = Field(default=None, description="s")
    write_energy: Positive | None = Field(default=None, description="J a cell, at most")
    write_pulses: Annotated[float, Field(ge=1)] | None = Field(default=None, description="of a verified write")
    endurance: Positive | None = Field(default=None, description="pulses")
    area: Positive | None = Field(default=None, description="squares of the feature size")
