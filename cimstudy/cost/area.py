"""Area, and the power that leaks from it."""

from typing import Any

import numpy as np

from cimstudy.cost.coefficients import event, node_of
from cimstudy.cost.counts import total
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import product_area
from cimstudy.cost.events import Events, Scaling

AREAS = ("cell", "adc", "driver", "shift_add", "sram_cim", "tile", "digital", "nonlinear", "link", "memory")

LEAKING = tuple(name for name in AREAS if name not in {"cell", "link"})


def areas(group: Group, events: Events, held: tuple[Any, Any], kv_bits: Any, functions: Any) -> dict[str, Any]:
    """Area of each part, m2: its share, where the area of a chip is said.

    held : analog and SRAM arrays.  kv_bits : of keys and values in buffers.  functions : area of what holds them, m2.
    """
    numbers, scaling = group.numbers, events.scaling
    analog, sram = held
    rows, columns = numbers["crossbar.rows"], numbers["crossbar.columns"]
    converters, stacked = numbers["crossbar.adc.per_array"], analog / numbers["architecture.chips.tiers"]
    tiles = np.ceil((analog + sram) / numbers["architecture.chips.tile_arrays"])
    chips = chips_of(group, analog + sram)
    macs, lanes = numbers["architecture.logic.macs"], numbers["architecture.logic.lanes"]
    found = {
        "cell": stacked * rows * columns * events.cells.area,
        "adc": stacked * converters * events.converter_area,
        "driver": stacked * rows * scaling.area("row_driver"),
        "shift_add": stacked * (converters * scaling.area("shift_add") + columns * scaling.area("sample_hold")),
        "sram_cim": sram * sram_array(group, scaling) if np.any(sram) else 0.0,
        "tile": tiles * scaling.area("edram", "bus", "router"),
        "digital": macs * (scaling.area("mac_unit") + product_area(group, scaling))
        + lanes * scaling.area("vector_unit"),
        "nonlinear": functions,
        "link": np.where(chips > 1, chips, 0) * event("link", "area"),
        "memory": kv_bits * event("sram_cell", "area_F2") * np.square(scaling.node),
    }
    said = numbers["architecture.chips.area"]
    if np.isnan(said).all():
        return found
    share = np.where(np.isnan(said), 1.0, chips * said / total(found.values()))
    return {name: area * share for name, area in found.items()}


def sram_array(group: Group, scaling: Scaling) -> Any:
    """Area of an array of SRAM with its adder trees, m2."""
    numbers = group.numbers
    rows, columns, bits = (numbers[f"crossbar.{name}"] for name in ("rows", "columns", "weight_bits"))
    cells = rows * columns * event("sram_cim_cell", "area_F2") * np.square(scaling.node)
    trees = columns / bits
    total = bits + np.log2(np.maximum(rows, 2)) + numbers["crossbar.input_bits"]
    adders = rows * (bits + 1) + total
    return cells + trees * (adders * scaling.area("full_adder") + total * scaling.area("flip_flop"))


def chips_of(group: Group, arrays: Any) -> Any:
    """Chips that hold so many arrays."""
    return np.maximum(np.ceil(arrays / group.numbers["architecture.chips.arrays"]), 1)


def static_power(group: Group, parts: dict[str, Any]) -> Any:
    """Power of what leaks, W: everything but analog cells and links, which ISAAC's figures count where they work."""
    leaking = total(parts[name] for name in LEAKING)
    shrink = node_of("leakage") / group.numbers["architecture.chips.node"]
    return event("leakage", "power") * shrink * group.numbers["architecture.logic.leakage_scale"] * leaking
