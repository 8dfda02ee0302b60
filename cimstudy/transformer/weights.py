"""Weights that stay in their files: read, cut, turned and converted to float32 when they are asked for."""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.transformer.adapters import Take
from cimstudy.transformer.config import TransformerConfig

Array = NDArray[np.float32]
Stored = NDArray[Any]  # a tensor in its stored number format; bfloat16 as its 16 bits

TOGETHER = 2**22  # numbers that are looked at together


@dataclass(frozen=True, eq=False, kw_only=True)
class Place:
    """Where one of our weights is: a memory-mapped tensor with its outputs first, and what to take of it."""

    tensor: Stored
    take: Take
    turned: bool  # a matrix, which is wanted with its inputs first

    def read(self, config: TransformerConfig, columns: slice = slice(None)) -> Array:
        """Read-only float32, C-contiguous; of a matrix these columns."""
        values = decoded(self.tensor) if self.tensor.ndim == 1 else self.tensor  # gains may be counted from one
        taken = decoded(self.take(values, config)[columns])
        found = frozen(taken.T if self.turned else taken)
        release(self.tensor)
        return found


class StoredWeights(Mapping[str, Array]):
    """Weights by name, read anew each time; matrices are (n_in, n_out)."""

    def __init__(self, places: Mapping[str, Place], config: TransformerConfig) -> None:
        self._places, self._config = dict(places), config

    def __getitem__(self, name: str) -> Array:
        return self._places[name].read(self._config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def columns(self, name: str, columns: slice) -> Array:
        """Some columns of a matrix: (n_in, n)."""
        return self._places[name].read(self._config, columns)

    def largest(self, name: str, rows: slice) -> float:
        """The greatest magnitude in some rows of a matrix."""
        place = self._places[name]
        taken = place.take(place.tensor, self._config)[:, rows]
        step = max(1, TOGETHER // taken.shape[1])
        found = max(largest_of(decoded(taken[start : start + step])) for start in range(0, len(taken), step))
        release(place.tensor)
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """A matrix in parts, each so many columns, which are read when they are asked for."""

    weights: Mapping[str, Array]
    name: str
    n_out: int
    rows: slice
    together: int  # columns of a part

    @property
    def starts(self) -> range:
        """The first column of each part."""
        return range(0, self.n_out, self.together)

    def __iter__(self) -> Iterator[Array]:
        return map(self.part, self.starts)

    @property
    def n_in(self) -> int:
        """Rows."""
        return int(self.rows.stop - self.rows.start)

    def largest(self) -> float:
        """The greatest magnitude, without turning anything that is in a file."""
        if isinstance(self.weights, StoredWeights):
            return self.weights.largest(self.name, self.rows)
        return float(np.abs(self.weights[self.name][self.rows]).max())

    def part(self, start: int) -> Array:
        """The part whose first column this is: (rows, columns)."""
        columns = slice(start, start + self.together)
        if isinstance(self.weights, StoredWeights):
            return self.weights.columns(self.name, columns)[self.rows]
        return self.weights[self.name][self.rows, columns]


def largest_of(values: Stored) -> float:
    """The greatest magnitude of an array."""
    return float(max(values.max(), -values.min()))


def decoded(stored: Stored) -> Stored:
    """Floating-point numbers; a bfloat16 is the upper half of a float32."""
    return (stored.astype(np.uint32) << 16).view(np.float32) if stored.dtype == np.uint16 else stored


def frozen(array: Stored) -> Array:
    """Read-only float32 copy, C-contiguous."""
    copy = np.array(array, np.float32, order="C")
    copy.flags.writeable = False
    return copy


def is_finite(stored: Stored) -> bool:
    """Whether no number is infinite or NaN, looked at piece by piece."""
    flat = stored.reshape(-1)
    pieces = (flat[start : start + TOGETHER] for start in range(0, flat.size, TOGETHER))
    finite = all(bool(np.isfinite(decoded(piece)).all()) for piece in pieces)
    release(stored)
    return finite


def release(stored: Stored) -> None:
    """Let go of the pages of the file that a tensor is in: the system counts them as this process's memory."""
    base: Any = stored
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
