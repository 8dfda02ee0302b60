"""Windows over a text: which tokens a language model is measured on, and what it sees before each.

Without a stride, sequences of the model's context lie evenly spread over the text and every token in them counts. With
one, windows of the model's context move over the text by so many tokens, and of each only those count that no window
before it has predicted: the way in which perplexities are reported in papers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cimstudy.errors import InputError
from cimstudy.transformer import load_text, load_tokenizer
from cimstudy.transformer.calibration import CALIBRATION_SEQUENCES
from cimstudy.workloads.on_chip import loaded

Array = np.ndarray[Any, np.dtype[Any]]

TOKENS_PER_PASS = 2048  # sequences of so many tokens go through the network at a time: fixed, for equal bits


@dataclass(frozen=True, eq=False, kw_only=True)
class Sequences:
    """Sequences that go through the network together.

    first_vector : number of their first token.  inputs, targets : (sequences, T).
    lengths : (sequences,), inputs of each that count.  scored : (sequences, T), whether a target counts.
    """

    first_vector: int
    inputs: Array
    targets: Array
    lengths: Array
    scored: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Windows:
    """The measured tokens.

    tokens : (windows, length + 1), inputs and the token after each, zeros behind a text that ends earlier.
    lengths : (windows,), inputs of each.  first : (windows,), the first input whose prediction counts.
    calibration : (sequences, T), tokens for the calibration of converters.
    """

    tokens: Array
    lengths: Array
    first: Array
    calibration: Array

    @property
    def scored(self) -> Array:
        """Predictions that count, of each window: (windows,)."""
        return self.lengths - self.first

    def passes(self) -> Iterator[Sequences]:
        """The windows, as many at a time as hold TOKENS_PER_PASS tokens."""
        length = self.tokens.shape[1] - 1
        step = max(1, TOKENS_PER_PASS // length)
        place = np.arange(length)
        for start in range(0, len(self.tokens), step):
            some = slice(start, start + step)
            yield Sequences(
                first_vector=start * length,
                inputs=self.tokens[some, :-1],
                targets=self.tokens[some, 1:],
                lengths=self.lengths[some],
                scored=(place >= self.first[some, None]) & (place < self.lengths[some, None]),
            )


def spread(text: Array, length: int, count: int) -> Windows:
    """`count` sequences of `length` tokens, evenly spread over a text; calibration on sequences between them."""
    room = len(text) - length - 1
    starts = np.linspace(0, room, count).astype(int) if count > 1 else np.zeros(1, int)
    between = (starts[:-1] + starts[1:]) // 2 if count > 1 else np.array([room])
    chosen = between[:: max(1, len(between) // CALIBRATION_SEQUENCES)][:CALIBRATION_SEQUENCES]
    return Windows(
        tokens=np.stack([text[start : start + length + 1] for start in starts]),
        lengths=np.full(count, length),
        first=np.zeros(count, int),
        calibration=np.stack([text[start : start + length] for start in chosen]),
    )


def strided(text: Array, context: int, stride: int, rest: Array) -> Windows:
    """Windows of `context` tokens that move by `stride` until the text ends. rest : text to calibrate on."""
    ends = [min(context, len(text))]
    while ends[-1] < len(text):
        ends.append(min(ends[-1] + stride, len(text)))
    starts = [number * stride for number in range(len(ends))]
    tokens = np.zeros((len(ends), ends[0]), text.dtype)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        tokens[row, : end - start] = text[start:end]
    before = np.array([1, *ends[:-1]])  # tokens that earlier windows have predicted, or that nothing predicts
    batch = rest[: len(rest) // context * context][: CALIBRATION_SEQUENCES * context]
    return Windows(
        tokens=tokens,
        lengths=np.array(ends) - np.array(starts) - 1,
        first=before - np.array(starts) - 1,
        calibration=batch.reshape(-1, context) if batch.size else text[None, :context],
    )


@lru_cache(maxsize=4)
def encoded(model: str, text: str) -> Array:
    """Tokens of a text, (n,): of the bundled one, of a text file, or those in an .npy file."""
    vocabulary = loaded(model).config.vocab_size
    if Path(text).suffix == ".npy" and Path(text).is_file():
        tokens = stored_tokens(Path(text))
    else:
        tokens = np.asarray(load_tokenizer(model).encode(load_text(text)))
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocabulary:
        read = " and has no tokenizer.json, so bytes were read" if as_bytes(model, text) else ""
        raise InputError(
            f"text {text!r} has tokens from {tokens.min()} to {tokens.max()}; model {model!r} allows 0 to "
            f"{vocabulary - 1}{read}"
        )
    return tokens


def as_bytes(model: str, text: str) -> bool:
    """Whether a text is read byte by byte, for want of a tokenizer."""
    return not text.endswith(".npy") and not (Path(model) / "tokenizer.json").is_file()


def stored_tokens(path: Path) -> Array:
    """The tokens of an .npy file, (n,) integers. Raises InputError if it holds anything else."""
    try:
        tokens = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{str(path)!r} is no .npy file ({error}); allowed: integers (n,)") from None
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(f"{str(path)!r} holds {tokens.dtype} {tokens.shape}; allowed: integers (n,)")
    return np.asarray(tokens)


@lru_cache(maxsize=4)
def text_windows(model: str, text: str, tokens: int | None, context: int | None, stride: int | None) -> Windows:
    """The measured tokens. Raises InputError if the text is too short, or a number does not fit the model."""
    longest = loaded(model).config.context
    if context is not None and context > longest:
        raise InputError(f"context = {context}: allowed are 2 to {longest}, the model's own")
    length, found = context or longest, encoded(model, text)
    if stride is None:
        return spread_windows(found, text, tokens, length)
    if stride >= length:
        raise InputError(f"stride = {stride}: allowed are 1 to {length - 1}, less than the model's context")
    if tokens == 1:
        raise InputError("tokens = 1: allowed are 2 or more, as nothing predicts the first")
    if len(found) < min(length, tokens or length):
        raise InputError(f"the text {text!r} has {len(found)} tokens; allowed: at least one window of {length}")
    return strided(found[:tokens], length, stride, found[len(found) if tokens is None else tokens :])


def spread_windows(found: Array, text: str, tokens: int | None, context: int) -> Windows:
    """Sequences spread over a text of tokens `found`, which is called `text`."""
    wanted = (len(found) - 1) // context * context if tokens is None else tokens
    length = min(context, wanted) or context
    if wanted % length:
        raise InputError(f"tokens = {wanted}: allowed are multiples of the model's context, {context}")
    if len(found) < wanted + 1 or not wanted:
        most = max(len(found) - 1, 0)
        raise InputError(f"tokens = {wanted}: the text {text!r} has {len(found)}, so at most {most} are allowed")
    return spread(found, length, wanted // length)
