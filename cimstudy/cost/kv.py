"""Keys and values: how long cells last that they are written to, and from which context on they cost the most."""

from typing import Any

import numpy as np

from cimstudy.cost.shapes import ModelShape


def lifetime(endurance: Any, writes_per_second: Any, *, shared_by: Any = 1.0) -> Any:
    """Time until a cell has been written as often as it bears, s.

    endurance : verified writes.  writes_per_second : of keys and values into an array.  shared_by : tokens whose keys
    and values wear the cells in turn.
    """
    with np.errstate(divide="ignore"):
        return np.divide(np.multiply(endurance, shared_by), writes_per_second)


def crossover(shape: ModelShape, mac_energy: Any, *, bits: Any, bit_energy: Any) -> Any:
    """Tokens of context from which on reading keys and values takes more energy than all static products.

    mac_energy : J of a multiply-accumulate there.  bits : of an entry.  bit_energy : J of a bit that is read.
    """
    return shape.macs * np.asarray(mac_energy) / (shape.kv_elements * np.multiply(bits, bit_energy))
