"""LanguageModel: how well a chip predicts text, beside the digital run of the same network."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.metric import Metric
from cimstudy.transformer.chip import placed_matrices, program
from cimstudy.workloads.windows import encoded, loaded, text_windows

Array = np.ndarray[Any, np.dtype[Any]]


class LanguageModel(Part):
    """Next-token prediction on a text.

    Without `stride` the text is cut into sequences of the model's context that lie evenly spread over it, and every
    token of a sequence is predicted from those before it. With `stride`, windows of the context move over the text by
    so many tokens and each token is predicted once, as perplexities are reported in papers. The choice of tokens
    depends on the text and these fields alone, so all chips and points are measured on the same ones. Converters with
    calibrated ranges are calibrated on tokens that are not measured, if the text has any.
    """

    model: str = Field(default="bundled", description="'bundled' or the folder of a checkpoint")
    text: str = Field(default="bundled", description="'bundled', a text file, or tokens in an .npy file")
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=2048,
        description="of the text; without stride those predicted, in whole sequences; None: all",
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="tokens by which windows move; None: sequences spread over the text"
    )

    metrics: ClassVar[Mapping[str, Metric]] = {
        "perplexity": Metric(long_name="perplexity", better="lower"),
        "nll": Metric(long_name="negative log-likelihood", units="nat/token", better="lower"),
        "top1_accuracy": Metric(long_name="share of tokens predicted first", better="higher"),
        "top1_agreement": Metric(long_name="share of tokens with the digital run's first choice", better="higher"),
        "kl_divergence": Metric(long_name="divergence from the digital run", units="nat/token", better="lower"),
        "sequence_nll": Metric(
            long_name="negative log-likelihood of each sequence", units="nat/token", better="lower", dims=("sequence",)
        ),
    }

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> dict[str, Any]:
        """Metrics of chip `trial` of a hardware."""
        windows = text_windows(self.model, self.text, self.tokens, self.stride)
        chip = program(loaded(self.model), hardware, seed=seed, trial=trial, calibration=windows.calibration)
        totals = []
        for part, expected in zip(windows.passes(), self._digital(), strict=True):
            found = log_softmax(chip.logits(part.inputs, first_vector=part.first_vector, lengths=part.lengths))
            totals.append(compare(found, expected, part.targets, part.scored))
        return summarise(np.concatenate(totals), windows.scored)

    def reference(self) -> dict[str, float]:
        """Metrics of the digital run."""
        windows = text_windows(self.model, self.text, self.tokens, self.stride)
        totals = [
            compare(expected, expected, part.targets, part.scored)
            for part, expected in zip(windows.passes(), self._digital(), strict=True)
        ]
        found = summarise(np.concatenate(totals), windows.scored)
        return {name: value for name, value in found.items() if not self.metrics[name].dims}

    def checksums(self) -> dict[str, str]:
        """What the results depend on beside this description: SHA-256 of weights, tokens and tokenizer."""
        tokens = np.ascontiguousarray(encoded(self.model, self.text), np.int64)
        return {"model": loaded(self.model).checksum, "text": hashlib.sha256(tokens.tobytes()).hexdigest()}

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless a chip of this hardware can be programmed and the text is long enough."""
        config = loaded(self.model).config
        if not config.causal or config.head != "tokens":
            raise InputError(f"model {self.model!r} does not predict the next token; allowed: decoders with a head")
        text_windows(self.model, self.text, self.tokens, self.stride)
        placed_matrices(loaded(self.model), hardware)

    def _digital(self) -> list[Array]:
        return digital_run(self.model, self.text, self.tokens, self.stride)


@lru_cache(maxsize=2)
def digital_run(model: str, text: str, tokens: int | None, stride: int | None) -> list[Array]:
    """Log-probabilities of the digital run for each pass, (sequences, T, vocab_size) float32; kept for all chips."""
    passes = text_windows(model, text, tokens, stride).passes()
    return [log_softmax(loaded(model).logits(part.inputs, lengths=part.lengths)) for part in passes]


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def compare(found: Array, expected: Array, targets: Array, scored: Array) -> Array:
    """Sums over the tokens that count: surprise, first choice right, first choice as expected, divergence.

    found, expected : (sequences, T, vocab_size) log-probabilities.  targets, scored : (sequences, T).
    Returns (sequences, 4) float64.
    """
    surprise = -np.take_along_axis(found, targets[..., None], axis=-1)[..., 0]
    choice = found.argmax(axis=-1)
    divergence = np.exp(expected)
    divergence *= expected - found
    parts = (surprise, choice == targets, choice == expected.argmax(axis=-1), divergence.sum(axis=-1))
    return np.stack([np.where(scored, part, 0).sum(axis=-1, dtype=np.float64) for part in parts], axis=-1)


def summarise(sums: Array, counts: Array) -> dict[str, Any]:
    """Metrics from the sums of `compare` (sequences, 4) over tokens, (sequences,) of each sequence."""
    nll, accuracy, agreement, divergence = (float(mean) for mean in sums.sum(axis=0) / counts.sum())
    return {
        "perplexity": float(np.exp(nll)),
        "nll": nll,
        "top1_accuracy": accuracy,
        "top1_agreement": agreement,
        "kl_divergence": divergence,
        "sequence_nll": sums[:, 0] / counts,
    }
