"""What a transformer is made of: sizes, what its family computes, and the weights that follow from both."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from cimstudy.errors import InputError
from cimstudy.transformer.rotary import Rotary

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes and kind of a transformer. The defaults are those of a Llama without positions."""

    vocab_size: int
    width: int  # of the residual stream
    layers: int
    heads: int
    kv_heads: int  # each serves heads / kv_heads query heads
    head_width: int
    ffn_width: int
    context: int  # longest sequence, tokens
    norm_eps: float = 1e-5
    tied_embeddings: bool = False  # the head is the embedding, transposed
    norm: str = "rms"  # "rms", or "layer": with a mean and a bias
    norm_place: str = "before"  # the attention and the FFN of a layer; "after" their sum, or "around" them
    final_norm: bool = True  # after the last layer
    parallel: bool = False  # attention and FFN of a layer both read what enters it
    causal: bool = True  # a token sees those before it; False: all
    rotary: Rotary | None = None
    learned_positions: bool = False  # a table, added to the embeddings
    token_types: int = 0  # rows of a table of kinds of tokens, added to the embeddings
    embedding_width: int | None = None  # if a matrix leads from it to the width
    positions_projected: bool = True  # the table of positions is as wide as the embedding, not as the stream
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    qk_norm: bool = False  # RMS norm of each head's queries and keys
    score_scale: float | None = None  # of query times key; None: 1 / sqrt(head_width)
    score_cap: float | None = None  # scores become cap * tanh(score / cap)
    logit_cap: float | None = None
    windows: tuple[int | None, ...] = ()  # of each layer: a token sees so many up to itself; (): all of them
    activation: str = "silu"
    gated: bool = True
    experts: int = 0  # of each FFN; 0: one FFN for all tokens
    experts_per_token: int = 0
    layer_groups: int | None = None  # sets of weights that the layers share; None: each its own
    biases: frozenset[str] = frozenset()  # matrices with a bias, such as "attention.q", "ffn.down" or "head"
    head: str = "tokens"  # what comes out: logits of "tokens", of "masked" tokens, of "classes", or "none": vectors
    classes: int = 0
    patch: int = 0  # side of an image's squares, which stand for tokens; 0: text
    channels: int = 0  # of an image
    pool: str | None = None  # activation after a matrix ahead of a head of classes

    def __post_init__(self) -> None:
        for field in fields(self):
            check_field(field.name, getattr(self, field.name))
        if self.heads % self.kv_heads:
            raise InputError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; allowed: a divisor")
        if self.windows and len(self.windows) != self.layers:
            raise InputError(f"windows of {len(self.windows)} layers for layers={self.layers}; allowed: one for each")
        if not all(window is None or _is_count(window) for window in self.windows):
            raise InputError(f"windows={self.windows!r} in a transformer's config; allowed: integers of at least 1")
        if self.layers % self.groups:
            raise InputError(f"layer_groups={self.groups} does not divide layers={self.layers}; allowed: a divisor")
        if self.rotary is not None and self.rotary.width > self.head_width:
            raise InputError(f"rotary positions of {self.rotary.width} in heads of {self.head_width} entries")

    @property
    def groups(self) -> int:
        """Sets of a layer's weights."""
        return self.layer_groups or self.layers

    def group(self, layer: int) -> int:
        """Which set of weights a layer uses."""
        return layer * self.groups // self.layers

    def window(self, layer: int) -> int | None:
        """How many tokens up to itself a token of this layer sees; None: all."""
        return self.windows[layer] if self.windows else None


def check_field(name: str, value: object) -> None:
    """Raise InputError unless `value` can be the field `name` of a TransformerConfig."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise InputError(
                f"{name}={value!r} in a transformer's config; allowed: {', '.join(map(str, CHOICES[name]))}"
            )
        return
    fits, allowed = _ALLOWED.get(_KINDS[name], (lambda _: True, ""))
    if name not in _MAY_BE_ZERO and not fits(value):
        raise InputError(f"{name}={value!r} in a transformer's config; allowed: {allowed}")


ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu", "tanh")
CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "norm": ("rms", "layer"),
    "norm_place": ("before", "after", "around"),
    "activation": ACTIVATIONS,
    "head": ("tokens", "masked", "classes", "none"),
    "pool": (*ACTIVATIONS, None),
}
_MAY_BE_ZERO = frozenset({"token_types", "experts", "experts_per_token", "classes", "patch", "channels"})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_positive_or_none(value: object) -> bool:
    return value is None or _is_positive(value)


_ALLOWED: dict[Any, tuple[Callable[[object], bool], str]] = {
    int: (_is_count, "an integer of at least 1"),
    float: (_is_positive, "a finite number above 0"),
    float | None: (_is_positive_or_none, "a finite number above 0, or none"),
    bool: (_is_switch, "true or false"),
}
_KINDS = {field.name: field.type for field in fields(TransformerConfig)}


def matrix_shapes(config: TransformerConfig) -> dict[str, tuple[int, int]]:
    """Shape (n_in, n_out) of every static matrix that a chip can hold, in order of use."""
    shapes: dict[str, tuple[int, int]] = {}
    if config.patch:
        shapes["embedding.patch"] = (config.channels * config.patch**2, config.width)
    if config.embedding_width is not None:
        shapes["embedding.projection"] = (config.embedding_width, config.width)
    for group in range(config.groups):
        for name, shape in layer_matrices(config).items():
            shapes[f"layers.{group}.{name}"] = shape
    return shapes | head_matrices(config)


def layer_matrices(config: TransformerConfig) -> dict[str, tuple[int, int]]:
    """The matrices of one layer, by their names in it."""
    q_width, kv_width = config.heads * config.head_width, config.kv_heads * config.head_width
    attention = {
        "attention.q": (config.width, q_width),
        "attention.k": (config.width, kv_width),
        "attention.v": (config.width, kv_width),
        "attention.o": (q_width, config.width),
    }
    wide, narrow = (config.width, config.ffn_width), (config.ffn_width, config.width)
    ffn = ({"gate": wide} if config.gated else {}) | {"up": wide, "down": narrow}
    if not config.experts:
        return attention | {f"ffn.{name}": shape for name, shape in ffn.items()}
    experts = {f"ffn.experts.{expert}.{name}": shape for expert in range(config.experts) for name, shape in ffn.items()}
    return attention | {"ffn.router": (config.width, config.experts)} | experts


def head_matrices(config: TransformerConfig) -> dict[str, tuple[int, int]]:
    """The matrices after the last layer."""
    inner = config.embedding_width or config.width
    if config.head == "none":
        return {}
    if config.head == "classes":
        pool = {"head.pool": (config.width, config.width)} if config.pool else {}
        return pool | {"head": (config.width, config.classes)}
    if config.head == "masked":
        return {"head.transform": (config.width, inner), "head": (inner, config.vocab_size)}
    projection = {"head.projection": (config.width, inner)} if config.embedding_width else {}
    return projection | {"head": (inner, config.vocab_size)}


def digital_shapes(config: TransformerConfig) -> Shapes:
    """Shape of every weight that stays digital: tables, the norms' gains, and all biases."""
    width = config.embedding_width or config.width
    shapes: Shapes = {"class_token": (width,)} if config.patch else {"embedding": (config.vocab_size, width)}
    if config.learned_positions:
        shapes["positions"] = (config.context, width if config.positions_projected else config.width)
    if config.token_types:
        shapes["token_types"] = (config.token_types, width)
    for name, size in norm_widths(config):
        shapes[name] = (size,)
        if config.norm == "layer":
            shapes[f"{name}.bias"] = (size,)
    if config.qk_norm:
        names = [f"layers.{i}.attention.{part}_norm" for i in range(config.groups) for part in "qk"]
        shapes |= dict.fromkeys(names, (config.head_width,))
    for name, (_, n_out) in matrix_shapes(config).items():
        if bare_name(name) in config.biases:
            shapes[f"{name}.bias"] = (n_out,)
    return shapes


def norm_widths(config: TransformerConfig) -> Iterator[tuple[str, int]]:
    """The norms and how wide they are."""
    if config.embedding_norm:
        yield "embedding.norm", config.embedding_width or config.width
    for group in range(config.groups):
        for part in ("attention", "ffn"):
            yield f"layers.{group}.{part}.norm", config.width
            if config.norm_place == "around":
                yield f"layers.{group}.{part}.norm_after", config.width
    if config.final_norm:
        yield "norm", config.width
    if config.head == "masked":
        yield "head.norm", config.embedding_width or config.width


def bare_name(matrix: str) -> str:
    """A matrix's name in its layer: "layers.3.ffn.up" is "ffn.up"."""
    return matrix.split(".", 2)[2] if matrix.startswith("layers.") else matrix
