"""Models whose cells do not fit into memory: their matrices in parts of some columns, a whole number of arrays each.

Out of core, a part is read, written into cells, used for the whole batch and dropped. Across workers, each holds the
parts of its share in cells and multiplies by them; the results of parts lie side by side. Either way the cells and the
results have the bits of the unchunked chip, as every draw belongs to a cell of the whole matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from cimstudy.analog import COLUMNS_TOGETHER, Key, ProgrammedMatrix, Ranges, map_columns
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.transformer.config import matrix_shapes
from cimstudy.transformer.model import Model, load_model
from cimstudy.transformer.weights import Columns, columns_of

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 2**28  # bytes of cells that are held at a time, unless the caller says


class Matrix(Protocol):
    """What a chip needs of a matrix in its cells."""

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """The product of x (..., n_in) with the matrix: (..., n_out), float32."""
        ...


class Client(Protocol):
    """What is needed of a Dask client."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, pure: bool) -> Any:
        """A future of the function's result, computed where its arguments are."""
        ...

    def gather(self, futures: list[Any]) -> list[Any]:
        """The results of futures."""
        ...


def cell_bytes(model: Model, hardware: Hardware, names: list[str]) -> int:
    """Bytes that these matrices take in cells: a number for each weight and slice, and what they are rounded to."""
    crossbar = hardware.crossbar
    planes = 1 if crossbar.adc is None else crossbar.weights.slices
    shapes = matrix_shapes(model.config)
    return sum(shapes[name][0] * shapes[name][1] for name in names) * (4 * planes + 2)


def parts_of(model: Model, hardware: Hardware, name: str, chunk: int) -> Columns:
    """A matrix in parts of at most `chunk` bytes of cells, and at least the columns that must stay together."""
    n_out = matrix_shapes(model.config)[name][1]
    columns = chunk * n_out // cell_bytes(model, hardware, [name])
    together = max(1, columns // COLUMNS_TOGETHER) * COLUMNS_TOGETHER
    return Columns(weights=model.weights, name=name, n_out=n_out, together=together)


@dataclass(frozen=True, eq=False, kw_only=True)
class Writing:
    """How one matrix of one chip is written: the hardware, its ranges, and the key of its draws."""

    hardware: Hardware
    ranges: Ranges
    key: Key

    def write(self, w: Array, first_column: int) -> ProgrammedMatrix:
        """Some columns of the matrix in cells. w : (n_in, n), from `first_column` on."""
        return map_columns(w, self.hardware, self.ranges, first_column=first_column).program(self.key)

    def chunked(self, parts: Columns) -> "ChunkedMatrix":
        """The matrix, written anew for each product."""
        return ChunkedMatrix(parts=parts, writing=self)

    def spread(self, client: Client, model: Model, parts: Columns) -> "SpreadMatrix":
        """The matrix in the cells of a cluster's workers, which read its weights for themselves."""
        if model.folder is None:
            raise InputError(f"{model.name} has no folder, which workers could read; allowed: what load_model gives")
        held = [
            client.submit(write_part, model.folder, parts.name, first, parts.together, self, pure=False)
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


def write_part(folder: str, name: str, first: int, together: int, writing: Writing) -> ProgrammedMatrix:
    """On a worker: read some columns of a matrix and write them into cells."""
    return writing.write(columns_of(opened(folder).weights, name, slice(first, first + together)), first)


def multiply(part: ProgrammedMatrix, x: Array, first_vector: int) -> Array:
    """On a worker: the product with a part that it holds."""
    return part.matmul(x, first_vector=first_vector)


@lru_cache(maxsize=1)
def opened(folder: str) -> Model:
    """The model in a folder, left in its files; opened once in a process."""
    return load_model(folder, in_memory=False)
