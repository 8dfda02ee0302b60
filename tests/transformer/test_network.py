from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from cimstudy.errors import InputError
from cimstudy.transformer import Model, load_model
from cimstudy.transformer.attention import Meeting, View, attend

Array = NDArray[np.float32]


@pytest.fixture
def tiny(write_llama: Callable[..., Path]) -> Model:
    return load_model(write_llama(num_attention_heads=6, num_key_value_heads=2))


def tokens_for(model: Model, *shape: int, seed: int = 1) -> NDArray[np.integer]:
    return np.random.default_rng(seed).integers(0, model.config.vocab_size, shape)


def test_later_tokens_change_no_earlier_logits(tiny: Model) -> None:
    tokens = tokens_for(tiny, 2, tiny.config.context)
    for cut in (1, 7, tiny.config.context - 1):
        other = tokens.copy()
        other[:, cut:] = tokens_for(tiny, 2, tiny.config.context, seed=2)[:, cut:]
        np.testing.assert_array_equal(tiny.logits(other)[:, :cut], tiny.logits(tokens)[:, :cut])


def test_a_beginning_alone_has_the_logits_it_has_in_a_longer_sequence(tiny: Model) -> None:
    tokens = tokens_for(tiny, tiny.config.context)
    np.testing.assert_allclose(tiny.logits(tokens[:5]), tiny.logits(tokens)[:5], rtol=0, atol=1e-5)


def test_a_sequence_does_not_depend_on_its_batch_by_a_bit() -> None:
    model = load_model("bundled")
    tokens = tokens_for(model, 5, 200)
    together = model.logits(tokens)
    for alone, row in zip(tokens, together, strict=True):
        np.testing.assert_array_equal(model.logits(alone), row)


def test_batch_axes_lead(tiny: Model) -> None:
    tokens = tokens_for(tiny, 2, 3, 5)
    logits = tiny.logits(tokens)
    assert logits.shape == (2, 3, 5, tiny.config.vocab_size)
    np.testing.assert_array_equal(logits.reshape(6, 5, -1), tiny.logits(tokens.reshape(6, 5)))
    assert tiny.logits(tokens[:0]).shape == (0, 3, 5, tiny.config.vocab_size)


def test_every_static_product_is_asked_for_once_in_order(tiny: Model) -> None:
    asked = []

    def linear(name: str, x: Array) -> Array:
        asked.append(name)
        assert x.shape == (3, 4, tiny.weights[name].shape[0])
        assert x.dtype == np.float32
        return tiny.product(name, x)

    tokens = tokens_for(tiny, 3, 4)
    np.testing.assert_array_equal(tiny.logits(tokens, linear), tiny.logits(tokens))
    assert tuple(asked) == tiny.matrices


def test_what_the_product_took_and_gave_is_left_alone(tiny: Model) -> None:
    seen = []

    def linear(name: str, x: Array) -> Array:
        y = tiny.product(name, x)
        seen.extend([(x, x.copy()), (y, y.copy())])
        return y

    tiny.logits(tokens_for(tiny, 3, 4), linear)
    for array, copy in seen:
        np.testing.assert_array_equal(array, copy)


def test_attention_takes_any_positions() -> None:
    """Queries of the last tokens alone see what they see among all: what a cache of keys and values needs."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, heads, 90, 4), dtype=np.float32) for heads in (6, 2, 2))
    at = np.arange(90)[None]
    np.testing.assert_allclose(
        attend(Meeting(q=q[:, :, 80:], k=k, v=v, positions=at[:, 80:], view=View())),
        attend(Meeting(q=q, k=k, v=v, positions=at, view=View()))[:, :, 80:],
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[0, 13]], r"tokens from 0 to 13; allowed: 0 to 12"),
        ([[-1, 3]], r"tokens from -1 to 3; allowed: 0 to 12"),
        ([0] * 25, r"tokens of shape \(25,\); allowed: \(\.\.\., T\) with T from 1 to 24"),
        (np.zeros((2, 0), int), r"tokens of shape \(2, 0\); allowed"),
        (3, r"tokens of shape \(\); allowed"),
        ([0.5], r"tokens are float64; allowed: integers from 0 to 12"),
    ],
)
def test_tokens_that_no_model_reads_are_refused(tiny: Model, tokens: ArrayLike, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny.logits(tokens)
