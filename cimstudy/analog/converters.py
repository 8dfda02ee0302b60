"""Output converters: from the currents of columns to digital sums."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from cimstudy.analog import kernels
from cimstudy.analog.chain import converted_steps
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.analog.written import SIGNS, Reader
from cimstudy.hardware import Adc, Differential, Inl


@dataclass(frozen=True, eq=False, kw_only=True)
class Conversion:
    """How currents become sums, in weights times input levels.

    weights : (slices, lines, cycles), what a code (without converters: a unit of current) is worth.
    rounding : the smallest and the largest code, and what rounds.  gains : (slices,), codes per unit of current.
    noise : (slices,), standard deviation in units of current, or None.
    """

    adc: Adc | None
    weights: Array
    rounding: tuple[Any, Any, Any]
    gains: Array
    noise: Array | None

    def add(self, currents: Array, reader: Reader, mismatch: Array | None, sums: Array) -> None:
        """Convert currents (cycles, batch, n), which may be overwritten, and add them to sums (batch, n).

        mismatch : (2, n), gains and offsets (in ranges) of these columns' converters, or None.
        """
        weights = self.weights[reader.slice, reader.line]
        if self.adc is None:
            kernels.add_weighted(currents, weights, sums)
            return
        bottom, top, _ = self.rounding
        gain = self.gains[reader.slice]
        if mismatch is not None or self.adc.inl is not None:
            equal = np.repeat(np.array([[1.0], [0.0]], currents.dtype), currents.shape[2], axis=1)
            inl = self.adc.inl or Inl()
            bends = np.array([inl.bow_of_range, inl.s_shape_of_range], currents.dtype)
            kernels.distort(currents, gain, bottom, top, equal if mismatch is None else mismatch, bends)
            gain = top / top
        if self.adc.transitions is not None:
            edges = top * np.array(self.adc.transitions.levels, currents.dtype)
            currents[...] = bottom + np.searchsorted(edges, currents * gain, side="right")
            gain = top / top
        kernels.convert_slices(currents[None, None], self.rounding, np.array([gain]), weights[None, None], sums)

    def noise_variances(self, currents: Array, reader: Reader) -> Array | None:
        """Variances of the converters' own noise at currents (cycles, batch, n): (cycles, batch, n or 1), or None."""
        if self.adc is not None and self.adc.output_noise is not None:
            gain, table = self.gains[reader.slice], self.adc.output_noise
            sigma = np.interp(currents * gain, table.codes, table.sigmas) / gain
            variances: Array = np.square(sigma).astype(currents.dtype)
            return variances
        if self.noise is None:
            return None
        return np.full((*currents.shape[:2], 1), self.noise[reader.slice] ** 2, currents.dtype)


def alone(adc: Adc) -> Conversion:
    """A converter by itself: currents are fractions of its range, sums are codes, in double precision."""
    top = float(adc.top)
    return Conversion(
        adc=adc,
        weights=np.ones((1, 1, 1)),
        rounding=(-top if adc.signed else 0.0, top, 1.5 * 2.0**52),
        gains=np.array([top]),
        noise=None if adc.noise_std_of_range is None else np.array([adc.noise_std_of_range]),
    )


def conversion_of(layout: Layout, pulse_weights: Array) -> Conversion:
    """The conversion of a matrix's currents. pulse_weights : (cycles,), input levels of a digit of each pulse.

    Kept as long as the layout is: a product with one vector would wait for it.
    """
    known, key = _conversions.setdefault(layout, {}), pulse_weights.tobytes()
    if key not in known:
        known[key] = new_conversion(layout, pulse_weights)
    return known[key]


_conversions: WeakKeyDictionary[Layout, dict[bytes, Conversion]] = WeakKeyDictionary()


def new_conversion(layout: Layout, pulse_weights: Array) -> Conversion:
    """The same, computed."""
    adc, steps = layout.hardware.crossbar.adc, converted_steps(layout.hardware.crossbar)
    signs, dtype = SIGNS[: layout.lines], layout.dtype
    if adc is None:
        weights = (layout.slice_weights[:, None, None] * signs[:, None] * pulse_weights).astype(dtype)
        return Conversion(adc=None, weights=weights, rounding=(0, 0, 0), gains=np.ones(0), noise=None)
    top, full = dtype(adc.top), layout.full_scales
    values = layout.slice_weights * full / top * steps  # of one code, for each slice
    pulses = pulse_weights if adc.per_pulse else np.ones(1)
    return Conversion(
        adc=adc,
        weights=(values[:, None, None] * signs[:, None] * pulses).astype(dtype),
        rounding=(-top if adc.signed else dtype(0), top, dtype(1.5 * 2.0 ** np.finfo(dtype).nmant)),
        gains=(top / (full * steps)).astype(dtype),
        noise=None if adc.noise_std_of_range is None else adc.noise_std_of_range * full * steps,
    )


def accumulates(layout: Layout) -> bool:
    """Whether the currents of all pulses are accumulated before one conversion."""
    adc = layout.hardware.crossbar.adc
    return adc is not None and not adc.per_pulse


def subtracts(layout: Layout) -> bool:
    """Whether the currents of two lines are subtracted before one conversion."""
    coding = layout.hardware.crossbar.weights
    return layout.lines == 2 and isinstance(coding, Differential) and coding.subtraction == "current"


def meets_nothing(layout: Layout, cycles: int) -> bool:
    """Whether the currents of each line and pulse come to a converter as they are."""
    limited = layout.hardware.crossbar.current_limit is not None
    return not (limited or subtracts(layout) or (accumulates(layout) and cycles > 1))
