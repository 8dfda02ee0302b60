"""Embedding: how far the vectors of sentences turn when an encoder runs on a chip."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.stats import rankdata

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.texts import Batch, batch_of, checksum, encode_texts, sentences

Array = np.ndarray[Any, np.dtype[Any]]

SCORES = {
    "cosine": Metric(
        long_name="mean cosine of a sentence's vector to the digital run's", better="higher", bounds=(-1, 1)
    ),
    "rank_agreement": Metric(
        long_name="rank correlation of all pairs' similarities with the digital run (Spearman)",
        better="higher",
        bounds=(-1, 1),
    ),
    "nearest_agreement": Metric(
        long_name="share of sentences whose nearest other sentence is the digital run's", better="higher", bounds=(0, 1)
    ),
    "sentence_cosine": Metric(
        long_name="cosine of each sentence's vector to the digital run's",
        better="higher",
        bounds=(-1, 1),
        dims=("sentence",),
    ),
}


class Embedding(OnChip):
    """Vectors of sentences: the model's last layer, pooled and scaled to a length of one.

    `pool="mean"` averages over a sentence's tokens, as sentence encoders do; `"first"` takes the first token.
    """

    text: str = Field(default="bundled", description="'bundled', or a file with a sentence in each line")
    sentences: Annotated[int, Field(ge=3)] = Field(default=64, description="the first so many of the text")
    pool: Literal["mean", "first"] = "mean"

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return SCORES

    def calibration(self) -> Array:
        """Tokens for the calibration of converters, (2, T): the sentences' own."""
        return self._batch().calibration(loaded(self.model).config.context)

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """Vectors of the sentences of each pass, (sentences, width) float32, of length one."""
        batch = self._batch()
        for (some, _), vectors in zip(batch.passes(), batch.run(chip), strict=True):
            yield unit(pooled(vectors, batch.lengths[some], self.pool))

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's vectors beside the digital run's."""
        one, other = np.concatenate(list(found)), np.concatenate(list(expected))
        cosines = np.einsum("sw,sw->s", one, other, dtype=np.float64)
        mine, theirs = similarities(one), similarities(other)
        pairs = np.triu_indices(len(one), 1)
        return {
            "cosine": float(cosines.mean()),
            "rank_agreement": spearman(mine[pairs], theirs[pairs]),
            "nearest_agreement": float((nearest(mine) == nearest(theirs)).mean()),
            "sentence_cosine": cosines,
        }

    def data_checksum(self) -> str:
        """SHA-256 of the sentences' tokens, hex."""
        return checksum(self._batch().tokens.tolist())

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the model gives vectors, there are enough sentences, and the hardware fits."""
        if loaded(self.model).config.head != "none":
            raise InputError(f"model {self.model!r} has a head; allowed for Embedding: models that give vectors")
        super().check(hardware)

    def _batch(self) -> Batch:
        return sentence_batch(self.model, self.text, self.sentences)


@lru_cache(maxsize=4)
def sentence_batch(model: str, text: str, count: int) -> Batch:
    """Sentences as tokens."""
    return batch_of(encode_texts(model, sentences(text, count)))


def pooled(vectors: Array, lengths: Array, pool: str) -> Array:
    """One vector for each text: (texts, T, width) to (texts, width)."""
    if pool == "first":
        return np.asarray(vectors[:, 0])
    counts = (np.arange(vectors.shape[1]) < lengths[:, None]).astype(np.float32)
    return np.asarray(np.einsum("stw,st->sw", vectors, counts) / lengths[:, None].astype(np.float32))


def unit(vectors: Array) -> Array:
    """Vectors of length one: (texts, width)."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def similarities(vectors: Array) -> Array:
    """Cosines of all pairs: (texts, texts), float64."""
    exact = vectors.astype(np.float64)
    return np.asarray(exact @ exact.T)


def nearest(cosines: Array) -> Array:
    """The most similar other text of each: (texts,)."""
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    return np.asarray(others.argmax(axis=1))


def spearman(x: Array, y: Array) -> float:
    """Rank correlation of (n,) and (n,); NaN if either is constant."""
    ranks = np.stack([rankdata(x), rankdata(y)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    power = np.sqrt(np.prod((ranks**2).sum(axis=1)))
    return float((ranks[0] * ranks[1]).sum() / power) if power else float("nan")
