"""A network whose operators see different entries: what stands side by side, and which layers are alike.

A source says where an operator's entries come from: for each part, the number of the override that gives it; what no
override changes is left out. Operators of the same source share a setting.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from cimstudy.cost.design import Group
from cimstudy.cost.shapes import Attention, ModelShape, Named, Product
from cimstudy.hardware.placement import operator_kind, winners

OPERATORS = ("scores", "values", "search", "softmax")  # of the attention of a layer
UNITS = ("softmax", "norm", "activation")
IN_ARRAYS = ("crossbar", "sram-cim")  # engines of these whose cost depends on arrays
Source = tuple[tuple[str, int], ...]
SourceOf = Callable[[str], Source]
Step = tuple[float, tuple[tuple[Product, Source], ...]]
Alike = tuple[tuple[Attention, ...], tuple[Source, ...]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an override gives. differing : the parts in which it differs from what operators see without it."""

    pattern: str
    parts: tuple[str, ...]
    engine: str | None
    differing: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where the entries of all operators come from.

    steps : how many that wait for one another, and products side by side.  attention : layers that are alike, and the
    source of each operator of their attention.  elements : of norms and activations, a token.
    """

    steps: tuple[Step, ...]
    attention: tuple[Alike, ...]
    elements: Mapping[str, tuple[tuple[float, Source], ...]]


def placed_in(shape: ModelShape, group: Group) -> Placed:
    """Where the entries of all operators come from, at the points of a group."""
    rules = tuple(
        Rule(pattern=own.pattern, parts=tuple(own.numbers), engine=own.engine, differing=own.differing)
        for own in group.overrides
    )
    root = "architecture.placement."
    engines = tuple((path.removeprefix(root), name) for path, name in group.choices.items() if path.startswith(root))
    return placed(shape, rules, engines)


@lru_cache(maxsize=256)
def placed(shape: ModelShape, rules: tuple[Rule, ...], engines: tuple[tuple[str, str], ...]) -> Placed:
    """Where the entries of all operators come from. engines : by kind of operator, those of no override."""

    def source(name: str) -> Source:
        return source_of(name, rules, dict(engines))

    return Placed(
        steps=tuple(step for product in shape.products for step in steps_of(product, source)),
        attention=attention_of(shape.attention, source),
        elements={"norm": by_source(shape.norms, source), "activation": by_source(shape.activations, source)},
    )


def source_of(name: str, rules: tuple[Rule, ...], engines: Mapping[str, str]) -> Source:
    """Where the entries of an operator come from."""
    given = [(rule.pattern, dict.fromkeys(rule.parts) | {"engine": rule.engine}) for rule in rules]
    last, kind = winners(given, name), operator_kind(name)
    engine = rules[last["engine"]].engine if "engine" in last else engines[kind]
    found = {
        part: number
        for part, number in last.items()
        if part != "engine" and part in rules[number].differing and concerns(part, kind, engine)
    }
    if engine != engines[kind]:
        found["engine"] = last["engine"]
    return tuple(sorted(found.items()))


def concerns(part: str, kind: str, engine: str | None) -> bool:
    """Whether what an operator costs on an engine depends on a part."""
    if part in UNITS:
        return part == kind
    return kind not in UNITS or engine in IN_ARRAYS


def steps_of(product: Product, source: SourceOf) -> list[Step]:
    """A product's steps, by what stands side by side in a layer. What of a matrix has a source of its own is apart."""
    layers: dict[str, Counter[tuple[Source, float]]] = defaultdict(Counter)
    for matrix in product.matrices:
        columns: dict[Source, float] = defaultdict(float)
        for name, width in matrix:
            columns[source(name)] += width
        layers[layer_of(matrix[0][0])].update(columns.items())
    alike = Counter(tuple(sorted(parts.items())) for parts in layers.values())
    if not alike or (len(alike) == 1 and len(next(iter(alike))) == 1):
        return [(product.steps, ((product, only_source(alike)),))]
    found = []
    for parts, count in alike.items():
        products = tuple((part_of(product, columns, count * each), own) for (own, columns), each in parts)
        found.append((product.steps * count / len(layers), products))
    return found


def only_source(alike: Iterable[tuple[tuple[tuple[Source, float], int], ...]]) -> Source:
    """The source of all layers; that of no override where there are no names."""
    return next((parts[0][0][0] for parts in alike), ())


def part_of(product: Product, columns: float, count: int) -> Product:
    """So many of a product's matrices, or parts of them with so many columns."""
    share = count / product.count
    return replace(
        product,
        columns=int(columns),
        count=count,
        used=product.used * share,
        steps=product.steps * share,
        matrices=(),
    )


def layer_of(name: str) -> str:
    """The layer of an operator: "layers.3"; of others what they begin with."""
    return ".".join(name.split(".")[:2]) if name.startswith("layers.") else name.partition(".")[0]


def attention_of(groups: tuple[Attention, ...], source: SourceOf) -> tuple[Alike, ...]:
    """Layers by the sources of the operators of their attention."""
    found: dict[tuple[Source, ...], list[Attention]] = defaultdict(list)
    for group in groups:
        alike: dict[tuple[Source, ...], list[str]] = defaultdict(list)
        for name in group.names:
            alike[tuple(source(f"{name}.{operator}") for operator in OPERATORS)].append(name)
        if not group.names:
            found[((),) * len(OPERATORS)].append(group)
        for sources, names in alike.items():
            found[sources].append(replace(group, layers=len(names), names=tuple(names)))
    return tuple((tuple(mine), sources) for sources, mine in found.items())


def by_source(named: Named, source: SourceOf) -> tuple[tuple[float, Source], ...]:
    """Elements of operators with the same source."""
    found: dict[Source, float] = defaultdict(int)
    for name, elements in named:
        found[source(name)] += elements
    return tuple((elements, own) for own, elements in found.items())
