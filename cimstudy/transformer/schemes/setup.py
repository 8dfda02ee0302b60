"""What a scheme is made from, and what a layer asks of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from cimstudy.analog import Key
from cimstudy.errors import InputError
from cimstudy.hardware import Attention, Hardware
from cimstudy.transformer.calibration import Tokens, default_calibration
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Pass, layer
from cimstudy.transformer.watch import Watch

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T", int, float)


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

    @property
    def calibration(self) -> Tokens:
        """What is calibrated on. Raises InputError for a model without a default, if no tokens were given."""
        return Tokens(default_calibration(self.model) if self.tokens is None else self.tokens)

    def operator(self, layer: int, part: str) -> str:
        """The name of a part of a layer's attention."""
        return f"layers.{self.model.config.group(layer)}.attention.{part}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What one layer asks of attention in a pass.

    name : of the layer's attention.  x : (sequences, T, width), its input.  first_vector : the number of its first
    vector.  origins : (sequences,), the number of each sequence's first vector: what the sequence's draws are keyed by.
    notes : what the scheme has to remember from layer to layer, and from pass to pass if there is a cache.
    """

    run: Pass
    layer: int
    name: str
    x: Array
    first_vector: int
    origins: Array
    notes: dict[Any, Any]
    watch: Watch | None

    @property
    def group(self) -> int:
        """Which set of weights the layer uses."""
        return self.run.config.group(self.layer)

    @property
    def numbers(self) -> Array:
        """Number of the first vector of each sequence in this pass, (sequences,)."""
        return vector_numbers(self.first_vector, self.x)

    @property
    def real(self) -> Array:
        """Which vectors are tokens: those that are not behind the end of their sequence, (sequences, T)."""
        sequences, length = self.x.shape[:2]
        lengths = np.full(sequences, length) if self.run.lengths is None else self.run.lengths
        found: Array = np.arange(length) < lengths[:, None]
        return found

    @property
    def tokens(self) -> int:
        """Tokens in this pass."""
        return int(self.real.sum())

    def count(self, **amounts: float) -> None:
        """Take note of what this layer did, if someone watches."""
        if self.watch is not None:
            self.watch.count(**amounts)


class Scheme(ABC):
    """The attention of one chip.

    products, searches : engines on which the two products, and what chooses keys, may be placed; no searches: it
    chooses none, or none by a search of its own.
    """

    products: ClassVar[tuple[str, ...]] = ("digital", "dynamic-crossbar", "sram-cim", "near-memory", "cam")
    searches: ClassVar[tuple[str, ...]] = ()

    @classmethod  # noqa: B027 - most schemes fit every model
    def check(cls, config: TransformerConfig, given: Attention, /) -> None:
        """Raise InputError if the scheme, as it is described, does not fit a model."""

    @classmethod
    @abstractmethod
    def of(cls, setup: Setup, /) -> Self:
        """The scheme on a chip."""

    @abstractmethod
    def __call__(self, asked: Asked, /) -> Array:
        """What the heads bring each token: (sequences, T, heads d_head)."""

    def layer(self, asked: Asked, /) -> Array:
        """What comes out of a whole layer, (sequences, T, width); may overwrite what goes in."""
        return layer(asked.run, asked.layer, asked.x)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attending:
    """A chip's attention in one pass; see `network.Attention`."""

    scheme: Scheme
    first_vector: int
    watch: Watch | None
    notes: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, run: Pass, layer: int, name: str, x: Array, /) -> Array:
        """What the heads bring each token: (sequences, T, heads d_head)."""
        return self.scheme(self.asked(run, layer, name, x))

    def layer(self, run: Pass, i: int, x: Array, /) -> Array:
        """What comes out of a layer: (sequences, T, width)."""
        asked = self.asked(run, i, f"layers.{run.config.group(i)}", x)
        asked.count(tokens=asked.tokens)
        return self.scheme.layer(asked)

    def asked(self, run: Pass, layer: int, name: str, x: Array) -> Asked:
        """What a layer asks."""
        numbers = vector_numbers(self.first_vector, x)
        notes = self.notes if run.cache is None else run.cache.notes
        return Asked(
            run=run,
            layer=layer,
            name=name,
            x=x,
            first_vector=self.first_vector,
            origins=notes.setdefault("origins", numbers),
            notes=notes,
            watch=self.watch,
        )


def vector_numbers(first: int, x: Array) -> Array:
    """Numbers of the first vectors of sequences (sequences, T, width) of which the very first has this number."""
    found: Array = first + x.shape[1] * np.arange(len(x))
    return found


def for_each_layer(name: str, given: T | tuple[T, ...], config: TransformerConfig) -> tuple[T, ...]:
    """A number for each layer from a scheme's field of this name. Raises InputError for another number of them."""
    if not isinstance(given, tuple):
        return (given,) * config.layers
    check_numbers(name, given, config.layers)
    return given


def check_numbers(name: str, given: tuple[Any, ...], layers: int) -> None:
    """Raise InputError unless a scheme's field has a number for each layer."""
    if len(given) != layers:
        raise InputError(f"architecture.attention.{name} has {len(given)} numbers; allowed: one, or {layers}")
