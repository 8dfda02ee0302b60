"""What a scheme is made from, and what a layer asks of it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cimstudy.analog import Key
from cimstudy.hardware import Hardware
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Pass
from cimstudy.transformer.watch import Watch

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Setup:
    """A chip that is being programmed: the model, the hardware, the chip's key and its age.

    tokens : (sequences, T), or images, for what is calibrated; None: the default of the model.
    """

    model: Model
    hardware: Hardware
    key: Key
    time: float
    tokens: Array | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What one layer asks of attention in a pass.

    name : of the layer's attention.  x : (sequences, T, width), its input.  first_vector : the number of its first
    vector.  origins : (sequences,), the number of each sequence's first vector: what the sequence's draws are keyed by.
    """

    run: Pass
    layer: int
    name: str
    x: Array
    first_vector: int
    origins: Array
    watch: Watch | None

    @property
    def numbers(self) -> Array:
        """Number of the first vector of each sequence in this pass, (sequences,)."""
        return vector_numbers(self.first_vector, self.x)

    @property
    def tokens(self) -> int:
        """Tokens in this pass, those behind the end of a sequence left out."""
        lengths = self.run.lengths
        return int(self.x.shape[0] * self.x.shape[1] if lengths is None else lengths.sum())

    def count(self, **amounts: float) -> None:
        """Take note of what this layer did, if someone watches."""
        if self.watch is not None:
            self.watch.count(**amounts)


class Scheme(Protocol):
    """The attention of one chip."""

    def __call__(self, asked: Asked, /) -> Array:
        """What the heads bring each token: (sequences, T, heads d_head)."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Attending:
    """A chip's attention in one pass; see `network.Attention`."""

    scheme: Scheme
    first_vector: int
    watch: Watch | None

    def __call__(self, run: Pass, layer: int, name: str, x: Array, /) -> Array:
        """What the heads bring each token: (sequences, T, heads d_head)."""
        numbers = vector_numbers(self.first_vector, x)
        origins = numbers if run.cache is None else run.cache.notes.setdefault("origins", numbers)
        asked = Asked(
            run=run,
            layer=layer,
            name=name,
            x=x,
            first_vector=self.first_vector,
            origins=origins,
            watch=self.watch,
        )
        return self.scheme(asked)


def vector_numbers(first: int, x: Array) -> Array:
    """Numbers of the first vectors of sequences (sequences, T, width) of which the very first has this number."""
    found: Array = first + x.shape[1] * np.arange(len(x))
    return found
