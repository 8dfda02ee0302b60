"""What of a network costs: its products with static matrices, its attention, and its elements."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cimstudy.cost.coefficients import table
from cimstudy.errors import InputError

Named = tuple[tuple[str, float], ...]  # operators by name: how many columns each has, or elements for a token


@dataclass(frozen=True, kw_only=True)
class Product:
    """Products with static matrices of one shape."""

    operator: str  # "qkv", "output", "ffn_up", "ffn_down", "head" or "embedding"
    rows: Any  # inputs
    columns: Any  # outputs
    count: Any = 1  # matrices
    used: Any = 1  # products a token; fewer than matrices in a mixture of experts, more where layers share weights
    steps: float = 1  # of them that wait for one another
    last_only: bool = False  # in prefill, of the last token alone
    matrices: tuple[Named, ...] = ()  # what stands side by side in each of them; none: no override reaches them
    currents: bool = False  # whose outputs go on without conversion
    beside: bool = False  # those of the product before it: both run at once

    @property
    def weights(self) -> Any:
        """Numbers in the matrices."""
        return self.rows * self.columns * self.count


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Layers that attend alike."""

    layers: int
    window: Any = None  # a token sees so many up to itself; None: all
    names: tuple[str, ...] = ()  # of the attention of each layer; none: no override reaches them


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a transformer, as its costs depend on them."""

    name: str
    products: tuple[Product, ...]
    attention: tuple[Attention, ...]
    heads: int
    kv_heads: int
    head_width: int
    width: int
    context: int | None = None  # longest sequence, tokens
    causal: bool = True
    norms: Named = ()
    activations: Named = ()

    @property
    def norm_elements(self) -> float:
        """Elements of all norms, a token."""
        return sum(elements for _, elements in self.norms)

    @property
    def activation_elements(self) -> float:
        """Elements of all activations, a token."""
        return sum(elements for _, elements in self.activations)

    @property
    def layers(self) -> int:
        """Layers, each with an attention."""
        return sum(group.layers for group in self.attention)

    @property
    def weights(self) -> int:
        """Numbers in static matrices."""
        return sum(product.weights for product in self.products)

    @property
    def macs(self) -> Any:
        """Multiply-accumulates with static matrices, a token."""
        return sum(product.rows * product.columns * product.used for product in self.products)

    @property
    def kv_elements(self) -> int:
        """Entries of keys and values, a token."""
        return 2 * self.layers * self.kv_heads * self.head_width

    @property
    def attention_macs(self) -> int:
        """Multiply-accumulates of attention, for each pair of a token and one that it sees in every layer."""
        return 2 * self.layers * self.heads * self.head_width

    @property
    def softmax_elements(self) -> int:
        """Entries of scores, for each such pair."""
        return self.layers * self.heads

    @property
    def stages(self) -> float:
        """Steps of a token through the static matrices: four a layer, and the head."""
        return sum(product.steps for product in self.products)


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Sizes of a plain transformer. Queries, keys and values are one matrix, and so are gate and up."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    gated: bool
    context: int  # tokens
    vocabulary: int = 0
    causal: bool = True
    rotary: bool = False

    def shape(self, name: str) -> ModelShape:
        """What of it costs."""
        d, layers = self.width, [f"layers.{number}" for number in range(self.layers)]
        products = [
            Product(
                operator=operator,
                rows=rows,
                columns=sum(columns.values()),
                count=self.layers,
                used=self.layers,
                steps=self.layers,
                matrices=tuple(side_by_side(layer, columns) for layer in layers),
            )
            for operator, (rows, columns) in self.sizes.items()
        ]
        if self.vocabulary:
            head = (("head", self.vocabulary),)
            products.append(Product(operator="head", rows=d, columns=self.vocabulary, last_only=True, matrices=(head,)))
        return ModelShape(
            name=name,
            products=tuple(products),
            attention=(Attention(layers=self.layers, names=tuple(f"{layer}.attention" for layer in layers)),),
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_width=self.head_width,
            width=d,
            context=self.context,
            causal=self.causal,
            norms=tuple((f"{layer}.{part}.norm", d) for layer in layers for part in ("attention", "ffn")),
            activations=tuple((f"{layer}.ffn.activation", self.ffn_width) for layer in layers),
        )

    @property
    def sizes(self) -> dict[str, tuple[int, dict[str, int]]]:
        """The matrices of a layer: rows, and columns of those that stand side by side, by their names in it."""
        inner, kv = self.heads * self.head_width, self.kv_heads * self.head_width
        up = ("gate", "up") if self.gated else ("up",)
        return {
            "qkv": (self.width, {"attention.q": inner, "attention.k": kv, "attention.v": kv}),
            "output": (inner, {"attention.o": self.width}),
            "ffn_up": (self.width, {f"ffn.{name}": self.ffn_width for name in up}),
            "ffn_down": (self.ffn_width, {"ffn.down": self.width}),
        }


def side_by_side(layer: str, columns: Mapping[str, int]) -> Named:
    """The matrices of a layer that are one, and the columns of each."""
    return tuple((f"{layer}.{name}", width) for name, width in columns.items())


@cache
def decoders() -> Mapping[str, Decoder]:
    """Sizes of networks by name."""
    return {name: Decoder(**sizes) for name, sizes in table("models").items()}


@cache
def shapes() -> Mapping[str, ModelShape]:
    """Networks by name."""
    return {name: sizes.shape(name) for name, sizes in decoders().items()}


def model_shape(name: str) -> ModelShape:
    """The network of this name. Raises InputError naming the known ones."""
    if name not in shapes():
        raise InputError(f"unknown network {name!r}; known: {', '.join(shapes())}")
    return shapes()[name]
