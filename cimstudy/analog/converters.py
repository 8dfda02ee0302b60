"""Output converters: from the currents of columns to digital sums."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cimstudy.analog import kernels
from cimstudy.analog.mapping import Array, Layout, converted_steps
from cimstudy.hardware import Adc, Differential, Inl

SIGNS = np.array([1.0, -1.0])  # of the lines of a slice


class Reader(NamedTuple):
    """What reads a column: its converter is that of one array of rows, one slice and one line."""

    tile: int
    slice: int
    line: int

    def number(self, layout: Layout) -> int:
        """Among all readers of a column."""
        return (self.tile * len(layout.targets.slices) + self.slice) * layout.lines + self.line


@dataclass(frozen=True, eq=False, kw_only=True)
class Conversion:
    """How currents become sums, in weights times input levels. Without a converter they are weighed as they are.

    gains : (slices,), codes per unit of current.  weights : (slices, lines, cycles), what a code (without converter: a
    unit of current) is worth.  noise : (slices,), standard deviation in units of current, or None.
    """

    adc: Adc | None
    gains: Array
    weights: Array
    noise: Array | None

    def add(self, currents: Array, reader: Reader, mismatch: Array | None, sums: Array) -> None:
        """Convert currents (cycles, batch, n), which may be overwritten, and add them to sums (batch, n).

        mismatch : (2, n), gains and offsets (in ranges) of these columns' converters, or None.
        """
        weights = self.weights[reader.slice, reader.line]
        if self.adc is None:
            kernels.add_weighted(currents, weights, sums)
            return
        kind = currents.dtype.type
        top, bottom = kind(self.adc.top), kind(-self.adc.top if self.adc.signed else 0)
        magic = kind(1.5 * 2.0 ** np.finfo(currents.dtype).nmant)
        gain = self.gains[reader.slice]
        if mismatch is not None or self.adc.inl is not None:
            ones, zeros = np.ones(currents.shape[2], currents.dtype), np.zeros(currents.shape[2], currents.dtype)
            gains, offsets = (ones, zeros) if mismatch is None else mismatch
            inl = self.adc.inl or Inl()
            bow, s_shape = kind(inl.bow_of_range), kind(inl.s_shape_of_range)
            kernels.distort(currents, gain, bottom, top, gains, offsets, bow, s_shape)
            gain = kind(1)
        if self.adc.transitions is not None:
            edges = top * np.array(self.adc.transitions.levels, currents.dtype)
            currents[...] = bottom + np.searchsorted(edges, currents * gain, side="right")
            gain = kind(1)
        kernels.convert_and_add(currents, gain, bottom, top, magic, weights, sums)

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


def conversion_of(layout: Layout, pulse_weights: Array) -> Conversion:
    """The conversion of a matrix's currents. pulse_weights : (cycles,), input levels of a digit of each pulse."""
    adc, steps = layout.hardware.crossbar.adc, converted_steps(layout.hardware.crossbar)
    signs, dtype = SIGNS[: layout.lines], layout.dtype
    pulses = np.ones(1) if accumulates(layout) else pulse_weights
    if adc is None:
        weights = layout.slice_weights[:, None, None] * signs[:, None] * pulses
        return Conversion(adc=None, gains=np.ones(0), weights=weights.astype(dtype), noise=None)
    top, full = dtype(adc.top), layout.full_scales
    values = layout.slice_weights * full / top * steps  # of one code, for each slice
    noise = None if adc.noise_std_of_range is None else adc.noise_std_of_range * full * steps
    return Conversion(
        adc=adc,
        gains=(top / (full * steps)).astype(dtype),
        weights=(values[:, None, None] * signs[:, None] * pulses).astype(dtype),
        noise=noise,
    )


def accumulates(layout: Layout) -> bool:
    """Whether the currents of all pulses are accumulated before one conversion."""
    adc = layout.hardware.crossbar.adc
    return adc is not None and not adc.per_pulse


def subtracts(layout: Layout) -> bool:
    """Whether the currents of two lines are subtracted before one conversion."""
    coding = layout.hardware.crossbar.weights
    return layout.lines == 2 and isinstance(coding, Differential) and coding.subtraction == "current"
