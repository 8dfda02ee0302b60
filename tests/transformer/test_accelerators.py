"""Presets of published accelerators run a network, and those that are digital run it as well as their bits allow."""

import numpy as np
import pytest

from cimstudy.hardware import preset, presets
from cimstudy.transformer import Model, TransformerConfig, program
from cimstudy.transformer.config import digital_shapes, matrix_shapes
from cimstudy.transformer.watch import Watch

CONFIG = TransformerConfig(
    vocab_size=64,
    width=24,
    layers=1,
    heads=3,
    kv_heads=3,
    head_width=8,
    ffn_width=40,
    context=12,
    learned_positions=True,
)
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in matrix_shapes(CONFIG).items()} | {
    name: np.ones(shape) if name.endswith("norm") else RNG.standard_normal(shape)
    for name, shape in digital_shapes(CONFIG).items()
}
MODEL = Model(
    name="random",
    config=CONFIG,
    weights={name: array.astype(np.float32) for name, array in WEIGHTS.items()},
    checksum="random",
)
TOKENS = RNG.integers(0, 64, (2, 12))
ACCELERATORS = [entry for entry in presets() if entry.technology is not None]
INTEGERS = ["transpim", "trancim", "haima", "pim-gpt", "northpole", "rime"]


@pytest.mark.parametrize("entry", ACCELERATORS, ids=lambda entry: entry.name)
def test_an_accelerator_runs_a_network(entry):
    found = program(MODEL, entry.build(), calibration=TOKENS).logits(TOKENS)
    assert np.isfinite(found).all()
    assert np.corrcoef(found.ravel(), MODEL.logits(TOKENS).ravel())[0, 1] > 0.2


@pytest.mark.parametrize("entry", ACCELERATORS, ids=lambda entry: entry.name)
def test_arrays_that_multiply_by_keys_and_values_keep_them(entry):
    """Elsewhere, all that are in sight would be written again for every token."""
    architecture = entry.build().architecture
    if "dynamic-crossbar" in {architecture.placement.scores, architecture.placement.values}:
        assert architecture.kv.location == "array"


@pytest.mark.parametrize("name", ["sprint", "cpsaa", "charge-cim-attention"])
def test_searches_hide_most_keys(name):
    """Each is to keep a quarter of the keys of these tokens; scores of few bits are often equal, and kept together."""
    watch = Watch()
    program(MODEL, preset(name), calibration=TOKENS, watch=watch).logits(TOKENS)
    assert 0.2 < watch.counts["kept"] / watch.counts["seen"] < 0.5


@pytest.mark.parametrize("name", INTEGERS)
def test_digital_designs_round_and_do_nothing_else(name):
    """Eight bits in and eight bits held: noise of about 1/2 % a product."""
    entry = next(entry for entry in ACCELERATORS if entry.name == name)
    exact = MODEL.logits(TOKENS)
    found = program(MODEL, entry.build(), calibration=TOKENS).logits(TOKENS)
    assert np.abs(found - exact).std() < 0.05 * exact.std()
