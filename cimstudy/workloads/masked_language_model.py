"""MaskedLanguageModel: how well an encoder on a chip fills gaps in a text."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip, load_tokenizer
from cimstudy.workloads.language_model import PREDICTION, compare, log_softmax, summarise
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.texts import Batch, batch_of, checksum, encode_texts, sentences

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaps:
    """Sentences with gaps: the batch with the mask in place of some tokens, those tokens, and where they are."""

    batch: Batch
    targets: Array  # (texts, longest)
    masked: Array  # (texts, longest)


class MaskedLanguageModel(OnChip):
    """Every `every`-th token of each sentence is replaced by the model's mask and predicted from all the others.

    `perplexity` is the exponential of the mean surprise at the masked tokens.
    """

    text: str = Field(default="bundled", description="'bundled', or a file with a sentence in each line")
    sentences: Annotated[int, Field(ge=1)] = Field(default=64, description="the first so many of the text")
    every: Annotated[int, Field(ge=2)] = Field(
        default=7, description="tokens from one gap to the next: 7 is about 15 %"
    )

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return PREDICTION

    def calibration(self) -> Array:
        """Tokens for the calibration of converters, (2, T): the sentences' own."""
        return self._gaps().batch.calibration(loaded(self.model).config.context)

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """Log-probabilities of each pass, (sentences, T, vocab_size) float32."""
        return (log_softmax(logits) for logits in self._gaps().batch.run(chip))

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's log-probabilities beside the digital run's."""
        gaps = self._gaps()
        sums = [
            compare(one, other, gaps.targets[some, :longest], gaps.masked[some, :longest])
            for (some, longest), one, other in zip(gaps.batch.passes(), found, expected, strict=True)
        ]
        return summarise(np.concatenate(sums), gaps.masked.sum(axis=1))

    def data_checksum(self) -> str:
        """SHA-256 of the sentences' tokens, hex."""
        return checksum(self._gaps().targets.tolist())

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the model fills gaps, there are enough sentences, and the hardware fits."""
        if loaded(self.model).config.head != "masked":
            raise InputError(
                f"model {self.model!r} does not fill gaps; allowed: encoders with a head for masked tokens"
            )
        super().check(hardware)

    def _gaps(self) -> Gaps:
        return gaps_in(self.model, self.text, self.sentences, self.every)


@lru_cache(maxsize=4)
def gaps_in(model: str, text: str, count: int, every: int) -> Gaps:
    """Sentences with gaps. Raises InputError if the tokenizer has no mask, or a sentence is too short for a gap."""
    mask = load_tokenizer(model).number("[MASK]", "<mask>")
    if mask is None:
        raise InputError(f"the tokenizer of {model!r} has no mask; allowed: a tokenizer.json with [MASK] or <mask>")
    batch = batch_of(encode_texts(model, sentences(text, count)))
    place = np.arange(batch.tokens.shape[1])
    inside = (place > 0) & (place < batch.lengths[:, None] - 1)  # the marks around a sentence stay
    masked = inside & ((place + np.arange(len(batch.lengths))[:, None]) % every == 0)
    short = np.flatnonzero(~masked.any(axis=1))
    masked[short] = inside[short] & (place == 1)
    if not masked.any(axis=1).all():
        raise InputError(f"{text!r} has sentences without a token to mask; allowed: one token or more in each")
    hidden = Batch(tokens=np.where(masked, mask, batch.tokens), types=batch.types, lengths=batch.lengths)
    return Gaps(batch=hidden, targets=batch.tokens, masked=masked)
