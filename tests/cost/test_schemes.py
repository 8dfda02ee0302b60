"""What attention schemes do beside full attention: their limits, and counts that are known beforehand."""

import numpy as np
import pytest

from cimstudy.cost import Work, cost, model_shape
from cimstudy.cost.coefficients import event
from cimstudy.cost.ledger import COMPONENTS, OPERATIONS
from cimstudy.errors import InputError

GPT, BERT, WORK = model_shape("GPT-2"), model_shape("BERT-base"), Work(prefill=64, decode=16)
KIND = "architecture.attention.kind"
IN_ARRAYS = {
    "architecture.placement.scores": "dynamic-crossbar",
    "architecture.placement.values": "dynamic-crossbar",
    "architecture.kv.location": "array",
}
PLACED = {"digital": {}, "arrays": IN_ARRAYS, "sram": dict.fromkeys(list(IN_ARRAYS)[:2], "sram-cim")}
CAM, SEARCHED = ({"architecture.placement.search": engine} for engine in ("cam", "dynamic-crossbar"))
PAIRS = 12 * np.array([64 * 65 / 2, 16 * 64 + 16 * 17 / 2])  # of both phases, in all layers


def of(**fields):
    return {f"architecture.attention.{name}": value for name, value in fields.items()}


def energies(shape, design, work=WORK):
    """Energies of a design by phase, operation and component, but for what leaks."""
    found = cost(shape, work, {"architecture.chips.arrays": 1e6, **design}, breakdown=True)  # on one chip
    assert found["valid"].all()
    return found["energy"][..., 0].astype(float)[..., : COMPONENTS.index("static")]


ALL = {
    "top_k": of(kind="top_k", k=80),
    "product_quantised": of(kind="product_quantised", k=80),
    "product_quantised, tables in arrays": of(kind="product_quantised", k=80) | SEARCHED,
    "threshold": of(kind="threshold", keep=1.0),
    "hashed": of(kind="hashed", bits=64, distance=64),
    "hashed, cam": of(kind="hashed", bits=64, distance=64) | CAM,
    "token_pruning": of(kind="token_pruning", keep=1.0),
    "early_exit": of(kind="early_exit", cosine=1.1),
    "early_exit at the end": of(kind="early_exit", cosine=0.5, least=12),
}


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("scheme", ALL)
def test_a_scheme_that_keeps_all_takes_what_full_attention_does_and_its_search(scheme, placed):
    in_place = ALL[scheme] | PLACED[placed]
    if scheme == "threshold" and placed == "arrays":
        in_place |= SEARCHED
    shape = BERT if scheme == "token_pruning" and placed == "digital" else GPT
    found, plain = energies(shape, in_place), energies(shape, PLACED[placed])
    search = OPERATIONS.index("search")
    np.testing.assert_allclose(np.delete(found, search, 1), np.delete(plain, search, 1), rtol=1e-6)
    assert (found[:, search].sum(-1) > 0).all()


def test_a_hash_in_a_cam_compares_every_bit_of_every_pair_and_is_written_once():
    found = energies(GPT, of(kind="hashed", bits=48, distance=48) | CAM)
    search = found[:, OPERATIONS.index("search")]
    node = {"architecture.chips.node": 45e-9, "architecture.logic.voltage": 0.8}
    at_45 = energies(GPT, of(kind="hashed", bits=48, distance=48) | CAM | node)[:, OPERATIONS.index("search")]
    np.testing.assert_allclose(
        at_45[:, COMPONENTS.index("cell")], PAIRS * 12 * 48 * event("cam_bit", "energy"), rtol=1e-6
    )
    assert search[1, COMPONENTS.index("write")] / search[0, COMPONENTS.index("write")] == pytest.approx(16 / 64)


def test_more_of_what_a_search_does_takes_more():
    for name, values in (("bits", [16, 64]), ("subspaces", [4, 8]), ("centroids", [16, 64])):
        for placed in ({}, CAM) if name == "bits" else ({}, SEARCHED):
            kind = of(kind="hashed", distance=64) if name == "bits" else of(kind="product_quantised", k=8)
            few, many = (energies(GPT, kind | placed | of(**{name: value}))[:, -1].sum() for value in values)
            assert few < many


def test_the_decomposition_writes_one_copy_of_the_inputs_and_no_keys():
    """2 h d_h numbers a token and layer for keys and values, d with inputs in their place, d + h d_h beside values."""
    write = [OPERATIONS.index(name) for name in ("scores", "values")], COMPONENTS.index("write")
    plain, inputs, values = (
        energies(GPT, IN_ARRAYS | scheme)[0][write[0], write[1]]
        for scheme in ({}, of(kind="decomposed"), of(kind="decomposed", context="values"))
    )
    np.testing.assert_allclose(inputs, plain * [1, 0], rtol=1e-6)  # the width of GPT-2 is that of its heads together
    np.testing.assert_allclose(values, plain, rtol=1e-6)


def test_the_decomposition_multiplies_as_its_algebra_says():
    """Scores and averages of inputs take h d for each pair in place of h d_h; R takes as much as K did."""
    found = cost(GPT, WORK, of(kind="decomposed"), breakdown=True)
    plain = cost(GPT, WORK, {}, breakdown=True)
    ratio = found["macs"][0, :, 0] / np.maximum(plain["macs"][0, :, 0], 1)
    np.testing.assert_allclose(ratio[[OPERATIONS.index(name) for name in ("scores", "values")]], 12)
    assert ratio[OPERATIONS.index("qkv")] == pytest.approx(1)


def test_one_matrix_of_each_head_takes_the_place_of_two_projections():
    fused, plain = (cost(GPT, WORK, more, breakdown=True) for more in (of(kind="fused", mask="none", keep=1.0), {}))
    qkv = OPERATIONS.index("qkv")
    assert fused["macs"][0, qkv, 0] / plain["macs"][0, qkv, 0] == pytest.approx((12 + 1) / 3)
    assert fused["energy"][0, OPERATIONS.index("search")].sum() == 0
    searched = cost(GPT, WORK, of(kind="fused", keep=1.0), breakdown=True)
    assert searched["energy"][0, OPERATIONS.index("search")].sum() > 0


def test_currents_are_converted_for_queries_alone():
    found = cost(GPT, WORK, IN_ARRAYS | of(kind="cascaded"), breakdown=True)
    plain = cost(GPT, WORK, IN_ARRAYS, breakdown=True)
    assert found["valid"].all()
    qkv = OPERATIONS.index("qkv")
    assert found["conversions"][0, qkv, 0] / plain["conversions"][0, qkv, 0] == pytest.approx(1 / 3)
    assert found["energy_prefill"] < plain["energy_prefill"]


def test_gain_cells_hold_a_window_and_need_no_softmax():
    design = IN_ARRAYS | of(kind="gain_cell", window=32.0, rows=16)
    found = cost(GPT, WORK, design, breakdown=True)
    assert found["valid"].all()
    assert np.isinf(found["lifetime"])
    softmax, values = OPERATIONS.index("softmax"), OPERATIONS.index("values")
    assert found["energy"][:, softmax].sum() == 0
    assert energies(GPT, design | of(pulse="softmax"))[:, softmax].sum() > 0
    tiles = 12 * 12 * np.array([16 * 1 + 48 * 2, 16 * 2])  # of each token, 1 until 16 tokens are held, then 2
    np.testing.assert_allclose(found["conversions"][:, values, 0], tiles * 64, rtol=1e-6)


def test_a_block_after_the_first_rescales_outputs():
    """Of 64 tokens in blocks of 16: none, 1, 2 and 3 for 16 tokens each; 4 for each of the 16 that follow."""
    softmax = OPERATIONS.index("softmax")
    node = {"architecture.chips.node": 45e-9}
    found, plain = (energies(GPT, node | more)[:, softmax].sum(-1) for more in (of(kind="blocked", size=16), {}))
    blocks = 12 * np.array([16 * (1 + 2 + 3), 16 * 4])
    operations = (found - plain) / event("vector_operation", "energy")
    np.testing.assert_allclose(operations, blocks * 12 * (2 * 64 + 6), rtol=1e-4)


def test_widths_of_layers_are_counted_one_by_one():
    each = {f"architecture.attention.width.{layer}": float(layer) for layer in range(12)}
    rows = [OPERATIONS.index(name) for name in ("scores", "values")]
    found = cost(GPT, WORK, of(kind="window") | each, breakdown=True)
    alone = [cost(GPT, WORK, of(kind="window", width=float(layer)), breakdown=True) for layer in range(12)]
    mean = np.mean([one["macs"][:, rows, 0] for one in alone], axis=0)
    np.testing.assert_allclose(found["macs"][:, rows, 0], mean, rtol=1e-6)
    assert found["valid"].all()


def test_a_number_for_a_layer_that_there_is_not_is_refused():
    with pytest.raises(InputError, match=r"architecture\.attention\.width\.12: GPT-2 has 12 layers"):
        cost(GPT, WORK, of(kind="window", width=3.0) | {"architecture.attention.width.12": 3.0})


def test_tokens_that_leave_take_keys_and_values_only():
    plain = energies(GPT, {})
    found = energies(GPT, of(kind="early_exit", cosine=0.9) | {"data.computed": 0.25})
    for name, left in (("ffn_up", 0.25), ("output", 0.25), ("qkv", 0.75), ("norm", 0.625), ("head", 1.0)):
        row = OPERATIONS.index(name)
        np.testing.assert_allclose(found[:, row], left * plain[:, row], rtol=1e-5)


def test_what_decides_which_tokens_leave_has_to_be_known():
    assert cost(GPT, WORK, of(kind="early_exit", cosine=0.9))["invalid_reason"] == 128
    assert cost(GPT, WORK, of(kind="hashed", bits=64, distance=5))["invalid_reason"] == 128
    assert cost(GPT, WORK, of(kind="token_pruning"))["invalid_reason"] == 128
