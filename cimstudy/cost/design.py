"""The design under study, as arrays: an entry for each number or choice that costs depend on, by its dotted path."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.adc import MODELS, MOST_BITS
from cimstudy.cost.coefficients import table
from cimstudy.cost.ledger import OPERATIONS
from cimstudy.cost.overrides import Applied, Overrides, taken
from cimstudy.errors import InputError

Array = NDArray[np.float64]
Numbers = Mapping[str, Array]
Rows = NDArray[np.intp]
NO_FACTORS: Mapping[str, Any] = {}
LARGEST = float(np.finfo(np.float64).max)
UNSAID = math.nan  # the coefficient files, or the device's technology, say what it is


@dataclass(frozen=True, kw_only=True)
class Number:
    """An entry that is a number."""

    default: float
    meaning: str  # with its unit
    least: float = 0.0
    positive: bool = True  # `least` itself is not allowed
    most: float = math.inf  # infinity itself is allowed where it is the default, or nothing is


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An entry that is one of some names; the first is the default."""

    allowed: tuple[str, ...]
    meaning: str

    @property
    def default(self) -> str:
        """The first."""
        return self.allowed[0]


STATIC = ("crossbar", "sram-cim", "near-memory", "digital")
DYNAMIC = ("digital", "dynamic-crossbar", "sram-cim", "near-memory", "cam")
SEARCH = ("digital", "crossbar", "dynamic-crossbar", "cam")
NONLINEAR = ("digital", "crossbar", "sram-cim", "near-memory", "cam")
SCHEMES = (
    "full",
    "blocked",
    "window",
    "top_k",
    "threshold",
    "fused",
    "decomposed",
    "cascaded",
    "product_quantised",
    "hashed",
    "gain_cell",
    "token_pruning",
    "early_exit",
)


def count(default: float, meaning: str) -> Number:
    """A number of at least 1."""
    return Number(default=default, meaning=meaning, least=1.0, positive=False)


def share(default: float, meaning: str, most: float = math.inf) -> Number:
    """A number of at least 0."""
    return Number(default=default, meaning=meaning, positive=False, most=most)


NUMBERS: Mapping[str, Number] = {
    "workload.prefill": share(512, "tokens that are read"),
    "workload.decode": share(0, "tokens that are written after them"),
    "workload.batch": count(1, "sequences together"),
    "crossbar.rows": count(128, "rows of an array"),
    "crossbar.columns": count(128, "columns of an array"),
    "crossbar.active_rows": count(math.inf, "rows driven together"),
    "crossbar.cells_per_weight": count(2, "cells side by side that hold a weight"),
    "crossbar.conversions_per_weight": share(1, "converted columns of those; 0: currents are read exactly"),
    "crossbar.weights.slices": count(1, "slices of a weight"),
    "crossbar.cells_of_current": count(2, "cells that hold a number that is written as a current, not sliced"),
    "crossbar.conversions_of_current": share(1, "converted columns of those"),
    "crossbar.weight_bits": count(8, "bits of a weight"),
    "crossbar.input_bits": count(8, "bits of an input"),
    "crossbar.pulse_bits": count(7, "bits of a pulse that drives a row"),
    "crossbar.pulses": count(1, "pulses of an input"),
    "crossbar.converted_pulses": count(1, "conversions of a column for an input"),
    "crossbar.adc.bits": Number(default=8, meaning="effective bits", least=1, positive=False, most=MOST_BITS),
    "crossbar.adc.rate": Number(default=1.28e9, meaning="conversions a second of one converter, Hz"),
    "crossbar.adc.per_array": count(1, "converters that the columns of an array share"),
    "crossbar.adc.energy_scale": Number(default=1.0, meaning="multiplies the energy of a conversion"),
    "crossbar.adc.area_scale": Number(default=1.0, meaning="multiplies the area of a converter"),
    "crossbar.periphery_scale": Number(default=1.0, meaning="multiplies the energy of what is around arrays but ADCs"),
    "device.g_min": share(0.0, "S"),
    "device.g_max": Number(default=25e-6, meaning="S"),
    "device.cost.read_voltage": Number(default=UNSAID, meaning="V"),
    "device.cost.read_time": Number(default=UNSAID, meaning="s"),
    "device.cost.write_energy": Number(default=UNSAID, meaning="J a cell and pulse"),
    "device.cost.write_time": Number(default=UNSAID, meaning="s a pulse"),
    "device.cost.write_pulses": count(UNSAID, "pulses of a write that is verified"),
    "device.cost.endurance": Number(default=UNSAID, meaning="pulses that a cell bears"),
    "device.cost.area": Number(default=UNSAID, meaning="squares of the feature size"),
    "device.faults.stuck_on": share(0.0, "share of cells", most=1.0),
    "device.faults.stuck_off": share(0.0, "share of cells", most=1.0),
    "device.rewritable": share(1.0, "whether cells are written at inference: 0 or 1", most=1.0),
    "data.drive": share(0.5, "mean square of a row's drive over a full one; bit-serial: share of ones", most=1.0),
    "data.level": share(0.5, "mean of a cell's (g - g_min) / (g_max - g_min)", most=1.0),
    "data.computed": share(UNSAID, "share of the tokens of a layer that it computes, on average", most=1.0),
    "data.scored": share(UNSAID, "share of the keys in sight whose exact score is computed", most=1.0),
    "data.kept": share(UNSAID, "share of the keys in sight whose values are weighed", most=1.0),
    "architecture.attention.width": share(UNSAID, "keys to either side that kind='window' keeps"),
    "architecture.attention.k": count(UNSAID, "keys that kind='top_k' and 'product_quantised' keep"),
    "architecture.attention.window": share(UNSAID, "tokens that 'gain_cell' holds; or to either side, of 'hashed'"),
    "architecture.attention.size": count(64, "tokens of a block of 'blocked'"),
    "architecture.attention.bits": count(4, "bits of the operands of a search, with the sign; or of a hash"),
    "architecture.attention.distance": share(UNSAID, "bits in which matching hashes may differ"),
    "architecture.attention.subspaces": count(8, "parts of a key of 'product_quantised'"),
    "architecture.attention.centroids": count(16, "of each part"),
    "architecture.attention.keep": share(
        UNSAID, "share of the keys that 'threshold' and 'fused' keep; of the tokens, 'token_pruning'", most=1.0
    ),
    **{
        f"architecture.{unit}.{name}": entry
        for unit in ("softmax", "norm", "activation")
        for name, entry in {
            "input_bits": count(16, "of an element that a unit takes"),
            "output_bits": count(16, "of an element that a unit gives"),
            "entries": Number(default=256, meaning="of a table", least=2, positive=False),
            "entry_bits": count(16, "of an entry of a table"),
            "interpolation": share(0, "whether straight lines join the entries: 0 or 1", most=1.0),
            "bits": count(8, "of what ranges give"),
        }.items()
    },
    "architecture.softmax.log_entries": Number(default=256, meaning="of the table of ln", least=2, positive=False),
    "architecture.attention.rows": count(64, "tokens of a sub-tile of 'gain_cell'"),
    "architecture.attention.query_bits": count(4, "bits of queries of 'gain_cell', with the sign"),
    "architecture.attention.output_bits": share(5, "bits of a sub-tile's counter of 'gain_cell'; 0: none"),
    "architecture.attention.cosine": share(UNSAID, "at which tokens leave by 'early_exit'; more than 1: never"),
    "architecture.attention.least": count(1, "layers that every token goes through with 'early_exit'"),
    "architecture.logic.voltage": Number(default=0.8, meaning="supply of the logic, V"),
    "architecture.logic.partial_sum_bits": count(16, "bits of a partial sum between arrays"),
    "architecture.chips.tile_arrays": count(96, "arrays that share a buffer and a router"),
    "architecture.links.hops": share(4.0, "routers between two tiles, on average"),
    "architecture.logic.leakage_scale": share(1.0, "multiplies static power"),
    "architecture.buffers.bank": Number(
        default=65536, meaning="bytes of a tile's buffer, on which a bit's energy depends"
    ),
    "architecture.buffers.capacity": Number(default=math.inf, meaning="bytes of keys and values in buffers of a chip"),
    "architecture.buffers.energy": Number(default=UNSAID, meaning="J a bit, read or written"),
    "architecture.links.energy": Number(default=UNSAID, meaning="J a bit between chips"),
    "architecture.links.bandwidth": Number(default=UNSAID, meaning="bit/s of a chip's links together"),
    "architecture.chips.node": Number(default=32e-9, meaning="feature size, m"),
    "architecture.chips.arrays": count(16128, "arrays of a chip"),
    "architecture.chips.count": count(math.inf, "chips there are"),
    "architecture.chips.area": Number(default=UNSAID, meaning="m2 of one chip; unsaid: the sum of its parts"),
    "architecture.chips.tiers": count(1, "arrays stacked in one place"),
    "architecture.logic.macs": count(16384, "8-bit multiply-accumulates a clock of all digital units together"),
    "architecture.logic.lanes": count(1024, "elements a clock of all vector units together"),
    "architecture.logic.clock": Number(default=1e9, meaning="Hz"),
    "architecture.redundancy.copies": count(1, "of an array, itself included, on whose outputs there is a vote"),
    "architecture.redundancy.slices": count(UNSAID, "most significant slices that have copies; unsaid: all"),
    "architecture.redundancy.share": share(UNSAID, "of places that have a sound cell in one of several arrays", 1.0),
    "architecture.kv.bits": count(16, "of an entry of a key or a value"),
    "architecture.kv.capacity": Number(default=math.inf, meaning="bytes for keys and values of all sequences"),
    "architecture.kv.energy": Number(default=UNSAID, meaning="J a bit read from where keys and values are"),
    "architecture.kv.bandwidth": Number(default=UNSAID, meaning="bit/s from there"),
}
CHOICES: Mapping[str, Choice] = {
    "crossbar.adc.model": Choice(allowed=tuple(MODELS), meaning="model of a converter's energy and area"),
    "crossbar.dac.model": Choice(allowed=("library", "zigzag28"), meaning="model of a row driver's energy"),
    "device.technology": Choice(
        allowed=tuple(table("cells")), meaning="what cells cost where they do not say; of others it is not known"
    ),
    "architecture.placement.embedding": Choice(allowed=STATIC, meaning="engine"),
    "architecture.placement.projections": Choice(allowed=STATIC, meaning="engine"),
    "architecture.placement.ffn": Choice(allowed=STATIC, meaning="engine"),
    "architecture.placement.head": Choice(allowed=STATIC, meaning="engine"),
    "architecture.placement.scores": Choice(allowed=DYNAMIC, meaning="engine"),
    "architecture.placement.values": Choice(allowed=DYNAMIC, meaning="engine"),
    "architecture.placement.search": Choice(allowed=SEARCH, meaning="engine, if the scheme searches for keys"),
    "architecture.placement.softmax": Choice(allowed=NONLINEAR, meaning="engine"),
    "architecture.placement.norm": Choice(allowed=NONLINEAR, meaning="engine"),
    "architecture.placement.activation": Choice(allowed=NONLINEAR, meaning="engine"),
    "architecture.redundancy.vote": Choice(allowed=("median", "mean"), meaning="of the outputs of copies"),
    "architecture.attention.kind": Choice(allowed=SCHEMES, meaning="scheme of attention"),
    "architecture.softmax.kind": Choice(
        allowed=("exact", "i-bert", "base-2", "constant", "hard-sigmoid", "table", "exp-log", "range-cam"),
        meaning="how a unit computes",
    ),
    "architecture.norm.kind": Choice(allowed=("exact", "i-bert", "table"), meaning="how a unit computes"),
    "architecture.activation.kind": Choice(
        allowed=("exact", "i-bert", "table", "range-cam"), meaning="how a unit computes"
    ),
    **{
        f"architecture.{unit}.code": Choice(allowed=("gray", "binary"), meaning="of the bits that ranges give")
        for unit in ("softmax", "activation")
    },
    "architecture.attention.mask": Choice(
        allowed=("searched", "none"), meaning="whether kind='fused' searches for keys at all"
    ),
    "architecture.attention.context": Choice(
        allowed=("inputs", "values"), meaning="what kind='decomposed' multiplies softmax by"
    ),
    "architecture.attention.pulse": Choice(
        allowed=("hard_sigmoid", "softmax"), meaning="what kind='gain_cell' makes of scores"
    ),
    "architecture.kv.location": Choice(
        allowed=("hbm", "lpddr", "buffer", "array"), meaning="where the keys and values of earlier tokens are kept"
    ),
    "architecture.kv.rotation": Choice(
        allowed=("ring", "none"), meaning="whether keys and values wear all cells in turn"
    ),
    "architecture.pipelining": Choice(
        allowed=("stream", "full"), meaning="one token at a time, or as many as there are stages"
    ),
}
PER_OPERATOR = ("data.drive", "data.level")  # may be given for one operator, as "data.drive.qkv"
PER_LAYER = ("architecture.attention.width", "architecture.attention.keep")  # or for one layer, as "....width.3"


@dataclass(frozen=True, kw_only=True, eq=False)
class Whole:
    """All points of a design, with defaults where it says nothing. Each entry is (1,) or (points,).

    Nothing is a bare number: NumPy would compute its powers and logarithms by other code than those of arrays, and the
    last bits of a point's results would depend on what else varies.
    """

    numbers: Numbers
    choices: Mapping[str, NDArray[Any]]
    overrides: Overrides
    factors: Numbers  # what some numbers are multiplied by, those of overrides, too
    points: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Points with the same choices."""

    rows: Rows  # of all points, in their order
    numbers: Numbers  # each (1,) or (points,)
    choices: Mapping[str, str]
    overrides: tuple[Applied, ...] = ()

    @property
    def points(self) -> int:
        """How many."""
        return len(self.rows)

    @property
    def varied(self) -> list[Array]:
        """Numbers that differ from point to point, in the order in which `changed` meets them."""
        found: list[Array] = []
        self.changed(found.append)
        return found

    def changed(self, change: Callable[[Array], Any], **others: Any) -> "Group":
        """The same with other numbers where they differ from point to point. others : fields."""

        def changed(numbers: Numbers) -> Numbers:
            return {path: change(values) if values.size > 1 else values for path, values in numbers.items()}

        overrides = tuple(
            replace(own, numbers={part: changed(numbers) for part, numbers in own.numbers.items()})
            for own in self.overrides
        )
        return replace(self, numbers=changed(self.numbers), overrides=overrides, **others)

    def part(self, rows: slice) -> "Group":
        """Some of the points."""
        return self.changed(lambda values: values[rows], rows=self.rows[rows])


def completed(design: Mapping[str, Any], factors: Mapping[str, Any] = NO_FACTORS) -> Whole:
    """A design with its defaults. factors : what some numbers are multiplied by, those of overrides, too.

    Raises InputError for an unknown path, a bad value, or lengths that do not agree.
    """
    for path in design:
        if path not in NUMBERS and path not in CHOICES and not is_part(path) and path != "overrides":
            raise InputError(
                f"{path}: unknown to the cost of a design; known: {', '.join([*NUMBERS, *CHOICES, 'overrides'])}"
            )
    numbers = {path: number(path, design.get(path, entry.default), entry) for path, entry in NUMBERS.items()}
    for path in filter(is_part, design):
        numbers[path] = number(path, design[path], NUMBERS[path.rpartition(".")[0]])
    choices = {path: choice(path, design.get(path, entry.default), entry) for path, entry in CHOICES.items()}
    overrides = Overrides.of(design.get("overrides", ()))
    check_overrides(overrides)
    times = {path: number(path, values, NUMBERS[path]) for path, values in factors.items()}
    arrays = (*numbers.values(), *choices.values(), *times.values(), overrides.which)
    sizes = {array.size for array in arrays} - {1}
    if len(sizes) > 1:
        raise InputError(f"entries of a design have {', '.join(map(str, sorted(sizes)))} points; allowed: one length")
    if np.any(numbers["device.g_min"] >= numbers["device.g_max"]):
        raise InputError("device.g_min is not below device.g_max; allowed: conductances that rise, in S")
    return Whole(
        numbers=numbers,
        choices=choices,
        overrides=overrides,
        factors=times,
        points=sizes.pop() if sizes else 1,
    )


def check_overrides(overrides: Overrides) -> None:
    """Raise InputError for an unknown path or a bad value among the entries of overrides."""
    given: dict[str, list[Any]] = defaultdict(list)
    for own in (own for each in overrides.distinct for own in each):
        for _, path, value in own:
            given[path].append(value)
    for path, values in given.items():
        if path in NUMBERS:
            number(path, values, NUMBERS[path])
        elif path in CHOICES:
            choice(path, values, CHOICES[path])
        else:
            raise InputError(f"{path}: unknown to an override of a design; known: {', '.join([*NUMBERS, *CHOICES])}")


@cache
def is_of_operator(path: str) -> bool:
    """Whether a path names a number of one operator."""
    root, _, operator = path.rpartition(".")
    return root in PER_OPERATOR and operator in OPERATIONS


def is_of_layer(path: str) -> bool:
    """Whether a path names a number of one layer."""
    root, _, layer = path.rpartition(".")
    return root in PER_LAYER and layer.isdecimal()


def is_part(path: str) -> bool:
    """Whether a path names a number of one operator or layer."""
    return is_of_operator(path) or is_of_layer(path)


def number(path: str, value: Any, entry: Number) -> Array:
    """The values of an entry, (1,) or (points,). Raises InputError for a bad one."""
    try:
        found = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise InputError(f"{path} = {value!r}; allowed: a number, or one for each point") from None
    if found.ndim > 1 or not found.size:
        given = f"{found.ndim} dimensions" if found.size else "no values"
        raise InputError(f"{path} has {given}; allowed: a number, or one for each point")
    if is_within(found, entry):
        return found
    good = (found > entry.least) if entry.positive else (found >= entry.least)
    good &= found <= (min(entry.most, LARGEST) if math.isfinite(entry.default) else entry.most)
    if math.isnan(entry.default):
        good |= np.isnan(found)
    if not good.all():
        sign = "above" if entry.positive else "at least"
        end = f", at most {entry.most:g}" if entry.most < math.inf else ""
        raise InputError(f"{path} = {found[~good].flat[0]:g}; allowed: {sign} {entry.least:g}{end} ({entry.meaning})")
    return found


def is_within(found: Array, entry: Number) -> bool:
    """Whether all values are clearly allowed; a NaN never is."""
    return bool(found.min() > entry.least and found.max() <= min(entry.most, LARGEST))


def choice(path: str, value: Any, entry: Choice) -> NDArray[Any]:
    """The names of an entry, (1,) or (points,). Raises InputError for an unknown one."""
    found = np.atleast_1d(np.asarray(value, np.str_))
    if path == "device.technology":
        return found
    for name in np.unique(found).tolist():
        if name not in entry.allowed:
            raise InputError(f"{path} = {name!r}; allowed: {', '.join(entry.allowed)}")
    return found


def groups(whole: Whole) -> Iterator[Group]:
    """The points of a design in groups with the same choices and overrides."""
    varied = [path for path, names in whole.choices.items() if names.size > 1]
    fixed = {path: str(names[0]) for path, names in whole.choices.items() if names.size == 1}
    forms = whole.overrides.forms
    redundant = np.not_equal(whole.numbers["architecture.redundancy.copies"], 1) | np.isfinite(
        whole.numbers["architecture.redundancy.share"]
    )
    kinds = (*(whole.choices[path] for path in varied), forms, redundant)
    columns = [column for column in kinds if column.size > 1]
    for rows in alike(columns, whole.points):
        here = fixed | {path: str(whole.choices[path][rows[0]]) for path in varied}
        for mine, overrides in by_difference(whole, rows, here):
            own = rows[mine]
            place = index_of(own)
            factors = {path: taken(array, place) for path, array in whole.factors.items()}
            numbers = {path: taken(array, place) for path, array in whole.numbers.items()}
            yield Group(
                rows=own,
                numbers=numbers | {path: numbers[path] * times for path, times in factors.items()},
                choices=here,
                overrides=tuple(override.within(mine, factors) for override in overrides),
            )


def index_of(rows: Rows) -> slice | Rows:
    """Rows as an index: a slice where they follow one another, by which nothing is copied."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == len(rows) - 1 else rows


def alike(columns: Sequence[NDArray[Any]], count: int) -> list[Rows]:
    """The rows that have the same values in all columns, (count,), together."""
    if not columns:
        return [np.arange(count)]
    codes = np.zeros(count, np.intp)
    for column in columns:
        values, mine = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + mine, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def by_difference(whole: Whole, rows: Rows, choices: Mapping[str, str]) -> Iterator[tuple[Rows, list[Applied]]]:
    """Points of the same choices and form of overrides, by the parts in which overrides differ from the whole.

    Those are found for each point by itself, so that its company does not change its results.  rows : of these points.
    Places among them are given, with the overrides of all.
    """
    overrides = whole.overrides.at(rows)
    numbers = {path: taken(array, rows) for path, array in whole.numbers.items()} if overrides else {}
    differences = [override.differences(numbers, choices) for override in overrides]
    columns = [np.broadcast_to(column, len(rows)) for parts in differences for column in parts.values()]
    for mine in alike(columns, len(rows)):
        yield (
            mine,
            [
                override.differing_in(part for part, column in parts.items() if taken(column, mine)[0])
                for override, parts in zip(overrides, differences, strict=True)
            ],
        )
