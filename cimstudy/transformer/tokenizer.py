"""Text to tokens and back. A tokenizer is a value with `encode` and `decode`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError


@dataclass(frozen=True)
class ByteTokenizer:
    """One token for each byte of the text's UTF-8."""

    vocab_size: int = 256

    def encode(self, text: str | bytes) -> NDArray[np.int32]:
        """Tokens of a text: (bytes,), each 0 to 255.  Bytes are taken as they are."""
        data = text.encode() if isinstance(text, str) else text
        return np.frombuffer(data, np.uint8).astype(np.int32)

    def decode(self, tokens: NDArray[np.integer] | Sequence[int]) -> str:
        """Text of tokens (n,); bytes that are no UTF-8 become the replacement character."""
        values = np.asarray(tokens, dtype=np.int64)
        if values.size and not 0 <= values.min() <= values.max() < 256:
            raise InputError(f"tokens from {values.min()} to {values.max()}; allowed: 0 to 255, which are bytes")
        return values.astype(np.uint8).tobytes().decode(errors="replace")
