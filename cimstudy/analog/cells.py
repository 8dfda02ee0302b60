"""What cells hold: how a target conductance is written, how it ages, and the noise of reading it.

Conductances are fractions of `g_max`, times are seconds since programming. Functions take and give arrays of cells of
any shape; draws are arguments. `hold` goes the whole way from targets to cells, with draws that are keyed by purpose
and by each cell's place.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.constants import Boltzmann, elementary_charge
from scipy.special import ndtri

from cimstudy.analog import kernels
from cimstudy.analog.curves import LEAST, value_at
from cimstudy.analog.random import Key, normals
from cimstudy.hardware import (
    MAX_COEFFICIENTS,
    CurrentAbsolute,
    CurrentOfConductance,
    CurveOfTarget,
    Device,
    ExponentialLeak,
    Faults,
    FlickerAbsolute,
    FlickerOfTarget,
    LognormalOfTarget,
    LogTimeShift,
    NormalAbsolute,
    NormalOfRange,
    NormalOfTarget,
    Polynomial,
    PolynomialOfTarget,
    PowerLaw,
    Programming,
    ReadNoise,
    ShotNoise,
    SquareRootWindow,
    Tabulated,
    ThermalNoise,
)

Array = np.ndarray[Any, np.dtype[Any]]

REFERENCE_TEMPERATURE = 300.0  # K; time constants are given for it


@dataclass(frozen=True)
class Place:
    """Where a block of cells stands in its matrix: what its draws are keyed by.

    plane : slice and sign.  first_column : a multiple of the 64 columns that are drawn together.
    """

    plane: int
    first_row: int
    first_column: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """Cells of one chip. now : their conductances.  written : what they were when they had just been written."""

    now: Array
    written: Array


def hold(targets: Array, device: Device, key: Key, place: Place, time: float = 0.0) -> Cells:
    """Cells that were to hold `targets` (rows, columns), `time` seconds after they were written.

    key : of the chip's matrix.
    """
    meant = targets if device.levels is None else to_levels(targets, device)
    z = (
        drawn("programming", key.writing, meant, place)
        if device.programming or isinstance(device.drift, Tabulated)
        else None
    )
    written = write(meant, device, z)
    now = written
    if device.drift is not None and time > 0:
        fresh = isinstance(device.drift, PowerLaw | LogTimeShift)
        now = age(written, meant, device, time, drawn("drift", key.writing, meant, place) if fresh else z)
    if device.faults is None:
        return Cells(now=now, written=written)
    z = drawn("faults", key, meant, place)
    return Cells(now=stuck(now, device, device.faults, z), written=stuck(written, device, device.faults, z))


def drawn(purpose: str, key: Key, targets: Array, place: Place) -> Array:
    """The draws of one purpose for a block of cells, float32 of the shape of `targets` (rows, columns)."""
    rows, columns = targets.shape
    return normals(
        key.of(purpose),
        (rows, columns),
        plane=place.plane,
        first_row=place.first_row,
        first_column=place.first_column,
    )


def to_levels(targets: Array, device: Device) -> Array:
    """The nearest conductances that the device can be meant to hold: `levels`, evenly from g_min to g_max."""
    assert device.levels is not None  # noqa: S101 - the caller's branch, for the type checker
    lowest, steps = lowest_of(device), device.levels - 1
    levels: Array = np.rint((targets - lowest) * (steps / (1 - lowest)))
    return lowest + levels * ((1 - lowest) / steps)


def write(targets: Array, device: Device, z: Array | None) -> Array:
    """Conductances as written: targets with their programming error, not below 0. z : standard normals."""
    law = device.programming
    if law is None or z is None:
        return targets
    if isinstance(law, LognormalOfTarget):
        return conductances(targets * np.exp(spread_of_logarithm(law, targets, device) * z), targets)
    coefficients = polynomial(law, device)
    if coefficients is None:
        mean, sigma = error_statistics(law, targets, device)
        return conductances(mean + sigma * z, targets)
    written = np.empty_like(targets)
    kernels.write_normal(targets.ravel(), coefficients.astype(targets.dtype), z.ravel(), written.ravel())
    return written


def conductances(values: Array, like: Array) -> Array:
    """Values as conductances: not below 0, of the type of `like`."""
    found: Array = np.maximum(values, 0).astype(like.dtype, copy=False)
    return found


def spread_of_logarithm(law: LognormalOfTarget, targets: Array, device: Device) -> Array:
    """Standard deviation of ln(g) of each cell."""
    low = law.std if law.std_at_g_min is None else law.std_at_g_min
    return low + (law.std - low) * (targets - lowest_of(device)) / (1 - lowest_of(device))


def error_statistics(law: Programming | None, targets: Array, device: Device) -> tuple[Array, Array]:
    """Mean and standard deviation of what cells hold when written, before the clip at 0; of normal laws."""
    match law:
        case None:
            return targets, np.zeros_like(targets)
        case CurveOfTarget():
            sigma = law.scale * np.maximum(value_at(law.sigma, targets), 0)
            shift = np.zeros_like(targets) if law.shift is None else value_at(law.shift, targets)
            sure = targets < law.exact_below
            return targets + np.where(sure, 0, shift), np.where(sure, 0, sigma)
        case SquareRootWindow():
            span = 1 - lowest_of(device)
            return targets, law.gamma * law.std * np.sqrt(np.maximum(targets - lowest_of(device), 0) * span)
        case _:
            coefficients = polynomial(law, device)
            assert coefficients is not None  # noqa: S101 - all other normal laws are polynomials
            return targets, np.maximum(value_at(Polynomial(coefficients=tuple(coefficients)), targets), 0)


def age(written: Array, targets: Array, device: Device, time: float, z: Array | None) -> Array:
    """Conductances `time` > 0 seconds after they were written, not below 0.

    z : standard normals, if the law draws any; of a tabulated drift those that the cells were written with.
    """
    draws = np.zeros_like(targets) if z is None else z
    match device.drift:
        case PowerLaw() as law:
            nu = value_at(law.exponent, targets) + value_at(law.exponent_std, targets) * draws
            aged = written * np.exp(np.abs(nu) * (-law.scale * math.log1p(time / law.t0)))
        case Tabulated() as law:
            mean, sigma = statistics_at(law, targets, device, time)
            aged = mean + sigma * draws
        case LogTimeShift() as law:
            spans = math.log(max(time, 1.0))
            mean = law.shift * spans + (law.spread + law.spread_slope * spans) * draws
            aged = written + law.scale / device.g_max * mean
        case ExponentialLeak() as law:
            aged = written * math.exp(-time / time_constant(law, device.temperature))
        case None:
            aged = written
    return conductances(aged, written)


def time_constant(law: ExponentialLeak, temperature: float) -> float:
    """Tau at a temperature in K, by Arrhenius' law."""
    energy = law.activation_energy * elementary_charge / Boltzmann
    return law.tau * math.exp(energy * (1 / temperature - 1 / REFERENCE_TEMPERATURE))


def statistics_at(law: Tabulated, targets: Array, device: Device, time: float) -> tuple[Array, Array]:
    """Mean and standard deviation of cells at a time, before the clip at 0."""
    knots = np.array([0.0, *law.times])
    if law.interpolation == "log_time":
        knots, time = np.log1p(knots / law.times[0]), math.log1p(time / law.times[0])
    place = float(np.interp(time, knots, np.arange(len(knots))))
    first = min(int(place), len(law.times) - 1)
    before, after = tabulated(law, targets, device, first), tabulated(law, targets, device, first + 1)
    part = place - first
    mean, sigma = ((1 - part) * one + part * two for one, two in zip(before, after, strict=True))
    return mean, sigma


def tabulated(law: Tabulated, targets: Array, device: Device, row: int) -> tuple[Array, Array]:
    """Mean and standard deviation of cells at one of the times of the table; row 0 is time 0."""
    if row == 0:
        return error_statistics(device.programming, targets, device)
    mean = targets if law.shift is None else targets + value_at(law.shift[row - 1], targets)
    sigma = value_at(law.sigma[row - 1], targets if law.sigma_of == "target" else np.maximum(mean, 0))
    return mean, law.scale * np.maximum(sigma, 0)


def stuck(held: Array, device: Device, faults: Faults, z: Array) -> Array:
    """Conductances where some cells cannot be written: those with the lowest and the highest draws z."""
    on, off = ends(faults, z)
    return conductances(np.where(on, 1.0, np.where(off, lowest_of(device), held)), held)


def ends(faults: Faults, z: Array) -> tuple[Array, Array]:
    """Which cells are stuck at g_max, and which at g_min."""
    return z > -ndtri(faults.stuck_on), z < ndtri(faults.stuck_off)


def are_faulty(targets: Array, faults: Faults, key: Key, place: Place) -> Array:
    """Which cells cannot be written. Arguments as `hold`."""
    on, off = ends(faults, drawn("faults", key, targets, place))
    faulty: Array = on | off
    return faulty


def are_exact(device: Device) -> bool:
    """Whether cells hold and give what they are meant to hold, no more and no less."""
    laws = (device.levels, device.current, device.programming, device.drift, device.read_noise, device.faults)
    return all(law is None for law in laws)


def at_full_drive(held: Array, device: Device) -> Array:
    """Currents of cells whose rows are fully driven, in cell units: their conductances, if they are ohmic."""
    return held if device.current is None else held + sum(bends(held, device))


def bends(held: Array, device: Device) -> tuple[Array, Array]:
    """What a cell's current has beyond that of an ohmic one: in cell units, for u |u| and u**3 of a row's drive u."""
    match device.current:
        case CurrentOfConductance() as law:
            return held * (law.quadratic * law.read_voltage), held * (law.cubic * law.read_voltage**2)
        case CurrentAbsolute() as law:
            logarithm = np.log10(np.maximum(held, LEAST) * device.g_max)
            quadratic, cubic = (np.polynomial.polynomial.polyval(logarithm, c) for c in (law.quadratic, law.cubic))
            unit = law.read_voltage / device.g_max
            return (quadratic * unit).astype(held.dtype), (cubic * unit * law.read_voltage).astype(held.dtype)
        case None:
            return np.zeros_like(held), np.zeros_like(held)


def noise_is_exact(device: Device) -> bool:
    """Whether read noise is drawn for every cell."""
    return device.read_noise is not None and device.read_noise.exact


def noise_varies(device: Device) -> bool:
    """Whether the read noise of a cell depends on what it holds."""
    coefficients = polynomial(device.read_noise, device)
    return coefficients is None or bool(coefficients[1:].any())


def uniform_variance(device: Device) -> float:
    """Variance of reading a cell, where it is the same for all cells."""
    coefficients = polynomial(device.read_noise, device)
    return 0.0 if coefficients is None else float(max(coefficients[0], 0.0) ** 2)


def read_variance(cells: Cells, device: Device, time: float = 0.0) -> Array:
    """Variance of reading each cell, `time` seconds after it was written; of the shape of the cells."""
    now = cells.now
    match device.read_noise:
        case FlickerOfTarget() as law:
            relative = law.scale * value_at(law.relative, cells.written)
            variance = np.square(now * relative) * log_growth(time + law.t0, law.t_read)
        case FlickerAbsolute() as law:
            logarithm = np.log10(np.maximum(now * (device.g_max * 1e6), 1))
            variance = np.square(law.std / device.g_max * logarithm) * log_growth(time, law.t_read)
        case ShotNoise() as law:
            variance = now * (2 * elementary_charge * law.bandwidth / law.read_voltage / device.g_max)
        case ThermalNoise() as law:
            spectrum = 4 * Boltzmann * device.temperature * law.bandwidth / law.read_voltage**2
            variance = now * (spectrum / device.g_max)
        case law:
            variance = np.square(error_statistics(law, now, device)[1])
    return conductances(variance, now)


def log_growth(time: float, t_read: float) -> float:
    """By what the variance of 1/f noise grows until `time`, for reads that take `t_read` seconds."""
    return max(math.log((time + t_read) / (2 * t_read)), 0.0)


def polynomial(law: Programming | ReadNoise | None, device: Device) -> Array | None:
    """Coefficients c of sigma / g_max = max(sum_i c_i (g / g_max)**i, 0), (MAX_COEFFICIENTS,).

    None if the law is no such polynomial; zeros for no law. One compiled kernel serves all that are.
    """
    match law:
        case None:
            given: tuple[float, ...] = ()
        case NormalOfRange():
            given = (law.std * (1 - device.g_min / device.g_max),)
        case NormalOfTarget():
            given = (0.0, law.std)
        case NormalAbsolute():
            given = (law.std / device.g_max,)
        case PolynomialOfTarget():
            given = tuple(law.scale * coefficient for coefficient in law.coefficients)
        case _:
            return None
    return np.array(given + (0.0,) * (MAX_COEFFICIENTS - len(given)))


def lowest_of(device: Device) -> float:
    """Conductance of a cell that holds 0, a fraction of g_max."""
    return device.g_min / device.g_max
