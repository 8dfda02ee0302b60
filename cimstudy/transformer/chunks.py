"""Models whose cells do not fit into memory: their matrices in parts of some columns, a whole number of arrays each.

Out of core, a part is read, written into cells, used for the whole batch and dropped. Across workers, each holds the
parts of its share in cells and multiplies by them; the results of parts lie side by side. Either way the cells and the
results have the bits of the unchunked chip, as every draw belongs to a cell of the whole matrix.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from cimstudy.analog import Key, ProgrammedMatrix, Ranges, columns_together, map_columns, weight_planes
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, arrays_of
from cimstudy.transformer.blocks import Block, Matrix, block_keys, blocks_of, stacked
from cimstudy.transformer.config import matrix_shapes
from cimstudy.transformer.model import Model, load_model
from cimstudy.transformer.weights import Columns

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 2**28  # bytes of cells that are held at a time, unless the caller says


class Client(Protocol):
    """What is needed of a Dask client."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, pure: bool) -> Any:
        """A future of the function's result, computed where its arguments are."""
        ...

    def gather(self, futures: list[Any]) -> list[Any]:
        """The results of futures."""
        ...


def cell_bytes(model: Model, hardware: Hardware, names: list[str]) -> int:
    """Bytes that these matrices take in cells.

    A number for each weight and slice, another for its read noise, and what the weight is rounded to.
    """
    shapes = matrix_shapes(model.config)

    def held(name: str) -> int:
        own = hardware.of(name)
        planes = arrays_of(own.architecture.redundancy, None, weight_planes(own))
        planes *= 1 if own.device.read_noise is None else 2
        return math.prod(shapes[name]) * (4 * planes + 2)

    return sum(map(held, names))


def parts_of(model: Model, block: Block, chunk: int) -> Columns:
    """A block of a matrix in parts of at most `chunk` bytes of cells, and at least the columns that stay together."""
    n_out = matrix_shapes(model.config)[block.name][1]
    columns = chunk * n_out // cell_bytes(model, block.hardware, [block.name])
    least = columns_together(block.hardware.crossbar, n_out)
    together = max(1, columns // least) * least
    return Columns(weights=model.weights, name=block.name, rows=block.rows, n_out=n_out, together=together)


@dataclass(frozen=True, eq=False, kw_only=True)
class Holder:
    """How a chip's cells are held: in parts of `chunk` bytes that come and go, or on the workers of a cluster."""

    model: Model
    chunk: int
    client: Client | None
    time: float  # since programming, s

    def matrix(self, hardware: Hardware, name: str, ranges: Sequence[Ranges], key: Key) -> Matrix:
        """One matrix of one chip."""
        blocks = blocks_of(self.model, hardware, name)
        found: list[tuple[slice, Matrix]] = []
        for block, range_, own in zip(blocks, ranges, block_keys(key, len(blocks)), strict=True):
            writing = Writing(hardware=block.hardware, ranges=range_, key=own, time=self.time)
            parts = parts_of(self.model, block, self.chunk)
            held = writing.chunked(parts) if self.client is None else writing.spread(self.client, self.model, parts)
            found.append((block.rows, held))
        return stacked(found)


@dataclass(frozen=True, eq=False, kw_only=True)
class Writing:
    """How one matrix of one chip is written: the hardware, its ranges, the key of its draws, and its age in seconds."""

    hardware: Hardware
    ranges: Ranges
    key: Key
    time: float

    def write(self, w: Array, first_column: int) -> ProgrammedMatrix:
        """Some columns of the matrix in cells. w : (n_in, n), from `first_column` on."""
        return map_columns(w, self.hardware, self.ranges, first_column=first_column).program(self.key, time=self.time)

    def chunked(self, parts: Columns) -> "ChunkedMatrix":
        """The matrix, written anew for each product."""
        return ChunkedMatrix(parts=parts, writing=self)

    def spread(self, client: Client, model: Model, parts: Columns) -> "SpreadMatrix":
        """The matrix in the cells of a cluster's workers, which read its weights for themselves."""
        if model.folder is None:
            raise InputError(f"{model.name} has no folder, which workers could read; allowed: what load_model gives")
        held = [
            client.submit(write_part, model.folder, replace(parts, weights={}), first, self, pure=False)
            for first in parts.starts
        ]
        return SpreadMatrix(client=client, held=held)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChunkedMatrix:
    """A matrix of one chip that is written anew for each product, part by part."""

    parts: Columns
    writing: Writing

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """The product of x (..., n_in) with the matrix: (..., n_out), float32."""
        y = np.empty((*x.shape[:-1], self.parts.n_out), np.float32)
        for first, part in zip(self.parts.starts, self.parts, strict=True):
            found = self.writing.write(part, first).matmul(x, first_vector=first_vector)
            y[..., first : first + found.shape[-1]] = found
        return y


@dataclass(frozen=True, eq=False, kw_only=True)
class SpreadMatrix:
    """A matrix of one chip whose parts are in the cells of several workers. held : a future of each part, in order."""

    client: Client
    held: list[Any]

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """The product of x (..., n_in) with the matrix: (..., n_out), float32."""
        found = [self.client.submit(multiply, part, x, first_vector, pure=False) for part in self.held]
        return np.concatenate(self.client.gather(found), axis=-1)


def write_part(folder: str, parts: Columns, first: int, writing: Writing) -> ProgrammedMatrix:
    """On a worker: read some columns of a matrix, from the first on, and write them into cells."""
    return writing.write(replace(parts, weights=opened(folder).weights).part(first), first)


def multiply(part: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """On a worker: the product with a part that it holds."""
    return part.matmul(x, first_vector=first_vector)


@lru_cache(maxsize=1)
def opened(folder: str) -> Model:
    """The model in a folder, left in its files; opened once in a process."""
    return load_model(folder, in_memory=False)
