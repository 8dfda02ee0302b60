"""How energy and area change with the technology node."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.coefficients import table

Array = NDArray[np.float64]
VOLTAGE = 0.8  # V; supply for which energies are given where they say none
SMALLEST = 1.0  # nm; below, energies stay


@cache
def nodes() -> tuple[Array, Array, NDArray[Any]]:
    """The nodes of the table in whole nm; at each a, b, c of the energy, and the area, (4, nodes).

    Last, for each nm up to the largest, the interval between nodes that begins there or before.
    """
    data = table("technology")
    known = np.array(data["node_nm"], np.float64)
    interval = np.searchsorted(known, np.arange(known[-1] + 1), side="right") - 1
    values = np.array([data[name] for name in ("a", "b", "c", "area")])
    return known, values, np.clip(interval, 0, len(known) - 2)


def located(nm: Array) -> tuple[NDArray[Any], Array]:
    """The interval of nodes that each place is in, and how far along, from 0 to 1. nm : within the table."""
    known, _, interval = nodes()
    low = interval[nm.astype(np.intp)]
    return low, np.asarray((nm - known[low]) / (known[low + 1] - known[low]))


def switching_and_density(node: Any, voltage: Any = VOLTAGE) -> tuple[Array, Array]:
    """Energy of a switching event, relative, and area of a circuit, relative to 32 nm: only ratios have a meaning.

    node : m.  voltage : supply, V.  The energy is quadratic in the voltage, with coefficients of each node (Stillmaker
    and Baas 2017); energy and area go in a straight line between nodes. Beyond 7 and 130 nm energies follow the square
    root of the ratio of nodes, areas the ratio.
    """
    known, (a, b, c, areas), _ = nodes()
    nm = np.asarray(node, np.float64) * 1e9
    inside = np.clip(nm, known[0], known[-1])
    low, share = located(inside)
    square = np.square(voltage)
    if np.size(square) == 1:  # the nodes of the table are few
        known_energy = a * square + b * voltage + c
        first, second = known_energy[low], known_energy[low + 1]
    else:
        first = a[low] * square + b[low] * voltage + c[low]
        second = a[low + 1] * square + b[low + 1] * voltage + c[low + 1]
    energy = (first + share * (second - first)) * np.sqrt(np.maximum(nm, SMALLEST) / inside)
    area = (areas[low] + share * (areas[low + 1] - areas[low])) * nm / inside
    return energy, area


def energy_ratio(to: Any, of: float, voltage: Any = VOLTAGE) -> Array:
    """What energies at the node `of` (m, at 0.8 V) are multiplied by at the node `to` (m) and a supply (V)."""
    return switching_and_density(to, voltage)[0] / float(switching_and_density(of)[0])


def area_ratio(to: Any, of: float) -> Array:
    """What areas at the node `of` (m) are multiplied by at the node `to` (m)."""
    return switching_and_density(to)[1] / float(switching_and_density(of)[1])
