"""Small checkpoints with random weights and a tokenizer of words, as the `transformers` library writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MARKS = "[PAD] [UNK] [CLS] [SEP] [MASK]"
TEXT = "the cat sat on a mat and dog ran to old tree in red house of bird sings for you ."
WORDS = f"{MARKS} {TEXT}".split()
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a model of the library: its class, its config's class, fields."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")

    def write(kind: str, config: str, **fields: Any) -> Path:
        torch.manual_seed(0)
        chosen = fields if kind.startswith("ViT") else SIZES | fields
        model = getattr(transformers, kind)(getattr(transformers, config)(**chosen)).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(0.0 if weight.ndim > 1 else 0.5, 0.3)
        folder = tmp_path / kind
        model.save_pretrained(folder)
        numbers = {word: number for number, word in enumerate(WORDS)}
        backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token="[UNK]"))  # noqa: S106 - a word
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        if "Bert" in kind:
            backend.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        backend.save(str(folder / "tokenizer.json"))
        return folder

    return write


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file with a sentence in each line."""
    file = tmp_path / "lines.txt"
    file.write_text(
        "the cat sat on a mat .\nthe dog ran to the old tree .\na bird sings for you in the red house of the cat .\n"
        "you sat .\nthe old dog and the red bird ran .\nin the house sat a cat and a dog and a bird .\n"
    )
    return file
