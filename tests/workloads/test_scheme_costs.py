"""Costs count what a chip that computes does: the keys it keeps, what it writes, searches and leaves."""

import numpy as np
import pytest

import cimstudy as cim
from cimstudy.cost import Work, cost
from cimstudy.cost.coefficients import cell, event
from cimstudy.cost.described import design_of
from cimstudy.cost.ledger import COMPONENTS, OPERATIONS
from cimstudy.errors import InputError
from cimstudy.transformer import Model, TransformerConfig, program
from cimstudy.transformer.config import digital_shapes, matrix_shapes
from cimstudy.transformer.watch import Watch
from cimstudy.workloads.costing import kept_entries
from cimstudy.workloads.shapes import shape_of_config

SIZES = {"vocab_size": 64, "width": 24, "layers": 3, "heads": 6, "kv_heads": 2, "head_width": 8, "ffn_width": 40}
DECODER = TransformerConfig(**SIZES, context=32, learned_positions=True, norm="layer")
ENCODER = TransformerConfig(**SIZES, context=32, learned_positions=True, norm="layer", causal=False)
LAYERS, TOKENS = 3, np.random.default_rng(1).integers(0, 64, (1, 32))
DYNAMIC = {"scores": "dynamic-crossbar", "values": "dynamic-crossbar"}


def model_of(config):
    rng = np.random.default_rng(0)
    shapes = matrix_shapes(config) | digital_shapes(config)
    weights = {name: rng.standard_normal(shape).astype(np.float32) / 4 for name, shape in shapes.items()}
    return Model(name="tiny", config=config, weights=weights, checksum="tiny")


def counted(config, attention, placement):
    """What a chip does with the tokens, and what costs count: energies, products and the design."""
    architecture = {"attention": attention, "kv": {"location": "array"}}
    hardware = cim.Hardware(architecture=architecture | {"placement": {"projections": "crossbar", **placement}})
    watch = Watch()
    program(model_of(config), hardware, calibration=TOKENS, watch=watch).logits(TOKENS)
    design = design_of(hardware) | kept_entries(hardware.architecture.attention.kind, watch.counts)
    found = cost(shape_of_config(config, "tiny"), Work(prefill=32), design, breakdown=True)
    assert found["valid"].all()
    return watch.counts, found["energy"][0, ..., 0].astype(float), found["macs"][0, :, 0], hardware


ATTENTIONS = {
    "full": "full",
    "window": {"kind": "window", "width": (3, 5, 9)},
    "top_k": {"kind": "top_k", "k": 5},
    "threshold": {"kind": "threshold", "keep": 0.3},
    "product_quantised": {"kind": "product_quantised", "k": 5, "subspaces": 4},
    "hashed": {"kind": "hashed", "bits": 32, "distance": 12},
    "decomposed": {"kind": "decomposed"},
    "decomposed, values": {"kind": "decomposed", "context": "values"},
    "fused": {"kind": "fused", "keep": 0.3},
    "cascaded": {"kind": "cascaded"},
    "token_pruning": {"kind": "token_pruning", "keep": 0.4},
    "token_pruning by layer": {"kind": "token_pruning", "keep": (1.0, 0.7, 0.3)},
}
SEARCHED = {"threshold": "dynamic-crossbar", "fused": "dynamic-crossbar", "hashed": "cam"}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_costs_count_the_writes_and_the_kept_keys_of_a_run(name):
    given = ATTENTIONS[name]
    search = SEARCHED.get(name, "digital")
    counts, energy, macs, hardware = counted(DECODER, given, DYNAMIC | {"search": search})
    technology = cell(hardware.device.technology or "ReRAM")
    written = energy[:, COMPONENTS.index("write")]
    cells = written.sum() / (technology["write_energy"] * technology["write_pulses"])
    if name == "hashed":  # in static memory, a bit for each
        bits = 32 * 2 * 32 * LAYERS
        cells = bits + written[:-1].sum() / (technology["write_energy"] * technology["write_pulses"])
    assert cells == pytest.approx(counts["cell_writes"], rel=1e-5)
    whole = 6 * LAYERS * 32 * 33 / 2
    width = 24 if name == "decomposed" else 8
    assert macs[OPERATIONS.index("values")] / width == pytest.approx(counts.get("kept", whole), rel=1e-5)


def test_a_hash_is_compared_with_every_key_that_a_query_sees():
    counts, _, _, hardware = counted(DECODER, ATTENTIONS["hashed"], DYNAMIC | {"search": "cam"})
    assert counts["searches"] == 6 * LAYERS * 32
    scaled = design_of(hardware) | {"architecture.chips.node": 45e-9, "data.kept": 0.5, "data.scored": 0.5}
    found = cost(shape_of_config(DECODER, "tiny"), Work(prefill=32), scaled, breakdown=True)["energy"][0, ..., 0]
    compared = found[OPERATIONS.index("search"), COMPONENTS.index("cell")] / (32 * event("cam_bit", "energy"))
    assert compared == pytest.approx(counts["seen"], rel=1e-5)


def test_layers_compute_the_tokens_that_are_left():
    counts, _, macs, _ = counted(ENCODER, {"kind": "token_pruning", "keep": 0.3}, DYNAMIC)
    assert macs[OPERATIONS.index("ffn_down")] / (40 * 24) == pytest.approx(counts["computed"], rel=1e-5)
    assert counts["computed"] < counts["tokens"]


def test_a_token_that_leaves_is_computed_no_more():
    counts, _, macs, _ = counted(DECODER, {"kind": "early_exit", "cosine": 0.65}, DYNAMIC)
    assert 0.2 < counts["computed"] / counts["tokens"] < 0.95
    assert macs[OPERATIONS.index("ffn_down")] / (40 * 24) == pytest.approx(counts["computed"], rel=1e-5)


def test_blocks_of_one_token_are_as_many_as_its_keys():
    counts, _, _, hardware = counted(DECODER, {"kind": "blocked", "size": 1}, DYNAMIC)
    design = design_of(hardware) | {"architecture.chips.node": 45e-9}
    softmax = OPERATIONS.index("softmax"), COMPONENTS.index("mac")
    own, plain = (
        cost(shape_of_config(DECODER, "tiny"), Work(prefill=32), design | more, breakdown=True)["energy"][0, ..., 0]
        for more in ({}, {"architecture.attention.kind": "full"})
    )
    blocks = (own[softmax] - plain[softmax]) / (event("vector_operation", "energy") * (2 * 8 + 6)) + 6 * LAYERS * 32
    assert blocks == pytest.approx(counts["score_blocks"], rel=1e-4)


def test_charges_are_written_once():
    given = {"kind": "gain_cell", "window": 8, "rows": 4}
    counts, _, macs, hardware = counted(DECODER, given, DYNAMIC)
    design = design_of(hardware) | {"architecture.chips.node": 28e-9}
    found = cost(shape_of_config(DECODER, "tiny"), Work(prefill=32), design, breakdown=True)["energy"][0, ..., 0]
    written = found[:, COMPONENTS.index("write")].sum() / event("gain_cell", "write_energy")
    assert written == pytest.approx(counts["writes"], rel=1e-5)
    assert macs[OPERATIONS.index("values")] / 8 == pytest.approx(counts["kept"], rel=1e-5)


def test_a_search_that_is_placed_without_a_scheme_that_searches_is_refused():
    hardware = cim.Hardware().replace("architecture.placement.search", "cam")
    message = "architecture.placement.search = 'cam'; allowed with architecture.attention.kind = 'full', .*: 'digital'"
    for workload in (cim.workloads.Cost(model="GPT-2"), cim.workloads.LanguageModel(tokens=64, context=32)):
        with pytest.raises(InputError, match=message):
            workload.check(hardware)
        workload.check(hardware.replace("architecture.attention", {"kind": "hashed", "distance": 4}))


def test_a_number_for_each_layer_is_asked_of_every_layer():
    hardware = cim.Hardware().replace("architecture.attention", {"kind": "window", "width": (3, 4)})
    with pytest.raises(InputError, match=r"architecture\.attention\.width has 2 numbers; allowed: one, or 12"):
        cim.workloads.Cost(model="GPT-2").check(hardware)
