"""What runs on crossbars: every matrix is listed, and the counts are those of the shapes."""

import math

import pytest

from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, Differential, Hardware, Voting
from cimstudy.transformer import coverage, load_model
from cimstudy.transformer.coverage import totals

SLICED = Hardware(crossbar=Crossbar(rows=100, columns=64, weights=Differential(slice_bits=2)))


def test_every_weight_is_listed_once() -> None:
    model = load_model()
    items = {item.name: item for item in coverage("bundled", SLICED)}
    assert set(model.weights) <= set(items)
    assert sum(item.weights for item in items.values()) == sum(weight.size for weight in model.weights.values())
    q = items["layers.0.attention.q"]
    assert q.shape == model.weights["layers.0.attention.q"].shape == (192, 192)
    assert q.arrays == 2 * 3 * 4  # row tiles, column tiles, slices
    assert q.utilisation == pytest.approx(192 * 192 / (2 * 3 * 100 * 64))
    assert q.macs == 192 * 192


def test_what_the_architecture_leaves_out_is_digital() -> None:
    hardware = SLICED.replace("architecture", "digital").override("layers.0.*", engine="crossbar")
    placed = [item.name for item in coverage("bundled", hardware) if item.arrays]
    assert placed
    assert all(name.startswith("layers.0.") for name in placed)


def test_products_of_activations_are_counted_by_what_a_token_sees() -> None:
    items = {item.name: item for item in coverage("bundled", SLICED)}
    scores = items["layers.0.attention.scores"]
    assert scores.macs == 192 * 257 / 2
    assert math.isnan(scores.utilisation)


def test_a_folder_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="no model at '/nowhere'"):
        coverage("/nowhere", SLICED)


def test_engines_are_listed_with_what_they_run() -> None:
    hardware = SLICED.override("layers.0.*", engine="sram-cim").replace("architecture.placement.norm", "near-memory")
    items = coverage("bundled", hardware)
    engines = {item.name: item.engine for item in items}
    assert engines["layers.0.attention.q"] == engines["layers.0.attention.scores"] == "sram-cim"
    assert engines["layers.1.attention.q"] == "crossbar"
    assert engines["layers.1.ffn.norm"] == "near-memory"
    assert "near-memory: norm" in list(totals(items))


def test_copies_are_counted() -> None:
    voting = SLICED.replace("architecture.redundancy", Voting(slices=1)).override("head", redundancy=Voting())
    plain, found = ({item.name: item.arrays for item in coverage("bundled", each)} for each in (SLICED, voting))
    assert found["layers.0.ffn.up"] == plain["layers.0.ffn.up"] * 6 / 4
    assert found["head"] == 3 * plain["head"]
