import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import cimstudy.transformer
from cimstudy.transformer import ByteTokenizer, Model, held_out_text, load_model

FOLDER = Path(cimstudy.transformer.__file__).parent / "bundled"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("bundled")


def bits_per_byte(model: Model, windows: NDArray[np.integer]) -> float:
    """Mean over predictions of every byte but the first.  windows : (sequences, T + 1)."""
    logits = model.logits(windows[:, :-1]).astype(float)
    likely = np.take_along_axis(logits, windows[:, 1:, None], axis=-1)[..., 0]
    return float(np.mean(np.log2(np.exp(logits).sum(-1)) - likely / np.log(2)))


def test_it_predicts_text_that_it_never_saw(model: Model) -> None:
    tokens = ByteTokenizer().encode(held_out_text())
    starts = np.linspace(0, len(tokens) - 257, 16).astype(int)  # all over the text
    assert bits_per_byte(model, tokens[starts[:, None] + np.arange(257)]) <= 1.5


def test_it_is_small(model: Model) -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 4_000_000
    assert sum(weight.size for weight in model.weights.values()) == 1_869_504


def test_its_facts_stand_beside_its_weights(model: Model) -> None:
    raw = json.loads((FOLDER / "config.json").read_text())
    assert raw["cimstudy"]["tokenizer"] == "bytes"
    assert raw["cimstudy"]["held_out_bits_per_byte"] <= 1.5
    assert raw["torch_dtype"] == "float16"
    assert model.name == "bundled"
    assert model.config.vocab_size == ByteTokenizer().vocab_size
