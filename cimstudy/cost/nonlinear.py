"""Softmax, norms and activations: what an element takes in the unit of its kind, on the engine that it is placed on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.cost.coefficients import event, table
from cimstudy.cost.counts import ranges_of, total
from cimstudy.cost.design import Group
from cimstudy.cost.events import BOUNDS, Events, memory, sram_multiply_accumulate
from cimstudy.cost.scaling import Scaling

NAMES = ("softmax", "norm", "activation")
CELLS_OF_BIT = 2  # one for each value that a bit may have


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """What an element takes of one of as many units as the design has lanes."""

    energies: Mapping[str, Any]  # J, by component
    time: Any  # s
    area: Any = 0.0  # m2, beside that of a vector unit


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """An element of a kind, and the design that computes it."""

    name: str
    kind: str
    group: Group
    events: Events
    recipe: Mapping[str, Any]

    def number(self, name: str) -> Any:
        """What the design says of the unit."""
        return self.group.numbers[f"architecture.{self.name}.{name}"]

    def count(self, name: str) -> float:
        """How many of these an element takes."""
        return float(self.recipe.get(name, 0))

    @property
    def scaling(self) -> Scaling:
        """Of the design."""
        return self.events.scaling

    @property
    def clock(self) -> Any:
        """Time of a digital step, s."""
        return 1 / self.group.numbers["architecture.logic.clock"]

    @property
    def looked_up(self) -> bool:
        """Whether its functions are those of a table."""
        return self.kind in {"table", "exp-log"} and self.count("functions") > 0

    @property
    def ranges(self) -> Any:
        """Ranges that hold a function."""
        code = self.group.choices.get(f"architecture.{self.name}.code", "gray")
        return ranges_of(self.number("bits"), gray=code == "gray")

    @property
    def entries(self) -> Any:
        """Entries of all its tables."""
        logarithm = self.number("log_entries") if self.kind == "exp-log" else 0.0
        return self.number("entries") + logarithm

    @property
    def read_bits(self) -> Any:
        """Bits of a table that its functions read: two entries for a straight line between them."""
        return self.count("functions") * self.number("entry_bits") * (1 + self.number("interpolation"))


def unit_of(name: str, group: Group, events: Events) -> Unit:
    """What an element of softmax, a norm or an activation takes on the engine that the design places it on.

    Where crossbars and content-addressable memories have no function to look up, circuits and ranges compute it.
    """
    engine, kind = (group.choices[f"architecture.{path}"] for path in (f"placement.{name}", f"{name}.kind"))
    recipes = table("nonlinear")
    if engine in INSTEAD and not recipes[f"{name}.{kind}"].get("functions"):
        kind = INSTEAD[engine]
    asked = Asked(name=name, kind=kind, group=group, events=events, recipe=recipes[f"{name}.{kind}"])
    return ENGINES[engine](asked)


def arithmetic(asked: Asked, multiply: Any, add: Any) -> Any:
    """Energy of products and sums of integers, those of straight lines between entries included."""
    lines = asked.count("functions") * asked.number("interpolation") if asked.looked_up else 0.0
    return (asked.count("multiplies") + lines) * multiply + (asked.count("adds") + lines) * add


def in_logic(asked: Asked) -> Any:
    """Energy of arithmetic in vector units."""
    if asked.count("operations"):
        return asked.count("operations") * asked.scaling.energy("vector_operation")
    width = asked.number("input_bits")
    multiply = asked.scaling.energy("multiply") * (width * width / 64)
    return arithmetic(asked, multiply, asked.scaling.energy("accumulate") * (width / 32))


def of_comparators(asked: Asked) -> tuple[Any, Any]:
    """Energy of the functions of an element and area of what holds them, of ranges in logic."""
    if asked.kind != "range-cam":
        return 0.0, 0.0
    comparators = BOUNDS * asked.ranges * (asked.number("input_bits") / 32)
    energy = asked.count("functions") * comparators * asked.scaling.energy("comparator")
    return energy, comparators * asked.scaling.area("comparator")


def sram_bit(scaling: Scaling, bits: Any) -> Any:
    """Energy of a bit that is read from SRAM of so many bits; at least that of a register."""
    depth = bits / 8 / event("sram", "bytes")
    return np.maximum(scaling.energy("sram") * depth ** event("memory_depth", "exponent"), scaling.energy("register"))


def sram_area(scaling: Scaling, bits: Any) -> Any:
    """Area of SRAM of so many bits, m2."""
    return bits * event("sram_cell", "area_F2") * np.square(scaling.node)


def digitally(asked: Asked) -> Unit:
    """In vector units, with tables in SRAM of their own and comparators for ranges."""
    energy, area = of_comparators(asked)
    energies = {"mac": total((in_logic(asked), energy))}
    if asked.looked_up:
        held = asked.entries * asked.number("entry_bits")
        energies["memory"] = asked.read_bits * sram_bit(asked.scaling, held)
        area = sram_area(asked.scaling, held)
    return Unit(energies=energies, time=asked.clock, area=area)


def near_memory(asked: Asked) -> Unit:
    """In vector units beside a memory, which holds their inputs, outputs and tables."""
    where, (energy, area) = memory("near_memory"), of_comparators(asked)
    bits = asked.number("input_bits") + asked.number("output_bits") + (asked.read_bits if asked.looked_up else 0.0)
    share = where.bandwidth / asked.group.numbers["architecture.logic.lanes"]
    return Unit(
        energies={"mac": in_logic(asked) + energy, "memory": bits * where.energy},
        time=np.maximum(asked.clock, bits / share),
        area=area,
    )


def in_sram(asked: Asked) -> Unit:
    """In SRAM arrays that multiply bit by bit, and look functions up where the matrices are."""
    numbers, scaling, width = asked.group.numbers, asked.scaling, asked.number("input_bits")
    rows = numbers["crossbar.rows"]
    multiply = sram_multiply_accumulate(scaling, rows, (width, width))
    add = width * (scaling.charge("full_adder") + scaling.charge("flip_flop"))
    mac = arithmetic(asked, multiply, add) + asked.count("operations") * multiply
    if asked.kind == "range-cam":
        mac = mac + asked.count("functions") * BOUNDS * asked.ranges * add  # bounds are subtracted
    energies = {"mac": mac}
    if asked.looked_up:
        energies["memory"] = asked.read_bits * sram_bit(scaling, rows * numbers["crossbar.columns"])
    return Unit(energies=energies, time=asked.clock * width)


def searched(asked: Asked) -> tuple[Any, Any]:
    """Bits that one search compares, and the area of what it searches: ranges, or the keys of a table."""
    each = asked.entries * np.ceil(np.log2(asked.number("entries"))) if asked.looked_up else BOUNDS * asked.ranges
    return each, each * event("cam_bit", "area_F2") * np.square(asked.scaling.node)


def by_search(asked: Asked) -> Unit:
    """In content-addressable memory, whose matches select entries in SRAM or are the bits of ranges."""
    compared, area = searched(asked)
    searches = asked.count("functions")
    energies = {
        "mac": in_logic(asked),
        "cell": searches * compared * asked.scaling.energy("cam_bit"),
    }
    if asked.looked_up:
        held = asked.entries * asked.number("entry_bits")
        energies["memory"] = asked.read_bits * sram_bit(asked.scaling, held)
        area = area + sram_area(asked.scaling, held)
    time = searches * np.maximum(asked.clock, event("cam_bit", "time"))
    return Unit(energies=energies, time=time, area=area)


def in_crossbars(asked: Asked) -> Unit:
    """In crossbars: circuits of one number, or arrays that find a key and read what is stored beside it (STAR).

    A softmax that looks up also finds the largest of its row by a search. Circuits take a pulse and a conversion where
    the crossbar's other outputs are converted.
    """
    if asked.kind == "range-cam":
        return by_search(asked)
    numbers, cells = asked.group.numbers, asked.events.cells
    if not asked.looked_up:
        stages, converted = asked.count("stages"), np.minimum(numbers["crossbar.conversions_per_weight"], 1)
        return Unit(
            energies={
                "mac": stages * asked.scaling.energy("analog_stage"),
                "dac": converted * numbers["crossbar.pulses"] * asked.events.pulse,
                "adc": converted * asked.events.conversion,
            },
            time=stages * cells.read_time,
            area=stages * asked.scaling.area("analog_stage"),
        )
    compared, _ = searched(asked)
    searches = asked.count("functions") + (asked.name == "softmax")
    found = searches * compared * asked.scaling.energy("cam_bit")
    return Unit(
        energies={"mac": in_logic(asked), "cell": found + asked.read_bits * cells.read_energy(1.0, 0.5)},
        time=searches * np.maximum(cells.read_time, asked.clock),
        area=(CELLS_OF_BIT * compared + asked.entries * asked.number("entry_bits")) * cells.area,
    )


INSTEAD = {"crossbar": "analog", "cam": "range-cam"}  # of kinds that have no function to look up
ENGINES: Mapping[str, Callable[[Asked], Unit]] = {
    "digital": digitally,
    "near-memory": near_memory,
    "sram-cim": in_sram,
    "crossbar": in_crossbars,
    "cam": by_search,
}


def units(group: Group, events: Events) -> dict[str, Unit]:
    """What an element of each takes."""
    return {name: unit_of(name, group, events) for name in NAMES}


def area_of(found: Mapping[str, Unit], group: Group) -> Any:
    """Area of what holds functions, m2."""
    return group.numbers["architecture.logic.lanes"] * total(unit.area for unit in found.values())
