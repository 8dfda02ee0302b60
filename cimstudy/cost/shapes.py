"""What of a network costs: its products with static matrices, its attention, and its elements."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from cimstudy.cost.coefficients import table
from cimstudy.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Product:
    """Products with static matrices of one shape."""

    operator: str  # "qkv", "output", "ffn_up", "ffn_down", "head" or "embedding"
    rows: int  # inputs
    columns: int  # outputs
    count: int = 1  # matrices
    used: float = 1  # products a token; fewer than matrices in a mixture of experts, more where layers share weights
    steps: int = 1  # of them that wait for one another
    last_only: bool = False  # in prefill, of the last token alone

    @property
    def weights(self) -> int:
        """Numbers in the matrices."""
        return self.rows * self.columns * self.count


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Layers that attend alike."""

    layers: int
    window: int | None = None  # a token sees so many up to itself; None: all


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
    norm_elements: int = 0  # a token
    activation_elements: float = 0  # a token

    @property
    def layers(self) -> int:
        """Layers, each with an attention."""
        return sum(group.layers for group in self.attention)

    @property
    def weights(self) -> int:
        """Numbers in static matrices."""
        return sum(product.weights for product in self.products)

    @property
    def macs(self) -> float:
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
    def stages(self) -> int:
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
    vocabulary: int = 0
    causal: bool = True

    def shape(self, name: str) -> ModelShape:
        """What of it costs."""
        d, inner, wide = self.width, self.heads * self.head_width, self.ffn_width
        qkv = inner + 2 * self.kv_heads * self.head_width
        sizes = {
            "qkv": (d, qkv),
            "output": (inner, d),
            "ffn_up": (d, wide * (2 if self.gated else 1)),
            "ffn_down": (wide, d),
        }
        products = [
            Product(operator=name, rows=rows, columns=columns, count=self.layers, used=self.layers, steps=self.layers)
            for name, (rows, columns) in sizes.items()
        ]
        if self.vocabulary:
            products.append(Product(operator="head", rows=d, columns=self.vocabulary, last_only=True))
        return ModelShape(
            name=name,
            products=tuple(products),
            attention=(Attention(layers=self.layers),),
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_width=self.head_width,
            width=d,
            causal=self.causal,
            norm_elements=2 * self.layers * d,
            activation_elements=self.layers * wide,
        )


@cache
def shapes() -> Mapping[str, ModelShape]:
    """Networks by name."""
    return {name: Decoder(**sizes).shape(name) for name, sizes in table("models").items()}


def model_shape(name: str) -> ModelShape:
    """The network of this name. Raises InputError naming the known ones."""
    if name not in shapes():
        raise InputError(f"unknown network {name!r}; known: {', '.join(shapes())}")
    return shapes()[name]
