"""What attention schemes change in the cost of a `scalar.Point`, the slow way: a loop over tokens, nothing shared."""

import math
from dataclasses import replace

RANKED = ("top_k", "token_pruning", "early_exit")


def halvings(places):
    """Comparisons that place a number among sorted ones."""
    found = 0
    while 2**found < places + 1:
        found += 1
    return found


def inputs_met(point, operator):
    """Whether inputs stand in place of keys, or of values."""
    if operator == "values":
        return point.kind == "decomposed" and point.d["architecture.attention.context"] == "inputs"
    return point.kind in {"decomposed", "fused"}


def met(point, operator):
    sizes = {"kv_heads": 1, "head_width": point.shape.width} if inputs_met(point, operator) else {}
    changes = {}
    if point.kind == "cascaded":
        for name in ("cells", "conversions"):
            changes[f"crossbar.{name}_per_weight"] = point.d[f"crossbar.{name}_of_current"]
    return point.variant(changes, **sizes)


def shared(point, operator):
    """Whether values are the inputs that are there as keys."""
    engines = [point.d[f"architecture.placement.{name}"] for name in ("scores", "values")]
    return operator == "values" and inputs_met(point, "values") and engines[0] == engines[1]


def products(point):
    """Products with static matrices, and whether each stands beside the one before it."""
    shape, found = point.shape, []
    for product in shape.products:
        if product.operator != "qkv" or point.kind not in {"decomposed", "fused", "cascaded"}:
            found.append((product, False))
            continue
        own, turns = shape.head_width * shape.kv_heads, shape.heads // shape.kv_heads
        q = replace(product, columns=shape.head_width * shape.heads)
        v = replace(product, columns=own)
        more = {"count": product.count * shape.kv_heads, "used": product.used * shape.heads}
        k = replace(product, rows=shape.head_width, columns=shape.width, steps=product.steps * turns, **more)
        if point.kind == "decomposed" and inputs_met(point, "values"):
            each = replace(product, columns=shape.head_width, steps=product.steps * turns, **more)
            found += [(q, False), (k, False), (each, False)]
        elif point.kind == "decomposed":
            found += [(replace(q, columns=q.columns + v.columns), False), (k, False)]
        elif point.kind == "fused":
            more["count"] = product.count * shape.heads
            found += [(replace(product, columns=shape.width, **more), False), (v, True)]
        else:
            found += [(q, False), (replace(product, columns=2 * own, currents=True), True)]
    if point.kind == "product_quantised" and point.d["architecture.placement.search"] in {
        "crossbar",
        "dynamic-crossbar",
    }:
        parts, layers = number(point, "subspaces"), shape.layers
        table = {"rows": math.ceil(shape.head_width / parts), "columns": number(point, "centroids")}
        table |= {"count": parts * shape.kv_heads * layers, "used": parts * shape.heads * layers}
        first = replace(shape.products[0], operator="search", steps=layers * shape.heads / shape.kv_heads, **table)
        found.append((first, False))
    return found


def currents(point, phase, product, times, tiles):
    """A product whose outputs are sampled, and are not converted; returns its time."""
    high, wide = tiles
    d, name = point.d, product.operator
    point.pay(
        phase,
        name,
        adc=times * high * product.columns * point.event("sample_hold"),
        dac=times * product.rows * wide * d["crossbar.pulses"] * point.pulse(point.of("data.drive", name)),
        cell=times
        * product.rows
        * product.columns
        * d["crossbar.cells_per_weight"]
        * d["crossbar.pulses"]
        * point.read(name),
    )
    point.move(phase, name, times * product.rows * wide * d["crossbar.input_bits"])
    return d["crossbar.pulses"] * point.turns() * point.cell("read_time", "read_time") + point.hop_time()


def held(point):
    """What arrays hold of tokens: points as each product meets them, and the product."""
    if point.kind == "gain_cell":
        return []
    found = [(point.met(name), name) for name in ("scores", "values") if not shared(point, name)]
    if point.kind in {"threshold", "fused"} and searches(point):
        few = of_few_bits(point)
        return [*found, (few, "scores")]
    return found


def kept_entries(point, tokens, operators=("scores", "values")):
    """Entries of keys and values of a sequence."""
    window = number(point, "window")
    if point.kind == "gain_cell" and not math.isnan(window):
        tokens = min(tokens, window)
    sizes = [point.met(name).shape for name in operators if name == "scores" or not inputs_met(point, name)]
    return tokens * point.shape.layers * sum(one.kv_heads * one.head_width for one in sizes)


def beside_arrays(point, tokens):
    """Area of gain cells of a sequence, and the bits of its hashes in content-addressable memory."""
    shape, window = point.shape, number(point, "window")
    each = shape.layers * shape.kv_heads
    charges = 2 * each * shape.head_width * point.area_of("gain_cell") * (0 if math.isnan(window) else window)
    in_cam = point.kind == "hashed" and point.d["architecture.placement.search"] == "cam"
    return charges * (point.kind == "gain_cell"), each * number(point, "bits") * tokens * in_cam


def has_softmax(point):
    return point.kind != "gain_cell" or point.d["architecture.attention.pulse"] == "softmax"


def block_time(point, element):
    """Time of rescaling by one block."""
    return point.shape.heads * (point.shape.head_width + 1) * element if point.kind == "blocked" else 0.0


def later_blocks(point, phase, step, window):
    """Blocks that a query meets after its first one, with their energy entered."""
    if point.kind != "blocked":
        return 0
    size, read, place = number(point, "size"), point.d["workload.prefill"], step - 1
    if phase == "prefill" and not point.shape.causal:
        count = math.ceil(min(read, window or math.inf) / size) - 1
    else:
        first = place // size * size if phase == "prefill" else place  # of the queries that are met together
        start = max(0, first - (window or math.inf) + 1)
        count = len({key // size for key in range(int(start), place + 1)}) - 1
    operations = point.shape.heads * (2 * point.shape.head_width + 6)
    point.pay(phase, "softmax", mac=count * operations * point.event("vector_operation"))
    return count


def share(point, phase, operator):
    """Of all pairs of a phase, those whose scores are computed or whose values are weighed: a loop over tokens."""
    kind, d, shape = point.kind, point.d, point.shape
    if (kind == "top_k" and operator == "scores") or unsaid(point):
        return 1.0
    if kind in {"threshold", "fused"}:
        return 1.0 if math.isnan(number(point, "keep")) else number(point, "keep")
    if kind == "early_exit":
        return left(point, "attention")
    if kind == "token_pruning" and not shape.causal:
        alive = tokens_left(point)
        return sum((count / alive[0][1]) ** 2 for count, _ in alive) / len(alive)
    read, written = int(d["workload.prefill"]), int(d["workload.decode"])
    steps = range(1, read + 1) if phase == "prefill" else range(read + 1, read + written + 1)
    both = phase == "prefill" and not shape.causal
    pairs = kept = 0
    for group in shape.attention:
        for step in steps:
            last = read if both else step
            seen = min(last, group.window or math.inf)
            pairs += group.layers * seen
            for layer in range(shape.layers):  # which of them are in a group is not said
                kept += group.layers * min(seen, most_of(point, layer, step, last)) / shape.layers
    return kept / max(pairs, 1)


def unsaid(point):
    """Whether a number of a layer is not known that decides what it keeps: all counts then."""
    if point.kind == "window":
        return any(math.isnan(width_of(point, layer)) for layer in range(point.shape.layers))
    return point.kind == "token_pruning" and any(
        math.isnan(keep_of(point, layer)) for layer in range(point.shape.layers)
    )


def width_of(point, layer):
    own = point.d.get(f"architecture.attention.width.{layer}", math.nan)
    return number(point, "width") if math.isnan(own) else own


def most_of(point, layer, step, last):
    """Keys that a token keeps at most."""
    width = width_of(point, layer)
    if point.kind == "window":
        return sum(not abs(other - step) > width for other in range(1, last + 1))
    if point.kind == "token_pruning":
        return math.ceil(keep_of(point, layer) * step)
    given = {"top_k": "k", "product_quantised": "k", "gain_cell": "window"}.get(point.kind)
    return math.inf if given is None or math.isnan(number(point, given)) else number(point, given)


def keep_of(point, layer):
    """Share of the tokens that a layer keeps."""
    own, last = point.d.get(f"architecture.attention.keep.{layer}", math.nan), number(point, "keep")
    if not math.isnan(own):
        return own
    deep = point.shape.layers - 1
    return last if not deep or layer == deep else 1 + layer * ((last - 1) / deep)


def tokens_left(point):
    """Tokens that each layer still has, and how many there were."""
    tokens = max(point.d["workload.prefill"], 1)
    found, before = [], tokens
    for layer in range(point.shape.layers):
        before = min(before, math.ceil(keep_of(point, layer) * tokens))
        found.append((before, tokens))
    return found


def left(point, operator):
    """Share of an operator's work for tokens that have not left."""
    shape, given = point.shape, point.d["data.computed"]
    if point.kind == "early_exit":
        share = 1.0 if math.isnan(given) else given
    elif point.kind == "token_pruning" and not shape.causal:
        alive = [(1, 1)] if unsaid(point) else tokens_left(point)
        share = sum(count / tokens for count, tokens in alive) / len(alive) if math.isnan(given) else given
        return share if operator not in {"head", "embedding", "search"} else 1.0
    else:
        return 1.0
    if operator == "qkv":
        heads, kv_heads = shape.heads, shape.kv_heads
        return (share * heads + 2 * kv_heads) / (heads + 2 * kv_heads)
    whole = {"head": 1.0, "embedding": 1.0, "search": 1.0, "keys": 1.0, "norm": (1 + share) / 2}
    return whole.get(operator, share)


def number(point, name):
    return point.d[f"architecture.attention.{name}"]


def searches(point):
    kind, engine = point.kind, point.d["architecture.placement.search"]
    if kind == "fused" and point.d["architecture.attention.mask"] == "none":
        return False
    placed = {
        "threshold": ("digital", "dynamic-crossbar"),
        "fused": ("digital", "dynamic-crossbar"),
        "product_quantised": ("digital", "crossbar", "dynamic-crossbar"),
        "hashed": ("digital", "cam"),
    }
    return kind in RANKED or engine in placed.get(kind, ())


def search(point, phase, seen):
    """Energies and times of the search of a token that sees so many."""
    if not searches(point):
        return 0.0, 0.0, 0.0
    return {
        "threshold": few_bits,
        "fused": few_bits,
        "product_quantised": product_quantised,
        "hashed": hashed,
        "top_k": top_k,
        "token_pruning": token_pruning,
        "early_exit": early_exit,
    }[point.kind](point, phase, seen)


def few_bits(point, phase, seen):
    few = of_few_bits(point)
    per_pair, per_token = few.product_of_attention(phase, "scores", seen)
    digital = point.d["architecture.placement.search"] == "digital"
    for (_, _, component), energy in few.energy.items():
        own = few.shape.kv_heads * few.shape.head_width * few.d["architecture.kv.bits"] * few.kept_in("digital")[0]
        bits = own if component == "memory" and digital else 0.0  # keys are written for their exact scores
        point.pay(phase, "search", **{component: energy - bits})
    return per_pair, 0.0, per_token


def of_few_bits(point):
    """A search of few bits as a point of full attention."""
    bits, nan = number(point, "bits"), math.nan
    pair = {f"crossbar.{name}": 1 for name in ("conversions_per_weight", "converted_pulses", "pulses", "adc.bits")}
    changes = pair | {
        "crossbar.cells_per_weight": 2,
        "crossbar.input_bits": bits,
        "crossbar.pulse_bits": max(bits - 1, 1),
        "architecture.kv.bits": bits,
        "architecture.attention.kind": "full",
        "architecture.placement.scores": point.d["architecture.placement.search"],
        "data.scored": nan,
        "data.kept": nan,
    }
    sizes = {"kv_heads": 1, "head_width": point.shape.width} if point.kind == "fused" else {}
    return point.variant(changes, **sizes)


def buffered(point, phase, bits):
    point.pay(phase, "search", buffer=bits * point.bit_to_array())


def product_quantised(point, phase, seen):
    heads, kv_heads, width = point.shape.heads, point.shape.kv_heads, point.shape.head_width
    parts, entries, bits = number(point, "subspaces"), number(point, "centroids"), point.d["architecture.kv.bits"]
    out, mac, compare = point.d["architecture.logic.partial_sum_bits"], point.mac(bits, bits), point.event("comparator")
    table = max(point.event("sram") * (parts * entries * out / 8 / 32768) ** 0.78, point.event("register"))
    code = parts * math.ceil(math.log2(entries))
    in_arrays = point.d["architecture.placement.search"] != "digital"
    time = 0.0
    for _ in range(kv_heads):  # the codes of a key
        point.pay(phase, "search", mac=entries * width * mac + parts * entries * compare)
        buffered(point, phase, entries * width * bits + code)
        time += entries * width / point.speed()
        if not in_arrays:
            buffered(point, phase, entries * width * bits)  # the book again, for the heads that share it
    for _ in range(heads):  # the tables of a query
        if not in_arrays:
            point.pay(phase, "search", mac=entries * width * mac)
            time += entries * width / point.speed()
        point.pay(phase, "search", buffer=parts * entries * out * table)
        k = number(point, "k")
        find = compare * halvings(1 if math.isnan(k) else k)
        point.pay(
            phase,
            "search",
            buffer=seen * parts * out * table,
            partial_sum=seen * (parts - 1) * point.event("adder") * point.scale,
            mac=seen * find,
        )
    buffered(point, phase, seen * kv_heads * code)
    return heads * parts / point.lanes(), 0.0, time


def hashed(point, phase, seen):
    heads, kv_heads, width = point.shape.heads, point.shape.kv_heads, point.shape.head_width
    bits, entry = number(point, "bits"), point.d["architecture.kv.bits"]
    in_cam, time, pair = point.d["architecture.placement.search"] == "cam", 0.0, 0.0
    buffered(point, phase, kv_heads * width * bits * entry)
    for _ in range(heads + kv_heads):
        point.pay(phase, "search", mac=width * bits * point.mac(entry, entry))
        time += width * bits / point.speed()
    if in_cam:
        point.pay(phase, "search", write=kv_heads * bits * point.event("sram_write"))
        point.pay(phase, "search", cell=seen * heads * bits * point.event("cam_bit"))
        time += heads / kv_heads * 0.582e-9 * point.nm / 45
    else:
        buffered(point, phase, kv_heads * bits * (1 + seen))
        differ = bits * (4 * point.charge("gate") + point.charge("full_adder")) / 2
        point.pay(phase, "search", mac=seen * heads * (differ + point.event("comparator")))
        pair = heads / point.lanes()
    return pair, 0.0, time


def top_k(point, phase, seen):
    heads = point.shape.heads
    if point.d["architecture.placement.scores"] == "dynamic-crossbar":
        point.pay(phase, "search", adc=seen * point.share(phase, "values") * heads * point.event("counter"))
        return 0.0, 0.0, 0.0
    k = number(point, "k")
    point.pay(phase, "search", mac=seen * heads * halvings(1 if math.isnan(k) else k) * point.event("comparator"))
    return heads / point.lanes(), 0.0, 0.0


def token_pruning(point, phase, seen):
    causal, d = point.shape.causal, point.d
    kept, heads = seen * point.share(phase, "values"), point.shape.heads
    longest = d["workload.prefill"] + d["workload.decode"]
    bits = d["architecture.logic.partial_sum_bits"]
    point.pay(phase, "search", partial_sum=kept * (heads + 1) * point.event("adder") * point.scale)
    buffered(point, phase, kept * 2 * bits)
    times = seen if causal else left(point, "keys")  # a token that is left is placed once
    point.pay(phase, "search", mac=times * halvings(longest) * point.event("comparator"))
    return (1 / point.lanes() if causal else 0.0), (heads + 1) / point.lanes(), 0.0 if causal else 1 / point.lanes()


def early_exit(point, phase, seen):
    layers = point.shape.layers
    elements = 3 * point.shape.width * max(layers - number(point, "least") + 1, 0) / layers * left(point, "attention")
    point.pay(phase, "search", mac=elements * point.event("vector_operation"))
    return 0.0, 0.0, elements / point.lanes()


def gain_cells(point, phase, operator, seen):
    """Energies of a product with charges; returns the time of the token."""
    d, heads, kv_heads, width = point.d, point.shape.heads, point.shape.kv_heads, point.shape.head_width
    held = seen * point.share(phase, operator)
    window = number(point, "window")
    tiles = math.ceil(min(seen, math.inf if math.isnan(window) else window) / number(point, "rows"))
    bits, out = number(point, "query_bits"), number(point, "output_bits")
    point.pay(
        phase,
        operator,
        cell=held * heads * width * point.event("gain_cell"),
        write=kv_heads * width * point.event("gain_cell", "write_energy"),
    )
    if operator == "scores":
        drives = tiles * heads * width * point.driver(max(bits - 1, 1)) * point.scale
        point.pay(phase, operator, adc=held * heads * point.event("comparator"), dac=drives)
        point.move(phase, operator, tiles * heads * width * bits)
    else:
        steps = 2 ** (out - 1) - 1 if out else 0
        counted = point.event("counter") * out / 32 * steps + 0.0
        point.pay(
            phase,
            operator,
            dac=held * heads * point.driver(1) * point.scale,
            adc=tiles * heads * width * counted,
            partial_sum=tiles * heads * width * point.event("adder") * point.scale,
        )
        point.move(phase, operator, tiles * heads * width * d["architecture.logic.partial_sum_bits"])
    return heads / kv_heads * 32.5e-9 + point.hop_time()
