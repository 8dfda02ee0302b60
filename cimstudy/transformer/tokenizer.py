"""Text to tokens and back. A tokenizer is a value with `encode` and `decode`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError

Tokens = NDArray[np.integer]


class Tokenizer(Protocol):
    """What the workloads need of a tokenizer."""

    def encode(self, text: str | bytes, *, special: bool = False) -> Tokens:
        """Tokens of a text, (n,).  special: with the marks that the model expects around it."""
        ...

    def encode_pair(self, first: str, second: str) -> tuple[Tokens, Tokens]:
        """Tokens of two texts in a row with their marks, (n,), and which of the two each is of, (n,)."""
        ...

    def number(self, *names: str) -> int | None:
        """The token with the first of these names that there is; None if there is none."""
        ...

    def decode(self, tokens: Tokens | Sequence[int]) -> str:
        """Text of tokens (n,)."""
        ...


@dataclass(frozen=True)
class ByteTokenizer:
    """One token for each byte of the text's UTF-8."""

    vocab_size: int = 256

    def encode(self, text: str | bytes, *, special: bool = False) -> Tokens:  # noqa: ARG002 - bytes have no marks
        """Tokens of a text: (bytes,), each 0 to 255.  Bytes are taken as they are."""
        data = text.encode() if isinstance(text, str) else text
        return np.frombuffer(data, np.uint8).astype(np.int32)

    def decode(self, tokens: Tokens | Sequence[int]) -> str:
        """Text of tokens (n,); bytes that are no UTF-8 become the replacement character."""
        values = np.asarray(tokens, dtype=np.int64)
        if values.size and not 0 <= values.min() <= values.max() < 256:
            raise InputError(f"tokens from {values.min()} to {values.max()}; allowed: 0 to 255, which are bytes")
        return values.astype(np.uint8).tobytes().decode(errors="replace")

    def encode_pair(self, first: str, second: str) -> tuple[Tokens, Tokens]:
        """Tokens of two texts in a row, (n,), and which of the two each is of, (n,)."""
        one, other = self.encode(first), self.encode(second)
        return np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)])

    def number(self, *_names: str) -> int | None:
        """None: bytes have no names."""
        return None


@dataclass(frozen=True)
class FileTokenizer:
    """The tokenizer of a checkpoint's tokenizer.json, by the `tokenizers` library."""

    backend: Any

    def encode(self, text: str | bytes, *, special: bool = False) -> Tokens:
        """Tokens of a text: (n,).  special: with the marks that the model expects around it."""
        decoded = text.decode(errors="replace") if isinstance(text, bytes) else text
        return np.array(self.backend.encode(decoded, add_special_tokens=special).ids, np.int32)

    def encode_pair(self, first: str, second: str) -> tuple[Tokens, Tokens]:
        """Tokens of two texts in a row with their marks, (n,), and which of the two each is of, (n,)."""
        found = self.backend.encode(first, second)
        return np.array(found.ids, np.int32), np.array(found.type_ids, np.int32)

    def number(self, *names: str) -> int | None:
        """The token with the first of these names that there is; None if there is none."""
        found = (self.backend.token_to_id(name) for name in names)
        return next((number for number in found if number is not None), None)

    def decode(self, tokens: Tokens | Sequence[int]) -> str:
        """Text of tokens (n,), without special marks."""
        return str(self.backend.decode(np.asarray(tokens).tolist()))


def load_tokenizer(path: str | Path = "bundled") -> Tokenizer:
    """The tokenizer of the bundled model (bytes), or of a checkpoint's folder.

    A folder without tokenizer.json is read as a model of bytes. Raises InputError if the `tokenizers` library is not
    installed, or cannot read the file.
    """
    file = Path(path) / "tokenizer.json"
    if path == "bundled" or not file.is_file():
        return ByteTokenizer()
    try:
        from tokenizers import Tokenizer as Backend  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(f"{str(file)!r} needs the tokenizers library: pip install 'cimstudy[hf]'") from None
    try:
        backend = Backend.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises bare exceptions
        raise InputError(f"{str(file)!r} is no tokenizer: {' '.join(str(error).split())}") from None
    backend.no_truncation()
    backend.no_padding()
    return FileTokenizer(backend)
