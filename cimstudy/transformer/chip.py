"""A chip: one manufactured instance of a hardware, with a model's weights programmed into it.

Mapping (rounding, tiling, calibrating converters) is the same for all chips and kept; programming draws the errors of
one chip.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from cimstudy.analog import Key, MappedMatrix, Ranges, find_ranges, map_columns
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.transformer.attention import Cache
from cimstudy.transformer.checkpoint import physical_memory
from cimstudy.transformer.chunks import CHUNK, Client, Matrix, Writing, cell_bytes, parts_of
from cimstudy.transformer.config import matrix_shapes
from cimstudy.transformer.corpus import load_text
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Linear
from cimstudy.transformer.tokenizer import ByteTokenizer

Array = np.ndarray[Any, np.dtype[Any]]

T = TypeVar("T")

CALIBRATION_SEQUENCES = 2  # of the model's context: 512 vectors for the bundled model


@dataclass(frozen=True, eq=False)
class Watch:
    """Where the error enters: of each product on the chip, power of the digital result and of the difference from it.

    powers : by matrix, sums over all elements so far.
    """

    powers: dict[str, tuple[float, float]] = field(default_factory=dict)

    def see(self, name: str, digital: Array, found: Array) -> None:
        """Take note of a product's result beside the digital one."""
        signal, noise = self.powers.get(name, (0.0, 0.0))
        error = found - digital
        self.powers[name] = signal + square_sum(digital), noise + square_sum(error)


def square_sum(x: Array) -> float:
    """Sum of the squares of all elements, in double precision."""
    return float(np.square(x, dtype=np.float64).sum())


@dataclass(frozen=True, eq=False, kw_only=True)
class Chip:
    """A model in the cells of one chip. Matrices that the architecture keeps digital are not in `matrices`.

    watch : if given, it sees each product beside the digital one of the same input, which costs a digital run more.
    """

    model: Model
    hardware: Hardware
    matrices: Mapping[str, Matrix]
    watch: Watch | None = None

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
        linear = self.linear(first_vector)
        return self.model.logits(tokens, linear, lengths=lengths, token_types=token_types, cache=cache)

    def image_logits(self, images: Array, *, first_vector: int = 0) -> Array:
        """What this chip gives for images (..., channels, height, width), as `Model.image_logits`."""
        return self.model.image_logits(images, self.linear(first_vector))

    def linear(self, first_vector: int = 0) -> Linear:
        """The products of this chip; read noise is keyed by a vector's number, from `first_vector` on."""

        def product(name: str, x: Array, *, rows: Array | None = None) -> Array:
            if name not in self.matrices:
                return self.model.product(name, x)
            y = analog(name, x, rows)
            if self.watch is not None:
                self.watch.see(name, self.model.product(name, x), y)
            return y

        def analog(name: str, x: Array, rows: Array | None) -> Array:
            matrix = self.matrices[name]
            if rows is None or self.hardware.device.read_noise is None:
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
) -> Chip:
    """Chip number `trial` of a hardware, with a model's weights programmed into it.

    calibration : (sequences, T) tokens, or images, for converters with calibrated ranges; None: the end of the
        bundled text, for models of bytes.
    chunks : bytes of cells to hold at a time: parts of matrices are then read, written and dropped again at each
        product.  None: all cells, if they fit into a quarter of the machine's memory.
    client : a Dask client, whose workers hold the cells, in parts of `chunks` bytes.
    watch : sees where errors enter.
    The chip is the same, bit for bit, however it is held.  Raises InputError for seeds out of range, bad tokens, or a
    pattern that fits no matrix.
    """
    if chunks is not None and chunks < 1:
        raise InputError(f"chunks = {chunks}; allowed: bytes of cells to hold at a time, 1 or more")
    key = Key.root(seed, trial)
    names = placed_matrices(model, hardware)
    matrices: dict[str, Matrix] = {}
    if client is None and chunks is None and cell_bytes(model, hardware, names) <= physical_memory() / 4:
        mapped = map_model(model, hardware, calibration)
        matrices |= {name: matrix.program(key.of(name)) for name, matrix in mapped.items()}
    else:
        ranges = model_ranges(model, hardware, calibration)
        for name in names:
            written = Writing(hardware=hardware, ranges=ranges[name], key=key.of(name))
            parts = parts_of(model, hardware, name, chunks or CHUNK)
            matrices[name] = written.chunked(parts) if client is None else written.spread(client, model, parts)
    return Chip(model=model, hardware=hardware, matrices=matrices, watch=watch)


def map_model(model: Model, hardware: Hardware, calibration: Array | None = None) -> dict[str, MappedMatrix]:
    """The model's matrices laid out on the hardware's crossbars, by name. Arguments and errors as `program`."""
    tokens = calibration_tokens(model, hardware, calibration)
    mapped = _mapped(model, ideal(hardware), tokens)
    return {name: matrix.on(hardware) for name, matrix in mapped.items()}


def model_ranges(model: Model, hardware: Hardware, calibration: Array | None = None) -> Mapping[str, Ranges]:
    """The ranges of weights and converters of the model's matrices, by name. Arguments and errors as `program`."""
    return _ranges(model, ideal(hardware), calibration_tokens(model, hardware, calibration))


def calibration_tokens(model: Model, hardware: Hardware, calibration: Array | None) -> "Tokens | None":
    """Tokens for the converters that need some; None if none does."""
    if not needs_calibration(hardware):
        return None
    return Tokens(default_calibration(model) if calibration is None else calibration)


def placed_matrices(model: Model, hardware: Hardware) -> list[str]:
    """Names of the matrices that crossbars hold. Raises InputError if a pattern fits none."""
    for pattern in hardware.architecture.crossbar:
        one = hardware.architecture.replace("crossbar", (pattern,))
        if not any(one.on_crossbar(name) for name in model.matrices):
            raise InputError(
                f"architecture.crossbar: pattern {pattern!r} fits no matrix of {model.name}; "
                f"there are: {', '.join(model.matrices[:7])}, ..., {model.matrices[-1]}"
            )
    return [name for name in model.matrices if hardware.architecture.on_crossbar(name)]


def needs_calibration(hardware: Hardware) -> bool:
    """Whether a converter takes its range from a calibration batch."""
    converters = (hardware.crossbar.dac, hardware.crossbar.adc)
    return any(converter is not None and converter.range == "calibrated" for converter in converters)


def default_calibration(model: Model) -> Array:
    """The last tokens of the bundled text, (sequences, context). Only a model of bytes can read them."""
    context = model.config.context
    tokens = np.asarray(ByteTokenizer().encode(load_text("bundled")))[-CALIBRATION_SEQUENCES * context :]
    if model.config.vocab_size != ByteTokenizer.vocab_size or len(tokens) < CALIBRATION_SEQUENCES * context:
        raise InputError(f"{model.name}: 'calibrated' converter ranges need calibration tokens, (sequences, T)")
    return tokens.reshape(CALIBRATION_SEQUENCES, context)


def ideal(hardware: Hardware) -> Hardware:
    """The hardware without what does not change a mapping: cell errors and the resolution of output converters."""
    device = hardware.device.replace("programming", None).replace("read_noise", None)
    bare = hardware.replace("device", device)
    if bare.crossbar.adc is None:
        return bare
    return bare.replace("crossbar.adc.bits", type(bare.crossbar.adc).model_fields["bits"].default)


class Tokens:
    """An array of tokens that compares and hashes by value, so that mappings can be kept by what they depend on."""

    def __init__(self, array: Array) -> None:
        self.array = np.atleast_2d(array)
        self.identity = (self.array.shape, self.array.dtype.str, self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


@lru_cache(maxsize=8)
def _mapped(model: Model, hardware: Hardware, tokens: Tokens | None) -> dict[str, MappedMatrix]:
    ranges = _ranges(model, hardware, tokens)
    return {name: map_columns(model.weights[name], hardware, found) for name, found in ranges.items()}


@lru_cache(maxsize=8)
def _ranges(model: Model, hardware: Hardware, tokens: Tokens | None) -> dict[str, Ranges]:
    """Ranges of the matrices that crossbars hold, found while the digital run passes by: no inputs are kept."""
    names = placed_matrices(model, hardware)
    parts = {name: parts_of(model, hardware, name, CHUNK) for name in names}
    if tokens is None:
        return {name: find_ranges(parts[name], hardware) for name in names}
    if model.config.groups < model.config.layers or physical_memory() / 8 > inputs_bytes(model, tokens):
        inputs = seen(names, matrix_inputs(model, tokens))
        return {name: find_ranges(parts[name], hardware, calibration=inputs[name]) for name in names}
    found: dict[str, Ranges] = {}

    def linear(name: str, x: Array, *, rows: Array | None = None) -> Array:  # noqa: ARG001 - as Linear
        if name in parts:
            found[name] = find_ranges(parts[name], hardware, calibration=x)
        return model.product(name, x)

    run_inputs(model, tokens.array, linear)
    return {name: seen(names, found)[name] for name in names}


def seen(names: list[str], found: Mapping[str, T]) -> Mapping[str, T]:
    """What was found, if it was for all these matrices. Raises InputError for an expert that no token asked."""
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"no token of the calibration batch came to {missing[0]}; allowed: more tokens, or ranges that need none"
        )
    return found


def run_inputs(model: Model, inputs: Array, linear: Linear) -> None:
    """Run tokens or images through a model, for what `linear` sees."""
    (model.image_logits if model.config.patch else model.logits)(inputs, linear)


def inputs_bytes(model: Model, tokens: Tokens) -> int:
    """Bytes of everything that the digital run multiplies by matrices."""
    config = model.config
    vectors = len(tokens.array) * config.context if config.patch else tokens.array.size
    return 4 * vectors * sum(n_in for n_in, _ in matrix_shapes(config).values())


@lru_cache(maxsize=2)
def matrix_inputs(model: Model, tokens: Tokens) -> dict[str, Array]:
    """What the digital run multiplies each matrix by, (vectors, n_in), for the calibration of converters."""
    inputs: dict[str, list[Array]] = {}

    def linear(name: str, x: Array, *, rows: Array | None = None) -> Array:  # noqa: ARG001 - as Linear
        inputs.setdefault(name, []).append(x.reshape(-1, x.shape[-1]).copy())  # layers may share a matrix
        return model.product(name, x)

    run_inputs(model, tokens.array, linear)
    return {name: np.concatenate(found) for name, found in inputs.items()}
