"""The units of a network for softmax, norms and activations, and for what is kept: exact, or those of a chip."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.analog import Key
from cimstudy.analog.random import BLOCK, normals
from cimstudy.hardware import Architecture, Hardware, KeyValues
from cimstudy.hardware.nonlinear import (
    Activation,
    Base2Softmax,
    ConstantSoftmax,
    ExactNorm,
    HardSigmoid,
    IntegerNorm,
    LogarithmSoftmax,
    Lookup,
    Norm,
    PolynomialActivation,
    PolynomialSoftmax,
    Ranges,
    Softmax,
    TableNorm,
    Unit,
)
from cimstudy.transformer.elementwise import (
    ACTIVATIONS,
    below_largest,
    exponentials,
    mean_square,
    normalised,
    over_sums,
)
from cimstudy.transformer.nonlinear import (
    POLYNOMIALS,
    Doubles,
    Function,
    asymptote,
    exact_activation,
    exp_polynomial,
    integer_root,
    looked_up,
    memory_of,
    rounded,
    table_of,
)

Array = NDArray[np.float32]
Places = NDArray[np.integer]


DENOMINATOR = "denominator"  # the error that a row shares
AS_COMPUTED = 16  # bits of a key or a value that are not rounded


class Units(Protocol):
    """Softmax, norms and activations of a network, by the names of the operators."""

    def softmax(self, name: str, scores: Array, vectors: Places, first_key: int) -> tuple[Array, Array]:
        """Weights (sequences, heads, queries, keys), and what to divide them by (..., 1).  May overwrite the scores.

        scores : minus infinity where a key is not seen, whose weight is 0.  vectors : (sequences, queries), numbers of
        the queries' tokens in the batch, rising by one in a sequence.  first_key : position of the first key.
        """
        ...

    def norm(self, name: str, x: Array, eps: float) -> Array:
        """Vectors x (..., width) over the root of their mean square."""
        ...

    def activation(self, name: str, function: str, x: Array, rows: Places | None = None) -> Array:
        """The activation called `function` of x (sequences, T, width).  rows : as for `Linear`."""
        ...

    def kept(self, x: Array) -> Array:
        """Keys or values (sequences, heads, T, width) as they are kept for later queries."""
        ...


class ExactUnits:
    """Everything in single precision."""

    def softmax(self, name: str, scores: Array, vectors: Places, first_key: int) -> tuple[Array, Array]:  # noqa: ARG002 - as Units
        """As `Units`."""
        return exponentials(scores)

    def norm(self, name: str, x: Array, eps: float) -> Array:  # noqa: ARG002 - as Units
        """As `Units`."""
        return normalised(x, eps)

    def activation(self, name: str, function: str, x: Array, rows: Places | None = None) -> Array:  # noqa: ARG002 - as Units
        """As `Units`."""
        return ACTIVATIONS[function](x)

    def kept(self, x: Array) -> Array:
        """As `Units`."""
        return x


EXACT = ExactUnits()


@dataclass(frozen=True, kw_only=True)
class ChipUnits:
    """The units of one chip.  first_vector : the number of a batch's first token, which errors are keyed by."""

    hardware: Hardware
    key: Key
    first_vector: int = 0

    def kept(self, x: Array) -> Array:
        """As `Units`."""
        kv = self.hardware.architecture.kv
        if not is_rounded(kv):
            return x
        return rounded(x, kv.bits, np.abs(x).max(axis=-1, keepdims=True), signed=True)

    def softmax(self, name: str, scores: Array, vectors: Places, first_key: int) -> tuple[Array, Array]:
        """As `Units`."""
        unit, key = self.hardware.of(name).architecture.softmax, self.key.of(name)
        hidden = np.isneginf(scores)
        weights, sums = weighed(unit, exp_of(unit, key), scores)
        weights[hidden] = 0
        weights, sums = over_sums(weights) if sums is None else (weights, sums)
        if isinstance(unit, LogarithmSoftmax):
            weights, sums = undivided(unit, exp_of(unit, key), scores, sums), np.ones_like(sums)
            weights[hidden] = 0
        if not has_effects(unit):
            return weights, sums

        def draw(purpose: str, keys: int) -> Array:
            places = self.first_vector + vectors
            return score_draws(
                key.of(purpose), places, (*weights.shape[:3], keys), 0 if purpose == DENOMINATOR else first_key
            )

        shares = finished(unit, weights / sums, draw, unit.denominator_std, full=1.0, signed=False)
        shares[hidden] = 0
        return shares, np.ones_like(sums)

    def norm(self, name: str, x: Array, eps: float) -> Array:
        """As `Units`."""
        unit, key = self.hardware.of(name).architecture.norm, self.key.of(name)
        x = rounded(x, unit.input_bits, np.abs(x).max(axis=-1, keepdims=True), signed=True)
        y = normalised(x, eps) if isinstance(unit, ExactNorm) else x * inverse_root(unit, x, eps)
        if not has_effects(unit):
            return y

        def draw(purpose: str, columns: int) -> Array:
            return vector_draws(key.of(purpose), self.first_vector, (*x.shape[:-1], columns))

        full = np.abs(y).max(axis=-1, keepdims=True)
        return finished(unit, y, draw, unit.denominator_std, full=full, signed=True, offset=1.0)

    def activation(self, name: str, function: str, x: Array, rows: Places | None = None) -> Array:
        """As `Units`."""
        unit, key = self.hardware.of(name).architecture.activation, self.key.of(name)
        x = rounded(x, unit.input_bits, unit.range, signed=True)
        y = activation_of(unit, function, key)(x)
        if not has_effects(unit):
            return y

        def draw(purpose: str, columns: int) -> Array:
            if rows is None:
                return vector_draws(key.of(purpose), self.first_vector, (*x.shape[:-1], columns))
            whole = vector_draws(key.of(purpose), self.first_vector, (1, int(rows.max()) + 1, columns))
            return whole[:, rows]

        return finished(unit, y, draw, 0.0, full=unit.range, signed=True)


def is_rounded(kv: KeyValues) -> bool:
    """Whether keys and values are rounded when they are kept; those in arrays are rounded as their cells need it."""
    return kv.location != "array" and kv.bits < AS_COMPUTED


def units_of(hardware: Hardware, key: Key, first_vector: int) -> Units:
    """The units of a chip in a pass: exact ones, unless the hardware has others."""
    exact = Architecture()
    architectures = [hardware.architecture, *hardware.overrides]
    plain = all(
        getattr(architecture, part) in {None, getattr(exact, part)}
        for architecture in architectures
        for part in ("softmax", "norm", "activation")
    )
    if plain and not is_rounded(hardware.architecture.kv):
        return EXACT
    return ChipUnits(hardware=hardware, key=key.of("units"), first_vector=first_vector)


Draw = Callable[[str, int], Array]


def has_effects(unit: Unit) -> bool:
    """Whether anything happens to what the unit's function gives."""
    errors = (unit.gain_std, unit.offset_std, getattr(unit, "denominator_std", 0.0))
    return unit.output_bits is not None or any(errors)


def finished(  # noqa: PLR0913 - what a unit does after its function
    unit: Unit, y: Array, draw: Draw, shared: float, *, full: Array | float, signed: bool, offset: float | None = None
) -> Array:
    """What a unit gives, from what its function gives: with errors, then rounded.

    draw : standard normals by purpose and number of columns, like y in its other axes.
    shared : standard deviation of the error that a row shares.  full : of rounding.  offset : what offset_std is a
    fraction of, if not of `full`.
    """
    if shared:
        y = y * (1 + np.float32(shared) * draw(DENOMINATOR, 1))
    if unit.gain_std:
        y = y * (1 + np.float32(unit.gain_std) * draw("gain", y.shape[-1]))
    if unit.offset_std:
        scale = np.asarray(full if offset is None else offset, np.float32)
        y = y + np.float32(unit.offset_std) * scale * draw("offset", y.shape[-1])
    return rounded(y, unit.output_bits, full, signed=signed)


def vector_draws(key: Key, first_vector: int, shape: tuple[int, ...]) -> Array:
    """Standard normals for vectors (sequences, T, ...), each with a row of its own."""
    found: Array = normals(key, (shape[0] * shape[1], int(np.prod(shape[2:]))), first_row=first_vector)
    return found.reshape(shape)


def score_draws(key: Key, vectors: Places, shape: tuple[int, ...], first_key: int) -> Array:
    """Standard normals for scores (sequences, heads, queries, keys), by the query's token, its head and the key.

    vectors : (sequences, queries).
    """
    skipped = first_key % BLOCK
    found = np.empty(shape, np.float32)
    for sequence, head in np.ndindex(shape[:2]):
        drawn = normals(
            key,
            (shape[2], skipped + shape[3]),
            plane=head,
            first_row=int(vectors[sequence, 0]),
            first_column=first_key - skipped,
        )
        found[sequence, head] = drawn[:, skipped:]
    return found


def weighed(unit: Softmax, exp: Function, scores: Array) -> tuple[Array, Array | None]:
    """Weights of scores, and what they are to be divided by if it is not their sum.  Overwrites the scores."""
    if isinstance(unit, ConstantSoftmax | HardSigmoid):
        x = rounded(scores, unit.input_bits, unit.range, signed=True)
        if isinstance(unit, ConstantSoftmax):
            weights = np.exp(np.minimum(x - np.float32(unit.shift), 80)) / np.float32(unit.denominator)
            return weights, np.ones_like(weights[..., :1])
        weights = np.clip(np.float32(unit.slope) * x + np.float32(unit.offset), 0, 1)
        return weights, None if unit.normalised else np.ones_like(weights[..., :1])
    return exp(-rounded(-below_largest(scores), unit.input_bits, unit.range, signed=False)), None


def undivided(unit: LogarithmSoftmax, exp: Function, below: Array, sums: Array) -> Array:
    """exp(below - ln sums), with the logarithm from a table of the sum's leading digits."""
    entries = table_of(np.log, log_table(unit), 1.0, 2.0)
    fraction, power = np.frexp(sums)
    logarithms = looked_up(2 * fraction, entries, 1.0, 2.0, unit.interpolation)
    logarithms = logarithms + np.float32(np.log(2)) * (power - 1).astype(np.float32)
    return exp(-rounded(logarithms - below, unit.input_bits, unit.range, signed=False))


def log_table(unit: LogarithmSoftmax) -> Lookup:
    """The table of the logarithm, beside that of exp."""
    return Lookup(entries=unit.log_entries, entry_bits=unit.entry_bits, interpolation=unit.interpolation)


@lru_cache(maxsize=256)
def exp_of(unit: Softmax, key: Key) -> Function:
    """How a unit finds exp of numbers up to zero."""
    if isinstance(unit, PolynomialSoftmax):
        return exp_polynomial
    if isinstance(unit, Base2Softmax):
        scale = np.float32(np.log2(np.e) if unit.rescaled else 1)
        return lambda x: np.exp2(scale * x)
    return held(unit, np.exp, np.exp, -unit.range, 0.0, key)


@lru_cache(maxsize=256)
def activation_of(unit: Activation, function: str, key: Key) -> Function:
    """How a unit finds an activation."""
    if isinstance(unit, PolynomialActivation):
        return POLYNOMIALS[function]
    found = held(unit, ACTIVATIONS[function], exact_activation(function), -unit.range, unit.range, key)
    if found is ACTIVATIONS[function]:
        return found
    limit = np.float32(unit.range)
    return lambda x: np.where(np.abs(x) > limit, asymptote(function, x), found(np.clip(x, -limit, limit)))


def held(  # noqa: PLR0913, PLR0917 - a function, and how it is held
    unit: object, exact: Function, precise: Callable[[Doubles], Doubles], low: float, high: float, key: Key
) -> Function:
    """A function as a unit holds it from `low` to `high`: in a table, in a memory of ranges, or exactly.

    precise : the function in double precision.  key : of the chip's errors.
    """
    if isinstance(unit, Lookup):
        entries = table_of(precise, unit, low, high)
        return partial(looked_up, entries=entries, low=low, high=high, interpolation=unit.interpolation)
    if isinstance(unit, Ranges):
        memory = memory_of(precise, unit, low, high)
        if not unit.bound_std:
            return memory
        most = max(len(bounds) for pair in memory.bounds for bounds in pair)
        errors = normals(key.of("bounds"), (2 * unit.bits, most))
        return memory.moved(np.float32(unit.bound_std * (high - low)) * errors)
    return exact


def inverse_root(unit: Norm, x: Array, eps: float) -> Array:
    """1 / root of the mean square of each row, (..., 1), in integers or from a table.  x : (..., width)."""
    inverse: Array
    squares = mean_square(x) + np.float32(eps)
    if isinstance(unit, IntegerNorm):
        full = np.abs(x).max(axis=-1, keepdims=True).astype(np.float64)  # which the integers are scaled to
        step = np.where(full > 0, full, 1) * 2.0**-unit.root_bits
        integers = np.maximum(squares / step**2, 1).astype(np.int64)
        inverse = (1 / (integer_root(integers) * step)).astype(np.float32)
        return inverse
    assert isinstance(unit, TableNorm)  # noqa: S101 - the only other kind, for the type checker
    entries = table_of(lambda x: x**-0.5, unit, 1.0, 4.0)
    fraction, power = np.frexp(squares)  # squares = fraction 2^power, fraction in [1/2, 1)
    odd = power % 2
    leading = fraction * np.where(odd, np.float32(2), np.float32(4))  # in [1, 4), times a power of four
    found = looked_up(leading, entries, 1.0, 4.0, unit.interpolation)
    inverse = np.ldexp(found, -((power - np.where(odd, 1, 2)) // 2))
    return inverse
