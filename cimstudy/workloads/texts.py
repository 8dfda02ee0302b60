"""Texts as batches of tokens, and the files that hold them."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cimstudy.errors import InputError
from cimstudy.transformer import Chip, load_text, load_tokenizer
from cimstudy.workloads.on_chip import loaded

Array = np.ndarray[Any, np.dtype[Any]]

TEXTS_PER_PASS = 32  # that go through the network together: fixed, for equal bits


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Texts of unequal length, as one array.

    tokens, types : (texts, longest), zeros behind each text's end.  lengths : (texts,).
    """

    tokens: Array
    types: Array
    lengths: Array

    def passes(self) -> Iterator[tuple[slice, int]]:
        """Which texts go through the network together, and how long the longest of them is."""
        for start in range(0, len(self.tokens), TEXTS_PER_PASS):
            some = slice(start, min(start + TEXTS_PER_PASS, len(self.tokens)))
            yield some, int(self.lengths[some].max())

    def run(self, chip: Chip) -> Iterator[Array]:
        """What a chip gives for each pass."""
        widest = self.tokens.shape[1]
        for some, longest in self.passes():
            yield chip.logits(
                self.tokens[some, :longest],
                first_vector=some.start * widest,
                lengths=self.lengths[some],
                token_types=self.types[some, :longest] if chip.model.config.token_types > 1 else 0,
            )

    def calibration(self, context: int) -> Array:
        """Tokens of all texts in a row, cut into two sequences of at most `context`: (2, T)."""
        row = self.tokens[np.arange(self.tokens.shape[1]) < self.lengths[:, None]]
        length = max(1, min(context, len(row) // 2))
        return np.resize(row, (2, length))


def batch_of(tokens: Sequence[Array], types: Sequence[Array] | None = None) -> Batch:
    """Texts of tokens (n,) as one batch."""
    lengths = np.array([len(text) for text in tokens])
    kinds = [np.zeros(len(text), int) for text in tokens] if types is None else types

    def padded(rows: Sequence[Array]) -> Array:
        full = np.zeros((len(rows), lengths.max()), np.int64)
        for place, row in enumerate(rows):
            full[place, : len(row)] = row
        return full

    return Batch(tokens=padded(tokens), types=padded(kinds), lengths=lengths)


def encode_texts(model: str, texts: Sequence[str]) -> list[Array]:
    """Tokens of each text, with the marks that the model expects, cut off at the context."""
    tokenizer, longest = load_tokenizer(model), loaded(model).config.context
    found = []
    for text in texts:
        tokens = np.asarray(tokenizer.encode(text, special=True))
        if len(tokens) > longest:  # a closing mark stays at the end
            tokens = np.concatenate([tokens[: longest - 1], tokens[-1:]])
        if not len(tokens):
            raise InputError(f"text {text!r} has no tokens; allowed: texts of one token or more")
        found.append(tokens)
    return found


@lru_cache(maxsize=4)
def sentences(source: str, count: int) -> tuple[str, ...]:
    """The first sentences of the bundled text, or the first lines of a file; InputError if there are fewer."""
    text = load_text(source).decode(errors="replace")
    if source == "bundled":
        words = " ".join(text.split())
        found = [piece for piece in re.split(r"(?<=[a-z)]\.) (?=[A-Z])", words) if 20 <= len(piece) <= 200]
    else:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if len(found) < count:
        raise InputError(f"{source!r} holds {len(found)} sentences; allowed: at least {count}, the number asked for")
    return tuple(found[:count])


def records(path: str, fields: Mapping[str, Callable[[Any], bool]]) -> list[dict[str, Any]]:
    """The lines of a .jsonl file. Raises InputError for a line without these fields, naming it.

    fields : a check of each field's value.
    """
    file, found = Path(path), []
    if not file.is_file():
        raise InputError(f"no data at {path!r}; allowed: a .jsonl file, a line for each item")
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"line {number} of {path!r} is not JSON: {error}") from None
        bad = [name for name, fits in fields.items() if not isinstance(record, dict) or not fits(record.get(name))]
        if bad:
            raise InputError(f"line {number} of {path!r} lacks a sound {bad[0]!r}; needed: {', '.join(fields)}")
        found.append(record)
    if not found:
        raise InputError(f"{path!r} is empty; allowed: a line for each item")
    return found


def checksum(*items: Any) -> str:
    """SHA-256 of values that JSON can hold, hex."""
    return hashlib.sha256(json.dumps(items, ensure_ascii=False).encode()).hexdigest()
