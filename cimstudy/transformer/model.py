"""A transformer with its weights: what studies measure, and what chips are programmed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cimstudy.errors import InputError
from cimstudy.transformer.attention import Cache
from cimstudy.transformer.checkpoint import BUNDLED, read_checkpoint
from cimstudy.transformer.config import TransformerConfig, matrix_shapes
from cimstudy.transformer.network import (
    SOFTMAX_ATTENTION,
    Attention,
    Linear,
    Pass,
    Routed,
    embed,
    embed_images,
    forward,
)
from cimstudy.transformer.units import EXACT, Units

Array = NDArray[np.float32]
Integers = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A transformer and its weights.  Two models are equal if their name, config and checksum are."""

    name: str
    config: TransformerConfig
    weights: Mapping[str, Array] = field(repr=False, compare=False)  # read-only float32; matrices (n_in, n_out)
    checksum: str  # SHA-256 of the checkpoint's weight files, hex
    folder: str | None = field(default=None, compare=False)  # that it was read from
    input_ranges: Mapping[str, Array] = field(default_factory=dict, compare=False)  # learned, by matrix, (tiles,)

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the static matrices, which a chip can hold, in order of use: "layers.0.attention.q" to "head"."""
        return tuple(matrix_shapes(self.config))

    def product(self, name: str, x: Array, *, rows: Integers | None = None) -> Array:  # noqa: ARG002 - as Linear
        """The digital product with the static matrix `name`: x (..., n_in) gives (..., n_out), float32."""
        y: Array = x @ self.weights[name]
        return y

    def logits(  # noqa: PLR0913 - the two arguments of the network, and of texts
        self,
        tokens: ArrayLike,
        linear: Linear | None = None,
        attention: Attention | None = None,
        units: Units = EXACT,
        routed: Routed | None = None,
        *,
        lengths: ArrayLike | None = None,
        token_types: ArrayLike = 0,
        cache: Cache | None = None,
    ) -> Array:
        """What the model gives at every position: tokens (..., T) gives (..., T, vocab_size), float32.

        A model without a head gives vectors (..., T, width); one with a head of classes one row for each sequence.

        tokens : integers from 0 to vocab_size - 1; T is 1 to the config's context.
        linear : the product of activations with a static matrix, called as (name, x) with x (sequences, T, n_in),
            float32; returns (sequences, T, n_out), float32.  None: the digital product.
        attention : what replaces softmax attention, called as `network.Attention` says.
        units : for softmax, norms and activations.  routed : is told which experts are asked.
        lengths : (...,), tokens of each sequence that count; what comes out behind them means nothing.  None: all T.
        token_types : (..., T) or one for all: which sentence of a pair a token is of, for models that know pairs.
        cache : of what came before; the tokens go on where it ends, and it grows by them.
        Raises InputError for tokens outside the vocabulary and sequences outside the context.
        """
        checked = _checked(np.asarray(tokens), self.config)
        flat = checked.reshape(-1, checked.shape[-1])
        counts = None if lengths is None else _lengths(np.asarray(lengths), checked)
        positions = np.arange(flat.shape[1])[None] if cache is None else _positions(cache, flat)
        run = Pass(
            model=self,
            linear=linear or self.product,
            attend=attention or SOFTMAX_ATTENTION,
            units=units,
            routed=routed,
            positions=positions,
            lengths=counts,
            cache=cache,
        )
        out = forward(run, embed(run, flat, _types(token_types, checked, self.config)))
        if cache is not None:
            cache.lengths += flat.shape[1] if counts is None else counts
        shape = checked.shape[:-1] if self.config.head == "classes" else checked.shape
        return out.reshape(*shape, out.shape[-1])

    def image_logits(
        self, images: ArrayLike, linear: Linear | None = None, attention: Attention | None = None, units: Units = EXACT
    ) -> Array:
        """Logits of images (..., channels, height, width), scaled as the model was trained: (..., classes), float32.

        A model without a head gives vectors (..., patches + 1, width).  linear, attention, units : as for `logits`.
        Raises InputError for a model of text, and for images of another size than the model's.
        """
        pixels = np.asarray(images, np.float32)
        flat = _images(pixels, self.config)
        run = Pass(
            model=self,
            linear=linear or self.product,
            attend=attention or SOFTMAX_ATTENTION,
            units=units,
            positions=np.arange(self.config.context)[None],
        )
        out = forward(run, embed_images(run, flat))
        return out.reshape(*pixels.shape[:-3], *out.shape[1:])


def load_model(path: str | Path = "bundled", *, in_memory: bool | None = None) -> Model:
    """The bundled model, or the one in a Hugging Face checkpoint's folder (config.json and safetensors files).

    in_memory : False leaves the weights in their files and reads each when it is used; None: only if they would fill
        more than a quarter of this process's memory.
    Raises InputError, naming what is wrong, for a folder that is not a complete checkpoint of a known family.
    """
    folder = BUNDLED if path == "bundled" else Path(path)
    checkpoint = read_checkpoint(folder, in_memory=in_memory)
    return Model(
        name=folder.resolve().name,
        config=checkpoint.config,
        weights=checkpoint.weights,
        checksum=checkpoint.checksum,
        folder=str(folder.resolve()),
        input_ranges=checkpoint.input_ranges,
    )


def _checked(tokens: NDArray[Any], config: TransformerConfig) -> Integers:
    if config.patch:
        raise InputError("this model reads images, not tokens")
    if not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(f"tokens are {tokens.dtype}; allowed: integers from 0 to {config.vocab_size - 1}")
    if tokens.ndim == 0 or not 1 <= tokens.shape[-1] <= config.context:
        raise InputError(f"tokens of shape {tokens.shape}; allowed: (..., T) with T from 1 to {config.context}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < config.vocab_size:
        raise InputError(
            f"tokens from {tokens.min()} to {tokens.max()}; allowed: 0 to {config.vocab_size - 1}, the vocabulary"
        )
    return tokens


def _types(token_types: ArrayLike, tokens: Integers, config: TransformerConfig) -> Integers:
    """Kinds of the flattened tokens, (sequences, T)."""
    types = np.asarray(token_types)
    most = max(config.token_types, 1)
    if not np.issubdtype(types.dtype, np.integer) or types.shape not in {(), tokens.shape}:
        raise InputError(f"token_types are {types.dtype} {types.shape}; allowed: integers {tokens.shape}, or one")
    if types.size and not 0 <= types.min() <= types.max() < most:
        raise InputError(f"token_types from {types.min()} to {types.max()}; allowed: 0 to {most - 1}")
    return np.broadcast_to(types, tokens.shape).reshape(-1, tokens.shape[-1])


def _images(pixels: Array, config: TransformerConfig) -> Array:
    """Images as one batch, (sequences, channels, height, width)."""
    if not config.patch:
        raise InputError("this model reads tokens, not images")
    side = round((config.context - 1) ** 0.5) * config.patch
    if pixels.shape[-3:] != (config.channels, side, side):
        raise InputError(f"images of shape {pixels.shape}; allowed: (..., {config.channels}, {side}, {side})")
    if not np.isfinite(pixels).all():
        raise InputError("images hold NaN or infinite values; allowed: finite numbers")
    return pixels.reshape(-1, *pixels.shape[-3:])


def _lengths(lengths: NDArray[Any], tokens: Integers) -> Integers:
    """Lengths of the flattened sequences, (sequences,)."""
    if lengths.shape != tokens.shape[:-1] or not np.issubdtype(lengths.dtype, np.integer):
        raise InputError(f"lengths are {lengths.dtype} {lengths.shape}; allowed: integers {tokens.shape[:-1]}")
    if lengths.size and not 1 <= lengths.min() <= lengths.max() <= tokens.shape[-1]:
        raise InputError(f"lengths from {lengths.min()} to {lengths.max()}; allowed: 1 to {tokens.shape[-1]}")
    return lengths.reshape(-1)


def _positions(cache: Cache, tokens: Integers) -> Integers:
    """Places of the next tokens (sequences, T) after those in the cache."""
    if len(tokens) != cache.sequences:
        raise InputError(f"{len(tokens)} sequences for a cache of {cache.sequences}; allowed: as many")
    positions = cache.lengths[:, None] + np.arange(tokens.shape[1])
    if positions.size and positions.max() >= cache.capacity:
        raise InputError(f"{positions.max() + 1} tokens for a cache of {cache.capacity}; allowed: up to its capacity")
    return positions
