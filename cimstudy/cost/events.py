"""What one event costs at a design: energies in J, times in s, areas in m2."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.adc import MODELS, Converter
from cimstudy.cost.coefficients import cell, event, node_of
from cimstudy.cost.design import PER_OPERATOR, Group, Numbers, is_of_operator
from cimstudy.cost.prices import Price
from cimstudy.cost.redundancy import Redundancy, redundancy_of
from cimstudy.cost.scaling import Scaling

Array = NDArray[np.float64]
BOUNDS = 2  # of a range: each takes what a bit of a content-addressable memory does


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """What a cell costs."""

    read_voltage: Any
    read_time: Any
    read_charge: Any  # V2 s; of a pulse, times the conductance its energy
    write_energy: Any  # of a verified write
    write_time: Any  # the same
    endurance: Any  # verified writes
    area: Any  # m2
    g_min: Any
    g_span: Any

    def read_energy(self, drive: Any, level: Any) -> Any:
        """Of a cell in one pulse. drive: mean square of the row's drive.  level: mean place in the span."""
        return self.read_charge * (drive * (self.g_min + level * self.g_span))


def cells_of(group: Group) -> Cells:
    """The cells of a design: what it says of them, and what their technology has where it says nothing."""
    numbers, kind = group.numbers, cell(group.choices["device.technology"])

    def said(name: str, known: str) -> Any:
        return unless_said(numbers[f"device.cost.{name}"], kind[known])

    pulses = said("write_pulses", "write_pulses")
    voltage, time = said("read_voltage", "read_voltage"), said("read_time", "read_time")
    return Cells(
        read_voltage=voltage,
        read_time=time,
        read_charge=np.square(voltage) * time,
        write_energy=said("write_energy", "write_energy") * pulses,
        write_time=said("write_time", "write_time") * pulses,
        endurance=said("endurance", "endurance") / pulses,
        area=said("area", "area_F2") * np.square(numbers["architecture.chips.node"]),
        g_min=numbers["device.g_min"],
        g_span=numbers["device.g_max"] - numbers["device.g_min"],
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """Where keys and values are."""

    energy: Any  # J a bit
    bandwidth: Any  # bit/s
    area: Any = 0.0  # m2 a bit, of a memory beside the chip


@dataclass(frozen=True, kw_only=True, eq=False)
class Vector:
    """What an input vector takes over all its pulses."""

    row: Any  # a row's driver and wire
    weight: Any  # the cells of a weight
    input: Price  # a row, and the bits of the input on their way
    read: Price  # the cells of a weight


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """What each event costs at a design."""

    scaling: Scaling
    cells: Cells
    conversion: Any  # with the sample that it reads
    conversions: Any  # of the columns of one output of one array, for one input vector
    converter_area: Any
    pulse: Any  # of one row's driver
    line: Any  # the row's wire, driven fully
    vectors: Mapping[str, Vector]  # of the operators whose data are known, and "" of all others
    shift_add: Any
    add: Any
    bit_to_array: Any  # through a buffer and over its bus
    bit_between_tiles: Any
    bit_between_chips: Any
    phase: Any  # s; one pulse of an array and the conversions after it
    product: Any  # s; a vector through an array
    turns: Any  # in which rows are driven
    sram_write: Any  # a bit
    output: Price  # of an array, for one input vector: conversions, and the bits of a sum on their way
    sum: Price  # of two outputs
    hop_time: Any  # s; from tile to tile
    redundancy: Redundancy | None

    @cached_property
    def product_time(self) -> Any:
        """Of a vector through an array and from tile to tile, s."""
        return self.product + self.hop_time

    def vector(self, operator: str) -> Vector:
        """What an input vector of an operator takes."""
        return self.vectors.get(operator, self.vectors[""])


def events_of(group: Group) -> Events:
    """What each event costs at a design."""
    numbers, choices = group.numbers, group.choices
    scaling, cells = Scaling.of(numbers), cells_of(group)
    scale = numbers["crossbar.periphery_scale"]
    converter = Converter(
        bits=numbers["crossbar.adc.bits"],
        rate=numbers["crossbar.adc.rate"],
        node=scaling.node,
        voltage=scaling.voltage,
    )
    conversion, converter_area = MODELS[choices["crossbar.adc.model"]](converter)
    columns, rows = numbers["crossbar.columns"], numbers["crossbar.rows"]
    turns = np.ceil(rows / np.minimum(numbers["crossbar.active_rows"], rows))
    reading = np.ceil(columns / numbers["crossbar.adc.per_array"]) / numbers["crossbar.adc.rate"]
    phase = turns * np.maximum(cells.read_time, reading)
    wire = event("wire", "energy") * np.square(scaling.voltage) * event("tile", "length")
    pulse = pulse_of(group, scaling, numbers["crossbar.pulse_bits"])
    line = event("line", "capacitance") * columns * np.sqrt(cells.area) * np.square(cells.read_voltage) * scale
    each = conversion * numbers["crossbar.adc.energy_scale"] + scaling.energy("sample_hold")
    conversions = numbers["crossbar.conversions_per_weight"] * numbers["crossbar.converted_pulses"] * turns
    shift_add, add = scaling.energy("shift_add") * scale, scaling.energy("adder") * scale
    moved = {
        "buffer": (buffer_bit(numbers, scaling) + scaling.energy("bus")) * scale,
        "noc": numbers["architecture.links.hops"] * (scaling.energy("router") + wire) * scale,
    }
    return Events(
        scaling=scaling,
        cells=cells,
        conversion=each,
        conversions=conversions,
        converter_area=converter_area * numbers["crossbar.adc.area_scale"],
        pulse=pulse,
        line=line,
        vectors=vectors_of(numbers, cells, (pulse, line), moved),
        shift_add=shift_add,
        add=add,
        bit_to_array=moved["buffer"],
        bit_between_tiles=moved["noc"],
        bit_between_chips=unless_said(numbers["architecture.links.energy"], event("link", "energy")),
        phase=phase,
        product=numbers["crossbar.pulses"] * phase,
        turns=turns,
        sram_write=scaling.energy("sram_write"),
        output=Price(
            energies={
                "adc": conversions * each,
                "shift_add": conversions * shift_add,
                **bits_of(numbers["architecture.logic.partial_sum_bits"], moved),
            }
        ),
        sum=Price(energies={"partial_sum": add}),
        hop_time=numbers["architecture.links.hops"] / numbers["architecture.logic.clock"],
        redundancy=redundancy_of(group, scaling),
    )


def bits_of(count: Any, moved: Mapping[str, Any]) -> dict[str, Any]:
    """Energies of so many bits that are moved. moved : of one."""
    return {name: count * energy for name, energy in moved.items()}


def vectors_of(numbers: Numbers, cells: Cells, driven: tuple[Any, Any], moved: Mapping[str, Any]) -> dict[str, Vector]:
    """What input vectors take, of each operator of its own.

    driven : a pulse of a driver, and a wire driven fully.  moved : energies of a bit to an array.
    """
    pulses, (pulse, line) = numbers["crossbar.pulses"], driven
    each = pulses * numbers["crossbar.cells_per_weight"]
    found = {}
    for operator in {"", *(path.rpartition(".")[2] for path in numbers if is_of_operator(path))}:
        drive, level = (numbers.get(f"{path}.{operator}", numbers[path]) for path in PER_OPERATOR)
        row, weight = pulses * (pulse + line * drive), each * cells.read_energy(drive, level)
        found[operator] = Vector(
            row=row,
            weight=weight,
            input=Price(energies={"dac": row, **bits_of(numbers["crossbar.input_bits"], moved)}),
            read=Price(energies={"cell": weight}),
        )
    return found


def pulse_library(bits: Any, scaling: Scaling) -> Any:
    """Energy of a pulse by the driver of ISAAC, which each further bit doubles."""
    return scaling.energy("row_driver") * np.exp2(bits - 1)


def pulse_zigzag28(bits: Any, scaling: Scaling) -> Any:
    """Energy of a pulse by the converter of ZigZag; none for one bit."""
    charge = event("dac_zigzag28", "energy") / node_of("dac_zigzag28") * scaling.node * np.square(scaling.voltage)
    return np.where(bits > 1, bits * charge, 0.0)


PULSES = {"library": pulse_library, "zigzag28": pulse_zigzag28}


def pulse_of(group: Group, scaling: Scaling, bits: Any) -> Any:
    """Energy of a pulse of so many bits of one row's driver."""
    return PULSES[group.choices["crossbar.dac.model"]](bits, scaling) * group.numbers["crossbar.periphery_scale"]


def unless_said(given: Any, known: Any) -> Any:
    """What is given, and what is known where that is nothing."""
    unsaid = np.isnan(given)
    return np.where(unsaid, known, given) if np.any(unsaid) else given


def buffer_bit(numbers: Numbers, scaling: Scaling) -> Any:
    """Energy of a bit read from or written to a tile's buffer."""
    depth = numbers["architecture.buffers.bank"] / event("edram", "bytes")
    known = scaling.energy("edram") * depth ** event("memory_depth", "exponent")
    return unless_said(numbers["architecture.buffers.energy"], known)


def memory_of(group: Group, scaling: Scaling, engine: str) -> Memory:
    """Where an engine reads keys or values: from the arrays themselves nothing is read, and no bandwidth is a limit."""
    numbers, location = group.numbers, group.choices["architecture.kv.location"]
    if location == "array":
        known = Memory(energy=0.0, bandwidth=np.inf)
    elif location == "buffer":
        known = Memory(energy=scaling.energy("sram"), bandwidth=event("buffer_bandwidth", "bandwidth"))
    else:
        known = memory("near_memory" if engine == "near-memory" else location)
    return Memory(
        energy=unless_said(numbers["architecture.kv.energy"], known.energy),
        bandwidth=unless_said(numbers["architecture.kv.bandwidth"], known.bandwidth),
        area=known.area,
    )


def memory(name: str) -> Memory:
    """A memory beside the chip."""
    return Memory(energy=event(name, "energy"), bandwidth=event(name, "bandwidth"), area=event(f"{name}_area", "area"))


def multiply_accumulate(scaling: Scaling, widths: tuple[Any, Any]) -> Any:
    """Energy of a digital multiply-accumulate of integers of these widths, bits."""
    return scaling.energy("multiply") * (np.multiply(*widths) / 64) + scaling.energy("accumulate")


def sram_multiply_accumulate(scaling: Scaling, rows: Any, widths: tuple[Any, Any]) -> Any:
    """Energy of a multiply-accumulate in SRAM with an adder tree, inputs bit by bit. widths: inputs, weights, bits.

    ZigZag's form: gates that multiply, full adders of the tree, accumulator and its register; half of them switch.
    """
    inputs, weights = widths
    levels = np.log2(np.maximum(rows, 2))
    adders = rows * (weights + 1) - (weights + levels + 1)
    total = weights + levels + inputs  # bits of the accumulator
    adding = scaling.charge("full_adder") * (0.5 * adders + total) / rows
    return inputs * (0.5 * scaling.charge("gate") * weights + adding + scaling.charge("flip_flop") * total / rows)


def sram_product(scaling: Scaling, rows: Any, widths: tuple[Any, Any]) -> Any:
    """Time of a vector through such an array, s. widths: inputs, weights, bits."""
    inputs, weights = widths
    gates = 1 + event("full_adder_delay", "gates") * np.log2(np.maximum(rows, 2)) + 2 * (weights + inputs)
    return inputs * gates * scaling.delay("gate")
