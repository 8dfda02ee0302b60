"""The cost of one point whose operators see different entries: a loop over tokens, layers and operators by name."""

import math
from collections import defaultdict
from dataclasses import replace

from scalar import KINDS, Element, Point, wear

DYNAMIC = ("scores", "values")
UNITS = ("softmax", "norm", "activation")
STATIC = {"crossbar", "sram-cim", "near-memory", "digital"}


def engines(kind):
    return STATIC ^ {"crossbar", "dynamic-crossbar"} if kind in DYNAMIC else STATIC


class Network:
    """Points of all operators: alike entries have one point, and all points one account of energy."""

    def __init__(self, shape, design, overrides):
        self.shape, self.overrides, self.points = shape, overrides, {}
        self.base = Point(shape, design)
        self.energy = self.base.energy
        self.given = dict(self.base.d)

    def at(self, name, kind):
        """The point of an operator; overrides: predicates of names, engines, and entries by part."""
        d, parts = dict(self.given), {}
        for fits, engine, entries in self.overrides:
            if fits(name):
                parts |= entries
                if engine in engines(kind):
                    d[f"architecture.placement.{kind}"] = engine
        for part, entries in parts.items():
            if part not in UNITS or part == kind:
                d |= entries
        key = (kind if kind in UNITS else "", frozenset(item for item in d.items() if self.concerns(item[0], kind, d)))
        if key not in self.points:
            self.points[key] = Point(self.shape, d)
            self.points[key].energy = self.energy
        return self.points[key]

    @staticmethod
    def concerns(path, kind, d):
        if path.startswith("architecture.placement."):
            return path.endswith(f".{kind}")
        if any(path.startswith(f"architecture.{unit}.") for unit in UNITS):
            return path.startswith(f"architecture.{kind}.")
        if path.startswith(("device.", "crossbar.")) and kind in UNITS:
            return d[f"architecture.placement.{kind}"] in {"crossbar", "sram-cim"}
        return True


def placement(operator):
    return KINDS.get(operator, operator)


def layers_of(product):
    found = defaultdict(list)
    for matrix in product.matrices:
        name = matrix[0][0]
        found[".".join(name.split(".")[:2]) if name.startswith("layers.") else name].append(matrix)
    return found


def parts_of(network, product, matrix):
    """What of a matrix has the same entries: its point and its columns."""
    columns = defaultdict(int)
    for name, width in matrix:
        columns[network.at(name, placement(product.operator))] += width
    return columns


def static_products(network, phase, product, entered=True):
    """Time of a product's steps, of digital units in them, and of the longest array."""
    before = dict(network.energy)
    time = digital = longest = 0.0
    layers = layers_of(product)
    for matrices in layers.values():
        own, together = 0.0, 0.0
        for matrix in matrices:
            for point, columns in parts_of(network, product, matrix).items():
                one = replace(product, columns=columns)
                each, serial = point.static_product(phase, one, product.used / product.count)
                if serial:
                    together += each / len(matrices)
                else:
                    own = max(own, each)
        steps = product.steps / len(layers)
        time, digital, longest = time + steps * max(own, together), digital + steps * together, max(longest, own)
    if not entered:
        network.energy.clear()
        network.energy |= before
    return time, digital, longest


def token(network, phase, step, chips):
    """Time of a token's pass, its longest stage, and bits of keys and values that it reads."""
    d, shape, lanes = network.given, network.shape, network.given["architecture.logic.lanes"]
    time = longest = digital = shared = vectors = bits = 0.0
    last = step == d["workload.prefill"] or phase == "decode"
    for product in shape.products:
        once = product.last_only and phase == "prefill"
        each, serial, array = static_products(network, phase, product, entered=not once)
        time += each if last or not product.last_only else 0.0
        digital, longest = digital + serial, max(longest, array)
    for group in shape.attention:
        seen = d["workload.prefill"] if phase == "prefill" and not shape.causal else step
        seen = min(seen, group.window or math.inf)
        for name in group.names:
            points = {each: network.at(f"{name}.{each}", each) for each in (*DYNAMIC, "softmax")}
            unit = Element(points["softmax"], "softmax")
            softmax = shape.heads * unit.time() / lanes
            network.base.pay(phase, "softmax", all=shape.heads * seen * unit.energy())
            a = b = 0.0
            for operator in DYNAMIC:
                per_pair, per_token = points[operator].attention(phase, operator, seen)
                a, b, longest = a + per_pair, b + per_token, max(longest, per_token)
                bits += seen * shape.kv_heads * shape.head_width * points[operator].entry_bits()
            time, shared = time + (a + softmax) * seen + b, shared + max(a, softmax) * seen
    for kind, named in (("norm", shape.norms), ("activation", shape.activations)):
        for name, elements in named:
            unit = Element(network.at(name, kind), kind)
            network.base.pay(phase, kind, all=elements * unit.energy())
            vectors += elements * unit.time() / lanes
    link = (chips - 1) * shape.width * link_bits(network)
    network.base.pay(phase, "ffn_down", link=link * network.base.said("architecture.links.energy", 50.78125e-12))
    time += vectors + link / network.base.said("architecture.links.bandwidth", 204.8e9)
    return time, max(longest, digital, shared + vectors), bits


def link_bits(network):
    """Bits of inputs of the first matrices of a layer, on average over layers."""
    first = next(product for product in network.shape.products if product.operator == "qkv")
    bits = [
        max(point.d["crossbar.input_bits"] for point in parts_of(network, first, matrix)) for matrix in first.matrices
    ]
    return sum(bits) / len(bits)


def held(network):
    """Arrays, and cells of weights, of every point."""
    found = defaultdict(lambda: defaultdict(float))
    d, shape = network.given, network.shape
    for product in shape.products:
        for matrix in product.matrices:
            for point, columns in parts_of(network, product, matrix).items():
                engine = point.d[f"architecture.placement.{placement(product.operator)}"]
                high, mine = math.ceil(product.rows / point.d["crossbar.rows"]), found[point]
                if engine in {"crossbar", "sram-cim"}:
                    analog = engine == "crossbar"
                    wide = columns * point.d["crossbar.cells_per_weight" if analog else "crossbar.weight_bits"]
                    arrays = high * math.ceil(wide / point.d["crossbar.columns"])
                    mine["analog" if analog else "sram"] += arrays
                    mine["weights"] += arrays
                    mine["cells" if analog else "bits"] += product.rows * wide
                else:
                    bit = 10.7e-15 if engine == "near-memory" else 6.4e-15
                    mine["dram"] += product.rows * columns * point.d["crossbar.weight_bits"] * bit
    tokens = d["workload.prefill"] + d["workload.decode"]
    for _, operator, point in attending(network):
        rows, columns = (shape.head_width, tokens) if operator == "scores" else (tokens, shape.head_width)
        engine, mine = point.d[f"architecture.placement.{operator}"], found[point]
        entries = tokens * d["workload.batch"] * shape.kv_heads * shape.head_width
        mine["kept"] += entries * point.entry_bits()
        if engine in {"dynamic-crossbar", "sram-cim"}:
            analog = engine != "sram-cim"
            wide = columns * point.d["crossbar.cells_per_weight" if analog else "crossbar.weight_bits"]
            high = math.ceil(rows / point.d["crossbar.rows"])
            heads = d["workload.batch"] * shape.kv_heads
            arrays = heads * high * math.ceil(wide / point.d["crossbar.columns"])
            mine["analog" if analog else "sram"] += arrays
        if d["architecture.kv.location"] in {"hbm", "lpddr"}:
            bit = {"hbm": 6.4e-15, "lpddr": 5e-15}[d["architecture.kv.location"]]
            mine["dram"] += entries * point.entry_bits() * (10.7e-15 if engine == "near-memory" else bit)
    return found


def area_of(network, found):
    """Area of chips and of memory beside them, power that leaks, and chips."""
    base, d, F2 = network.base, network.given, network.given["architecture.chips.node"] ** 2
    arrays = sum(mine["analog"] + mine["sram"] for mine in found.values())
    cells, other = 0.0, 0.0
    for point, mine in found.items():
        rows, columns, converters = (point.d[f"crossbar.{name}"] for name in ("rows", "columns", "adc.per_array"))
        stacked, bits = mine["analog"] / d["architecture.chips.tiers"], point.d["crossbar.weight_bits"]
        cells += stacked * rows * columns * point.cell("area", "area_F2") * F2
        width = bits + math.log2(max(rows, 2)) + point.d["crossbar.input_bits"]
        tree = (rows * (bits + 1) + width) * base.area_of("full_adder") + width * base.area_of("flip_flop")
        other += (
            stacked
            * converters
            * (point.conversion()[1] * point.d["crossbar.adc.area_scale"] + base.area_of("shift_add"))
        )
        other += stacked * (rows * base.area_of("row_driver") + columns * base.area_of("sample_hold"))
        other += mine["sram"] * (rows * columns * 426 * F2 + columns / bits * tree)
        other += mine["kept"] * 146 * F2 if d["architecture.kv.location"] == "buffer" else 0.0
    chips = max(math.ceil(arrays / d["architecture.chips.arrays"]), 1)
    links = chips * 22.88e-6 if chips > 1 else 0.0
    lanes = d["architecture.logic.lanes"]
    tiles = math.ceil(arrays / d["architecture.chips.tile_arrays"])
    other += tiles * sum(base.area_of(name) for name in ("edram", "bus", "router"))
    other += d["architecture.logic.macs"] * base.area_of("mac_unit") + lanes * base.area_of("vector_unit")
    if "cam" in {point.d[f"architecture.placement.{operator}"] for _, operator, point in attending(network)}:
        other += d["architecture.logic.macs"] * 4 * 276 * 553 * F2
    other += lanes * sum(Element(point, kind).area() for kind, point in units(network))
    area = cells + links + other
    said = chips * base.said("architecture.chips.area", area / chips)
    leak = 5348.8 * 32 / base.nm * d["architecture.logic.leakage_scale"] * other * said / area
    return said + sum(mine["dram"] for mine in found.values()), leak, chips


def attending(network):
    """Products of attention of all layers, and their points."""
    for name in (name for group in network.shape.attention for name in group.names):
        for operator in DYNAMIC:
            yield name, operator, network.at(f"{name}.{operator}", operator)


def units(network):
    """Distinct units of softmax, norms and activations."""
    shape = network.shape
    names = [("softmax", f"{name}.softmax") for group in shape.attention for name in group.names]
    names += [("norm", name) for name, _ in shape.norms] + [("activation", name) for name, _ in shape.activations]
    return dict.fromkeys((kind, network.at(name, kind)) for kind, name in names)


def layered_cost(shape, design, overrides):
    """Every quantity of one point, as plain numbers."""
    network = Network(shape, design, overrides)
    d, found = network.given, held(network)
    area, leak, chips = area_of(network, found)
    read, written, batch = (int(d[f"workload.{name}"]) for name in ("prefill", "decode", "batch"))
    tokens = {"prefill": range(1, read + 1), "decode": range(read + 1, read + written + 1)}
    stream, staged, passing, bits = {}, {}, 0.0, 0.0
    for phase, steps in tokens.items():
        times = [token(network, phase, step, chips) for step in steps]
        stream[phase] = sum(time for time, _, _ in times)
        passing = times[-1][0] if phase == "prefill" else passing
        bits = sum(each for _, _, each in times)
        staged[phase] = sum(stage for _, stage, _ in times[: len(times) - (phase == "prefill")])
    for product in shape.products:
        if product.last_only:
            static_products(network, "prefill", product)
    full = {"prefill": passing + staged["prefill"], "decode": max(staged["decode"], stream["decode"] / batch)}
    busy = full if d["architecture.pipelining"] == "full" else stream
    energy = {
        phase: sum(value for key, value in network.energy.items() if key[0] == phase) + leak * busy[phase]
        for phase in tokens
    }
    kept = sum(mine["kept"] for mine in found.values())
    keeping = {
        point
        for _, operator, point in attending(network)
        if point.d[f"architecture.placement.{operator}"] == "dynamic-crossbar"
    }
    lives = [wear(point, busy, kept) for point in keeping]
    weights = sum(
        mine["weights"] * point.d["crossbar.rows"] * point.d["crossbar.columns"] for point, mine in found.items()
    )
    used = sum(mine["cells"] + mine["bits"] for mine in found.values())
    return {
        "energy_prefill": energy["prefill"],
        "energy_per_token": energy["decode"] / written,
        "first_token_stream": stream["prefill"],
        "first_token_pipelined": full["prefill"],
        "time_per_token": stream["decode"] / written,
        "tokens_per_second_pipelined": written / staged["decode"],
        "static_power": leak,
        "area": area,
        "arrays": sum(mine["analog"] + mine["sram"] for mine in found.values()),
        "chips": chips,
        "utilisation": used / weights if weights else math.nan,
        "kv_traffic": bits / 8 / written,
        "programming_energy": sum(
            mine["cells"] * point.cell("write_energy", "write_energy") * point.pulses_of_a_write
            + mine["bits"] * point.event("sram_write")
            for point, mine in found.items()
        ),
        "lifetime": min(lives, default=math.inf),
    }
