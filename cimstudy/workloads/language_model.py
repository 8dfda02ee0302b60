"""LanguageModel: how well a chip predicts text, beside the digital run of the same network."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.windows import Windows, encoded, text_windows

Array = np.ndarray[Any, np.dtype[Any]]

PREDICTION = {
    "perplexity": Metric(long_name="perplexity", better="lower"),
    "nll": Metric(long_name="negative log-likelihood", units="nat/token", better="lower"),
    "top1_accuracy": Metric(long_name="share of tokens predicted first", better="higher", bounds=(0, 1)),
    "top1_agreement": Metric(
        long_name="share of tokens with the digital run's first choice", better="higher", bounds=(0, 1)
    ),
    "kl_divergence": Metric(long_name="divergence from the digital run", units="nat/token", better="lower"),
    "sequence_nll": Metric(
        long_name="negative log-likelihood of each sequence", units="nat/token", better="lower", dims=("sequence",)
    ),
}


class LanguageModel(OnChip):
    """Next-token prediction on a text.

    Without `stride` the text is cut into sequences of the context that lie evenly spread over it, and every token of a
    sequence is predicted from those before it. With `stride`, windows of the context move over the text by so many
    tokens and each token is predicted once, as perplexities are reported in papers. The choice of tokens depends on
    the text and these fields alone, so all chips and points are measured on the same ones. Converters with calibrated
    ranges are calibrated on tokens that are not measured, if the text has any.
    """

    text: str = Field(default="bundled", description="'bundled', a text file, or tokens in an .npy file")
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=2048, description="of the text; without stride those predicted, in whole sequences; None: all"
    )
    context: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="tokens of a sequence or window; None: the model's context"
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="tokens by which windows move; None: sequences spread over the text"
    )

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return PREDICTION

    def calibration(self) -> Array:
        """Tokens for the calibration of converters, (sequences, T)."""
        return self._windows().calibration

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """Log-probabilities for each pass, (sequences, T, vocab_size) float32."""
        for part in self._windows().passes():
            yield log_softmax(chip.logits(part.inputs, first_vector=part.first_vector, lengths=part.lengths))

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's log-probabilities beside the digital run's."""
        windows = self._windows()
        totals = [
            compare(one, other, part.targets, part.scored)
            for part, one, other in zip(windows.passes(), found, expected, strict=True)
        ]
        return summarise(np.concatenate(totals), windows.scored)

    def output_bytes(self) -> int:
        """Bytes of all log-probabilities."""
        return 4 * self._windows().tokens.size * loaded(self.model).config.vocab_size

    def data_checksum(self) -> str:
        """SHA-256 of the text's tokens, hex."""
        return hashlib.sha256(np.ascontiguousarray(encoded(self.model, self.text), np.int64).tobytes()).hexdigest()

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless a chip of this hardware can be programmed and the text is long enough."""
        config = loaded(self.model).config
        if not config.causal or config.head != "tokens":
            raise InputError(f"model {self.model!r} does not predict the next token; allowed: decoders with a head")
        super().check(hardware)

    def _windows(self) -> Windows:
        return text_windows(self.model, self.text, self.tokens, self.context, self.stride)


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
