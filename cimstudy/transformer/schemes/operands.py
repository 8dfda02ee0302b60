"""Products of activations in arrays that are written at inference.

Keys are the columns of an array, values the rows: a token adds one of either to those that are there. Each sequence
and each head has arrays of its own, whose cells are written once for a sequence, with errors that are drawn at every
writing; what belongs to the arrays themselves (stuck cells, converters) is the same for all sequences. All arrays of a
layer share full scales, which a calibration batch gives: they must be known before the first token is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np

from cimstudy.analog import Key, Listed, ProgrammedMatrix, Ranges, map_columns
from cimstudy.analog.ranges import adc_ranges, input_range
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, arrays_of
from cimstudy.transformer.attention import Block, Meeting, Products, capped, digital, digital_scores
from cimstudy.transformer.calibration import Tokens, ideal
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Pass, SoftmaxAttention
from cimstudy.transformer.schemes.setup import Array, Asked, Setup

Meet = Callable[[Asked], Meeting]
CALIBRATION_QUERIES = 256  # of each sequence and head, evenly spread


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrays:
    """The arrays of one operand (keys or values) of one layer on one chip.

    rows : inputs of a matrix are filled up with zeros to a multiple of so many.
    """

    hardware: Hardware
    ranges: Ranges
    key: Key
    time: float
    rows: int

    def write(self, w: Array, head: int, origin: int) -> ProgrammedMatrix:
        """The arrays of a head, with the operand of the sequence that began with vector number `origin`.

        w : (n_in, n_out).
        """
        full = np.zeros((-(-len(w) // self.rows) * self.rows, w.shape[1]), np.float32)
        full[: len(w)] = w
        key = self.key.of(f"head {head}").at(f"sequence {origin}")
        return map_columns(full, self.hardware, self.ranges).program(key, time=self.time)

    @property
    def cells(self) -> int:
        """Cells that hold one number, those of redundant arrays included."""
        coding, redundancy = self.hardware.crossbar.weights, self.hardware.architecture.redundancy
        slices = arrays_of(redundancy, self.hardware.device.faults, coding.slices)
        return slices * len(coding.cells) * (2 if coding.kind == "differential" else 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Operands:
    """Where the two products of each layer run. keys, values : arrays, by layer; none where they are digital."""

    keys: Mapping[int, Arrays]
    values: Mapping[int, Arrays]

    @classmethod
    def of(cls, setup: Setup, meet: Meet) -> Self:
        """What the hardware places. meet : queries, keys and values of a layer, as the digital run has them."""
        return cls(keys=placed(setup, meet, "scores"), values=placed(setup, meet, "values"))

    def products(self, asked: Asked, met: Meeting, *, shared: bool = False) -> Products:
        """The products of a meeting; writes what arrays are to hold.

        shared : keys are the values, in cells with access from both sides: they are written once.
        """
        exact = digital(met)
        keys, values = self.keys.get(asked.layer), self.values.get(asked.layer)
        if keys is not None:
            count_writes(asked, keys, met.k.shape[1] * met.k.shape[3])
        if values is not None and (keys is None or not shared):
            count_writes(asked, values, met.v.shape[1] * met.v.shape[3])
        return Products(
            exact.scores if keys is None else Scores.of(keys, asked, met),
            exact.values if values is None else Averages.of(values, asked, met),
        )


def count_writes(asked: Asked, arrays: Arrays, width: int) -> None:
    """Take note of what a pass writes: so many numbers for each token."""
    asked.count(writes=asked.tokens * width, cell_writes=asked.tokens * width * arrays.cells)


@dataclass(frozen=True, eq=False, kw_only=True)
class Filled:
    """Arrays that hold one operand of a batch. matrices : of each sequence, for each head of the operand."""

    matrices: list[list[ProgrammedMatrix]]
    numbers: Array

    @classmethod
    def of(cls, arrays: Arrays, origins: Array, numbers: Array, operand: Array) -> Self:
        """Write an operand (sequences, heads, n_in, n_out); origins and numbers as those of `Asked`."""
        return cls(
            matrices=[
                [arrays.write(w, head, int(origin)) for head, w in enumerate(sequence)]
                for origin, sequence in zip(origins, operand, strict=True)
            ],
            numbers=numbers,
        )

    def times(self, x: Array, block: Block) -> Array:
        """Products of x (sequences, heads, queries, n_in) of a block: (sequences, heads, queries, n_out).

        Heads that share an array follow each other in it, vector after vector.
        """
        found = []
        for sequence, number in zip(range(block.some.start, block.some.stop), self.numbers[block.some], strict=True):
            matrices = self.matrices[sequence]
            for head, matrix in enumerate(matrices):
                group = x.shape[1] // len(matrices)
                mine = x[sequence - block.some.start, head * group : (head + 1) * group].swapaxes(0, 1)
                y = matrix.matmul(mine, first_vector=int(number + block.rows.start) * group)
                found.append(y.swapaxes(0, 1))
        return np.reshape(np.concatenate(found), (*x.shape[:3], -1))


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores from arrays that hold keys."""

    q: Array
    filled: Filled

    @classmethod
    def of(cls, arrays: Arrays, asked: Asked, met: Meeting) -> Self:
        """Write the keys of a meeting."""
        return cls(met.q, Filled.of(arrays, asked.origins, asked.numbers, met.k.swapaxes(-1, -2)))

    def __call__(self, block: Block) -> Array:
        """The scores of a block."""
        return self.filled.times(self.q[block.some, :, block.rows], block)[..., block.keys]


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages of values that arrays hold."""

    filled: Filled
    rows: int

    @classmethod
    def of(cls, arrays: Arrays, asked: Asked, met: Meeting) -> Self:
        """Write the values of a meeting."""
        filled = Filled.of(arrays, asked.origins, asked.numbers, met.v)
        return cls(filled, -(-met.v.shape[2] // arrays.rows) * arrays.rows)

    def __call__(self, block: Block, weights: Array, sums: Array) -> Array:
        """The averages of a block."""
        driven = np.zeros((*weights.shape[:3], self.rows), np.float32)
        np.divide(weights, sums, out=driven[..., block.keys])
        return self.filled.times(driven, block)


def placed(setup: Setup, meet: Meet, product: str) -> dict[int, Arrays]:
    """The arrays of one product, "scores" or "values", by layer, where it runs in arrays."""
    found = {}
    for layer in range(setup.model.config.layers):
        name = setup.operator(layer, product)
        if setup.hardware.engine(name) != "digital":
            found[layer] = placed_arrays(setup, meet, (layer, product), setup.hardware.of(name))
    return found


def placed_arrays(setup: Setup, meet: Meet, place: tuple[int, str], given: Hardware) -> Arrays:
    """The arrays of a layer's product (a place), of this hardware."""
    layer, product = place
    hardware = written_at_inference(given)
    return Arrays(
        hardware=hardware,
        ranges=operand_ranges(setup.model, ideal(hardware), setup.calibration, meet, place),
        key=setup.key.of(f"layers.{layer}.attention.{product}"),
        time=setup.time,
        rows=row_step(setup.model, hardware, product),
    )


def written_at_inference(hardware: Hardware) -> Hardware:
    """The hardware of arrays into which operands come token by token. Raises InputError where that cannot be."""
    if hardware.crossbar.wires is not None:
        raise InputError("crossbar.wires of arrays that are written at inference; allowed there: None")
    # a scale of each column, and an even cut, would depend on tokens to come
    return hardware.replace("crossbar.weights.scale", "matrix").replace("crossbar.split", "maximal")


def row_step(model: Model, hardware: Hardware, product: str) -> int:
    """Inputs of a whole array: values fill arrays one after the other, keys have the same inputs for ever."""
    return min(hardware.crossbar.rows, model.config.context) if product == "values" else 1


@lru_cache(maxsize=256)
def operand_ranges(model: Model, hardware: Hardware, tokens: Tokens, meet: Meet, place: tuple[int, str]) -> Ranges:
    """Full scales of the arrays of a layer's product, from what the digital run multiplies there."""
    layer, product = place
    met = calibration_meetings(model, tokens, meet)[layer]
    step = max(1, met.q.shape[2] // CALIBRATION_QUERIES)
    x, w = met.q[:, :, ::step], met.k.swapaxes(-1, -2)
    if product == "values":
        x, w = probabilities(met, step), met.v
        more = -w.shape[2] % row_step(model, hardware, product)
        x, w = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, more))), np.pad(w, ((0, 0), (0, 0), (0, more), (0, 0)))
    return full_scales(hardware, x, w, model.config.context if product == "scores" else w.shape[3])


def full_scales(hardware: Hardware, x: Array, w: Array, columns: int) -> Ranges:
    """Full scales that serve all matrices w (sequences, heads, n_in, n_out) and their inputs x (..., queries, n_in)."""
    crossbar = hardware.crossbar
    top = float(np.percentile(np.abs(w), crossbar.weights.percentile)) or 1.0
    bare = Ranges(
        weights=np.array([top]), inputs=input_range(crossbar.dac, x), adc=np.zeros(0, np.float32), columns=columns
    )
    heads = w.reshape(-1, *w.shape[2:])
    inputs = x.reshape(len(heads), -1, x.shape[-1])
    adc = [
        adc_ranges(Listed((one,)), hardware, bare, batch, np.float32) for one, batch in zip(heads, inputs, strict=True)
    ]
    return Ranges(weights=bare.weights, inputs=bare.inputs, adc=np.max(adc, axis=0), columns=columns)


def probabilities(met: Meeting, step: int) -> Array:
    """Softmax of the scores of every `step`-th query: (sequences, heads, queries, keys)."""
    found = np.zeros((*met.q.shape[:3], met.k.shape[2]), np.float32)
    for block, mask in met.blocks():
        weights, sums = met.softmax(block, capped(digital_scores(met, block), met.cap) + mask)
        found[block.some, :, block.rows, block.keys] = weights / sums
    return found[:, :, ::step]


@lru_cache(maxsize=2)
def calibration_meetings(model: Model, tokens: Tokens, meet: Meet) -> dict[int, Meeting]:
    """What meets in each layer of the digital run of a calibration batch."""
    record = Recorder(meet)
    (model.image_logits if model.config.patch else model.logits)(tokens.array, None, record)
    return record.found


@dataclass(frozen=True, eq=False)
class Recorder(SoftmaxAttention):
    """Softmax attention that keeps what meets in each layer."""

    meet: Meet
    found: dict[int, Meeting] = field(default_factory=dict)

    def __call__(self, run: Pass, layer: int, name: str, x: Array, /) -> Array:
        """As `network.Attention`."""
        first = np.zeros(len(x), np.intp)
        self.found[layer] = self.meet(
            Asked(run=run, layer=layer, name=name, x=x, first_vector=0, origins=first, notes={}, watch=None)
        )
        return super().__call__(run, layer, name, x)
