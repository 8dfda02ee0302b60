"""What a decoder-only transformer is made of: sizes, and the weights that follow from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from cimstudy.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a decoder: RMS norms, rotary positions, grouped key and value heads, gated SiLU layers, no biases."""

    vocab_size: int
    width: int  # of the residual stream
    layers: int
    heads: int
    kv_heads: int  # each serves heads / kv_heads query heads
    head_width: int
    ffn_width: int
    context: int  # longest sequence, tokens
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0  # slowest rotation: about one turn in 2 pi rope_theta tokens
    tied_embeddings: bool = False  # the head is the embedding, transposed

    def __post_init__(self) -> None:
        for field in fields(self):
            check_field(field.name, getattr(self, field.name))
        if self.heads % self.kv_heads:
            raise InputError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; allowed: a divisor")
        if self.head_width % 2:
            raise InputError(f"head_width={self.head_width}; allowed: an even number, as rotary positions turn pairs")


def check_field(name: str, value: object) -> None:
    """Raise InputError unless `value` can be the field `name` of a TransformerConfig."""
    fits, allowed = _ALLOWED[_KINDS[name]]
    if not fits(value):
        raise InputError(f"{name}={value!r} in a transformer's config; allowed: {allowed}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


_ALLOWED: dict[Any, tuple[Callable[[object], bool], str]] = {
    int: (_is_count, "an integer of at least 1"),
    float: (_is_positive, "a finite number above 0"),
    bool: (_is_switch, "true or false"),
}
_KINDS = {field.name: field.type for field in fields(TransformerConfig)}


def matrix_shapes(config: TransformerConfig) -> dict[str, tuple[int, int]]:
    """Shape (n_in, n_out) of every static matrix that a chip can hold, in order of use."""
    q_width = config.heads * config.head_width
    kv_width = config.kv_heads * config.head_width
    in_a_layer = {
        "attention.q": (config.width, q_width),
        "attention.k": (config.width, kv_width),
        "attention.v": (config.width, kv_width),
        "attention.o": (q_width, config.width),
        "ffn.gate": (config.width, config.ffn_width),
        "ffn.up": (config.width, config.ffn_width),
        "ffn.down": (config.ffn_width, config.width),
    }
    layers = {f"layers.{i}.{name}": shape for i in range(config.layers) for name, shape in in_a_layer.items()}
    return {**layers, "head": (config.width, config.vocab_size)}


def digital_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every weight that stays digital: the embedding table and the norms' gains."""
    norms = [f"layers.{i}.{part}.norm" for i in range(config.layers) for part in ("attention", "ffn")]
    return {
        "embedding": (config.vocab_size, config.width),
        **dict.fromkeys([*norms, "norm"], (config.width,)),
    }
