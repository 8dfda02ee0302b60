"""What is the same for all chips of a hardware: where matrices go, and the ranges of weights and converters.

Ranges that are calibrated come from a batch that the digital network runs. They are found once: kept in the process,
and if that took long also on disk, under the model's checksum.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cimstudy import memory
from cimstudy.analog import MappedMatrix, Ranges, find_ranges, map_columns
from cimstudy.errors import InputError
from cimstudy.hardware import Architecture, Crossbar, Hardware, Override
from cimstudy.transformer.blocks import Block, blocks_of
from cimstudy.transformer.chunks import CHUNK, parts_of
from cimstudy.transformer.config import matrix_shapes
from cimstudy.transformer.corpus import load_text
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Linear
from cimstudy.transformer.operators import placed_matrices
from cimstudy.transformer.tokenizer import ByteTokenizer

Array = np.ndarray[Any, np.dtype[Any]]
Found = dict[str, tuple[Ranges, ...]]  # by matrix, of each of its blocks of rows
T = TypeVar("T")

CALIBRATION_SEQUENCES = 2  # of the model's context: 512 vectors for the bundled model
WORTH_KEEPING = 2.0  # s
METHOD = 2  # how ranges are found; another number makes those on disk void


def map_model(
    model: Model, hardware: Hardware, calibration: Array | None = None
) -> dict[str, tuple[MappedMatrix, ...]]:
    """The model's matrices laid out on the hardware's crossbars: by name, of each its blocks of rows.

    Arguments and errors as `program`.
    """
    mapped = _mapped(model, ideal(hardware), calibration_tokens(model, hardware, calibration))
    return {
        name: tuple(
            matrix.on(block.hardware) for matrix, block in zip(matrices, blocks_of(model, hardware, name), strict=True)
        )
        for name, matrices in mapped.items()
    }


def model_ranges(model: Model, hardware: Hardware, calibration: Array | None = None) -> Found:
    """The ranges of weights and converters of the model's matrices. Arguments and errors as `program`."""
    return _ranges(model, ideal(hardware), calibration_tokens(model, hardware, calibration))


def calibration_tokens(model: Model, hardware: Hardware, calibration: Array | None) -> "Tokens | None":
    """Tokens for the converters that need some; None if none does."""
    if not needs_calibration(model, hardware):
        return None
    return Tokens(default_calibration(model) if calibration is None else calibration)


def needs_calibration(model: Model, hardware: Hardware) -> bool:
    """Whether a converter takes its range from a calibration batch: inputs may have learned ranges instead."""

    def needs(name: str) -> bool:
        dac, adc = hardware.of(name).crossbar.dac, hardware.of(name).crossbar.adc
        inputs = dac is not None and dac.range == "calibrated" and name not in model.input_ranges
        return inputs or (adc is not None and adc.range == "calibrated")

    return any(needs(name) for name in placed_matrices(model.config, hardware))


def default_calibration(model: Model) -> Array:
    """The last tokens of the bundled text, (sequences, context). Only a model of bytes can read them."""
    context = model.config.context
    tokens = np.asarray(ByteTokenizer().encode(load_text("bundled")))[-CALIBRATION_SEQUENCES * context :]
    if model.config.vocab_size != ByteTokenizer.vocab_size or len(tokens) < CALIBRATION_SEQUENCES * context:
        raise InputError(f"{model.name}: 'calibrated' converter ranges need calibration tokens, (sequences, T)")
    return tokens.reshape(CALIBRATION_SEQUENCES, context)


def ideal(hardware: Hardware) -> Hardware:
    """The hardware without what changes no mapping: errors of cells and converters, output bits, digital parts."""
    architecture = Architecture(placement=hardware.architecture.placement)
    overrides = tuple(
        Override(
            name=override.name,
            pattern=override.pattern,
            engine=override.engine,
            device=override.device and override.device.without_errors(),
            crossbar=override.crossbar and perfect(override.crossbar),
        )
        for override in hardware.overrides
    )
    return Hardware(
        device=hardware.device.without_errors(),
        crossbar=perfect(hardware.crossbar),
        architecture=architecture,
        overrides=overrides,
    )


def perfect(crossbar: Crossbar) -> Crossbar:
    """The crossbar with converters that make no errors."""
    return crossbar if crossbar.adc is None else crossbar.replace("adc", crossbar.adc.without_errors())


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
def _mapped(model: Model, hardware: Hardware, tokens: Tokens | None) -> dict[str, tuple[MappedMatrix, ...]]:
    return {
        name: tuple(
            map_columns(model.weights[name][block.rows], block.hardware, found)
            for block, found in zip(blocks_of(model, hardware, name), ranges, strict=True)
        )
        for name, ranges in _ranges(model, hardware, tokens).items()
    }


@lru_cache(maxsize=8)
def _ranges(model: Model, hardware: Hardware, tokens: Tokens | None) -> Found:
    if tokens is None:
        return {name: find(model, hardware, name, None) for name in placed_matrices(model.config, hardware)}
    file = cache_file(model, hardware, tokens)
    if file is not None and file.is_file():
        return from_json(file.read_text())
    start = time.monotonic()
    found = calibrated(model, hardware, tokens)
    if file is not None and time.monotonic() - start > WORTH_KEEPING:
        keep(file, to_json(found))
    return found


def calibrated(model: Model, hardware: Hardware, tokens: Tokens) -> Found:
    """Ranges of the matrices that crossbars hold, from what the digital run multiplies them by.

    If that would fill the memory, ranges are found while the run passes by, and no inputs are kept.
    """
    names = placed_matrices(model.config, hardware)
    if model.config.groups < model.config.layers or memory.limit() / 8 > inputs_bytes(model, tokens):
        inputs = seen(names, matrix_inputs(model, tokens))
        return {name: find(model, hardware, name, inputs[name]) for name in names}
    found: Found = {}

    def linear(name: str, x: Array, *, rows: Array | None = None) -> Array:  # noqa: ARG001 - as Linear
        if name in names:
            found[name] = find(model, hardware, name, x)
        return model.product(name, x)

    run_inputs(model, tokens.array, linear)
    return {name: seen(names, found)[name] for name in names}


def find(model: Model, hardware: Hardware, name: str, inputs: Array | None) -> tuple[Ranges, ...]:
    """Ranges of a matrix's blocks of rows. inputs : (..., n_in), what the digital run multiplies it by."""

    def ranges(block: Block) -> Ranges:
        batch = None if inputs is None else inputs[..., block.rows]
        return find_ranges(parts_of(model, block, CHUNK), block.hardware, calibration=batch)

    return tuple(ranges(block) for block in blocks_of(model, hardware, name))


def cache_file(model: Model, hardware: Hardware, tokens: Tokens) -> Path | None:
    """Where these ranges are kept; None if the user wants nothing kept (CIMSTUDY_CACHE is empty)."""
    chosen = os.environ.get("CIMSTUDY_CACHE")
    if chosen == "":
        return None
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cimstudy"
    text = json.dumps([METHOD, model.checksum, hardware.model_dump(mode="json"), str(tokens.identity[:2])])
    return folder / f"ranges-{hashlib.sha256(text.encode() + tokens.identity[2]).hexdigest()[:32]}.json"


def keep(file: Path, text: str) -> None:
    """Write a file whole or not at all; a folder that cannot be written keeps nothing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        part.replace(file)
    except OSError:
        return


def to_json(found: Found) -> str:
    """Ranges as text, to the bit."""
    return json.dumps(
        {
            name: [[one.weights.tolist(), one.inputs, one.adc.tolist(), one.columns] for one in blocks]
            for name, blocks in found.items()
        }
    )


def from_json(text: str) -> Found:
    """The ranges of `to_json`."""
    return {
        name: tuple(
            Ranges(weights=np.array(weights), inputs=inputs, adc=np.array(adc, np.float32), columns=columns)
            for weights, inputs, adc, columns in blocks
        )
        for name, blocks in json.loads(text).items()
    }


def seen(names: Sequence[str], found: Mapping[str, T]) -> Mapping[str, T]:
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
