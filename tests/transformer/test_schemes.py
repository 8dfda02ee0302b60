"""Attention on chips: exact in its exact limit, with draws that belong to what they are, and counts in closed form."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cimstudy
from cimstudy.analog import Key
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Crossbar,
    Device,
    Differential,
    Faults,
    GainCellAttention,
    Hardware,
    HashedAttention,
    NormalOfRange,
    Voting,
    Wires,
)
from cimstudy.transformer import Cache, Model, TransformerConfig, program
from cimstudy.transformer.attention import Meeting, View, digital
from cimstudy.transformer.config import digital_shapes, matrix_shapes
from cimstudy.transformer.network import SoftmaxAttention, meeting, projected
from cimstudy.transformer.rotary import Rotary
from cimstudy.transformer.schemes import SCHEMES, Setup, check_attention
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.gain_cell import GainCell
from cimstudy.transformer.schemes.hashed import Hashed
from cimstudy.transformer.schemes.operands import Operands, probabilities
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
    "learned": TransformerConfig(
        **SIZES,
        kv_heads=2,
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


def test_copies_that_vote_are_written_and_outvote_errors():
    """Medians of three leave the same share of normal errors of operands as of weights, about two thirds."""
    plain = chip_of("decoder", engine="dynamic-crossbar", device=Device(programming=NormalOfRange(std=0.01))).hardware
    spreads, writes = [], []
    for hardware in (plain, plain.replace("architecture.redundancy", Voting(copies=3))):
        watch = Watch()
        found = program(MODELS["decoder"], hardware, calibration=TOKENS, watch=watch).logits(TOKENS)
        spreads.append((found - MODELS["decoder"].logits(TOKENS)).std())
        writes.append((watch.counts["writes"], watch.counts["cell_writes"]))
    assert writes[1] == (writes[0][0], 3 * writes[0][1])
    assert spreads[1] / spreads[0] == pytest.approx(0.67, abs=0.1)


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
    chip, model, seen = chip_of("decoder", {"kind": "top_k", "k": 1}), MODELS["decoder"], {}

    class Recorder(SoftmaxAttention):
        def __call__(self, run, layer, name, x):
            seen[layer] = meeting(run, layer, projected(run, name, x)), chip.attention()(run, layer, name, x)
            return seen[layer][1]

    model.logits(TOKENS, None, Recorder())
    found, context = seen[0]
    block, mask = next(iter(found.blocks()))
    best = (digital(found).scores(block) + mask).argmax(axis=-1)
    expected = np.take_along_axis(found.v[block.some], best[..., None], axis=2)
    np.testing.assert_allclose(context.reshape(3, 48, 6, 8).swapaxes(1, 2)[block.some], expected, atol=1e-6)


WITHOUT_ROTARY = pytest.mark.parametrize("name", ["encoder", "learned"])
OF_INPUTS = [
    {"kind": "decomposed"},
    {"kind": "decomposed", "context": "values"},
    {"kind": "fused"},
    {"kind": "fused", "threshold": -1e9},
]


@WITHOUT_ROTARY
@pytest.mark.parametrize("engine", ["digital", "dynamic-crossbar"])
@pytest.mark.parametrize("attention", OF_INPUTS, ids=str)
def test_scores_of_inputs_are_those_of_keys(name, engine, attention):
    found = chip_of(name, attention, engine).logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=1e-3)


@pytest.mark.parametrize("attention", OF_INPUTS, ids=str)
def test_scores_of_inputs_come_from_static_arrays(attention):
    """With projections in exact arrays, too, nothing changes; with errors of cells everything does."""
    chips = []
    for device in (Device(), Device(programming=NormalOfRange(std=0.02))):
        placement = {"scores": "dynamic-crossbar", "values": "dynamic-crossbar"}
        architecture = {"placement": placement, "attention": attention}
        hardware = Hardware(device=device, crossbar=EXACT, architecture=architecture)
        chips.append(program(MODELS["learned"], hardware, calibration=TOKENS))
    exact, noisy = (chip.logits(TOKENS) for chip in chips)
    np.testing.assert_allclose(exact, MODELS["learned"].logits(TOKENS), atol=2e-3)
    assert np.abs(noisy - exact).max() > 0.05


def test_calibrated_converters_serve_the_matrices_of_heads():
    for attention in OF_INPUTS:
        chip = chip_of_all("learned", attention, crossbar=Crossbar(dac={"range": "calibrated"}))
        error = np.abs(chip.logits(TOKENS) - MODELS["learned"].logits(TOKENS)).mean()
        assert 0 < error < 0.5, attention


def chip_of_all(name, attention, crossbar, device=None):
    """A chip with everything in arrays."""
    hardware = Hardware(device=device or Device(), crossbar=crossbar, architecture={"attention": attention})
    searches = ["search"] if SCHEMES[type(hardware.architecture.attention)].searches else []
    for product in ["scores", "values", *searches]:
        hardware = hardware.replace(f"architecture.placement.{product}", "dynamic-crossbar")
    return program(MODELS[name], hardware, calibration=TOKENS)


@WITHOUT_ROTARY
@pytest.mark.parametrize(
    ("attention", "widths"),
    [({"kind": "full"}, "kv"), (OF_INPUTS[0], "x"), (OF_INPUTS[1], "xv"), (OF_INPUTS[2], "xv")],
    ids=str,
)
def test_the_decomposition_writes_no_keys(name, attention, widths):
    """L d numbers for inputs, in place of L d for keys (and L d for values)."""
    config, watch = CONFIGS[name], Watch()
    chip_of(name, attention, "dynamic-crossbar", watch=watch).logits(TOKENS)
    kv = config.kv_heads * config.head_width
    each = {"k": kv, "v": kv, "x": config.width}
    assert watch.counts["writes"] == TOKENS.size * config.layers * sum(each[part] for part in widths)


@pytest.mark.parametrize("kind", ["decomposed", "fused"])
def test_models_whose_scores_are_no_product_of_inputs_are_refused(kind):
    with pytest.raises(InputError, match=rf"kind = '{kind}': the model has rotary positions; allowed: models without"):
        chip_of("decoder", {"kind": kind})


@pytest.mark.parametrize("attention", OF_INPUTS, ids=str)
def test_inputs_that_were_written_serve_a_text_that_grows(attention):
    chip, cache = chip_of("learned", attention, "dynamic-crossbar"), Cache(CONFIGS["learned"], 3, 48)
    parts = [chip.logits(TOKENS[:, :20], cache=cache)]
    parts += [chip.logits(TOKENS[:, place : place + 1], cache=cache) for place in range(20, 48)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), chip.logits(TOKENS), atol=2e-3)


THRESHOLDS = [{"kind": "threshold"}, {"kind": "threshold", "threshold": -1e9}, {"kind": "threshold", "keep": 1.0}]


@every_model
@pytest.mark.parametrize("attention", THRESHOLDS, ids=str)
def test_a_threshold_at_minus_infinity_keeps_all_keys(name, attention):
    np.testing.assert_array_equal(chip_of(name, attention).logits(TOKENS), MODELS[name].logits(TOKENS))


@every_model
def test_many_bits_find_the_true_top_keys(name):
    watch = Watch()
    chip_of(name, {"kind": "threshold", "bits": 16, "threshold": 0.3}, watch=watch).logits(TOKENS)
    assert 0 < watch.counts["kept"] < watch.counts["seen"]
    assert watch.counts["found"] > 0.999 * watch.counts["kept"]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
def test_a_threshold_keeps_the_share_that_it_was_calibrated_for(share):
    """Measured in the first layer, whose inputs are those of the calibration."""
    watch = Watch()
    chip_of("encoder", {"kind": "threshold", "keep": share}, watch=watch).logits(TOKENS)
    assert abs(watch.counts["kept"] / watch.counts["seen"] - share) < 0.06
    assert watch.counts["searches"] == TOKENS.size * 6 * 2
    assert watch.counts["writes"] == TOKENS.size * 6 * 8 * 2  # keys of few bits
    assert 0.5 < watch.counts["found"] / watch.counts["kept"] < 1


def test_errors_of_a_search_change_what_is_found():
    found = {}
    for search in ("digital", "dynamic-crossbar"):
        watch = Watch()
        placement = {"embedding": "digital", "projections": "digital", "ffn": "digital", "head": "digital"}
        architecture = {"placement": placement | {"search": search}, "attention": {"kind": "threshold", "keep": 0.2}}
        hardware = Hardware(
            device=Device(programming=NormalOfRange(std=0.3)), crossbar=EXACT, architecture=architecture
        )
        program(MODELS["encoder"], hardware, calibration=TOKENS, watch=watch).logits(TOKENS)
        found[search] = watch.counts["found"] / watch.counts["kept"]
    assert found["dynamic-crossbar"] < found["digital"] - 0.05


def test_comparators_of_a_chip_differ():
    watches = Watch(), Watch()
    for watch, spread in zip(watches, (0.0, 3.0), strict=True):
        given = {"kind": "threshold", "bits": 12, "threshold": 0.3, "comparator_std": spread}
        chip_of("encoder", given, watch=watch).logits(TOKENS)
    same, other = (watch.counts["found"] / watch.counts["kept"] for watch in watches)
    assert same > 0.95 > other


def test_thresholds_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r"attention.threshold has 3 numbers; allowed: one, or 2"):
        chip_of("encoder", {"kind": "threshold", "threshold": (0.1, 0.2, 0.3)})
    with pytest.raises(InputError, match=r"keep stands in place of threshold; allowed: one of the two"):
        chip_of("encoder", {"kind": "threshold", "threshold": 0.1, "keep": 0.1})


KEEPING_ALL = [
    {"kind": "product_quantised", "k": 48},
    {"kind": "hashed", "distance": 64},
    {"kind": "hashed", "distance": 0, "window": 47},
    {"kind": "hashed", "distance": 0, "stride": 1},
    {"kind": "hashed", "distance": 0, "sinks": 48},
    {"kind": "token_pruning", "keep": 1.0},
    {"kind": "early_exit", "cosine": 1.1},
]
GROWING = ["sliding", "learned"]


@every_model
@pytest.mark.parametrize("attention", KEEPING_ALL, ids=str)
def test_searches_that_find_all_keys_are_exact(name, attention):
    np.testing.assert_array_equal(chip_of(name, attention).logits(TOKENS), MODELS[name].logits(TOKENS))


ALL_KINDS = [
    {"kind": "window", "width": 5},
    {"kind": "blocked", "size": 7},
    {"kind": "top_k", "k": 5},
    {"kind": "threshold", "keep": 0.3},
    {"kind": "product_quantised", "k": 6, "subspaces": 4, "centroids": 8},
    {"kind": "hashed", "bits": 16, "distance": 6, "flip_rate": 0.05, "window": 2},
    {"kind": "gain_cell", "window": 20, "rows": 8, "write_std": 0.01, "tau": 1e-6, "cubic": 0.2},
    {"kind": "token_pruning", "keep": 0.4},
    {"kind": "early_exit", "cosine": 0.8},
]


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("attention", ALL_KINDS, ids=str)
def test_a_growing_text_meets_what_a_whole_one_meets(name, attention):
    """Prompt and then token by token, or all at once: the same keys are kept, with the same errors."""
    chip, cache = chip_of(name, attention), Cache(CONFIGS[name], 3, 48)
    parts = [chip.logits(TOKENS[:, :20], cache=cache)]
    parts += [
        chip.logits(TOKENS[:, place : place + 1], first_vector=1000 + 3 * place, cache=cache) for place in range(20, 48)
    ]
    alone = np.array([chip.logits(tokens, first_vector=20 * number) for number, tokens in enumerate(TOKENS)])
    off = np.abs(np.concatenate(parts, axis=1) - alone).max(axis=-1) > 1e-3
    assert off.mean() < 0.02  # a score that is at the edge of being kept may fall to the other side


@pytest.mark.parametrize("name", ["sliding", "encoder"])
@pytest.mark.parametrize("attention", ALL_KINDS, ids=str)
def test_a_sequence_alone_is_what_it_is_in_a_batch(name, attention):
    chip = chip_of(name, attention, "dynamic-crossbar", device=NOISY, crossbar=Crossbar())
    together = chip.logits(TOKENS)
    for number, tokens in enumerate(TOKENS):
        np.testing.assert_array_equal(chip.logits(tokens, first_vector=48 * number), together[number])


@pytest.mark.parametrize("attention", ALL_KINDS, ids=str)
def test_what_is_behind_a_text_changes_nothing(attention):
    """Shorter texts of a batch, in models that see both sides."""
    chip, lengths = chip_of("encoder", attention), np.array([48, 31, 9])
    for found, length, number in zip(chip.logits(TOKENS, lengths=lengths), lengths, range(3), strict=True):
        alone = chip.logits(TOKENS[number, :length], first_vector=48 * number)
        np.testing.assert_allclose(found[:length], alone, atol=2e-4)


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("attention", ALL_KINDS, ids=str)
def test_later_tokens_change_no_earlier_logits(name, attention):
    chip, other = chip_of(name, attention), TOKENS.copy()
    other[:, 30:] = TOKENS[::-1, 30:]
    np.testing.assert_allclose(chip.logits(other)[:, :30], chip.logits(TOKENS)[:, :30], atol=2e-4)


def counts_of(name, attention, **options):
    watch = Watch()
    chip_of(name, attention, watch=watch, **options).logits(TOKENS)
    return watch.counts


def test_relevance_with_a_centroid_for_every_key_is_exact():
    """Then the k of highest relevance are the k of highest score."""
    found = counts_of("encoder", {"kind": "product_quantised", "k": 7, "subspaces": 2, "centroids": TOKENS.size})
    assert found["kept"] == TOKENS.size * 7 * 6 * 2
    assert found["searches"] == TOKENS.size * 6 * 2
    assert found["found"] > 0.98 * found["kept"]


def test_errors_of_tables_cost_true_top_keys():
    recalls = []
    for sigma in (0.0, 0.3):
        placement = {"embedding": "digital", "projections": "digital", "ffn": "digital", "head": "digital"}
        attention = {"kind": "product_quantised", "k": 7, "centroids": 32}
        architecture = {"placement": placement | {"search": "crossbar"}, "attention": attention}
        device, watch = Device(programming=NormalOfRange(std=sigma)), Watch()
        hardware = Hardware(device=device, crossbar=EXACT, architecture=architecture)
        program(MODELS["encoder"], hardware, calibration=TOKENS, watch=watch).logits(TOKENS)
        recalls.append(watch.counts["found"] / watch.counts["kept"])
    assert recalls[1] < recalls[0] - 0.1
    with pytest.raises(InputError, match=r"subspaces = 3 for heads of width 8; allowed: a divisor"):
        chip_of("encoder", {"kind": "product_quantised", "k": 7, "subspaces": 3})


def test_bits_of_a_hash_differ_as_often_as_the_angle_says():
    """P(a bit differs) = angle / pi; a stored bit is wrong at the flip rate beside."""
    bits, rng = 4096, np.random.default_rng(0)
    q, k = (rng.standard_normal((1, 1, 30, 8), dtype=np.float32) for _ in range(2))
    positions = np.arange(30)[None]
    pair = Meeting(q=q, k=k, v=k, positions=positions, view=View())
    cosine = (q @ k.swapaxes(-1, -2))[0, 0] / np.outer(np.linalg.norm(q[0, 0], axis=1), np.linalg.norm(k[0, 0], axis=1))
    asked = SimpleNamespace(layer=0, origins=[0])
    for flip_rate in (0.0, 0.2):
        given = HashedAttention(bits=bits, distance=0, flip_rate=flip_rate)
        scheme = Hashed(operands=None, given=given, key=Key.root(0))
        hashes = scheme.hashes(asked, pair)
        share = (1 - (hashes.q @ hashes.k.swapaxes(-1, -2))[0, 0] / bits) / 2
        plain = np.arccos(cosine) / np.pi
        expected = plain * (1 - flip_rate) + (1 - plain) * flip_rate
        assert np.abs(share - expected).max() < 5 * 0.5 / np.sqrt(bits)


def test_a_memory_is_searched_once_for_each_query_and_head():
    found = counts_of("grouped", {"kind": "hashed", "bits": 32, "distance": 10})
    assert found["searches"] == TOKENS.size * 6 * 2
    assert found["cell_writes"] == TOKENS.size * 2 * 32 * 2
    assert 0 < found["kept"] < found["seen"]


def test_fixed_patterns_keep_what_they_say():
    """A window of 2, every eighth key, and 3 at the beginning."""
    found = counts_of("encoder", {"kind": "hashed", "distance": 0, "window": 2, "stride": 8, "sinks": 3})
    i, j = np.indices((48, 48))
    expected = (np.abs(i - j) <= 2) | ((i - j) % 8 == 0) | (j < 3)
    matches = counts_of("encoder", {"kind": "hashed", "distance": 0})["kept"] / (TOKENS.shape[0] * 6 * 2)
    assert expected.sum() <= found["kept"] / (TOKENS.shape[0] * 6 * 2) <= expected.sum() + matches


EXACT_CHARGES = {"kind": "gain_cell", "operand_bits": None, "query_bits": None, "output_bits": None, "tau": None}


@every_model
def test_exact_charges_with_softmax_meet_the_digital_run(name):
    found = chip_of(name, EXACT_CHARGES | {"pulse": "softmax", "rows": 16}).logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=1e-3)


def gain_cell_context(attention, model="sliding", layer=1):
    """What a layer's heads bring, (sequences, heads, T, d_head), and what met there."""
    chip, seen = chip_of(model, attention), {}

    class Recorder(SoftmaxAttention):
        def __call__(self, run, i, name, x):
            seen[i] = meeting(run, i, projected(run, name, x)), chip.attention()(run, i, name, x)
            return super().__call__(run, i, name, x)

    MODELS[model].logits(TOKENS, None, Recorder())
    met_there, context = seen[layer]
    return met_there, context.reshape(*TOKENS.shape, 6, 8).swapaxes(1, 2)


def test_charges_follow_the_equations():
    """Leak, polynomial and pulse, cell by cell in a slow loop; sub-tiles do not show without counters."""
    given = EXACT_CHARGES | {"tau": 1e-6, "token_time": 1e-7, "quadratic": 0.3, "cubic": -0.2, "window": 11, "rows": 4}
    met_there, context = gain_cell_context(given | {"slope": 0.2, "offset": 0.4})
    k_top, v_top = np.abs(met_there.k).max(), np.abs(met_there.v).max()

    def through(u):
        return u + 0.3 * u**2 - 0.2 * u**3

    for sequence, head, i in [(0, 0, 0), (0, 5, 17), (2, 3, 47)]:
        expected = np.zeros(8)
        for j in range(max(0, i - 10), i + 1):
            left = np.exp(-(i - j) * 0.1)
            k, v = (part[sequence, head // 3, j] for part in (met_there.k / k_top, met_there.v / v_top))
            score = k_top * met_there.q[sequence, head, i] @ through(k * left)
            expected += np.clip(0.2 * score + 0.4, 0, 1) * v_top * through(v * left)
        np.testing.assert_allclose(context[sequence, head, i], expected, atol=1e-4)


def test_counters_of_sub_tiles_round_each_for_itself():
    """One sub-tile a token: the sum of tokens' outputs, each rounded to 15 steps of the range to either side."""
    coarse = EXACT_CHARGES | {"rows": 1, "output_bits": 5}
    met_there, rough = gain_cell_context(coarse)
    _, exact = gain_cell_context(EXACT_CHARGES | {"rows": 1})
    assert np.abs(rough - exact).max() > 0
    one = np.abs(rough - exact)[:, :, 0].max()  # the first token sees itself alone: one rounding
    largest = np.abs(met_there.v).max()
    assert one <= largest / 15 / 2 * 1.001


def test_charges_that_have_leaked_away_bring_nothing():
    _, context = gain_cell_context(EXACT_CHARGES | {"tau": 1e-9, "token_time": 1.0})
    _, held = gain_cell_context(EXACT_CHARGES | {"window": 1})
    np.testing.assert_allclose(context, held, atol=1e-6)  # only the query's own token is left
    assert np.abs(held).max() > 0.1


def test_written_charges_spread_as_said():
    given = GainCellAttention(write_std=0.05)
    scheme = GainCell(given=given, scales=(), key=Key.root(1))
    asked = SimpleNamespace(layer=0, origins=np.arange(50))
    errors = scheme.charges(asked, "k", np.zeros((50, 6, 48, 8), np.float32))
    assert abs(errors.std() / 0.05 - 1) < 5 / np.sqrt(2 * errors.size)
    same = scheme.charges(SimpleNamespace(layer=0, origins=[7]), "k", np.zeros((1, 6, 20, 8), np.float32))
    np.testing.assert_array_equal(same[0], errors[7, :, :20])


@pytest.mark.parametrize(("name", "keep"), [("encoder", 0.25), ("decoder", 0.25)])
def test_pruning_keeps_the_shares_it_says(name, keep):
    found = counts_of(name, {"kind": "token_pruning", "keep": keep})
    queries = np.full(48, 48) if name == "encoder" else np.arange(1, 49)
    kept = np.ceil(keep * queries)
    assert found["kept"] == TOKENS.shape[0] * 6 * (queries.sum() + kept.sum())
    if name == "encoder":
        assert found["computed"] == TOKENS.size + TOKENS.shape[0] * 12


def test_pruned_tokens_are_those_that_received_least():
    """In the second layer of an encoder the first token stays, and beside it those that most probability went to."""
    chip, seen = chip_of("encoder", {"kind": "token_pruning", "keep": (1.0, 0.25)}), {}

    class Recorder(SoftmaxAttention):
        def __call__(self, run, i, name, x):
            seen[i] = probabilities(meeting(run, i, projected(run, name, x)), 1)
            return super().__call__(run, i, name, x)

    MODELS["encoder"].logits(TOKENS, None, Recorder())
    attending = chip.attention()
    MODELS["encoder"].logits(TOKENS, None, attending)
    received = seen[0].sum(axis=(1, 2))
    received[:, 0] = np.inf
    for alive, worth in zip(attending.notes["alive"], received, strict=True):
        assert set(np.flatnonzero(alive)) == set(np.argsort(-worth)[:12])


def test_tokens_leave_after_the_least_of_layers():
    """With a cosine that all reach, every token goes through `least` layers and keeps the state it has then."""
    found = counts_of("decoder", {"kind": "early_exit", "cosine": 1e-9, "least": 1})
    assert found["computed"] == TOKENS.size
    assert found["tokens"] == 2 * TOKENS.size
    assert counts_of("decoder", {"kind": "early_exit", "cosine": 1e-9, "least": 2})["computed"] == 2 * TOKENS.size
    never = counts_of("decoder", {"kind": "early_exit", "cosine": 1.5})
    assert never["computed"] == 2 * TOKENS.size


def cascade(name="learned", **options):
    placement = {"scores": "dynamic-crossbar", "values": "dynamic-crossbar"}
    hardware = Hardware(**options, architecture={"placement": placement, "attention": "cascaded"})
    return program(MODELS[name], hardware, calibration=TOKENS)


@WITHOUT_ROTARY
def test_an_exact_cascade_meets_the_digital_run(name):
    found = cascade(name, crossbar=EXACT).logits(TOKENS)
    np.testing.assert_allclose(found, MODELS[name].logits(TOKENS), atol=2e-3)


def test_a_cascade_rounds_neither_keys_nor_values():
    """With converters of 3 bits behind projections, keys on their way through numbers are much worse."""
    coarse = Crossbar(weights=Differential(bits=None), dac=None, adc=Adc(bits=3, range="calibrated"))
    chip = cascade(crossbar=coarse)
    x = np.random.default_rng(0).standard_normal((1, 1, 5, 24)).astype(np.float32)
    w = MODELS["learned"].weights["layers.0.attention.k"]
    np.testing.assert_allclose(chip.scheme.k.times(0, x)[0, 0], x[0, 0] @ w, atol=1e-5)
    assert np.abs(chip.matrices["layers.0.attention.k"].matmul(x[0, 0]) - x[0, 0] @ w).max() > 0.05


def test_a_cascade_stores_the_errors_of_both_arrays():
    """Variance of what is stored: of the product plus of the writing."""
    device = Device(programming=NormalOfRange(std=0.02))
    pairs = Crossbar(weights=Differential(bits=None, sides="two"), dac=None, adc=None)
    x, products, stored = np.ones((1, 1, 1, 24), np.float32), [], []
    w = MODELS["learned"].weights["layers.0.attention.k"]
    exact = (x[0, 0] @ w)[0]
    for trial in range(60):
        chip_hardware = Hardware(
            device=device,
            crossbar=pairs,
            architecture={
                "placement": {"scores": "dynamic-crossbar"} | {"values": "dynamic-crossbar"},
                "attention": "cascaded",
            },
        )
        scheme = program(MODELS["learned"], chip_hardware, calibration=TOKENS, trial=trial).scheme
        k = scheme.k.times(0, x)[0, 0, 0]
        arrays = scheme.operands.keys[0]
        held = arrays.write(k.reshape(2, 8).T, 0, 0).weights.T.ravel()
        products.append(k - exact)
        stored.append(held - exact)
    top = arrays.ranges.weights[0]
    of_product = 2 * 24 * (0.02 * np.abs(w).max()) ** 2
    of_writing = 2 * (0.02 * top) ** 2
    for found, expected in ((products, of_product), (stored, of_product + of_writing)):
        assert abs(np.var(found) / expected - 1) < 5 * np.sqrt(2 / np.size(found))


def test_cascades_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r"kind = 'cascaded': layers.0.attention.k runs on 'digital'; allowed: 'cross"):
        chip_of("learned", "cascaded", "dynamic-crossbar")
    with pytest.raises(
        InputError, match=r"layers.0.attention.scores runs on 'digital'; .* = 'cascaded' allows 'dynamic-c"
    ):
        program(MODELS["learned"], Hardware(architecture={"attention": "cascaded"}), calibration=TOKENS)
    with pytest.raises(InputError, match=r"kind = 'cascaded': the model has rotary positions; allowed: models without"):
        cascade("decoder", crossbar=EXACT)


@pytest.mark.parametrize(
    ("attention", "search", "allowed"),
    [
        ({"kind": "threshold", "keep": 0.5}, "cam", "'digital', 'dynamic-crossbar'"),
        ({"kind": "product_quantised", "k": 5}, "cam", "'digital', 'crossbar', 'dynamic-crossbar'"),
        ({"kind": "hashed", "distance": 5}, "crossbar", "'digital', 'cam'"),
    ],
    ids=str,
)
def test_searches_on_engines_that_do_not_search_so_are_refused(attention, search, allowed):
    hardware = Hardware(architecture={"placement": {"search": search}, "attention": attention})
    with pytest.raises(InputError, match=rf"layers.0.attention.search runs on '{search}'; .* allows {allowed}$"):
        check_attention(CONFIGS["decoder"], hardware)


def test_look_ups_in_a_cam_are_exact_arithmetic_of_rounded_numbers():
    found = [
        chip_of("decoder", engine=engine, device=NOISY, crossbar=Crossbar()).logits(TOKENS)
        for engine in ("cam", "sram-cim")
    ]
    np.testing.assert_array_equal(*found)


def test_charges_count_the_tokens_they_hold():
    found = counts_of("decoder", {"kind": "gain_cell", "window": 10})
    kept = np.minimum(np.arange(1, 49), 10).sum()
    assert found["kept"] == kept * TOKENS.shape[0] * 6 * 2
    assert found["seen"] == np.arange(1, 49).sum() * TOKENS.shape[0] * 6 * 2
    assert found["writes"] == TOKENS.size * 6 * 16 * 2


PAGE = Path(__file__).parents[2] / "docs" / "schemes.md"


def test_the_page_of_schemes_names_all_and_its_examples_run():
    text = PAGE.read_text()
    for kind in re.findall(r'Literal\["(\w+)"\] = ', Path(cimstudy.hardware.attention.__file__).read_text()):
        assert f"| `{kind}` |" in text, kind
    scope = {}
    for example in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(example, str(PAGE), "exec"), scope)  # noqa: S102 - the examples are ours
    hardware, space = scope["hardware"], scope["space"]
    assert scope["chip"].scheme is not None
    assert cimstudy.Study(
        name="page", workload=scope["workload"], hardware=hardware, space=space, trials=1
    ).resolve_all()
