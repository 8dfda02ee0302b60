"""An output converter in one figure: where its codes begin, and the noise of its conversions."""

from typing import TYPE_CHECKING

import numpy as np

from cimstudy.analog import Key, normals
from cimstudy.analog.converters import alone
from cimstudy.analog.levels import Array
from cimstudy.analog.written import Reader
from cimstudy.analysis.plots.figure import OKABE_ITO, STYLE, matplotlib, style
from cimstudy.hardware import Adc, Mismatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVERTERS = 8  # that are drawn, where they differ
STEPS = 32  # inputs a code: a transition is known to 1/32 of a code
ONLY = Reader(0, 0, 0)


def converter(found: Adc, name: str) -> "Figure":
    """Deviation of every transition from an even staircase, and the noise of a conversion, both in codes over the code.

    Converters that differ are drawn as device-to-device lines, eight of one chip.
    """
    matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import

    codes = np.arange((1 - found.top) if found.signed else 1, found.top + 1)
    with style(STYLE):
        figure = Figure(figsize=(6.5, 2.8), layout="constrained")
        deviation, noise = figure.subplots(1, 2)
        figure.suptitle(name, fontsize=8)
        deviation.plot(codes, transitions(found) - (codes[:, None] - 0.5), color=OKABE_ITO[0], linewidth=0.8)
        several = "" if found.mismatch is None else f", {CONVERTERS} converters"
        deviation.set(xlabel="code", ylabel=f"deviation of its transition (codes){several}")
        noise.plot(codes, noise_of(found, codes), color=OKABE_ITO[2], linestyle="--")
        noise.set(xlabel="code", ylabel="cycle-to-cycle noise (codes)", ylim=(0, None))
        for ax in (deviation, noise):
            ax.tick_params(which="both", labelsize=7)
    return figure


def transitions(found: Adc) -> Array:
    """Input, in codes, at which converters begin to give each code but the lowest: (codes, converters)."""
    differing = found.mismatch or Mismatch()
    count = 1 if found.mismatch is None else CONVERTERS
    drawn = normals(Key.root(0).of("converters"), (2, count))
    lowest = -1.1 if found.signed else -0.1
    inputs = np.linspace(lowest, 1.1, int(STEPS * (1.1 - lowest) * found.top) + 1)
    mismatch = np.stack([1 + differing.gain_std * drawn[0], differing.offset_std_of_range * drawn[1]]).astype(float)
    given = np.zeros((len(inputs), count))
    alone(found).add(np.repeat(inputs[None, :, None], count, axis=2), ONLY, mismatch, given)
    codes = np.arange((1 - found.top) if found.signed else 1, found.top + 1)
    reached = np.maximum.accumulate(given, axis=0)
    first = np.stack([np.searchsorted(column, codes) for column in reached.T], axis=1)
    begun: Array = np.where(first < len(inputs), inputs[np.minimum(first, len(inputs) - 1)], np.nan) * found.top
    return begun


def noise_of(found: Adc, codes: Array) -> Array:
    """Standard deviation of a conversion around each code, in codes."""
    variances = alone(found).noise_variances(codes[None, :, None] / found.top, ONLY)
    spread = np.zeros(1) if variances is None else np.sqrt(variances.ravel())
    return np.broadcast_to(spread * found.top, codes.shape)
