"""Where energy goes: by phase, operator and component; or their totals alone, which take a tenth of the memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.counts import total

PHASES = ("prefill", "decode")
OPERATIONS = (
    "embedding",
    "qkv",
    "output",
    "ffn_up",
    "ffn_down",
    "head",
    "scores",
    "values",
    "softmax",
    "norm",
    "activation",
)
COMPONENTS = (
    "adc",
    "dac",
    "cell",
    "shift_add",
    "partial_sum",
    "buffer",
    "noc",
    "link",
    "mac",
    "memory",
    "write",
    "static",
)


class Ledger:
    """Energies as they are found, J; and times of operators, s."""

    def __init__(self, points: int, *, breakdown: bool) -> None:
        shape = (len(PHASES), len(OPERATIONS), len(COMPONENTS), points)
        self.energy = np.zeros(shape, np.float32) if breakdown else None
        self.time = np.zeros((len(PHASES), len(OPERATIONS), points)) if breakdown else None
        self.totals: list[Any] = [0.0, 0.0]

    def pay(self, operator: str, energies: Mapping[str, Any], uses: tuple[Any, Any]) -> None:
        """Enter what one use of an operator takes, by component, and how often each phase uses it."""
        once = total(energies.values())
        for phase, times in enumerate(uses):
            self.totals[phase] = self.totals[phase] + once * times
            if self.energy is not None:
                place = self.energy[phase, OPERATIONS.index(operator)]
                for component, energy in energies.items():
                    place[COMPONENTS.index(component)] += energy * times

    def spend(self, operator: str, once: Any, uses: tuple[Any, Any]) -> None:
        """Enter the time of one use of an operator, one token after another, and how often each phase uses it."""
        if self.time is not None:
            for phase, times in enumerate(uses):
                self.time[phase, OPERATIONS.index(operator)] += once * times

    def leak(self, energies: tuple[Any, Any]) -> None:
        """Share static energy of each phase out among operators by their times."""
        for phase, energy in enumerate(energies):
            self.totals[phase] = self.totals[phase] + energy
            if self.energy is not None and self.time is not None:
                whole: NDArray[np.float64] = np.maximum(self.time[phase].sum(0), np.finfo(np.float64).tiny)
                self.energy[phase, :, COMPONENTS.index("static")] += energy * self.time[phase] / whole
