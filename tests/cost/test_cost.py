"""What must hold of any cost: more is never cheaper, parts add up, order and company of points change nothing."""

import math

import numpy as np
import pytest

from cimstudy.cost import BREAKDOWN, NUMBERS, QUANTITIES, REASONS, Work, cost, explained, model_shape, pieces, roofline
from cimstudy.cost import model as model_module
from cimstudy.cost.coefficients import event, table
from cimstudy.cost.described import design_of
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, presets

GPT, WORK = model_shape("GPT-2"), Work(prefill=64, decode=16)
IN_ARRAYS = {
    "architecture.placement.scores": "dynamic-crossbar",
    "architecture.placement.values": "dynamic-crossbar",
    "architecture.kv.location": "array",
}


@pytest.mark.parametrize("model", ["survey", "zigzag28", "table"])
def test_more_bits_never_cost_less(model):
    found = cost(GPT, WORK, {"crossbar.adc.bits": np.arange(2.0, 15, 0.125), "crossbar.adc.model": model})
    for name in ("energy_prefill", "energy_per_token", "area"):
        assert np.all(np.diff(found[name]) >= 0), name


@pytest.mark.parametrize("placed", [{}, IN_ARRAYS])
def test_older_nodes_never_cost_less(placed):
    found = cost(GPT, WORK, placed | {"architecture.chips.node": np.linspace(7e-9, 130e-9, 100)}, breakdown=True)
    assert np.all(np.diff(found["area"]) > 0)
    dynamic = np.delete(found["energy"], found.coordinates["component"].index("static"), axis=2)
    assert np.all(np.diff(dynamic.astype(float).sum((0, 1, 2))) > 0)


def test_twice_the_rows_halve_conversions_until_a_matrix_fits():
    found = cost(GPT, WORK, {"crossbar.rows": np.array([96.0, 192, 384, 768, 1536])}, breakdown=True)
    qkv = found["conversions"][0, found.coordinates["operation"].index("qkv")]
    assert (qkv / qkv[-1]).tolist() == [8, 4, 2, 1, 1]


def test_one_slice_one_pulse_and_one_array_make_one_conversion_an_output():
    single = {"crossbar.rows": 768, "crossbar.conversions_per_weight": 1, "crossbar.converted_pulses": 1}
    found = cost(GPT, Work(prefill=1), single, breakdown=True)
    assert found["conversions"][0, 1] == 12 * 3 * 768
    assert found["macs"][0, 1] == 12 * 3 * 768 * 768


def test_rows_that_are_not_driven_leave_conversions_and_leakage():
    found = cost(GPT, WORK, {"data.drive": np.array([0.0, 0.5])}, breakdown=True)
    cell, adc, static = (found.coordinates["component"].index(name) for name in ("cell", "adc", "static"))
    energy = found["energy"].sum((0, 1))
    assert energy[cell, 0] == 0 < energy[cell, 1]
    assert energy[adc, 0] == energy[adc, 1] > 0
    assert energy[static, 0] == energy[static, 1] > 0


def test_points_do_not_know_of_each_other(monkeypatch):
    """In one group or in many, in this order or another, alone or in company: the same bits."""
    rng = np.random.default_rng(0)
    n = 200
    design = {
        "crossbar.rows": rng.integers(16, 512, n),
        "crossbar.adc.bits": rng.integers(4, 12, n),
        "crossbar.adc.model": rng.choice(["survey", "table"], n),
        "architecture.placement.scores": rng.choice(["digital", "sram-cim"], n),
    }
    whole = cost(GPT, WORK, design, breakdown=True)
    monkeypatch.setattr(pieces, "EVALUATED", 7)
    cut = cost(GPT, WORK, design, breakdown=True)
    order = rng.permutation(n)
    shuffled = cost(GPT, WORK, {path: values[order] for path, values in design.items()}, breakdown=True)
    alone = cost(GPT, WORK, {path: values[5] for path, values in design.items()})
    for name in QUANTITIES | BREAKDOWN:
        np.testing.assert_array_equal(whole[name], cut[name])
        np.testing.assert_array_equal(whole[name][..., order], shuffled[name])
    for name in QUANTITIES:
        np.testing.assert_array_equal(whole[name][5], alone[name][0])


def test_a_batch_shares_the_weights_that_digital_units_read():
    digital = {f"architecture.placement.{name}": "digital" for name in ("projections", "ffn", "head")}
    found = cost(GPT, Work(prefill=8, decode=8, batch=np.array([1.0, 10.0])), digital, breakdown=True)
    memory = found["energy"][1, :6, found.coordinates["component"].index("memory")].sum(0)
    assert memory[0] / memory[1] == pytest.approx(10)
    assert found["arrays"].tolist() == [0, 0]
    assert np.isnan(found["utilisation"]).all()


def test_weights_keys_and_values_beside_the_chip_take_area_there():
    """Of dies whose density is known; it is no part of a chip's, and does not leak."""
    engines = dict.fromkeys(("projections", "ffn", "head"), "digital")
    digital = {f"architecture.placement.{name}": engine for name, engine in engines.items()}
    found = cost(GPT, WORK, digital | {"architecture.chips.area": np.array([1e-4, 2e-4])}, breakdown=True)
    dram = found["area_of"][found.coordinates["part"].index("dram")].astype(float)
    bits = 8 * GPT.weights + 16 * 80 * GPT.kv_elements
    np.testing.assert_allclose(dram, bits * event("hbm_area", "area"), rtol=1e-6)
    np.testing.assert_allclose(found["area"] - dram, [1e-4, 2e-4], rtol=1e-6)
    assert found["static_power"][1] == pytest.approx(2 * found["static_power"][0])
    held = cost(GPT, WORK, IN_ARRAYS, breakdown=True)
    assert held["area_of"][held.coordinates["part"].index("dram")] == 0


def test_keys_kept_elsewhere_are_written_into_arrays_for_every_token():
    here = cost(GPT, WORK, IN_ARRAYS)
    elsewhere = cost(GPT, WORK, IN_ARRAYS | {"architecture.kv.location": "hbm"})
    assert elsewhere["energy_per_token"] > here["energy_per_token"]
    tokens = [found["lifetime"] / found["time_per_token"] for found in (here, elsewhere)]  # that cells bear
    assert tokens[0] / tokens[1] == pytest.approx(80)  # a ring of 80 tokens
    assert np.isinf(cost(GPT, WORK, {})["lifetime"])


KEYS = {"digital": {}, "arrays": IN_ARRAYS, "sram": dict.fromkeys(list(IN_ARRAYS)[:2], "sram-cim")}


@pytest.mark.parametrize("placed", KEYS)
@pytest.mark.parametrize(
    "scheme",
    [
        {"architecture.attention.kind": "window", "architecture.attention.width": 80.0},
        {"architecture.attention.kind": "window", "data.scored": 1.0, "data.kept": 1.0},
        {"architecture.attention.kind": "window", **{f"architecture.attention.width.{i}": 80.0 for i in range(12)}},
        {"architecture.attention.kind": "blocked", "architecture.attention.size": 128.0},
    ],
)
def test_a_scheme_that_keeps_all_keys_costs_what_full_attention_does(placed, scheme):
    plain, found = (cost(GPT, WORK, KEYS[placed] | more) for more in ({}, scheme))
    for name in QUANTITIES:
        np.testing.assert_array_equal(found[name], plain[name])


def test_a_window_and_the_highest_scores_take_the_pairs_of_their_closed_forms():
    """Of 64 tokens that are read and 16 that follow: keys of at most 4 to the left, and the 5 highest scores."""
    pairs = 12 * np.array([64 * 65 / 2, 16 * 64 + 16 * 17 / 2])
    five = 12 * np.array([1 + 2 + 3 + 4 + 60 * 5, 16 * 5])
    rows = [model_module.OPERATIONS.index(name) for name in ("scores", "values")]
    window = cost(
        GPT, WORK, {"architecture.attention.kind": "window", "architecture.attention.width": 4.0}, breakdown=True
    )
    top = cost(GPT, WORK, {"architecture.attention.kind": "top_k", "architecture.attention.k": 5.0}, breakdown=True)
    assert window["valid"].all()
    assert top["valid"].all()
    np.testing.assert_allclose(window["macs"][:, rows, 0], 768 * np.stack([five, five], 1), rtol=1e-6)
    np.testing.assert_allclose(top["macs"][:, rows, 0], 768 * np.stack([pairs, five], 1), rtol=1e-6)


def test_a_window_to_both_sides_ends_with_the_sequence():
    bert = model_shape("BERT-base")
    design = {"architecture.attention.kind": "window", "architecture.attention.width": np.array([0.0, 3, 63, 500])}
    found = cost(bert, Work(prefill=64), design, breakdown=True)["macs"][0, model_module.OPERATIONS.index("scores")]
    np.testing.assert_allclose(found, 12 * 768 * np.array([64, 64 * 7 - 12, 64 * 64, 64 * 64]), rtol=1e-6)


def test_what_is_said_of_the_data_comes_before_what_follows_from_the_scheme():
    kept = {"architecture.attention.kind": "threshold", "architecture.attention.keep": 0.25}
    said = {"architecture.attention.kind": "threshold", "data.scored": 0.25, "data.kept": 0.25}
    for name in QUANTITIES:
        np.testing.assert_array_equal(cost(GPT, WORK, kept)[name], cost(GPT, WORK, said)[name])
    assert cost(GPT, WORK, {"architecture.attention.kind": "threshold"})["invalid_reason"] == 128


SEARCH = {"architecture.attention.kind": "threshold", "architecture.attention.keep": 0.25}


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_digital_search_multiplies_and_reads_few_bits_of_every_pair(bits):
    """Its products take what those of scores do from keys of so many bits, which write nothing of their own."""
    found = cost(GPT, WORK, SEARCH | {"architecture.attention.bits": bits}, breakdown=True)
    exact = cost(GPT, WORK, {"architecture.kv.bits": bits}, breakdown=True)
    search, scores = (model_module.OPERATIONS.index(name) for name in ("search", "scores"))
    mac, memory = (found.coordinates["component"].index(name) for name in ("mac", "memory"))
    assert found["valid"].all()
    np.testing.assert_allclose(found["energy"][:, search, mac], exact["energy"][:, scores, mac], rtol=1e-6)
    np.testing.assert_allclose(found["macs"][:, search], exact["macs"][:, scores], rtol=1e-6)
    pairs, tokens = 12 * np.array([64 * 65 / 2, 16 * 64 + 16 * 17 / 2]), 12 * np.array([64, 16])
    reads = exact["energy"][:, scores, memory, 0] * pairs / (pairs + tokens)
    np.testing.assert_allclose(found["energy"][:, search, memory, 0], reads, rtol=1e-6)


def test_a_search_in_arrays_compares_every_pair_once():
    in_arrays = SEARCH | IN_ARRAYS | {"architecture.placement.search": "dynamic-crossbar"}
    found, plain = (cost(GPT, WORK, design, breakdown=True) for design in (in_arrays, IN_ARRAYS))
    search = model_module.OPERATIONS.index("search")
    pairs = 12 * 12 * np.array([64 * 65 / 2, 16 * 64 + 16 * 17 / 2])
    assert found["valid"].all()
    np.testing.assert_allclose(found["conversions"][:, search, 0], pairs, rtol=1e-6)
    assert found["arrays"] - plain["arrays"] == 12 * 12 * np.ceil(80 * 2 / 128)  # 64 rows, a pair of cells a key
    write = found.coordinates["component"].index("write")
    scores = model_module.OPERATIONS.index("scores")
    np.testing.assert_allclose(found["energy"][:, search, write], found["energy"][:, scores, write], rtol=1e-6)


def test_engines_of_a_search_count_only_where_there_is_one():
    cam = {"architecture.placement.search": "cam"}
    assert cost(GPT, WORK, cam)["valid"].all()
    assert cost(GPT, WORK, SEARCH | cam)["invalid_reason"] == 512
    assert cost(GPT, WORK, SEARCH | IN_ARRAYS)["invalid_reason"] == 16


INVALID = {
    1: {"architecture.kv.capacity": 1e3},
    2: {"architecture.chips.count": 1, "architecture.chips.arrays": 100},
    4: IN_ARRAYS | {"device.rewritable": 0},
    16: {"architecture.kv.location": "array"},
    128: {"architecture.attention.kind": "top_k"},  # of how many keys is not said
    512: {"architecture.attention.kind": "cascaded"},  # whose products are digital
    8192: {"device.technology": "abacus"},
}


@pytest.mark.parametrize("code", INVALID)
def test_what_cannot_be_is_marked_with_its_reason(code):
    found = cost(GPT, WORK, INVALID[code])
    assert not found["valid"][0]
    assert found["invalid_reason"][0] == code
    assert explained(found["invalid_reason"][0]) == [REASONS[code]]


@pytest.mark.parametrize("engine", ["sram-cim", "dynamic-crossbar"])
def test_entries_in_arrays_have_the_bits_of_weights(engine):
    """Those of keys and values matter where they are kept elsewhere."""
    placed = dict.fromkeys(list(IN_ARRAYS)[:2], engine)
    bits = {"architecture.kv.bits": np.array([4.0, 16])}
    here = cost(GPT, WORK, placed | bits | {"architecture.kv.location": "array"})
    beside = cost(GPT, WORK, placed | bits)
    for name in QUANTITIES:
        np.testing.assert_array_equal(*here[name])
    assert here["kv_traffic"][0] == cost(GPT, WORK, {"architecture.kv.bits": 8})["kv_traffic"]  # a weight's
    np.testing.assert_array_equal(*beside["arrays"])
    assert beside["kv_traffic"][1] == 4 * beside["kv_traffic"][0]


@pytest.mark.parametrize(("inputs", "weights", "parts"), [(4, 4, 1), (8, 8, 4), (5, 4, 2), (16, 9, 12)])
def test_a_content_addressable_memory_multiplies_four_bits_by_four(inputs, weights, parts):
    engines = dict.fromkeys(list(IN_ARRAYS)[:2], "cam")
    one, found = (
        cost(GPT, WORK, engines | {"crossbar.input_bits": each[0], "crossbar.weight_bits": each[1]}, breakdown=True)
        for each in ((4, 4), (inputs, weights))
    )
    scores = model_module.OPERATIONS.index("scores")
    for name in ("mac", "cell"):
        place = found.coordinates["component"].index(name)
        np.testing.assert_allclose(
            found["energy"][:, scores, place], parts * one["energy"][:, scores, place], rtol=1e-6
        )
    assert found["valid"].all()
    assert found["area"] > cost(GPT, WORK, {})["area"]


def test_a_technology_without_coefficients_is_marked_unless_the_device_says_all():
    said = {path: 1.0 for path in NUMBERS if path.startswith("device.cost.")}
    names = np.array(["abacus", "ReRAM", "ideal"])
    assert cost(GPT, WORK, {"device.technology": names})["invalid_reason"].tolist() == [8192, 0, 0]
    assert cost(GPT, WORK, {"device.technology": names} | said)["valid"].all()
    assert "ReRAM, ideal, PCM" in REASONS[8192]


def test_every_preset_of_a_device_has_coefficients():
    for preset in presets():
        if preset.kind == "device":
            device = preset.build()
            assert device.technology in table("cells"), preset.name
            assert cost(GPT, WORK, design_of(Hardware(device=device)))["invalid_reason"] == 0, preset.name


def test_a_sweep_marks_the_points_that_cannot_be():
    found = cost(GPT, WORK, {"architecture.chips.count": np.array([1.0, 2, 4]), "architecture.chips.arrays": 8000})
    assert found["invalid_reason"].tolist() == [2, 0, 0]


BAD = [
    ({"crossbar.row": 3}, r"crossbar\.row: unknown to the cost of a design; known: .*crossbar\.rows"),
    ({"crossbar.rows": [128, 0]}, r"crossbar\.rows = 0; allowed: at least 1 \(rows of an array\)"),
    ({"crossbar.adc.rate": 0}, r"crossbar\.adc\.rate = 0; allowed: above 0"),
    ({"crossbar.adc.model": "best"}, r"crossbar\.adc\.model = 'best'; allowed: survey, zigzag28, table"),
    (
        {"crossbar.rows": [1, 2], "crossbar.columns": [1, 2, 3]},
        "entries of a design have 2, 3 points; allowed: one length",
    ),
    ({"crossbar.rows": [[1, 2]]}, "crossbar.rows has 2 dimensions"),
    ({"crossbar.rows": []}, "crossbar.rows has no values"),
    ({"crossbar.rows": "many"}, "crossbar.rows = 'many'; allowed: a number"),
    ({"crossbar.adc.bits": [4, math.nan]}, "crossbar.adc.bits = nan; allowed: at least 1"),
    ({"crossbar.adc.energy_scale": math.nan}, "crossbar.adc.energy_scale = nan; allowed: above 0"),
    ({"crossbar.rows": math.inf}, "crossbar.rows = inf"),
    ({"data.kept": 3}, "data.kept = 3; allowed: at least 0, at most 1"),
    ({"data.drive.qvk": 0.1}, r"data\.drive\.qvk: unknown to the cost"),
    ({"device.g_min": 1e-3}, "device.g_min is not below device.g_max"),
]
UNSAID = [
    {"device.cost.endurance": math.nan},
    {"device.cost.endurance": math.inf},
    {"architecture.chips.count": math.inf},
    {"data.drive.qkv": 0.1},
]


@pytest.mark.parametrize(("design", "message"), BAD)
def test_bad_designs_are_refused_in_one_line(design, message):
    with pytest.raises(InputError, match=message) as error:
        cost(GPT, WORK, design)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("design", UNSAID)
def test_what_is_not_said_or_not_limited_is_allowed(design):
    assert np.isfinite(cost(GPT, WORK, design)["energy_per_token"]).all()


def test_unknown_networks_and_gpus_are_refused():
    with pytest.raises(InputError, match="unknown network 'GPT-5'; known: BERT-base, GPT-2"):
        model_shape("GPT-5")
    with pytest.raises(InputError, match="unknown GPU 'B200'; known: A100, H100, H200"):
        roofline(GPT, "B200", context=1)
