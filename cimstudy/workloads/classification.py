"""Classification: how often a chip finds the right class of a text, a pair of texts, or an image."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric
from cimstudy.transformer import Chip, load_tokenizer
from cimstudy.workloads.language_model import log_softmax
from cimstudy.workloads.on_chip import OnChip, loaded
from cimstudy.workloads.texts import TEXTS_PER_PASS, Batch, batch_of, checksum, encode_texts, records

Array = np.ndarray[Any, np.dtype[Any]]

SCORES = {
    "accuracy": Metric(long_name="share of items with the right class", better="higher", bounds=(0, 1)),
    "agreement": Metric(long_name="share of items with the digital run's class", better="higher", bounds=(0, 1)),
    "nll": Metric(long_name="negative log-likelihood of the right class", units="nat/item", better="lower"),
    "kl_divergence": Metric(long_name="divergence from the digital run", units="nat/item", better="lower"),
    "item_nll": Metric(
        long_name="negative log-likelihood of each item's class", units="nat/item", better="lower", dims=("item",)
    ),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Items:
    """Labelled data: a batch of texts or images (items, channels, height, width), and the class of each (items,)."""

    inputs: Batch | Array
    labels: Array


class Classification(OnChip):
    """Classes of labelled items, by a model with a head of classes.

    `data` is a .jsonl file with a line for each text, `{"text": ..., "label": 0}` (and `"pair": ...` for a second
    text), or an .npz file with `labels` and `images` (items, channels, height, width), scaled as the model was trained.
    """

    data: str = Field(description="a .jsonl file of labelled texts, or an .npz file of labelled images")

    @property
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""
        return SCORES

    def calibration(self) -> Array:
        """Input for the calibration of converters: the items' own tokens (2, T), or images."""
        inputs = self._items().inputs
        if isinstance(inputs, Batch):
            return inputs.calibration(loaded(self.model).config.context)
        return inputs[:TEXTS_PER_PASS]

    def outputs(self, chip: Chip) -> Iterator[Array]:
        """Log-probabilities of the classes for each pass, (items, classes) float32."""
        inputs = self._items().inputs
        if isinstance(inputs, Batch):
            yield from (log_softmax(logits) for logits in inputs.run(chip))
            return
        vectors = chip.model.config.context
        for start in range(0, len(inputs), TEXTS_PER_PASS):
            images = inputs[start : start + TEXTS_PER_PASS]
            yield log_softmax(chip.image_logits(images, first_vector=start * vectors))

    def score(self, found: Iterable[Array], expected: Iterable[Array]) -> dict[str, Any]:
        """Metrics of a chip's log-probabilities beside the digital run's."""
        one, other = (np.concatenate(list(parts)).astype(np.float64) for parts in (found, expected))
        labels = self._items().labels
        surprise = -np.take_along_axis(one, labels[:, None], axis=1)[:, 0]
        return {
            "accuracy": float((one.argmax(axis=1) == labels).mean()),
            "agreement": float((one.argmax(axis=1) == other.argmax(axis=1)).mean()),
            "nll": float(surprise.mean()),
            "kl_divergence": float((np.exp(other) * (other - one)).sum(axis=1).mean()),
            "item_nll": surprise,
        }

    def data_checksum(self) -> str:
        """SHA-256 of the items, hex."""
        items = self._items()
        inputs = items.inputs.tokens if isinstance(items.inputs, Batch) else items.inputs
        return checksum(inputs.tolist(), items.labels.tolist())

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the model has classes, the data are sound, and the hardware fits."""
        if loaded(self.model).config.head != "classes":
            raise InputError(f"model {self.model!r} has no classes; allowed: models with a head of classes")
        super().check(hardware)

    def _items(self) -> Items:
        return labelled_images(self.model, self.data) if self.data.endswith(".npz") else labelled(self.model, self.data)


@lru_cache(maxsize=4)
def labelled(model: str, path: str) -> Items:
    """The texts of a .jsonl file. Raises InputError, naming the line, for what is no labelled text."""
    lines = records(path, {"text": lambda text: isinstance(text, str), "label": is_number})
    labels = check_labels(np.array([line["label"] for line in lines]), model, path)
    context = loaded(model).config.context
    if not any("pair" in line for line in lines):
        return Items(inputs=batch_of(encode_texts(model, [line["text"] for line in lines])), labels=labels)
    tokenizer = load_tokenizer(model)
    pairs = [tokenizer.encode_pair(line["text"], str(line.get("pair", ""))) for line in lines]
    tokens, types = ([np.asarray(pair[part])[:context] for pair in pairs] for part in (0, 1))
    return Items(inputs=batch_of(tokens, types), labels=labels)


@lru_cache(maxsize=2)
def labelled_images(model: str, path: str) -> Items:
    """The images of an .npz file. Raises InputError for what is no set of labelled images."""
    if not Path(path).is_file():
        raise InputError(f"no data at {path!r}; allowed: an .npz file with images and labels")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = np.asarray(file["images"], np.float32), np.asarray(file["labels"])
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"{path!r} is no .npz file of images and labels: {error}") from None
    if images.ndim != 4 or labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{path!r} holds images {images.shape} and labels {labels.dtype} {labels.shape}; allowed: "
            "(items, channels, height, width) and integers (items,)"
        )
    return Items(inputs=images, labels=check_labels(labels, model, path))


def is_number(value: Any) -> bool:
    """Whether a value is an integer, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_labels(labels: Array, model: str, path: str) -> Array:
    """The labels, if they are classes of the model; InputError otherwise."""
    classes = loaded(model).config.classes
    if not len(labels) or not 0 <= labels.min() <= labels.max() < classes:
        span = f"from {labels.min()} to {labels.max()}" if len(labels) else "none"
        raise InputError(f"labels in {path!r} are {span}; allowed: 0 to {classes - 1}, the model's classes")
    return labels
