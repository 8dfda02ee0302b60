"""The network: checkpoints, one forward pass with the products injected, tokenizers, and text to measure on."""

from cimstudy.transformer.attention import Cache
from cimstudy.transformer.chip import Chip, program
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.corpus import held_out_text, load_text, training_text
from cimstudy.transformer.coverage import Item, coverage
from cimstudy.transformer.generation import generate
from cimstudy.transformer.model import Model, load_model
from cimstudy.transformer.network import Linear
from cimstudy.transformer.tokenizer import ByteTokenizer, FileTokenizer, Tokenizer, load_tokenizer

__all__ = [
    "ByteTokenizer",
    "Cache",
    "Chip",
    "FileTokenizer",
    "Item",
    "Linear",
    "Model",
    "Tokenizer",
    "TransformerConfig",
    "coverage",
    "generate",
    "held_out_text",
    "load_model",
    "load_text",
    "load_tokenizer",
    "program",
    "training_text",
]
