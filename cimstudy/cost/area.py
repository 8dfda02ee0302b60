"""Area, and the power that leaks from it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cimstudy.cost.coefficients import event, node_of
from cimstudy.cost.counts import is_nothing, total
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import product_area
from cimstudy.cost.nonlinear import Unit
from cimstudy.cost.run import Pair, Run, Setting
from cimstudy.cost.scaling import Scaling
from cimstudy.cost.stock import beside_arrays

AREAS = ("cell", "adc", "driver", "shift_add", "sram_cim", "tile", "digital", "nonlinear", "link", "memory", "dram")

LEAKING = tuple(name for name in AREAS if name not in {"cell", "link", "dram"})


def areas(run: Run, held: Mapping[Setting, Pair], chips: Any, kv_bits: Any, dram: Any) -> dict[str, Any]:
    """Area of each part, m2: its share, where the area of a chip is said.

    held : analog and SRAM arrays of each setting.  chips : that hold them.  kv_bits : of keys and values in buffers.
    dram : area of the memory beside the chips, m2.
    """
    numbers, scaling = run.group.numbers, run.events.scaling
    arrays = total(total(pair) for pair in held.values())
    tiles = np.ceil(arrays / numbers["architecture.chips.tile_arrays"])
    macs, lanes = numbers["architecture.logic.macs"], numbers["architecture.logic.lanes"]
    each = [of_arrays(setting, pair) for setting, pair in held.items()]
    charges, hashes = beside_arrays(run)
    parts = {name: total(own[name] for own in each) for name in each[0]}
    found = {
        **parts,
        "cell": total((parts["cell"], charges)),
        "tile": tiles * scaling.area("edram", "bus", "router"),
        "digital": macs * (scaling.area("mac_unit") + products_area(run)) + lanes * scaling.area("vector_unit"),
        "nonlinear": total(lanes * unit.area for unit in units_of(run) if not is_nothing(unit.area)),
        "link": chips * np.minimum(chips - 1, 1) * event("link", "area"),  # of more than one
        "memory": total((kv_bits * (event("sram_cell", "area_F2") * np.square(scaling.node)), hashes))
        if np.any(kv_bits)
        else hashes,
    }
    said = numbers["architecture.chips.area"]
    if np.all(np.isnan(said)):
        return found | {"dram": dram}
    share = np.where(np.isnan(said), 1.0, chips * said / total(found.values()))
    return {**{name: area * share for name, area in found.items()}, "dram": dram}


def products_area(run: Run) -> Any:
    """Area of what a unit holds for products in content-addressable memory, m2; none where nothing is multiplied so."""
    engines = {
        layers.settings[name].group.choices[f"architecture.placement.{name}"]
        for layers in run.attention
        for name in ("scores", "values")
    }
    return product_area(run.events.scaling) if "cam" in engines else 0.0


def units_of(run: Run) -> Iterator[Unit]:
    """The units of softmax, norms and activations that there are."""
    settings = dict.fromkeys(("softmax", layers.settings["softmax"]) for layers in run.attention)
    settings |= dict.fromkeys((name, setting) for name, parts in run.elements.items() for _, setting in parts)
    yield from (setting.units[name] for name, setting in settings)


def of_arrays(setting: Setting, held: Pair) -> dict[str, Any]:
    """Area of the parts of so many arrays, m2. held : analog ones, and those of SRAM."""
    numbers, events, scaling = setting.group.numbers, setting.events, setting.events.scaling
    analog, sram = held
    rows, columns = numbers["crossbar.rows"], numbers["crossbar.columns"]
    converters, stacked = numbers["crossbar.adc.per_array"], analog / numbers["architecture.chips.tiers"]
    return {
        "cell": stacked * rows * columns * events.cells.area,
        "adc": stacked * converters * events.converter_area,
        "driver": stacked * rows * scaling.area("row_driver"),
        "shift_add": stacked * (converters * scaling.area("shift_add") + columns * scaling.area("sample_hold"))
        + voters(setting, analog),
        "sram_cim": sram * sram_array(setting.group, scaling) if np.any(sram) else 0.0,
    }


def voters(setting: Setting, arrays: Any) -> Any:
    """Area of those who vote on the outputs of copies, among so many arrays, m2: one for a converter and its copies."""
    redundancy = setting.events.redundancy
    if redundancy is None:
        return 0.0
    voted = np.where(redundancy.others > 0, arrays / redundancy.written * redundancy.copied, 0.0)
    return voted * setting.group.numbers["crossbar.adc.per_array"] * redundancy.voter


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
