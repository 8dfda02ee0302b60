"""How energy and area change with the technology node."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.coefficients import table
from cimstudy.cost.counts import entry

Array = NDArray[np.float64]
VOLTAGE = 0.8  # V; supply for which energies are given where they say none
SMALLEST = 1.0  # nm; below, energies stay


@cache
def nodes() -> tuple[Array, Array, Array]:
    """The nodes of the table in whole nm; at each a, b, c of the energy, and the area, (4, nodes).

    Last, for each nm up to the largest, the interval between nodes that begins there or before.
    """
    data = table("technology")
    known = np.array(data["node_nm"], np.float64)
    interval = np.searchsorted(known, np.arange(known[-1] + 1), side="right") - 1
    values = np.array([data[name] for name in ("a", "b", "c", "area")])
    return known, values, np.clip(interval, 0.0, len(known) - 2)


def located(nm: Array) -> tuple[Array, Array]:
    """The interval of nodes that each place is in, and how far along, from 0 to 1. nm : within the table."""
    known, _, interval = nodes()
    low = entry(interval, nm)
    below = entry(known, low)
    return low, (nm - below) / (entry(known, low + 1) - below)


def switching_and_density(node: Any, voltage: Any = VOLTAGE) -> tuple[Array, Array]:
    """Energy of a switching event, relative, and area of a circuit, relative to 32 nm: only ratios have a meaning.

    node : m.  voltage : supply, V.  The energy is quadratic in the voltage, with coefficients of each node (Stillmaker
    and Baas 2017); energy and area go in a straight line between nodes. Beyond 7 and 130 nm energies follow the square
    root of the ratio of nodes, areas the ratio.
    """
    known, (a, b, c, areas), _ = nodes()
    nm = np.multiply(node, 1e9)
    inside = np.minimum(np.maximum(nm, known[0]), known[-1])
    low, share = located(inside)
    square = np.square(voltage)
    if square.size == 1:  # the nodes of the table are few
        known_energy = a * square + b * voltage + c
        first, second = entry(known_energy, low), entry(known_energy, low + 1)
    else:
        first, second = (
            entry(a, place) * square + entry(b, place) * voltage + entry(c, place) for place in (low, low + 1)
        )
    energy = (first + share * (second - first)) * np.sqrt(np.maximum(nm, SMALLEST) / inside)
    below = entry(areas, low)
    area = (below + share * (entry(areas, low + 1) - below)) * nm / inside
    return energy, area


def energy_ratio(to: Any, of: float, voltage: Any = VOLTAGE) -> Array:
    """What energies at the node `of` (m, at 0.8 V) are multiplied by at the node `to` (m) and a supply (V)."""
    return switching_and_density(to, voltage)[0] / float(switching_and_density(of)[0])


def area_ratio(to: Any, of: float) -> Array:
    """What areas at the node `of` (m) are multiplied by at the node `to` (m)."""
    return switching_and_density(to)[1] / float(switching_and_density(of)[1])
