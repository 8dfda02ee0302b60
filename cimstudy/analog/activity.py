"""How busy arrays are: what their energy depends on beside counts."""

import numpy as np

from cimstudy.analog.chain import pulse_steps
from cimstudy.analog.drive import drive, pulses_of
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.hardware import Differential


def mean_level(layout: Layout) -> float:
    """Mean of (g - g_min) / (g_max - g_min) that the cells of a matrix are meant to hold."""
    targets, coding = layout.targets, layout.hardware.crossbar.weights
    magnitudes = np.abs(targets.levels)
    if coding.bits is None:
        found = float(magnitudes.mean(dtype=np.float64))
    else:
        found = float(
            np.mean(
                [
                    (magnitudes >> part.shift & (1 << part.steps.bit_length()) - 1).mean(dtype=np.float64) / part.steps
                    for part in targets.slices
                ]
            )
        )
    one_of_two = isinstance(coding, Differential) and coding.sides == "one"
    return found / 2 if one_of_two else found  # the other cell of the pair holds nothing


def mean_square_drive(layout: Layout, x: Array) -> float:
    """Mean square of the pulses that inputs put on rows, over that of a full pulse. x : (batch, n_in)."""
    dac = layout.hardware.crossbar.dac
    driven, _ = drive(layout, np.ascontiguousarray(x, layout.dtype), noisy=False)
    together = len(driven.pulses) == 1
    digits = pulses_of(dac, driven.pulses[0])[0] if together else driven.pulses
    return float(np.square(digits, dtype=np.float64).mean()) / pulse_steps(dac) ** 2
