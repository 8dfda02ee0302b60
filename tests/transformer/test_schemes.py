"""Attention on chips: exact in its exact limit, with draws that belong to what they are, and counts in closed form."""

import numpy as np
import pytest

from cimstudy.analog import Key
from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Crossbar, Device, Differential, Faults, Hardware, NormalOfRange, Wires
from cimstudy.transformer import Cache, Model, TransformerConfig, program
from cimstudy.transformer.attention import View, digital
from cimstudy.transformer.config import digital_shapes, matrix_shapes
from cimstudy.transformer.network import meeting, projected
from cimstudy.transformer.rotary import Rotary
from cimstudy.transformer.schemes import Setup
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.watch import Watch

EXACT = Crossbar(weights=Differential(bits=None), dac=None, adc=None)
SIZES = {"vocab_size": 256, "width": 24, "layers": 2, "heads": 6, "head_width": 8, "ffn_width": 40, "context": 48}
CONFIGS = {
    "decoder": TransformerConfig(**SIZES, kv_heads=6, rotary=Rotary.plain(8)),
    "grouped": TransformerConfig(**SIZES, kv_heads=2, rotary=Rotary.plain(8)),
    "sliding": TransformerConfig(**SIZES, kv_heads=2, rotary=Rotary.plain(8), windows=(7, None)),
    "encoder": TransformerConfig(
        **SIZES,
        kv_heads=6,
        causal=False,
        learned_positions=True,
        norm="layer",
        biases=frozenset({"attention.q", "attention.k", "attention.v", "attention.o"}),
    ),
    "capped": TransformerConfig(**SIZES, kv_heads=3, rotary=Rotary.plain(8), score_cap=2.0),
}


def random_model(name, seed=0):
    """A model of a config, with scores that are far from equal."""
    config, rng = CONFIGS[name], np.random.default_rng(seed)
    matrices = {
        each: (rng.standard_normal(shape) * (2 if each.endswith((".q", ".k")) else 1) / np.sqrt(shape[0]))
        for each, shape in matrix_shapes(config).items()
    }
    rest = {
        each: np.ones(shape) if each.endswith("norm") else rng.standard_normal(shape)
        for each, shape in digital_shapes(config).items()
    }
    weights = {each: array.astype(np.float32) for each, array in (matrices | rest).items()}
    return Model(name=name, config=config, weights=weights, checksum=f"{name} {seed}")


MODELS = {name: random_model(name) for name in CONFIGS}
TOKENS = np.random.default_rng(1).integers(0, 256, (3, 48))


def chip_of(name, attention="full", engine="digital", *, watch=None, crossbar=EXACT, device=None, **options):
    """A chip whose static matrices are digital."""
    placement = {**dict.fromkeys(("embedding", "projections", "ffn", "head"), "digital")}
    placement |= {"scores": engine, "values": engine}
    architecture = {"placement": placement, "attention": attention}
    hardware = Hardware(device=device or Device(), crossbar=crossbar, architecture=architecture)
    return program(MODELS[name], hardware, calibration=TOKENS, watch=watch, **options)


every_model = pytest.mark.parametrize("name", CONFIGS)
NOISY = Device(programming=NormalOfRange(std=0.05), read_noise=NormalOfRange(std=0.02))


@every_model
def test_exact_arrays_meet_the_digital_run(name):
    found = chip_of(name, engine="dynamic-crossbar").logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=2e-4)


@every_model
def test_a_perfect_converter_of_many_bits_meets_the_digital_run(name):
    fine = Crossbar(weights=Differential(bits=16), dac=None, adc=Adc(bits=16, range="full"))
    found = chip_of(name, engine="dynamic-crossbar", crossbar=fine).logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=0.02)


def test_integers_in_sram_have_no_errors_of_cells():
    found = [
        chip_of("decoder", engine="sram-cim", device=device, crossbar=Crossbar()).logits(TOKENS)
        for device in (Device(), NOISY)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert 0 < np.abs(found[0] - MODELS["decoder"].logits(TOKENS)).max() < 0.5


@every_model
def test_errors_of_writing_belong_to_the_sequence(name):
    """Alone or in a batch, a sequence meets the same errors; another sequence of the same tokens meets others."""
    chip = chip_of(name, engine="dynamic-crossbar", device=NOISY, crossbar=Crossbar())
    together = chip.logits(TOKENS)
    for number, tokens in enumerate(TOKENS):
        np.testing.assert_array_equal(chip.logits(tokens, first_vector=48 * number), together[number])
    assert (chip.logits(TOKENS[0], first_vector=48) != together[0]).any()


@pytest.mark.parametrize("name", ["decoder", "grouped", "sliding", "capped"])
def test_errors_of_writing_stay_while_a_text_grows(name):
    """Prompt and then token by token, or all at once: the same cells with the same errors."""
    device = Device(programming=NormalOfRange(std=0.05))
    chip = chip_of(name, engine="dynamic-crossbar", device=device)
    cache = Cache(CONFIGS[name], 3, 48)
    parts = [chip.logits(TOKENS[:, :20], cache=cache)]
    parts += [
        chip.logits(TOKENS[:, place : place + 1], first_vector=1000 + place, cache=cache) for place in range(20, 48)
    ]
    # vectors 0, 20 and 40 began the three sequences in the prompt's pass
    alone = [chip.logits(tokens, first_vector=20 * number) for number, tokens in enumerate(TOKENS)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), alone, atol=1e-3)


def operands_of(name, device):
    """Arrays for the keys and values of a model, whose pairs are written on both sides."""
    placement = {"scores": "dynamic-crossbar", "values": "dynamic-crossbar"}
    crossbar = Crossbar(weights=Differential(bits=None, sides="two"), dac=None, adc=None)
    hardware = Hardware(device=device, crossbar=crossbar, architecture={"placement": placement})
    setup = Setup(model=MODELS[name], hardware=hardware, key=Key.root(3, 4), time=0.0, tokens=TOKENS)
    return Operands.of(setup, met)


def test_written_operands_spread_as_the_device_says():
    """Two cells of a pair, each with an error of 5 % of the range, at every writing anew."""
    arrays = operands_of("decoder", Device(programming=NormalOfRange(std=0.05))).keys[0]
    top, held = arrays.ranges.weights[0], np.zeros((8, 48), np.float32)
    errors = np.array([arrays.write(held, 0, origin).weights for origin in range(200)]) / top
    sigma = 0.05 * 2**0.5
    assert abs(errors.std() / sigma - 1) < 5 / np.sqrt(2 * errors.size)
    assert abs(errors.mean()) < 5 * sigma / np.sqrt(errors.size)
    assert abs(errors.mean(axis=0)).max() < 6 * sigma / np.sqrt(200)  # of a cell, over its writings


def test_stuck_cells_are_stuck_for_every_sequence():
    arrays = operands_of("decoder", Device(faults=Faults(stuck_on=0.1))).values[1]
    w = np.zeros((48, 8), np.float32)
    one, other = (arrays.write(w, 0, origin).weights for origin in (0, 48))
    np.testing.assert_array_equal(one, other)
    assert one.any()
    assert (arrays.write(w, 1, 0).weights != one).any()  # another head has other arrays


@every_model
def test_each_key_and_value_is_written_once(name):
    config, watch = CONFIGS[name], Watch()
    chip_of(name, engine="dynamic-crossbar", watch=watch).logits(TOKENS)
    numbers = 2 * TOKENS.size * config.kv_heads * config.head_width * config.layers
    assert watch.counts["writes"] == numbers
    assert watch.counts["cell_writes"] == 2 * numbers  # a pair for each


def test_decoding_writes_what_prefill_writes():
    watch, cache = Watch(), Cache(CONFIGS["grouped"], 3, 48)
    chip = chip_of("grouped", engine="dynamic-crossbar", watch=watch)
    chip.logits(TOKENS[:, :20], cache=cache)
    for place in range(20, 48):
        chip.logits(TOKENS[:, place : place + 1], cache=cache)
    assert watch.counts["writes"] == 2 * TOKENS.size * 2 * 8 * 2


def test_arrays_that_cannot_be_are_refused():
    with pytest.raises(
        InputError, match=r"'dynamic-crossbar' needs cells that are written at inference; .* has device"
    ):
        chip_of("decoder", engine="dynamic-crossbar", device=Device(rewritable=False))
    with pytest.raises(
        InputError, match=r"crossbar.wires of arrays that are written at inference; allowed there: None"
    ):
        chip_of("decoder", engine="dynamic-crossbar", crossbar=Crossbar(wires=Wires(row_resistance=1.0)))


@every_model
@pytest.mark.parametrize(
    "attention", [{"kind": "window", "width": 48}, {"kind": "top_k", "k": 48}], ids=lambda given: given["kind"]
)
def test_schemes_that_keep_all_keys_are_exact(name, attention):
    np.testing.assert_array_equal(chip_of(name, attention).logits(TOKENS), MODELS[name].logits(TOKENS))


@every_model
@pytest.mark.parametrize("size", [1, 5, 16, 64])
def test_blocks_of_an_online_softmax_make_a_whole_one(name, size):
    found = chip_of(name, {"kind": "blocked", "size": size}).logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=2e-5)


def keys_seen(view, length):
    """Keys that the queries of a sequence see."""
    positions = np.arange(length)[None]
    return int((view.mask(positions, slice(0, length)) == 0).sum())


@pytest.mark.parametrize(("name", "of_a_row"), [("encoder", 2), ("decoder", 1)])
def test_a_window_keeps_a_band_of_keys(name, of_a_row):
    """L (2 w + 1) - w (w + 1) scores where both sides are seen, half of that and half the diagonal in decoders."""
    watch, length, width = Watch(), 48, 5
    chip_of(name, {"kind": "window", "width": width}, watch=watch).logits(TOKENS)
    both = length * (2 * width + 1) - width * (width + 1)
    band = both if of_a_row == 2 else (both + length) // 2
    assert watch.counts["kept"] == band * TOKENS.shape[0] * 6 * 2
    assert watch.counts["seen"] == keys_seen(View(causal=name == "decoder"), length) * TOKENS.shape[0] * 6 * 2


def test_each_layer_has_its_window():
    watch = Watch()
    chip_of("encoder", {"kind": "window", "width": (0, 47)}, watch=watch).logits(TOKENS)
    assert watch.counts["kept"] == (48 + 48 * 48) * TOKENS.shape[0] * 6
    with pytest.raises(InputError, match=r"attention.width has 3 numbers; allowed: one, or 2"):
        chip_of("encoder", {"kind": "window", "width": (1, 2, 3)})


def test_a_decoder_computes_half_of_all_blocks():
    watch = Watch()
    chip_of("decoder", {"kind": "blocked", "size": 16}, watch=watch).logits(TOKENS)
    assert watch.counts["score_blocks"] == 3 * 4 / 2 * TOKENS.shape[0] * 6 * 2


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_top_k_keeps_k_true_top_keys(name):
    watch, k = Watch(), 5
    chip_of(name, {"kind": "top_k", "k": k}, watch=watch).logits(TOKENS)
    queries = TOKENS.shape[0] * 6 * 2
    per_sequence = k * (48 - k) + k * (k + 1) // 2 if name == "decoder" else k * 48
    assert watch.counts["kept"] == watch.counts["found"] == queries * per_sequence


def test_one_winner_brings_its_value_alone():
    """With k = 1 attention is the value of the best key."""
    chip = chip_of("decoder", {"kind": "top_k", "k": 1})
    model, seen = MODELS["decoder"], {}

    def attention(run, layer, name, x):
        seen[layer] = meeting(run, layer, projected(run, name, x)), chip.attention()(run, layer, name, x)
        return seen[layer][1]

    model.logits(TOKENS, None, attention)
    found, context = seen[0]
    block = next(iter(found.blocks()))
    scores = digital(found).scores(block[0]) + block[1]
    best = np.take_along_axis(found.v[block[0].some], scores.argmax(axis=-1)[..., None], axis=2)
    np.testing.assert_allclose(context.reshape(3, 48, 6, 8).swapaxes(1, 2)[block[0].some], best, atol=1e-6)
