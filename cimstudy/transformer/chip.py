"""A chip: one manufactured instance of a hardware, with a model's weights programmed into it.

Mapping (rounding, tiling, calibrating converters) is the same for all chips and kept; programming draws the errors of
one chip.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cimstudy.analog import Key, MappedMatrix, ProgrammedMatrix, map_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.transformer.attention import Cache
from cimstudy.transformer.corpus import load_text
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Linear
from cimstudy.transformer.tokenizer import ByteTokenizer

Array = np.ndarray[Any, np.dtype[Any]]

CALIBRATION_SEQUENCES = 2  # of the model's context: 512 vectors for the bundled model


@dataclass(frozen=True, eq=False, kw_only=True)
class Chip:
    """A model in the cells of one chip. Matrices that the architecture keeps digital are not in `matrices`."""

    model: Model
    hardware: Hardware
    matrices: Mapping[str, ProgrammedMatrix]

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
            matrix = self.matrices[name]
            if rows is None or self.hardware.device.read_noise is None:
                return matrix.matmul(x, first_vector=first_vector)
            batch = np.zeros((rows.max() + 1, x.shape[-1]), np.float32)  # each vector in its place, for its own noise
            batch[rows] = x[0]
            return matrix.matmul(batch, first_vector=first_vector)[None, rows]

        return product


def program(
    model: Model, hardware: Hardware, *, seed: int = 0, trial: int = 0, calibration: Array | None = None
) -> Chip:
    """Chip number `trial` of a hardware, with a model's weights programmed into it.

    calibration : (sequences, T) tokens for converters with calibrated ranges; None: the end of the bundled text, for
        models of bytes.  Raises InputError for seeds out of range, bad tokens, or a pattern that fits no matrix.
    """
    key = Key.root(seed, trial)
    mapped = map_model(model, hardware, calibration)
    return Chip(
        model=model,
        hardware=hardware,
        matrices={name: matrix.program(key.of(name)) for name, matrix in mapped.items()},
    )


def map_model(model: Model, hardware: Hardware, calibration: Array | None = None) -> dict[str, MappedMatrix]:
    """The model's matrices laid out on the hardware's crossbars, by name. Arguments and errors as `program`."""
    tokens = None
    if needs_calibration(hardware):
        tokens = Tokens(default_calibration(model) if calibration is None else np.atleast_2d(calibration))
    mapped = _mapped(model, ideal(hardware), tokens)
    return {name: matrix.on(hardware) for name, matrix in mapped.items()}


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
        self.array = array
        self.identity = (array.shape, array.dtype.str, array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


@lru_cache(maxsize=8)
def _mapped(model: Model, hardware: Hardware, tokens: Tokens | None) -> dict[str, MappedMatrix]:
    inputs = {} if tokens is None else matrix_inputs(model, tokens)
    return {
        name: map_matrix(model.weights[name], hardware, calibration=inputs.get(name))
        for name in placed_matrices(model, hardware)
    }


@lru_cache(maxsize=2)
def matrix_inputs(model: Model, tokens: Tokens) -> dict[str, Array]:
    """What the digital run multiplies each matrix by, (vectors, n_in), for the calibration of converters."""
    seen: dict[str, Array] = {}

    def linear(name: str, x: Array, *, rows: Array | None = None) -> Array:  # noqa: ARG001 - as Linear
        vectors = x.reshape(-1, x.shape[-1]).copy()
        seen[name] = np.concatenate([seen[name], vectors]) if name in seen else vectors  # layers may share a matrix
        return model.product(name, x)

    model.logits(tokens.array, linear)
    return seen
