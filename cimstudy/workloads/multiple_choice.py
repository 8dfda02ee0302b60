"""MultipleChoice: whether a decoder on a chip finds the right ending of a text the most likely."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip, load_tokenizer
from cimstudy.workloads.classification import is_number
from cimstudy.workloads.language_model import log_softmax
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.texts import Batch, batch_of, checksum, records

Array = np.ndarray[Any, np.dtype[Any]]

SCORES = {
    "accuracy": Metric(
        long_name="share of questions whose right ending is the most likely", better="higher", bounds=(0, 1)
    ),
    "normalised_accuracy": Metric(
        long_name="the same, with log-likelihoods divided by the endings' tokens", better="higher", bounds=(0, 1)
    ),
    "agreement": Metric(long_name="share of questions with the digital run's ending", better="higher", bounds=(0, 1)),
    "margin": Metric(
        long_name="log-likelihood of the right ending over the best other one", units="nat", better="higher"
    ),
    "question_margin": Metric(
        long_name="log-likelihood of each right ending over the best other one",
        units="nat",
        better="higher",
        dims=("question",),
    ),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Questions:
    """Beginnings with their endings.

    batch : every beginning with every ending.  first : (texts,), the first token of the ending.
    question : (texts,), which question a text is of.  right : (questions,), the text with the right ending.
    """

    batch: Batch
    first: Array
    question: Array
    right: Array


class MultipleChoice(OnChip):
    """Questions with several endings of which one is right, ranked by the likelihood of the ending's tokens.

    `data` is a .jsonl file with a line for each question: `{"context": ..., "choices": [...], "label": 0}`. A choice
    follows the context as it stands, so it brings its own space.
    """

    data: str = Field(description="a .jsonl file of questions")

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return SCORES

    def calibration(self) -> Array:
        """Tokens for the calibration of converters, (2, T): the questions' own."""
        return self._questions().batch.calibration(loaded(self.model).config.context)

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """Log-likelihoods of the endings of each pass, (texts,) float64."""
        questions = self._questions()
        batch = questions.batch
        for (some, longest), logits in zip(batch.passes(), batch.run(chip), strict=True):
            targets = batch.tokens[some, 1:longest]
            likely = np.take_along_axis(log_softmax(logits)[:, :-1], targets[..., None], axis=-1)[..., 0]
            place = np.arange(1, longest)
            counts = (place >= questions.first[some, None]) & (place < batch.lengths[some, None])
            yield np.where(counts, likely, 0).sum(axis=1, dtype=np.float64)

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's log-likelihoods beside the digital run's."""
        questions = self._questions()
        mine, theirs = np.concatenate(list(found)), np.concatenate(list(expected))
        lengths = questions.batch.lengths - questions.first
        margins = np.array([margin(mine, questions, number) for number in range(len(questions.right))])
        return {
            "accuracy": float((choices(mine, questions) == questions.right).mean()),
            "normalised_accuracy": float((choices(mine / lengths, questions) == questions.right).mean()),
            "agreement": float((choices(mine, questions) == choices(theirs, questions)).mean()),
            "margin": float(margins.mean()),
            "question_margin": margins,
        }

    def data_checksum(self) -> str:
        """SHA-256 of the questions' tokens, hex."""
        questions = self._questions()
        return checksum(questions.batch.tokens.tolist(), questions.right.tolist())

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the model predicts the next token, the data are sound, and the hardware fits."""
        config = loaded(self.model).config
        if not config.causal or config.head != "tokens":
            raise InputError(f"model {self.model!r} does not predict the next token; allowed: decoders with a head")
        super().check(hardware)

    def _questions(self) -> Questions:
        return questions_of(self.model, self.data)


def choices(likely: Array, questions: Questions) -> Array:
    """The most likely text of each question: (questions,)."""
    found = []
    for number in range(len(questions.right)):
        texts = np.flatnonzero(questions.question == number)
        found.append(texts[likely[texts].argmax()])
    return np.array(found)


def margin(likely: Array, questions: Questions, number: int) -> float:
    """Log-likelihood of a question's right ending over the best other one."""
    right = questions.right[number]
    others = np.flatnonzero(questions.question == number)
    return float(likely[right] - likely[others[others != right]].max())


@lru_cache(maxsize=4)
def questions_of(model: str, path: str) -> Questions:
    """The questions of a file. Raises InputError, naming the line, for what is none."""
    checks = {"context": is_text, "choices": is_choices, "label": is_number}
    tokenizer, context = load_tokenizer(model), loaded(model).config.context
    texts: list[Array] = []
    first, question, right = [], [], []
    for number, line in enumerate(records(path, checks)):
        if not 0 <= line["label"] < len(line["choices"]):
            raise InputError(
                f"question {number + 1} of {path!r} has the label {line['label']}; allowed: a choice's place"
            )
        right.append(len(texts) + line["label"])
        for choice in line["choices"]:
            before, ending = (np.asarray(tokenizer.encode(text)) for text in (line["context"], choice))
            if not len(ending) or not len(before) or len(before) + len(ending) > context:
                raise InputError(
                    f"question {number + 1} of {path!r} has {len(before)} and {len(ending)} tokens; allowed: one or "
                    f"more each, at most {context} together"
                )
            texts.append(np.concatenate([before, ending]))
            first.append(len(before))
            question.append(number)
    return Questions(batch=batch_of(texts), first=np.array(first), question=np.array(question), right=np.array(right))


def is_text(value: Any) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def is_choices(value: Any) -> bool:
    """Whether a value is two or more texts."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(choice, str) for choice in value)
