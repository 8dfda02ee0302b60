"""A chip: one manufactured instance of a hardware, with a model's weights programmed into it.

Mapping (rounding, tiling, calibrating converters) is the same for all chips and kept; programming draws the errors of
one chip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy import memory
from cimstudy.analog import Key, MappedMatrix, check_time
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.transformer.attention import Cache
from cimstudy.transformer.blocks import Block, Matrix, block_keys, blocks_of, stacked
from cimstudy.transformer.calibration import map_model, model_ranges
from cimstudy.transformer.chunks import CHUNK, Client, Holder, cell_bytes
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import SOFTMAX_ATTENTION, Attention, Linear, Routed
from cimstudy.transformer.operators import placed_matrices
from cimstudy.transformer.schemes import Scheme, Setup, scheme_of
from cimstudy.transformer.schemes.setup import Attending
from cimstudy.transformer.units import EXACT, Units, units_of
from cimstudy.transformer.watch import Watch

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Chip:
    """A model in the cells of one chip. Matrices that the architecture keeps digital are not in `matrices`.

    key : of the chip's draws; None: of a digital run, which has none.
    scheme : of attention; None: softmax attention, in digital.
    watch : if given, it sees each product beside the digital one of the same input, and counts what attention does.
    routed : if given, it is told which experts are asked.
    """

    model: Model
    hardware: Hardware
    matrices: Mapping[str, Matrix]
    key: Key | None = None
    scheme: Scheme | None = None
    watch: Watch | None = None
    routed: Routed | None = None

    def logits(
        self,
        tokens: Array,
        *,
        first_vector: int = 0,
        lengths: Array | None = None,
        token_types: Array | int = 0,
        cache: Cache | None = None,
    ) -> Array:
        """What this chip gives at every position: tokens (..., T) gives (..., T, vocab_size), as `Model.logits`.

        Read noise is keyed by a token's number, counted from `first_vector` along the flattened tokens.
        Raises InputError as `Model.logits` does.
        """
        return self.model.logits(
            tokens,
            self.linear(first_vector),
            self.attention(first_vector),
            self.units(first_vector),
            self.routed,
            lengths=lengths,
            token_types=token_types,
            cache=cache,
        )

    def image_logits(self, images: Array, *, first_vector: int = 0) -> Array:
        """What this chip gives for images (..., channels, height, width), as `Model.image_logits`."""
        parts = self.linear(first_vector), self.attention(first_vector), self.units(first_vector)
        return self.model.image_logits(images, *parts)

    def units(self, first_vector: int = 0) -> Units:
        """The units of this chip for softmax, norms and activations; their errors are keyed like read noise."""
        return EXACT if self.key is None else units_of(self.hardware, self.key, first_vector)

    def attention(self, first_vector: int = 0) -> Attention:
        """The attention of this chip; its draws are keyed by vectors' numbers, as those of `linear`."""
        if self.scheme is None:
            return SOFTMAX_ATTENTION
        return Attending(scheme=self.scheme, first_vector=first_vector, watch=self.watch)

    def linear(self, first_vector: int = 0) -> Linear:
        """The products of this chip; read noise is keyed by a vector's number, from `first_vector` on."""

        def product(name: str, x: Array, *, rows: Array | None = None) -> Array:
            if name not in self.matrices:
                return self.model.product(name, x)
            y = analog(name, x, rows)
            if self.watch is not None:
                self.watch.feed(name, x)
                if self.watch.errors:
                    self.watch.see(name, self.model.product(name, x), y)
            return y

        def analog(name: str, x: Array, rows: Array | None) -> Array:
            matrix = self.matrices[name]
            if rows is None or self.hardware.of(name).device.read_noise is None:
                return matrix.matmul(x, first_vector=first_vector)
            batch = np.zeros((rows.max() + 1, x.shape[-1]), np.float32)  # each vector in its place, for its own noise
            batch[rows] = x[0]
            return matrix.matmul(batch, first_vector=first_vector)[None, rows]

        return product


def program(  # noqa: PLR0913 - a chip, and how to hold it
    model: Model,
    hardware: Hardware,
    *,
    seed: int = 0,
    trial: int = 0,
    calibration: Array | None = None,
    chunks: int | None = None,
    client: Client | None = None,
    watch: Watch | None = None,
    time: float = 0.0,
) -> Chip:
    """Chip number `trial` of a hardware, with a model's weights programmed into it.

    calibration : (sequences, T) tokens, or images, for converters with calibrated ranges; None: the end of the
        bundled text, for models of bytes.
    chunks : bytes of cells to hold at a time: parts of matrices are then read, written and dropped again at each
        product.  None: all cells, if they fit into a quarter of this process's memory.
    client : a Dask client, whose workers hold the cells, in parts of `chunks` bytes.
    watch : sees where errors enter.
    time : since programming, s.
    The chip is the same, bit for bit, however it is held.  Raises InputError for seeds or times out of range,
    bad tokens, or a pattern that fits no matrix.
    """
    if chunks is not None and chunks < 1:
        raise InputError(f"chunks = {chunks}; allowed: bytes of cells to hold at a time, 1 or more")
    check_time(time)
    key = Key.root(seed, trial)
    names = placed_matrices(model.config, hardware)
    if client is None and chunks is None and cell_bytes(model, hardware, names) <= memory.limit() / 4:
        mapped = map_model(model, hardware, calibration)
        matrices = {
            name: written(blocks_of(model, hardware, name), blocks, key.of(name), time)
            for name, blocks in mapped.items()
        }
    else:
        holder = Holder(model=model, chunk=chunks or CHUNK, client=client, time=time)
        ranges = model_ranges(model, hardware, calibration)
        matrices = {name: holder.matrix(hardware, name, ranges[name], key.of(name)) for name in names}
    scheme = scheme_of(Setup(model=model, hardware=hardware, key=key, time=time, tokens=calibration))
    return Chip(model=model, hardware=hardware, matrices=matrices, key=key, scheme=scheme, watch=watch)


def written(blocks: Sequence[Block], mapped: Sequence[MappedMatrix], key: Key, time: float) -> Matrix:
    """A matrix in the cells of one chip at a time since programming, from its blocks of rows."""
    keys = block_keys(key, len(mapped))
    return stacked(
        [(block.rows, matrix.program(own, time=time)) for block, matrix, own in zip(blocks, mapped, keys, strict=True)]
    )
