"""A transformer with its weights: what studies measure, and what chips are programmed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cimstudy.errors import InputError
from cimstudy.transformer.checkpoint import read_checkpoint
from cimstudy.transformer.config import TransformerConfig, matrix_shapes
from cimstudy.transformer.network import Linear, forward

Array = NDArray[np.float32]

_BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A transformer and its weights.  Two models are equal if their name, config and checksum are."""

    name: str
    config: TransformerConfig
    weights: Mapping[str, Array] = field(repr=False, compare=False)  # read-only float32; matrices (n_in, n_out)
    checksum: str  # SHA-256 of the checkpoint's weight files, hex

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the static matrices, which a chip can hold, in order of use: "layers.0.attention.q" to "head"."""
        return tuple(matrix_shapes(self.config))

    def product(self, name: str, x: Array) -> Array:
        """The digital product with the static matrix `name`: x (..., n_in) gives (..., n_out), float32."""
        y: Array = x @ self.weights[name]
        return y

    def logits(self, tokens: ArrayLike, linear: Linear | None = None) -> Array:
        """Logits of the next token at every position: tokens (..., T) gives (..., T, vocab_size), float32.

        tokens : integers from 0 to vocab_size - 1; T is 1 to the config's context.
        linear : the product of activations with a static matrix, called as (name, x) with x (sequences, T, n_in),
            float32; returns (sequences, T, n_out), float32.  None: the digital product.
        Raises InputError for tokens outside the vocabulary and sequences outside the context.
        """
        checked = _checked(np.asarray(tokens), self.config)
        return forward(self, checked, linear or self.product)


def load_model(path: str | Path = "bundled") -> Model:
    """The bundled model, or the one in a Hugging Face checkpoint's folder (config.json and safetensors files).

    Raises InputError, naming what is wrong, for a folder that is not a complete checkpoint of a known family.
    """
    folder = _BUNDLED if path == "bundled" else Path(path)
    checkpoint = read_checkpoint(folder)
    return Model(
        name=folder.resolve().name, config=checkpoint.config, weights=checkpoint.weights, checksum=checkpoint.checksum
    )


def _checked(tokens: NDArray[Any], config: TransformerConfig) -> NDArray[np.integer]:
    if not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(f"tokens are {tokens.dtype}; allowed: integers from 0 to {config.vocab_size - 1}")
    if tokens.ndim == 0 or not 1 <= tokens.shape[-1] <= config.context:
        raise InputError(f"tokens of shape {tokens.shape}; allowed: (..., T) with T from 1 to {config.context}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < config.vocab_size:
        raise InputError(
            f"tokens from {tokens.min()} to {tokens.max()}; allowed: 0 to {config.vocab_size - 1}, the vocabulary"
        )
    return tokens
