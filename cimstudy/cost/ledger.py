"""Where energy goes: by phase, operator and component; or their totals alone, which take a tenth of the memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.counts import is_nothing, total
from cimstudy.cost.prices import Bill

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
    "search",
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
Uses = tuple[Any, Any]  # in each phase


class Ledger:
    """Energies as they are found, J; and times of operators, s."""

    def __init__(self, points: int, *, breakdown: bool) -> None:
        shape = (len(PHASES), len(OPERATIONS), len(COMPONENTS), points)
        self.energy = np.zeros(shape, np.float32) if breakdown else None
        self.time = np.zeros((len(PHASES), len(OPERATIONS), points)) if breakdown else None
        self._static: tuple[Any, Any] = (0.0, 0.0)
        self._sums: list[tuple[Uses, Any]] = []  # energies that are used alike, together

    @property
    def totals(self) -> tuple[Any, Any]:
        """Energy of each phase."""
        first, second = (
            total(
                (*(once * uses[phase] for uses, once in self._sums if not is_nothing(uses[phase])), self._static[phase])
            )
            for phase in range(len(PHASES))
        )
        return first, second

    def pay(self, operator: str, energies: Mapping[str, Any] | Bill, uses: Uses, count: Any = None) -> None:
        """Enter what each of `count` takes, by component, and how often each phase uses them. None: there is one."""
        whole = energies.whole if isinstance(energies, Bill) else total(energies.values())
        self._add(whole if count is None else whole * count, uses)
        if self.energy is not None:
            for phase, times in enumerate(uses):
                if is_nothing(times):
                    continue
                place, often = self.energy[phase, OPERATIONS.index(operator)], times if count is None else times * count
                for component, energy in energies.items():
                    place[COMPONENTS.index(component)] += energy * often

    def _add(self, once: Any, uses: Uses) -> None:
        for place, (known, before) in enumerate(self._sums):
            if known is uses:
                self._sums[place] = (uses, before + once)
                return
        self._sums.append((uses, once))

    @property
    def is_timed(self) -> bool:
        """Whether times of operators are wanted."""
        return self.time is not None

    def spend(self, operator: str, once: Any, uses: Uses) -> None:
        """Enter the time of one use of an operator, one token after another, and how often each phase uses it."""
        if self.time is not None:
            for phase, times in enumerate(uses):
                self.time[phase, OPERATIONS.index(operator)] += once * times

    def leak(self, energies: tuple[Any, Any]) -> None:
        """Share static energy of each phase out among operators by their times."""
        self._static = energies
        if self.energy is not None and self.time is not None:
            for phase, energy in enumerate(energies):
                whole: NDArray[np.float64] = np.maximum(self.time[phase].sum(0), np.finfo(np.float64).tiny)
                self.energy[phase, :, COMPONENTS.index("static")] += energy * self.time[phase] / whole
