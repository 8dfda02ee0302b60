"""What weights, keys and values occupy: arrays and cells, of every setting."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cimstudy.cost import dynamic, gain_cells, search
from cimstudy.cost.coefficients import event
from cimstudy.cost.counts import is_nothing, ratio, total
from cimstudy.cost.run import Pair, Run, Setting
from cimstudy.cost.static import Use
from cimstudy.cost.taken import Taking


@dataclass(frozen=True, kw_only=True, eq=False)
class Stock:
    """What weights occupy."""

    arrays: Any
    sram_arrays: Any
    cells: Any
    sram_cells: Any
    memory_area: Any


NOTHING = Stock(arrays=0.0, sram_arrays=0.0, cells=0.0, sram_cells=0.0, memory_area=0.0)


def stocks_of(steps: list[Taking]) -> dict[Setting, Stock]:
    """What all products of each setting occupy."""
    uses: dict[Setting, list[Use]] = defaultdict(list)
    for step in steps:
        for taken in step.products:
            uses[taken.setting].append(taken.uses[1])
    return {
        setting: Stock(**{item.name: total(getattr(use, item.name) for use in mine) for item in fields(Stock)})
        for setting, mine in uses.items()
    }


def held_of(run: Run, stocks: Mapping[Setting, Stock]) -> dict[Setting, Pair]:
    """Analog arrays and SRAM arrays of each setting, those for keys and values of the longest context included."""
    tokens, batch = run.decode.stop, run.group.numbers["workload.batch"]
    kept: dict[Setting, list[Pair]] = defaultdict(list)
    for layers in run.attention:
        for name in layers.products:
            setting = layers.settings[name]
            if name == "search":
                more = search.arrays(layers.shape, setting.group, tokens, setting.events.redundancy)
            else:
                more = dynamic.arrays(name, layers.shape, setting.group, tokens, setting.events.redundancy)
            kept[setting].append(more)
    found = {}
    for setting in dict.fromkeys((*stocks, *kept)):
        stock, others = stocks.get(setting, NOTHING), kept[setting]
        found[setting] = (
            total((stock.arrays, *(batch * first for first, _ in others if not is_nothing(first)))),
            total((stock.sram_arrays, *(batch * second for _, second in others if not is_nothing(second)))),
        )
    return found


def beside_arrays(run: Run) -> tuple[Any, Any]:
    """Area of gain cells, and of content-addressable memories that hold hashes, m2."""
    batch, scaling = run.group.numbers["workload.batch"], run.events.scaling
    charges = total(gain_cells.area(layers.shape, layers.group, scaling) for layers in run.attention)
    bits = total(
        search.cam_bits(layers.shape, layers.settings["search"].group, run.decode.stop) for layers in run.attention
    )
    cell = event("cam_bit", "area_F2") * np.square(scaling.node)
    return 0.0 if is_nothing(charges) else batch * charges, 0.0 if is_nothing(bits) else batch * bits * cell


def utilisation(stocks: Mapping[Setting, Stock]) -> Any:
    """Share of the cells of weight arrays that hold weights; NaN without any."""
    used = total(total((stock.cells, stock.sram_cells)) for stock in stocks.values())
    arrays = [(total((stock.arrays, stock.sram_arrays)), size(setting)) for setting, stock in stocks.items()]
    return ratio(used, total(count * cells for count, cells in arrays))


def size(setting: Setting) -> Any:
    """Cells of an array."""
    return setting.group.numbers["crossbar.rows"] * setting.group.numbers["crossbar.columns"]


def programming(stocks: Mapping[Setting, Stock]) -> Any:
    """Energy of writing all weights once, J."""
    return total(
        total((stock.cells * setting.events.cells.write_energy, stock.sram_cells * setting.events.sram_write))
        for setting, stock in stocks.items()
    )
