"""Text that a model or a chip writes: token by token, with a cache of keys and values."""

from typing import Any

import numpy as np
from scipy.special import ndtr, softmax

from cimstudy.analog import Key
from cimstudy.analog.random import normals
from cimstudy.errors import InputError
from cimstudy.transformer.attention import Cache
from cimstudy.transformer.chip import Chip

Array = np.ndarray[Any, np.dtype[Any]]


def generate(  # noqa: PLR0913 - what to write, and how to choose
    chip: Chip, prompts: Array, lengths: Array, count: int, *, temperature: float = 0.0, seed: int = 0
) -> Array:
    """The tokens that a chip writes after each prompt: (prompts, count).

    prompts : (prompts, T) tokens, of which the first `lengths` (prompts,) count.
    temperature : 0 takes the most likely token; above, tokens are drawn with probabilities softmax(logits /
        temperature). A draw is keyed by seed, prompt and place, so that two chips that see the same odds draw alike.
    Raises InputError if prompt and text do not fit the model's context.
    """
    widest = int(np.max(lengths)) + count
    if not temperature >= 0:
        raise InputError(f"temperature = {temperature}; allowed: 0 (the most likely token) or more")
    if count < 1:
        raise InputError(f"{count} tokens to write; allowed: 1 or more")
    if widest > chip.model.config.context:
        raise InputError(
            f"{widest} tokens of prompt and text; allowed: at most {chip.model.config.context}, the context"
        )
    cache = Cache(chip.model.config, len(prompts), widest)
    rows = np.arange(len(prompts))
    logits = chip.logits(prompts, lengths=lengths, cache=cache)[rows, np.asarray(lengths) - 1]
    first_vector, written = prompts.size, np.zeros((len(prompts), count), np.int64)
    for place in range(count):
        written[:, place] = chosen(logits, temperature, seed, place)
        if place + 1 < count:
            logits = chip.logits(written[:, place : place + 1], first_vector=first_vector, cache=cache)[:, 0]
            first_vector += len(prompts)
    return written


def chosen(logits: Array, temperature: float, seed: int, place: int) -> Array:
    """The next token of each text: logits (texts, vocabulary) to (texts,)."""
    if temperature == 0:
        return np.asarray(logits.argmax(axis=-1))
    odds = np.cumsum(softmax(logits.astype(np.float64) / temperature, axis=-1), axis=-1)
    draws = uniforms(seed, len(logits), place)
    found: Array = np.minimum((odds < draws[:, None] * odds[:, -1:]).sum(axis=-1), logits.shape[-1] - 1)
    return found


def uniforms(seed: int, texts: int, place: int) -> Array:
    """A draw in (0, 1) for each text at this place: (texts,)."""
    return np.asarray(ndtr(normals(Key.root(seed).of("sampling"), (1, texts), first_row=place)[0].astype(np.float64)))
