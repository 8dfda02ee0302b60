"""Redundant arrays: what copies, those who vote on their outputs, and arrays with sound cells take beside one array.

Copies stand beside each other and so do those who vote: bits on their way to and from them are those of one array. The
rows of all are driven, and all cells are written. Of arrays that stand for one another a place reads one cell, and
their columns meet ahead of one converter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.cost import counts
from cimstudy.cost.design import Group, Numbers
from cimstudy.cost.scaling import Scaling

WORD = 32  # bits of the numbers that coefficients of comparators and adders are for


@dataclass(frozen=True, kw_only=True, eq=False)
class Redundancy:
    """What there is of everything in place of one."""

    together: Any  # arrays that stand for one, in whose places one cell is used
    others: Any  # copies beside the first
    copied: Any  # share of the slices that have copies
    votes: Any  # for a conversion of an array without copies
    vote: Any  # J
    voter: Any  # m2, of one converter

    @property
    def read(self) -> Any:
        """Cells that are read, and conversions, for one."""
        return 1 + self.others * self.copied

    @property
    def written(self) -> Any:
        """Cells that are written for one."""
        return self.together * self.read

    def energies(self, plain: Any, conversions: Any, driven: Any) -> dict[str, Any]:
        """Energies by component, from those without redundancy. driven : drives of a row for one."""
        times = {"adc": self.read, "shift_add": self.read, "cell": self.read, "dac": driven, "write": self.written}
        found = {name: energy * times.get(name, 1.0) for name, energy in plain.items()}
        return found | {"partial_sum": found.get("partial_sum", 0.0) + conversions * self.votes * self.vote}

    def arrays(self, matrix: tuple[Any, Any], cells: Any, size: tuple[Any, Any]) -> Any:
        """Arrays that hold a matrix and its copies."""
        plain, copy = (counts.arrays(matrix, cells * share, size) for share in (1.0, self.copied))
        return self.together * (plain + self.others * copy)


def is_redundant(numbers: Numbers) -> Any:
    """Where there are more arrays than weights need."""
    return (numbers["architecture.redundancy.copies"] > 1) | ~np.isnan(numbers["architecture.redundancy.share"])


def redundancy_of(group: Group, scaling: Scaling) -> Redundancy | None:
    """What redundant arrays take at a design; None if it has none."""
    numbers = group.numbers
    if not np.any(is_redundant(numbers)):
        return None
    copies, slices = numbers["architecture.redundancy.copies"], numbers["crossbar.weights.slices"]
    voted = np.fmin(numbers["architecture.redundancy.slices"], slices)
    bits = numbers["architecture.logic.partial_sum_bits"] / WORD
    median = group.choices["architecture.redundancy.vote"] == "median"
    name, steps = ("comparator", copies * (copies - 1) / 2) if median else ("adder", copies - 1)
    copied = voted / slices
    return Redundancy(
        together=arrays_for_one(numbers),
        others=copies - 1,
        copied=copied,
        votes=np.where(copies > 1, copied / np.maximum(numbers["crossbar.converted_pulses"], 1), 0.0),
        vote=steps * bits * scaling.energy(name) * numbers["crossbar.periphery_scale"],
        voter=steps * bits * scaling.area(name),
    )


def arrays_for_one(numbers: Numbers) -> Any:
    """Arrays until a share of all places has a sound cell in one of them: as `FaultFree.arrays`."""
    failing = numbers["device.faults.stuck_on"] + numbers["device.faults.stuck_off"]
    share = numbers["architecture.redundancy.share"]
    with np.errstate(divide="ignore"):
        needed = np.ceil(np.log1p(-share) / np.log(failing) - 1e-9)
    return np.where(np.isnan(share), 1.0, np.where(failing < 1, np.maximum(needed, 1), np.inf))
