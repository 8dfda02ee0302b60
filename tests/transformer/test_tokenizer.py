import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.transformer import ByteTokenizer


@given(st.text())
def test_text_comes_back(text: str) -> None:
    assert ByteTokenizer().decode(ByteTokenizer().encode(text)) == text


@given(st.binary())
def test_bytes_are_tokens(data: bytes) -> None:
    np.testing.assert_array_equal(ByteTokenizer().encode(data), list(data))


def test_bytes_that_are_no_text_are_marked() -> None:
    assert ByteTokenizer().decode([72, 105, 255]) == "Hi\N{REPLACEMENT CHARACTER}"


def test_tokens_that_are_no_bytes_are_refused() -> None:
    with pytest.raises(InputError, match=r"tokens from 1 to 256; allowed: 0 to 255"):
        ByteTokenizer().decode([1, 256])
