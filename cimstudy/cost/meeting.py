"""What meets in the products of attention: keys and values, or the layer's inputs in place of them.

`decomposed` multiplies Q W_K^T by the inputs, and with `context="inputs"` the softmax by the inputs, too, of which
there is one copy; `fused` multiplies X (W_Q W_K^T) by them. `cascaded` writes keys and values as currents.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cimstudy.cost.design import Group
from cimstudy.cost.shapes import ModelShape, Product

KIND = "architecture.attention.kind"
CURRENTS = ("crossbar.cells", "crossbar.conversions")


def kind_of(group: Group) -> str:
    """The scheme."""
    return group.choices[KIND]


def averages_inputs(group: Group) -> bool:
    """Whether softmax is multiplied by inputs."""
    return kind_of(group) == "decomposed" and group.choices["architecture.attention.context"] == "inputs"


def meets_inputs(operator: str, group: Group) -> bool:
    """Whether an operator of attention meets inputs in place of keys or values."""
    if operator == "values":
        return averages_inputs(group)
    return kind_of(group) in {"decomposed", "fused"}


def met(operator: str, shape: ModelShape, group: Group) -> ModelShape:
    """A network's sizes as an operator of attention meets them: the inputs are as one head that all queries share."""
    return replace(shape, kv_heads=1, head_width=shape.width) if meets_inputs(operator, group) else shape


def is_shared(operator: str, group: Group) -> bool:
    """Whether an operator reads what another has written: values that are inputs, on the engine of scores."""
    engines = {group.choices[f"architecture.placement.{name}"] for name in ("scores", "values")}
    return operator == "values" and averages_inputs(group) and len(engines) == 1


def holds_charges(group: Group) -> bool:
    """Whether keys and values are charges."""
    return kind_of(group) == "gain_cell"


def needs_softmax(group: Group) -> bool:
    """Whether scores meet a softmax: not where charges become pulses."""
    return not holds_charges(group) or group.choices["architecture.attention.pulse"] == "softmax"


def stays_in_arrays(group: Group) -> bool:
    """Whether keys and values that arrays hold are written once: there is no other copy of them."""
    return group.choices["architecture.kv.location"] == "array" or kind_of(group) == "cascaded"


def rows_together(group: Group) -> Any:
    """Values that one array adds up at once: those of a block, if `blocked` cuts them."""
    rows = group.numbers["crossbar.rows"]
    return np.minimum(rows, group.numbers["architecture.attention.size"]) if kind_of(group) == "blocked" else rows


def kept_elements(operator: str, shape: ModelShape, group: Group) -> int:
    """Numbers that are kept of a token for a product, in all layers; those of inputs count once."""
    one = met(operator, shape, group)
    return 0 if operator == "values" and averages_inputs(group) else one.layers * one.kv_heads * one.head_width


def kept_tokens(group: Group, tokens: Any) -> Any:
    """Tokens that are kept of so many."""
    held = group.numbers["architecture.attention.window"]
    return np.fmin(tokens, held) if holds_charges(group) else tokens


def of_currents(group: Group) -> Group:
    """The same points as arrays see them into which currents are written: a number is not cut into slices."""
    if kind_of(group) != "cascaded":
        return group
    own = {f"{path}_per_weight": group.numbers[f"{path}_of_current"] for path in CURRENTS}
    return replace(group, numbers={**group.numbers, **own})


def with_products(shape: ModelShape, group: Group) -> ModelShape:
    """A network with the products with static matrices that a scheme has."""
    change = CHANGES.get(kind_of(group))
    if change is None:
        return shape
    found: list[Product] = []
    for product in shape.products:
        found.extend(change(product, shape, group) if product.operator == "qkv" else [product])
    return replace(shape, products=tuple(found))


def decomposed(product: Product, shape: ModelShape, group: Group) -> list[Product]:
    """Queries, then W_K^T of each head; and values, or W_V of each head where inputs are averaged."""
    d, width = shape.width, shape.head_width
    k = by_head(product, shape, "k", (width, d))
    if averages_inputs(group):
        return [parted(product, shape, "q"), k, by_head(product, shape, "v", (d, width))]
    return [parted(product, shape, "qv"), k]


def fused(product: Product, shape: ModelShape, group: Group) -> list[Product]:
    """W_Q W_K^T of each head, beside values."""
    del group
    own = replace(shape, kv_heads=shape.heads)
    whole = by_head(product, own, "q", (shape.width, shape.width))
    return [whole, replace(parted(product, shape, "v"), beside=True)]


def cascaded(product: Product, shape: ModelShape, group: Group) -> list[Product]:
    """Queries, beside keys and values whose currents are not converted."""
    del group
    currents = replace(parted(product, shape, "kv"), currents=True, beside=True)
    return [parted(product, shape, "q"), currents]


Change = Callable[[Product, ModelShape, Group], list[Product]]
CHANGES: Mapping[str, Change] = {"decomposed": decomposed, "fused": fused, "cascaded": cascaded}


def parted(product: Product, shape: ModelShape, parts: str) -> Product:
    """Some of queries, keys and values, which are one matrix."""
    heads = {"q": shape.heads, "k": shape.kv_heads, "v": shape.kv_heads}
    matrices = tuple(tuple(each for each in own if each[0][-1] in parts) for own in product.matrices)
    return replace(product, columns=shape.head_width * sum(heads[part] for part in parts), matrices=matrices)


def by_head(product: Product, shape: ModelShape, part: str, size: tuple[int, int]) -> Product:
    """A matrix of each key head where the projection of this name is; the queries that share it take turns."""
    rows, columns = size
    together = shape.heads // shape.kv_heads
    names = [name for own in product.matrices for name, _ in own if name[-1] == part]
    return replace(
        product,
        rows=rows,
        columns=columns,
        count=product.count * shape.kv_heads,
        used=product.used * shape.heads,
        steps=product.steps * together,
        matrices=tuple(((name, columns),) for name in names for _ in range(shape.kv_heads)),
    )
