"""Input converters: from inputs to the pulses that drive the rows of arrays."""

from dataclasses import dataclass, replace

import numpy as np

from cimstudy.analog import kernels
from cimstudy.analog.chain import pulse_steps, pulses_meet
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.errors import InputError
from cimstudy.hardware import Dac

FAR = 2.0**60  # vectors whose largest input is beyond it, or below its inverse, are scaled in any case


@dataclass(frozen=True, eq=False, kw_only=True)
class Drive:
    """What the input converters put on the rows.

    pulses : (cycles, batch, rows), digits that drive a row fully at `steps`.  weights : (cycles,), input levels of a
    digit.  squares : (cycles, batch, rows), what weighs the variance of the cells, or None without noise.
    """

    pulses: Array
    weights: Array
    squares: Array | None
    steps: int

    def of(self, vectors: slice, rows: slice) -> "Drive":
        """Some of the vectors on some of the rows."""
        place = (slice(None), vectors, rows)
        squares = None if self.squares is None else np.ascontiguousarray(self.squares[place])
        return replace(self, pulses=np.ascontiguousarray(self.pulses[place]), squares=squares)


def drive(layout: Layout, x: Array, *, noisy: bool) -> tuple[Drive, Array]:
    """The rows' pulses, and the input value of one level, (batch,). x : (batch, n_in).

    Pulses that meet nothing before they are accumulated are one pulse of many levels.
    """
    dac = layout.hardware.crossbar.dac
    levels, scales = np.empty_like(x), np.empty(len(x), x.dtype)
    full = x.dtype.type(layout.ranges.inputs)
    bottom, top = (-1, 0) if dac is None else (-int(dac.signed), dac.top)
    check_finite(kernels.convert_inputs(x, bits_of(x), full, bottom, top, levels, scales))
    together = layout.collapsed or pulses_meet(layout.hardware)
    digits, weights = pulses_of(dac, levels) if noisy or not together else (levels[None], np.ones(1, x.dtype))
    squares = np.square(digits) if noisy else None
    if together:
        squares = None if squares is None else np.tensordot(np.square(weights), squares, axes=1)[None]
        digits, weights = levels[None], np.ones(1, x.dtype)
    steps = max(top, 1) if together else pulse_steps(dac)
    return Drive(pulses=digits, weights=weights, squares=squares, steps=steps), scales


def passes(layout: Layout, *, noisy: bool) -> bool:
    """Whether nothing rounds, clips or bends inputs or what follows, so that inputs may have any scale."""
    return layout.hardware.crossbar.dac is None and layout.collapsed and not noisy and not layout.ranges.inputs


def passed(x: Array) -> tuple[Drive, Array | None]:
    """Inputs as they are for pulses, and None; or scaled, with scales (batch,), as `within_reach` says."""
    x, scales = within_reach(x)
    return Drive(pulses=x[None], weights=np.ones(1, x.dtype), squares=None, steps=1), scales


def within_reach(x: Array) -> tuple[Array, Array | None]:
    """Inputs as they are, and None; scaled, with scales (batch,), if products could leave what floats hold.

    Scales are powers of two, so that no bit of a vector depends on whether others need one. Raises InputError for
    inputs that are not finite.
    """
    if kernels.are_between(bits_of(x), *REACH[x.itemsize]):
        return x, None
    largest = np.abs(x).max(axis=1)
    check_finite(bool(np.isfinite(largest).all()))
    far = (largest > 0) & ((largest < 1 / FAR) | (largest > FAR))
    scales = np.ldexp(x.dtype.type(1), np.where(far, np.frexp(largest)[1] - 1, 0))
    return x / scales[:, None], scales


def bits_of(x: Array) -> Array:
    """The same memory as integers of the same size."""
    return x.view(np.int32 if x.itemsize == 4 else np.int64)


REACH = {  # by bytes of a float: the smallest and the largest that need no scale, as such integers
    kind(0).itemsize: tuple(bits_of(np.array([1 / FAR, FAR], kind))) for kind in (np.float32, np.float64)
}


def check_finite(finite: bool) -> None:
    """Raise InputError for inputs that are not finite."""
    if not finite:
        raise InputError("inputs hold NaN or infinite values; allowed: finite numbers")


def pulses_of(dac: Dac | None, levels: Array) -> tuple[Array, Array]:
    """Input levels (batch, n_in) as pulses: their digits (cycles, batch, n_in), and levels per digit, (cycles,)."""
    if dac is None or dac.serial_bits is None:
        return levels[None], np.ones(1, levels.dtype)
    digits = np.empty((dac.cycles, *levels.shape), levels.dtype)
    kernels.serial_digits(levels, dac.serial_bits, digits)
    return digits, (2.0 ** (dac.serial_bits * np.arange(dac.cycles))).astype(levels.dtype)
