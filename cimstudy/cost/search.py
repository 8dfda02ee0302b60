"""What schemes take to choose keys, and tokens: approximate scores, tables, hashes, rankings, where they are placed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cimstudy.cost import dynamic, leaving, meeting
from cimstudy.cost.coefficients import event, node_of
from cimstudy.cost.design import Group
from cimstudy.cost.dynamic import Attended
from cimstudy.cost.events import Events, events_of, multiply_accumulate
from cimstudy.cost.latency import Span
from cimstudy.cost.nonlinear import sram_bit
from cimstudy.cost.redundancy import Redundancy
from cimstudy.cost.shapes import ModelShape, Product

PLACEMENT = "architecture.placement.search"
OF_WRITTEN_KEYS = ("digital", "dynamic-crossbar")
PLACED: Mapping[str, tuple[str, ...]] = {  # where the search of a scheme may be
    "threshold": OF_WRITTEN_KEYS,
    "fused": OF_WRITTEN_KEYS,
    "product_quantised": ("digital", "crossbar", "dynamic-crossbar"),
    "hashed": ("digital", "cam"),
}
RANKED = ("top_k", "token_pruning", "early_exit")  # by vector units, wherever a search is placed
IN_ARRAYS = {  # of an operand of few bits and its product: a pair of cells of many levels, one pulse, a comparator
    "crossbar.cells_per_weight": 2.0,
    "crossbar.conversions_per_weight": 1.0,
    "crossbar.converted_pulses": 1.0,
    "crossbar.pulses": 1.0,
    "crossbar.adc.bits": 1.0,
}
XOR = 4  # gates of two inputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Sought:
    """A search of one layer of a network of so many layers. span : of the tokens that are read. longest : context."""

    shape: ModelShape
    group: Group
    events: Events
    depth: int
    span: Span
    longest: Any

    def number(self, name: str) -> Any:
        """A number of the scheme."""
        return self.group.numbers[f"architecture.attention.{name}"]

    @property
    def lanes(self) -> Any:
        """Elements a second of vector units."""
        return self.group.numbers["architecture.logic.lanes"] * self.group.numbers["architecture.logic.clock"]

    @property
    def macs(self) -> Any:
        """Multiply-accumulates a second of digital units."""
        return self.group.numbers["architecture.logic.macs"] * self.group.numbers["architecture.logic.clock"]

    @property
    def mac(self) -> Any:
        """Energy of a multiply-accumulate with an entry of a key."""
        bits = self.group.numbers["architecture.kv.bits"]
        return multiply_accumulate(self.events.scaling, (bits, bits))

    def ranking(self, places: Any) -> Any:
        """Energy of comparing a number with those of a sorted list, which halves at each comparison."""
        known = np.where(np.isnan(places), 1.0, places)
        return np.ceil(np.log2(known + 1)) * self.events.scaling.energy("comparator")


def engine_of(group: Group) -> str:
    """Where a search is."""
    return group.choices[PLACEMENT]


def searches(group: Group) -> bool:
    """Whether a scheme chooses keys or tokens by what they are."""
    kind = meeting.kind_of(group)
    if kind == "fused":
        return group.choices["architecture.attention.mask"] == "searched"
    return kind in PLACED or kind in RANKED


def is_placed(group: Group) -> bool:
    """Whether a scheme has a search that `placement.search` places."""
    return searches(group) and meeting.kind_of(group) in PLACED


def is_counted(group: Group) -> bool:
    """Whether a scheme has a search, and where it can be."""
    return searches(group) and engine_of(group) in PLACED.get(meeting.kind_of(group), (engine_of(group),))


def is_approximate(group: Group) -> bool:
    """Whether a search multiplies operands of few bits."""
    return searches(group) and meeting.kind_of(group) in {"threshold", "fused"}


def of_few_bits(group: Group) -> Group:
    """The same points with scores as a search of few bits computes them."""
    bits = group.numbers["architecture.attention.bits"]
    few = {
        "architecture.kv.bits": bits,
        "crossbar.input_bits": bits,
        "crossbar.pulse_bits": np.maximum(bits - 1, 1),
        **{path: np.full(1, value) for path, value in IN_ARRAYS.items()},
    }
    engine = {"architecture.placement.scores": engine_of(group)}
    return replace(group, numbers={**group.numbers, **few}, choices={**group.choices, **engine})


def approximate(sought: Sought) -> Attended:
    """Scores of few bits. Digital units read the first bits of keys that are written once, for their exact scores."""
    few = of_few_bits(sought.group)
    found = dynamic.attended("scores", sought.shape, few, events_of(few))
    return replace(found, per_token={}) if engine_of(sought.group) == "digital" else found


def product_quantised(sought: Sought) -> Attended:
    """Relevances, sums of table entries: a key's codes once, a query's tables, and a lookup for each part of a pair."""
    shape, events, numbers = sought.shape, sought.events, sought.group.numbers
    parts, entries = sought.number("subspaces"), sought.number("centroids")
    products, code = entries * shape.head_width, parts * np.ceil(np.log2(entries))  # of a head: a book's, and bits
    bits = numbers["architecture.logic.partial_sum_bits"]
    table = sram_bit(events.scaling, parts * entries * bits)
    digital = engine_of(sought.group) == "digital"  # tables are in arrays where they are not
    coded, tabled = shape.kv_heads * products, shape.heads * products if digital else 0.0
    book = shape.kv_heads * products * numbers["architecture.kv.bits"] * (2 if digital else 1)
    nearest = shape.kv_heads * parts * entries * events.scaling.energy("comparator")
    return Attended(
        per_token={
            "mac": (coded + tabled) * sought.mac + nearest,
            "buffer": (book + shape.kv_heads * code) * events.bit_to_array
            + shape.heads * parts * entries * bits * table,
        },
        per_pair={
            "buffer": shape.kv_heads * code * events.bit_to_array + shape.heads * parts * bits * table,
            "partial_sum": shape.heads * (parts - 1) * events.add,
            "mac": shape.heads * sought.ranking(sought.number("k")),
        },
        pair_time=shape.heads * parts / sought.lanes,
        token_time=(coded + tabled) / sought.macs,
    )


def hashed(sought: Sought) -> Attended:
    """Hashes of queries and keys, and comparisons of every bit of every pair."""
    shape, events, scaling = sought.shape, sought.events, sought.events.scaling
    bits, in_cam = sought.number("bits"), engine_of(sought.group) == "cam"
    products = (shape.heads + shape.kv_heads) * shape.head_width * bits
    matrix = shape.kv_heads * shape.head_width * bits * sought.group.numbers["architecture.kv.bits"]
    stored = shape.kv_heads * bits
    project = {"mac": products * sought.mac, "buffer": matrix * events.bit_to_array}
    time = products / sought.macs
    if in_cam:
        turns = shape.heads / shape.kv_heads
        return Attended(
            per_token=project | {"write": stored * events.sram_write},
            per_pair={"cell": shape.heads * bits * scaling.energy("cam_bit")},
            token_time=time + turns * search_time(scaling.node),
        )
    differing = bits * (XOR * scaling.charge("gate") + scaling.charge("full_adder")) / 2  # half of the bits
    return Attended(
        per_token=project | {"buffer": (matrix + stored) * events.bit_to_array},
        per_pair={
            "mac": shape.heads * (differing + scaling.energy("comparator")),
            "buffer": stored * events.bit_to_array,
        },
        pair_time=shape.heads / sought.lanes,
        token_time=time,
    )


def search_time(node: Any) -> Any:
    """Time of one search of a content-addressable memory, s."""
    return event("cam_bit", "time") / node_of("cam_bit") * node


def top_k(sought: Sought) -> Attended:
    """The highest scores: those that the falling ramps of converters meet first, or those that comparisons find."""
    shape, scaling = sought.shape, sought.events.scaling
    if sought.group.choices["architecture.placement.scores"] == "dynamic-crossbar":
        return Attended(per_pair={}, per_token={}, per_kept={"adc": shape.heads * scaling.energy("counter")})
    return Attended(
        per_pair={"mac": shape.heads * sought.ranking(sought.number("k"))},
        per_token={},
        pair_time=shape.heads / sought.lanes,
    )


def token_pruning(sought: Sought) -> Attended:
    """What tokens have received of all heads, and the tokens in the order of it: in a decoder for every query."""
    shape, events = sought.shape, sought.events
    bits = sought.group.numbers["architecture.logic.partial_sum_bits"]
    received = {"partial_sum": (shape.heads + 1) * events.add, "buffer": 2 * bits * events.bit_to_array}
    order = {"mac": sought.ranking(sought.longest)}
    causal = sought.span.causal
    return Attended(
        per_pair=order if causal else {},
        per_token={} if causal else order,
        per_kept=received,
        pair_time=1 / sought.lanes if causal else 0.0,
        token_time=0.0 if causal else 1 / sought.lanes,
        kept_time=(shape.heads + 1) / sought.lanes,
    )


def early_exit(sought: Sought) -> Attended:
    """Cosines of the states of a token before and after a layer, of three products, where tokens may leave."""
    tested = np.maximum(sought.depth - sought.number("least") + 1, 0) / sought.depth
    share = leaving.computed_share(sought.group, sought.span, sought.depth)
    elements = 3 * sought.shape.width * tested * np.where(np.isnan(share), 1.0, share)
    return Attended(
        per_pair={},
        per_token={"mac": elements * sought.events.scaling.energy("vector_operation")},
        token_time=elements / sought.lanes,
    )


KINDS: Mapping[str, Callable[[Sought], Attended]] = {
    "threshold": approximate,
    "fused": approximate,
    "product_quantised": product_quantised,
    "hashed": hashed,
    "top_k": top_k,
    "token_pruning": token_pruning,
    "early_exit": early_exit,
}


def searched(sought: Sought) -> Attended:
    """What a search takes."""
    return KINDS[meeting.kind_of(sought.group)](sought)


def arrays(shape: ModelShape, group: Group, tokens: Any, redundancy: Redundancy | None) -> tuple[Any, Any]:
    """Analog and SRAM arrays of what a search holds of so many tokens."""
    if not is_approximate(group):
        return 0.0, 0.0
    return dynamic.arrays("scores", shape, of_few_bits(group), tokens, redundancy)


def cam_bits(shape: ModelShape, group: Group, tokens: Any) -> Any:
    """Cells of content-addressable memories that hold the hashes of so many tokens."""
    if meeting.kind_of(group) != "hashed" or engine_of(group) != "cam":
        return 0.0
    return shape.layers * shape.kv_heads * group.numbers["architecture.attention.bits"] * tokens


def tables(shape: ModelShape, group: Group) -> list[Product]:
    """Centroids in arrays, a matrix for each part of each key head, where a search is in arrays."""
    if meeting.kind_of(group) != "product_quantised" or engine_of(group) not in {"crossbar", "dynamic-crossbar"}:
        return []
    parts, entries = (group.numbers[f"architecture.attention.{name}"] for name in ("subspaces", "centroids"))
    return [
        Product(
            operator="search",
            rows=np.ceil(shape.head_width / parts),
            columns=entries,
            count=parts * shape.kv_heads * shape.layers,
            used=parts * shape.heads * shape.layers,
            steps=shape.layers * shape.heads / shape.kv_heads,
        )
    ]
