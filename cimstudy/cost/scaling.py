"""Energies and areas of events at a design's node and supply."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.coefficients import event, node_of
from cimstudy.cost.design import Numbers
from cimstudy.cost.technology import switching_and_density

Array = NDArray[np.float64]


@cache
def reference(name: str) -> tuple[float, float]:
    """What energy and area of an event are relative to, at the node for which they are given."""
    energy, area = switching_and_density(node_of(name))
    return float(energy), float(area)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """Energies and areas at the design's node and supply. Both are found once for a design."""

    node: Array  # m
    voltage: Array  # V
    switching: Array
    density: Array

    @classmethod
    def of(cls, numbers: Numbers) -> "Scaling":
        """The scaling of a design."""
        node, voltage = numbers["architecture.chips.node"], numbers["architecture.logic.voltage"]
        energy, area = switching_and_density(node, voltage)
        return cls(node=node, voltage=voltage, switching=energy, density=area)

    def energy(self, name: str, quantity: str = "energy") -> Any:
        """The energy of an event."""
        return event(name, quantity) / reference(name)[0] * self.switching

    def area(self, *names: str) -> Any:
        """The area of what causes these events."""
        return sum(event(name, "area") / reference(name)[1] for name in names) * self.density

    def charge(self, name: str) -> Any:
        """The energy of charging what has a capacitance, which shrinks with the node."""
        return event(name, "capacitance") / node_of(name) * self.node * np.square(self.voltage)

    def delay(self, name: str) -> Any:
        """The delay of a gate, which shrinks with the node."""
        return event(name, "delay") / node_of(name) * self.node
