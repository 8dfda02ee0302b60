"""The cost of one point, the slow way: plain numbers, a loop over every token and layer, nothing in closed form."""

import math
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache

import scalar_schemes as schemes

from cimstudy.cost.coefficients import table
from cimstudy.cost.design import CHOICES, NUMBERS

EVENTS, ADC, NODES = table("events"), table("adc"), table("technology")


def between(x, xs, ys):
    """A straight line between neighbours, and the end values beyond."""
    if x <= xs[0]:
        return ys[0]
    for left, right, low, high in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return ys[-1]


@lru_cache(maxsize=1000)
def switching(nm, voltage):
    nm = max(nm, 1.0)
    known = min(max(nm, 7), 130)
    a, b, c = (between(known, NODES["node_nm"], NODES[name]) for name in "abc")
    return (a * voltage**2 + b * voltage + c) * math.sqrt(nm / known)


@lru_cache(maxsize=1000)
def density(nm):
    known = min(max(nm, 7), 130)
    return between(known, NODES["node_nm"], NODES["area"]) * nm / known


def survey(bits, rate, nm, voltage):
    fit, bits = ADC["survey"], max(bits, 4)
    whole = math.floor(bits)
    root = whole ** (whole + 1 - bits) * (whole + 1) ** (bits - whole)  # a straight line of the logarithm
    fom = min(
        fit["fom_intercept"] + fit["fom_per_log_rate"] * math.log(rate),
        fit["fom_most_intercept"] + fit["fom_most_per_bit"] * bits,
    )
    sndr = 20 * bits * math.log10(2) + 10 * math.log10(1.5)
    energy = 0.5 * 10 ** ((sndr - fom) / 10) * math.exp(fit["energy_intercept"])
    energy *= nm ** fit["energy_log_node"] * root ** fit["energy_log_bits"]
    area = math.exp(fit["area_intercept"]) * nm ** fit["area_log_node"]
    area *= rate ** fit["area_log_rate"] * energy ** fit["area_log_energy"]
    return energy * 1e-12, area * 1e-12


def zigzag28(bits, rate, nm, voltage):
    area = 10 ** (-0.0369 * bits + 1.206) * 2**bits * 1e-12 if bits > 1 else 0.0
    return (100 * bits + 0.001 * 4**bits) * voltage**2 * 1e-15 * nm / 28, area * density(nm) / density(28)


def isaac(bits, rate, nm, voltage):
    data = ADC["table"]
    energy = between(bits, data["bits"], data["energy_pJ"]) * switching(nm, voltage) / switching(32, 0.8)
    return energy * 1e-12, between(bits, data["bits"], data["area_um2"]) * density(nm) / density(32) * 1e-12


class Point:
    """One design, and what its events cost."""

    def __init__(self, shape, design):
        self.shape = shape
        self.d = {path: entry.default for path, entry in (NUMBERS | CHOICES).items()} | design
        self.nm, self.v = self.d["architecture.chips.node"] * 1e9, self.d["architecture.logic.voltage"]
        self.energy = defaultdict(float)  # by phase, operator, component
        self.time = {"prefill": 0.0, "decode": 0.0}

    @property
    def kind(self):
        return self.d["architecture.attention.kind"]

    def variant(self, changes, **sizes):
        """The same point with other numbers and sizes, whose energies are its own."""
        return Point(replace(self.shape, **sizes), self.d | changes)

    def of(self, path, operator):
        return self.d.get(f"{path}.{operator}", self.d[path])

    def said(self, path, known):
        return known if math.isnan(self.d[path]) else self.d[path]

    def event(self, name, quantity="energy"):
        own = EVENTS[name]
        return own[quantity] * switching(self.nm, self.v) / switching(own["node_nm"], 0.8)

    def area_of(self, name):
        return EVENTS[name]["area"] * density(self.nm) / density(EVENTS[name]["node_nm"])

    def charge(self, name):
        return EVENTS[name]["capacitance"] * self.nm / EVENTS[name]["node_nm"] * self.v**2

    def cell(self, name, known):
        return self.said(f"device.cost.{name}", table("cells")[self.d["device.technology"]][known])

    @property
    def pulses_of_a_write(self):
        return self.cell("write_pulses", "write_pulses")

    @property
    def scale(self):
        return self.d["crossbar.periphery_scale"]

    def conversion(self):
        model = {"survey": survey, "zigzag28": zigzag28, "table": isaac}[self.d["crossbar.adc.model"]]
        return model(self.d["crossbar.adc.bits"], self.d["crossbar.adc.rate"], self.nm, self.v)

    def bit_to_array(self):
        size = self.d["architecture.buffers.bank"] / 65536
        buffer = self.said("architecture.buffers.energy", self.event("edram") * size**0.78)
        return (buffer + self.event("bus")) * self.scale

    def bit_between_tiles(self):
        wire = 1e-10 * self.v**2 * 0.61e-3
        return self.d["architecture.links.hops"] * (self.event("router") + wire) * self.scale

    def driver(self, bits):
        if self.d["crossbar.dac.model"] == "library":
            return self.event("row_driver") * 2 ** (bits - 1)
        return 50e-15 * bits * self.nm / 28 * self.v**2 if bits > 1 else 0.0

    def pulse(self, drive):
        driver = self.driver(self.d["crossbar.pulse_bits"])
        pitch = math.sqrt(self.cell("area", "area_F2")) * self.d["architecture.chips.node"]
        line = 0.2e-9 * self.d["crossbar.columns"] * pitch * self.cell("read_voltage", "read_voltage") ** 2
        return (driver + line * drive) * self.scale

    def read(self, operator):
        drive, level = self.of("data.drive", operator), self.of("data.level", operator)
        g = self.d["device.g_min"] + level * (self.d["device.g_max"] - self.d["device.g_min"])
        return self.cell("read_voltage", "read_voltage") ** 2 * self.cell("read_time", "read_time") * drive * g

    def turns(self):
        rows = self.d["crossbar.rows"]
        return math.ceil(rows / min(rows, self.d["crossbar.active_rows"]))

    def array_time(self):
        reading = math.ceil(self.d["crossbar.columns"] / self.d["crossbar.adc.per_array"]) / self.d["crossbar.adc.rate"]
        phase = self.turns() * max(self.cell("read_time", "read_time"), reading)
        return self.d["crossbar.pulses"] * phase

    def hop_time(self):
        return self.d["architecture.links.hops"] / self.d["architecture.logic.clock"]

    def converted(self):
        return self.d["crossbar.conversions_per_weight"] * self.d["crossbar.converted_pulses"] * self.turns()

    def mac(self, one, other):
        return self.event("multiply") * one * other / 64 + self.event("accumulate")

    def sram_mac(self, inputs, weights):
        rows = self.d["crossbar.rows"]
        levels = math.log2(max(rows, 2))
        tree = rows * (weights + 1) - (weights + levels + 1)
        total = weights + levels + inputs
        adders = self.charge("full_adder") * (0.5 * tree + total) / rows
        return inputs * (0.5 * self.charge("gate") * weights + adders + self.charge("flip_flop") * total / rows)

    def sram_time(self, inputs, weights):
        gates = 1 + 3 * math.log2(max(self.d["crossbar.rows"], 2)) + 2 * (weights + inputs)
        return inputs * gates * 0.0478e-9 * self.nm / 28

    def speed(self):
        return self.d["architecture.logic.macs"] * self.d["architecture.logic.clock"]

    def lanes(self):
        return self.d["architecture.logic.lanes"] * self.d["architecture.logic.clock"]

    def kept_in(self, engine):
        location = self.d["architecture.kv.location"]
        energy, bandwidth = {"array": (0.0, math.inf), "buffer": (self.event("sram"), 160e12)}.get(
            location, (None, None)
        )
        if energy is None:
            own = EVENTS["near_memory" if engine == "near-memory" else location]
            energy, bandwidth = own["energy"], own["bandwidth"]
        return self.said("architecture.kv.energy", energy), self.said("architecture.kv.bandwidth", bandwidth)

    def entry_bits(self):
        return self.d[
            "crossbar.weight_bits" if self.d["architecture.kv.location"] == "array" else "architecture.kv.bits"
        ]

    def pay(self, phase, operator, **energies):
        for component, energy in energies.items():
            self.energy[phase, operator, component] += energy

    def move(self, phase, operator, bits):
        self.pay(phase, operator, buffer=bits * self.bit_to_array(), noc=bits * self.bit_between_tiles())

    # -- products with static matrices

    def static_product(self, phase, product, times):
        engine = self.d[f"architecture.placement.{KINDS[product.operator]}"]
        return {"crossbar": self.analog, "dynamic-crossbar": self.analog, "sram-cim": self.in_sram}.get(
            engine, self.digital
        )(phase, product, times)

    def analog(self, phase, product, times):
        d, name, scale = self.d, product.operator, self.scale
        high = math.ceil(product.rows / d["crossbar.rows"])
        wide = math.ceil(product.columns * d["crossbar.cells_per_weight"] / d["crossbar.columns"])
        conversions = high * product.columns * self.converted() * times
        sample = self.event("sample_hold")
        if product.currents:
            return schemes.currents(self, phase, product, times, (high, wide)), False
        self.pay(
            phase,
            name,
            adc=conversions * (self.conversion()[0] * d["crossbar.adc.energy_scale"] + sample),
            dac=times * product.rows * wide * d["crossbar.pulses"] * self.pulse(self.of("data.drive", name)),
            cell=times
            * product.rows
            * product.columns
            * d["crossbar.cells_per_weight"]
            * d["crossbar.pulses"]
            * self.read(name),
            shift_add=conversions * self.event("shift_add") * scale,
            partial_sum=times * (high - 1) * product.columns * self.event("adder") * scale,
        )
        self.move(phase, name, times * self.bits_moved(product, high, wide))
        return self.array_time() + self.hop_time(), False

    def bits_moved(self, product, high, wide):
        into = product.rows * wide * self.d["crossbar.input_bits"]
        return into + product.columns * high * self.d["architecture.logic.partial_sum_bits"]

    def in_sram(self, phase, product, times):
        d, bits = self.d, self.d["crossbar.weight_bits"]
        high = math.ceil(product.rows / d["crossbar.rows"])
        wide = math.ceil(product.columns * bits / d["crossbar.columns"])
        self.pay(
            phase,
            product.operator,
            mac=times * product.rows * product.columns * self.sram_mac(d["crossbar.input_bits"], bits),
            partial_sum=times * (high - 1) * product.columns * self.event("adder") * self.scale,
        )
        self.move(phase, product.operator, times * self.bits_moved(product, high, wide))
        return self.sram_time(d["crossbar.input_bits"], bits) + self.hop_time(), False

    def digital(self, phase, product, times):
        d = self.d
        engine = d[f"architecture.placement.{KINDS[product.operator]}"]
        own = EVENTS["near_memory" if engine == "near-memory" else "hbm"]
        weights = product.rows * product.columns
        together = d["workload.prefill"] if phase == "prefill" and not product.last_only else 1
        bits = weights * d["crossbar.weight_bits"] / d["workload.batch"] / together
        self.pay(
            phase,
            product.operator,
            mac=times * weights * self.mac(d["crossbar.input_bits"], d["crossbar.weight_bits"]),
            memory=times * bits * own["energy"],
            buffer=times * (product.rows + product.columns) * d["crossbar.input_bits"] * self.bit_to_array(),
        )
        return max(weights / self.speed(), bits / own["bandwidth"]), True

    # -- attention of one layer for one token that sees `seen`

    @lru_cache  # noqa: B019 - a point is short-lived
    def share(self, phase, operator):
        """Of all pairs of a phase, those whose scores are computed or whose values are weighed: a loop over tokens."""
        given = self.d["data.scored" if operator == "scores" else "data.kept"]
        return schemes.share(self, phase, operator) if math.isnan(given) else given

    def met(self, operator):
        """What an operator of attention meets: itself, or with inputs in place of keys, or currents that are stored."""
        own = schemes.met(self, operator)
        own.energy = self.energy
        return own

    def attention(self, phase, operator, seen):
        """Energies of it; returns its time: per pair and per token."""
        if self.kind == "gain_cell":
            return 0.0, schemes.gain_cells(self, phase, operator, seen)
        return self.met(operator).product_of_attention(phase, operator, seen)

    def product_of_attention(self, phase, operator, seen):
        engine = self.d[f"architecture.placement.{operator}"]
        shape, d = self.shape, self.d
        computed = seen * self.share(phase, operator)
        entries = shape.kv_heads * shape.head_width
        joules, rate = self.kept_in(engine)
        if engine in {"digital", "near-memory", "cam"}:
            bits, macs, turns = entries * d["architecture.kv.bits"], shape.heads * shape.head_width, 1
            one, other = d["crossbar.input_bits"], d["crossbar.weight_bits"]
            energy = self.mac(one, other)
            if engine == "digital":
                energy = self.mac(d["architecture.kv.bits"], d["architecture.kv.bits"])
            if engine == "cam":
                turns = math.ceil(one / 4) * math.ceil(other / 4)
                energy = turns * (4 * 276 * self.event("cam_bit") + self.event("accumulate"))
            self.pay(
                phase,
                operator,
                mac=computed * macs * energy,
                memory=computed * bits * joules + self.written(operator) * bits * joules,
            )
            return max(macs * turns / self.speed(), bits / rate), 0.0
        if engine == "sram-cim":
            cell = (d["crossbar.weight_bits"] * self.event("sram_write"), 1 / d["architecture.logic.clock"])
        else:
            pulses = self.pulses_of_a_write
            each = d["crossbar.cells_per_weight"] * self.cell("write_energy", "write_energy") * pulses
            cell = (each, self.cell("write_time", "write_time") * pulses)
        times = self.rewrite(phase, operator, (computed, entries), cell, (joules, rate))
        run = self.sram_attention if engine == "sram-cim" else self.analog_attention
        return times[0], times[1] + shape.heads / shape.kv_heads * run(phase, operator, seen) + self.hop_time()

    def written(self, operator):
        """Of the keys or values of a token, whether they are: not what has left, nor inputs that are there as keys."""
        return 0 if schemes.shared(self, operator) else schemes.left(self, "keys")

    def rewrite(self, phase, operator, sizes, cell, kept):
        seen, entries = sizes
        if schemes.shared(self, operator):
            return 0.0, 0.0
        if self.d["architecture.kv.location"] == "array" or self.kind == "cascaded":
            self.pay(phase, operator, write=self.written(operator) * entries * cell[0])
            return 0.0, cell[1]
        bits = entries * self.d["architecture.kv.bits"]
        stored = self.written(operator)
        self.pay(phase, operator, write=seen * entries * cell[0], memory=(seen + stored) * bits * kept[0])
        return max(cell[1], bits / kept[1]), 0.0

    def sram_attention(self, phase, operator, seen):
        shape, widths = self.shape, (self.d["crossbar.input_bits"], self.d["crossbar.weight_bits"])
        computed = seen * self.share(phase, operator)
        self.pay(phase, operator, mac=computed * shape.heads * shape.head_width * self.sram_mac(*widths))
        self.move(phase, operator, computed * shape.heads * self.d["architecture.logic.partial_sum_bits"])
        return self.sram_time(*widths)

    def analog_attention(self, phase, operator, seen):
        d, width, heads = self.d, self.shape.head_width, self.shape.heads
        cells, pulses = d["crossbar.cells_per_weight"], d["crossbar.pulses"]
        into, out = d["crossbar.input_bits"], d["architecture.logic.partial_sum_bits"]
        computed, left = seen * self.share(phase, operator), schemes.left(self, "attention")
        if operator == "scores":
            high = math.ceil(width / d["crossbar.rows"])
            wide = math.ceil(seen / max(d["crossbar.columns"] // cells, 1)) * left
            conversions, drives, adds = computed * high, width * wide, (high - 1) * computed
            bits = computed * high * out + width * wide * into
        else:
            together = min(d["crossbar.rows"], d["architecture.attention.size"] if self.kind == "blocked" else math.inf)
            high = math.ceil(seen / together) * left
            wide = math.ceil(width * cells / d["crossbar.columns"])
            conversions, drives, adds = width * high, computed * wide, width * high
            bits = computed * wide * into + width * high * out
        conversions *= self.converted()
        self.pay(
            phase,
            operator,
            adc=heads
            * conversions
            * (self.conversion()[0] * d["crossbar.adc.energy_scale"] + self.event("sample_hold")),
            shift_add=heads * conversions * self.event("shift_add") * self.scale,
            dac=heads * drives * pulses * self.pulse(self.of("data.drive", operator)),
            cell=heads * computed * width * cells * pulses * self.read(operator),
            partial_sum=heads * adds * self.event("adder") * self.scale,
        )
        self.move(phase, operator, heads * bits)
        return self.array_time()


class Element:
    """An element of softmax, a norm or an activation: what its unit does, step by step."""

    def __init__(self, point, name):
        self.point, self.name, self.d = point, name, point.d
        self.engine, self.kind = self.d[f"architecture.placement.{name}"], self.d[f"architecture.{name}.kind"]
        self.w, self.entries, self.entry_bits = (self.own(each) for each in ("input_bits", "entries", "entry_bits"))
        straight = self.own("interpolation")
        work = {  # floating-point operations, integer products, integer sums, functions of one number
            ("softmax", "exact"): (6, 0, 0, 0),
            ("softmax", "constant"): (5, 0, 0, 0),
            ("softmax", "hard-sigmoid"): (4, 0, 0, 0),
            ("softmax", "i-bert"): (0, 4, 6, 0),
            ("softmax", "base-2"): (0, 2, 3, 0),
            ("softmax", "table"): (0, 1 + straight, 2 + straight, 1),
            ("softmax", "exp-log"): (0, 2 * straight, 3 + 2 * straight, 2),
            ("softmax", "range-cam"): (0, 1, 2, 1),
            ("norm", "exact"): (5, 0, 0, 0),
            ("norm", "i-bert"): (0, 2, 3, 0),
            ("norm", "table"): (0, 2, 3, 0),
            ("norm", "range-cam"): (0, 0, 3, 2),
            ("activation", "exact"): (6, 0, 0, 0),
            ("activation", "i-bert"): (0, 2, 4, 0),
            ("activation", "table"): (0, straight, straight, 1),
            ("activation", "range-cam"): (0, 0, 0, 1),
        }
        if self.engine == "cam" and not work[name, self.kind][3]:
            self.kind = "range-cam"
        self.floats, self.products, self.sums, self.functions = work[name, self.kind]
        self.table = self.functions > 0 and self.kind != "range-cam"
        self.tables = self.entries + (self.own("log_entries") if self.kind == "exp-log" else 0)
        self.read = self.functions * self.entry_bits * (1 + straight) if self.table else 0
        self.analog = self.engine == "crossbar" and not self.functions
        self.stages = 1 if name == "activation" else 2

    def own(self, what):
        return self.d[f"architecture.{self.name}.{what}"]

    def ranges(self):
        """Runs of ones of each bit of a counter, one after another."""
        bits, gray = int(self.own("bits")), self.d.get(f"architecture.{self.name}.code", "gray") == "gray"
        codes = [value ^ (value >> 1) if gray else value for value in range(2**bits)]
        return sum(
            (code >> bit) & 1 and not (before >> bit) & 1
            for before, code in zip([0, *codes], codes, strict=False)
            for bit in range(bits)
        )

    def compared(self):
        if not self.table:
            return 2 * self.ranges()
        return self.tables * math.ceil(math.log2(self.entries))

    def sram_bit(self, bits):
        smaller = self.point.event("sram") * (bits / 8 / 32768) ** 0.78
        return max(smaller, self.point.event("register"))

    def energy(self):
        point, w = self.point, self.w
        if self.analog:
            once = min(self.d["crossbar.conversions_per_weight"], 1)
            conversion = point.conversion()[0] * self.d["crossbar.adc.energy_scale"] + point.event("sample_hold")
            pulses = self.d["crossbar.pulses"] * point.pulse(0.0)
            return self.stages * point.event("analog_stage") + once * (conversion + pulses)
        product, add = point.event("multiply") * w**2 / 64, point.event("accumulate") * w / 32
        operation = point.event("vector_operation")
        if self.engine == "sram-cim":
            product = operation = point.sram_mac(w, w)
            add = w * (point.charge("full_adder") + point.charge("flip_flop"))
        energy = self.floats * operation + self.products * product + self.sums * add
        if self.engine in {"cam", "crossbar"}:
            searches = self.functions + (self.engine == "crossbar" and self.table and self.name == "softmax")
            energy += searches * self.compared() * point.event("cam_bit")
        elif self.kind == "range-cam":
            bound = add if self.engine == "sram-cim" else w / 32 * point.event("comparator")
            energy += self.functions * 2 * self.ranges() * bound
        memory = EVENTS["near_memory"]["energy"]
        if self.engine == "near-memory":
            return energy + (w + self.own("output_bits") + self.read) * memory
        if not self.table:
            return energy
        if self.engine == "crossbar":
            g = self.d["device.g_min"] + 0.5 * (self.d["device.g_max"] - self.d["device.g_min"])
            volts, pulse = (point.cell(name, name) for name in ("read_voltage", "read_time"))
            return energy + self.read * volts**2 * pulse * g
        size = self.d["crossbar.rows"] * self.d["crossbar.columns"]
        return energy + self.read * self.sram_bit(size if self.engine == "sram-cim" else self.tables * self.entry_bits)

    def time(self):
        clock, pulse = 1 / self.d["architecture.logic.clock"], self.point.cell("read_time", "read_time")
        if self.engine == "near-memory":
            bits = (self.w + self.own("output_bits") + self.read) * self.d["architecture.logic.lanes"]
            return max(clock, bits / EVENTS["near_memory"]["bandwidth"])
        if self.analog:
            return self.stages * pulse
        if self.engine == "crossbar" and self.table:
            return (self.functions + (self.name == "softmax")) * max(clock, pulse)
        if self.engine in {"cam", "crossbar"}:
            return self.functions * max(clock, 0.582e-9)
        return clock * (self.w if self.engine == "sram-cim" else 1)

    def area(self):
        point, F2 = self.point, self.d["architecture.chips.node"] ** 2
        if self.analog:
            return self.stages * point.area_of("analog_stage")
        held = self.tables * self.entry_bits if self.table else 0
        if self.engine == "crossbar" and self.table:
            return (2 * self.compared() + held) * point.cell("area", "area_F2") * F2
        if self.engine in {"cam", "crossbar"}:
            return self.compared() * 553 * F2 + held * 146 * F2
        if self.engine == "sram-cim":
            return 0.0
        if self.kind == "range-cam":
            return 2 * self.ranges() * self.w / 32 * point.area_of("comparator")
        return held * 146 * F2 if self.engine == "digital" else 0.0


KINDS = {
    "embedding": "embedding",
    "qkv": "projections",
    "output": "projections",
    "ffn_up": "ffn",
    "ffn_down": "ffn",
    "head": "head",
    "search": "search",
}


def held_arrays(point):
    """Analog arrays, SRAM arrays, and the cells of weights and the bits of weights in them."""
    d, shape, analog, sram, cells, bits = point.d, point.shape, 0, 0, 0, 0
    for product, _ in schemes.products(point):
        engine = d[f"architecture.placement.{KINDS[product.operator]}"]
        high = math.ceil(product.rows / d["crossbar.rows"])
        if engine in {"crossbar", "dynamic-crossbar"}:
            columns = product.columns * d["crossbar.cells_per_weight"]
            analog += product.count * high * math.ceil(columns / d["crossbar.columns"])
            cells += product.count * product.rows * columns
        elif engine == "sram-cim":
            columns = product.columns * d["crossbar.weight_bits"]
            sram += product.count * high * math.ceil(columns / d["crossbar.columns"])
            bits += product.count * product.rows * columns
    weights = analog + sram
    tokens = d["workload.prefill"] + d["workload.decode"]
    for met, operator in schemes.held(point):
        width, d = met.shape.head_width, met.d
        heads = d["workload.batch"] * shape.layers * met.shape.kv_heads
        rows, columns = (width, tokens) if operator == "scores" else (tokens, width)
        engine = d[f"architecture.placement.{operator}"]
        high = math.ceil(rows / d["crossbar.rows"])
        if engine == "dynamic-crossbar":
            analog += heads * high * math.ceil(columns * d["crossbar.cells_per_weight"] / d["crossbar.columns"])
        elif engine == "sram-cim":
            sram += heads * high * math.ceil(columns * d["crossbar.weight_bits"] / d["crossbar.columns"])
    return analog, sram, cells, bits, weights


def total_area(point, analog, sram):
    d, F2 = point.d, point.d["architecture.chips.node"] ** 2
    rows, columns, per_array = d["crossbar.rows"], d["crossbar.columns"], d["crossbar.adc.per_array"]
    stacked = analog / d["architecture.chips.tiers"]
    cells = stacked * rows * columns * point.cell("area", "area_F2") * F2
    bits = d["crossbar.weight_bits"]
    total = bits + math.log2(max(rows, 2)) + d["crossbar.input_bits"]
    tree = (rows * (bits + 1) + total) * point.area_of("full_adder") + total * point.area_of("flip_flop")
    chips = max(math.ceil((analog + sram) / d["architecture.chips.arrays"]), 1)
    links = chips * 22.88e-6 if chips > 1 else 0.0
    tokens, batch = d["workload.prefill"] + d["workload.decode"], d["workload.batch"]
    kept = schemes.kept_entries(point, tokens) * batch * point.entry_bits()
    charges, hashes = schemes.beside_arrays(point, tokens)
    cells += charges * batch
    searching = "cam" in {d[f"architecture.placement.{name}"] for name in ("scores", "values")}
    other = (
        stacked * per_array * point.conversion()[1] * d["crossbar.adc.area_scale"]
        + stacked * rows * point.area_of("row_driver")
        + stacked * (per_array * point.area_of("shift_add") + columns * point.area_of("sample_hold"))
        + sram * (rows * columns * 426 * F2 + columns / bits * tree)
        + math.ceil((analog + sram) / d["architecture.chips.tile_arrays"])
        * sum(point.area_of(name) for name in ("edram", "bus", "router"))
        + d["architecture.logic.macs"] * (point.area_of("mac_unit") + (4 * 276 * 553 * F2 if searching else 0.0))
        + d["architecture.logic.lanes"] * point.area_of("vector_unit")
        + d["architecture.logic.lanes"] * sum(Element(point, name).area() for name in ("softmax", "norm", "activation"))
        + hashes * batch * 553 * F2
        + (kept * 146 * F2 if d["architecture.kv.location"] == "buffer" else 0.0)
    )
    area = cells + links + other
    said = chips * point.said("architecture.chips.area", area / chips)
    beside = memory_beside(point, tokens)
    leak = 5348.8 * 32 / point.nm * d["architecture.logic.leakage_scale"] * other * said / area
    return said + beside, leak, chips, kept


def memory_beside(point, tokens):
    """Area of dies that hold weights of engines that read them, and keys and values."""
    d, area = point.d, 0.0
    for product, _ in schemes.products(point):
        engine = d[f"architecture.placement.{KINDS[product.operator]}"]
        if engine in {"digital", "near-memory"}:
            bit = 10.7e-15 if engine == "near-memory" else 6.4e-15
            area += product.count * product.rows * product.columns * d["crossbar.weight_bits"] * bit
    if d["architecture.kv.location"] not in {"hbm", "lpddr"}:
        return area
    for operator in ("scores", "values"):
        near = d[f"architecture.placement.{operator}"] == "near-memory"
        bit = 10.7e-15 if near else {"hbm": 6.4e-15, "lpddr": 5e-15}[d["architecture.kv.location"]]
        entries = schemes.kept_entries(point, tokens, (operator,)) * d["workload.batch"]
        area += entries * d["architecture.kv.bits"] * bit
    return area


def scalar_cost(shape, design):
    """Every quantity of one point, as plain numbers."""
    point = Point(shape, design)
    d = point.d
    analog, sram, cells, bits, weight_arrays = held_arrays(point)
    area, leak, chips, kept = total_area(point, analog, sram)
    read, written, batch = (int(d[f"workload.{name}"]) for name in ("prefill", "decode", "batch"))
    lanes = d["architecture.logic.lanes"]
    tokens = {"prefill": range(1, read + 1), "decode": range(read + 1, read + written + 1)}
    stream, staged, passing, pairs_read = {}, {}, 0.0, 0
    for phase, steps in tokens.items():
        stream[phase], stages = 0.0, []
        for step in steps:
            time, stage, pairs = one_token(point, phase, step, chips, lanes)
            pairs_read += pairs if phase == "decode" else 0
            stream[phase] += time
            stages.append(stage)
            passing = time if phase == "prefill" else passing
        for product in shape.products:
            if product.last_only and read and phase == "prefill":
                point.static_product(phase, product, product.used)
        staged[phase] = sum(stages[: len(stages) - (phase == "prefill")])
    full = {"prefill": passing + staged["prefill"], "decode": max(staged["decode"], stream["decode"] / batch)}
    busy = full if d["architecture.pipelining"] == "full" else stream
    energy = {
        phase: sum(value for key, value in point.energy.items() if key[0] == phase) + leak * busy[phase]
        for phase in tokens
    }
    nan = math.nan
    kv = 0.0
    for operator in ("scores", "values"):
        sizes = point.met(operator).shape
        entries = sizes.kv_heads * sizes.head_width
        kv += pairs_read * entries * point.share("decode", operator) * point.entry_bits() / 8
    decoding = written > 0
    return {
        "energy_prefill": energy["prefill"],
        "energy_per_token": energy["decode"] / written if decoding else nan,
        "first_token_stream": stream["prefill"],
        "first_token_pipelined": full["prefill"],
        "time_per_token": stream["decode"] / written if decoding else nan,
        "tokens_per_second_stream": written / stream["decode"] if decoding else nan,
        "tokens_per_second_pipelined": written / staged["decode"] if decoding else nan,
        "power": energy["decode"] / busy["decode"] if decoding else energy["prefill"] / busy["prefill"],
        "static_power": leak,
        "area": area,
        "arrays": analog + sram,
        "chips": chips,
        "utilisation": (cells + bits) / (weight_arrays * d["crossbar.rows"] * d["crossbar.columns"])
        if weight_arrays
        else nan,
        "kv_traffic": kv / written if decoding else nan,
        "programming_energy": cells * point.cell("write_energy", "write_energy") * point.pulses_of_a_write
        + bits * point.event("sram_write"),
        "lifetime": wear(point, busy, kept),
    }


def one_token(point, phase, step, chips, lanes):
    """Time of a token's pass, its longest stage, and its pairs, with its energies entered."""
    d, shape = point.d, point.shape
    time, longest, shared, pairs, pair_time, digital = 0.0, 0.0, 0.0, 0, 0.0, 0.0
    last = step == d["workload.prefill"] or phase == "decode"
    for product, beside in schemes.products(point):
        before, left = dict(point.energy), schemes.left(point, product.operator)
        each, serial = point.static_product(phase, product, product.used * left)
        if product.last_only and phase == "prefill":
            point.energy = defaultdict(float, before)  # entered once, elsewhere
        if last or not product.last_only:
            time += product.steps * each * left * (serial or not beside)
        if serial:
            digital += product.steps * each
        else:
            longest = max(longest, each)
    units = {name: Element(point, name) for name in ("softmax", "norm", "activation")}
    softmax = shape.heads * point.share(phase, "values") * units["softmax"].time() / lanes
    softmax *= schemes.has_softmax(point)
    leave, block = schemes.left(point, "attention"), schemes.block_time(point, units["softmax"].time() / lanes)
    for group in shape.attention:
        seen = d["workload.prefill"] if phase == "prefill" and not shape.causal else step
        seen = min(seen, group.window or math.inf)
        for _ in range(group.layers):
            pairs += seen
            a = b = 0.0
            for operator in ("scores", "values"):
                per_pair, per_token = point.attention(phase, operator, seen)
                a, b = a + per_pair * point.share(phase, operator), b + per_token
                longest = max(longest, per_token)
            per_pair, per_kept, per_token = schemes.search(point, phase, seen)
            a, b = a + per_pair + per_kept * point.share(phase, "values"), b + per_token
            longest = max(longest, per_token)
            time += (a + softmax) * seen + b * leave
            time += block * schemes.later_blocks(point, phase, step, group.window)
            pair_time = max(a, softmax + block / d["architecture.attention.size"])
    elements = {
        "softmax": shape.heads * point.share(phase, "values") * pairs * schemes.has_softmax(point),
        "norm": shape.norm_elements * schemes.left(point, "norm"),
        "activation": shape.activation_elements * schemes.left(point, "activation"),
    }
    for name, unit in units.items():
        point.pay(phase, name, all=elements[name] * unit.energy())
    vectors = sum(elements[name] * units[name].time() for name in ("norm", "activation")) / lanes
    between_chips = (chips - 1) * shape.width * d["crossbar.input_bits"]
    point.pay(phase, "ffn_down", link=between_chips * point.said("architecture.links.energy", 50.78125e-12))
    time += vectors + between_chips / point.said("architecture.links.bandwidth", 204.8e9)
    shared = pair_time * pairs + vectors
    return time, max(longest, digital, shared), pairs


def wear(point, busy, kept):
    d = point.d
    if not any(met.d[f"architecture.placement.{name}"] == "dynamic-crossbar" for met, name in schemes.held(point)):
        return math.inf
    endurance = point.cell("endurance", "endurance") / point.pulses_of_a_write
    decoding = d["workload.decode"] > 0
    time, tokens = (busy["decode"], d["workload.decode"]) if decoding else (busy["prefill"], d["workload.prefill"])
    if d["architecture.kv.location"] != "array" and point.kind != "cascaded":
        return endurance * time / tokens
    if not decoding:
        return endurance * time
    context = d["workload.prefill"] + d["workload.decode"]
    if d["architecture.kv.rotation"] == "none":
        return endurance * time / tokens
    if not math.isinf(d["architecture.kv.capacity"]):
        context = d["architecture.kv.capacity"] * 8 / (kept / context)
    return endurance * context * time / tokens
