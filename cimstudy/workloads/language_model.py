"""LanguageModel: how well a chip predicts text, beside the digital run of the same network."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.metric import Metric
from cimstudy.transformer import ByteTokenizer, Model, load_model, load_text
from cimstudy.transformer.chip import CALIBRATION_SEQUENCES, placed_matrices, program

Array = np.ndarray[Any, np.dtype[Any]]

TOKENS_PER_PASS = 2048  # sequences of so many tokens go through the network at a time: fixed, for equal bits


class LanguageModel(Part):
    """Next-token prediction on a text, cut into sequences of the model's context that lie evenly spread over it.

    Every token of a sequence is predicted from those before it. The choice of tokens depends on the text and on
    `tokens` alone, so all chips and points are measured on the same ones. Output and input converters with calibrated
    ranges are calibrated on two sequences between the measured ones.
    """

    model: str = Field(default="bundled", description="'bundled' or the folder of a checkpoint")
    text: str = Field(default="bundled", description="'bundled' or a text file")
    tokens: Annotated[int, Field(ge=1)] = Field(default=2048, description="predicted tokens, whole sequences")

    metrics: ClassVar[Mapping[str, Metric]] = {
        "perplexity": Metric(long_name="perplexity", better="lower"),
        "nll": Metric(long_name="negative log-likelihood", units="nat/token", better="lower"),
        "top1_accuracy": Metric(long_name="share of tokens predicted first", better="higher"),
        "top1_agreement": Metric(long_name="share of tokens with the digital run's first choice", better="higher"),
        "kl_divergence": Metric(long_name="divergence from the digital run", units="nat/token", better="lower"),
    }

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> dict[str, float]:
        """Metrics of chip `trial` of a hardware."""
        model = loaded(self.model)
        sample = text_sample(self.model, self.text, self.tokens)
        chip = program(model, hardware, seed=seed, trial=trial, calibration=sample.calibration)
        digital = digital_run(self.model, self.text, self.tokens)
        totals = np.zeros(4)
        for (start, inputs, targets), expected in zip(sample.passes(), digital, strict=True):
            found = log_softmax(chip.logits(inputs, first_vector=start))
            totals += compare(found, expected, targets)
        return summarise(totals / self.tokens)

    def reference(self) -> dict[str, float]:
        """Metrics of the digital run."""
        sample = text_sample(self.model, self.text, self.tokens)
        totals = np.zeros(4)
        for (_, _, targets), expected in zip(
            sample.passes(), digital_run(self.model, self.text, self.tokens), strict=True
        ):
            totals += compare(expected, expected, targets)
        return summarise(totals / self.tokens)

    def checksums(self) -> dict[str, str]:
        """What the results depend on beside this description: SHA-256 of weights and text."""
        return {"model": loaded(self.model).checksum, "text": hashlib.sha256(load_text(self.text)).hexdigest()}

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless a chip of this hardware can be programmed and the text is long enough."""
        text_sample(self.model, self.text, self.tokens)
        placed_matrices(loaded(self.model), hardware)


class Sample:
    """The measured tokens: sequences of `length` and the token after each, evenly spread over a text."""

    def __init__(self, text: Array, length: int, count: int) -> None:
        room = len(text) - length - 1
        starts = np.linspace(0, room, count).astype(int) if count > 1 else np.zeros(1, int)
        between = (starts[:-1] + starts[1:]) // 2 if count > 1 else np.array([room])
        self.sequences = np.stack([text[start : start + length + 1] for start in starts])
        chosen = between[:: max(1, len(between) // CALIBRATION_SEQUENCES)][:CALIBRATION_SEQUENCES]
        self.calibration = np.stack([text[start : start + length] for start in chosen])

    def passes(self) -> Iterator[tuple[int, Array, Array]]:
        """First token's number, inputs (sequences, T) and targets (sequences, T) of each pass through the network."""
        length = self.sequences.shape[1] - 1
        step = max(1, TOKENS_PER_PASS // length)
        for first in range(0, len(self.sequences), step):
            block = self.sequences[first : first + step]
            yield first * length, block[:, :-1], block[:, 1:]


@lru_cache(maxsize=4)
def loaded(path: str) -> Model:
    """The model at `path`, read once in a process."""
    return load_model(path)


@lru_cache(maxsize=4)
def text_sample(model: str, text: str, tokens: int) -> Sample:
    """The measured tokens. Raises InputError if the text is too short or `tokens` is no whole number of sequences."""
    config = loaded(model).config
    if config.vocab_size != ByteTokenizer.vocab_size:
        raise InputError(f"model {model!r} has {config.vocab_size} tokens; allowed: models of bytes (256 tokens)")
    length = min(config.context, tokens)
    if tokens % length:
        raise InputError(f"tokens = {tokens}: allowed are multiples of the model's context, {config.context}")
    encoded = np.asarray(ByteTokenizer().encode(load_text(text)))
    if len(encoded) < tokens + 1:
        raise InputError(
            f"tokens = {tokens}: the text {text!r} has {len(encoded)}, so at most {len(encoded) - 1} are allowed"
        )
    return Sample(encoded, length, tokens // length)


@lru_cache(maxsize=2)
def digital_run(model: str, text: str, tokens: int) -> list[Array]:
    """Log-probabilities of the digital run for each pass, (sequences, T, vocab_size) float32; kept for all chips."""
    sample = text_sample(model, text, tokens)
    return [log_softmax(loaded(model).logits(inputs)) for _, inputs, _ in sample.passes()]


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def compare(found: Array, expected: Array, targets: Array) -> Array:
    """Sums over tokens: surprise, first choice right, first choice as expected, divergence.

    found, expected : (sequences, T, vocab_size) log-probabilities.  targets : (sequences, T).  Returns (4,) float64.
    """
    surprise = -np.take_along_axis(found, targets[..., None], axis=-1).sum(dtype=np.float64)
    choice = found.argmax(axis=-1)
    divergence = np.exp(expected)
    divergence *= expected - found
    return np.array(
        [
            surprise,
            (choice == targets).sum(),
            (choice == expected.argmax(axis=-1)).sum(),
            divergence.sum(dtype=np.float64),
        ]
    )


def summarise(means: Array) -> dict[str, float]:
    """Metrics from the means of `compare` over tokens."""
    nll, accuracy, agreement, divergence = (float(mean) for mean in means)
    return {
        "perplexity": float(np.exp(nll)),
        "nll": nll,
        "top1_accuracy": accuracy,
        "top1_agreement": agreement,
        "kl_divergence": divergence,
    }
