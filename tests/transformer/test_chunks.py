"""A chip is the same, bit for bit, however it is held: whole, in parts that come and go, or on a cluster's workers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from safetensors.numpy import load_file, save_file

import cimstudy.transformer.calibration
from cimstudy.analog import Key, map_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, Dac, Device, Differential, Hardware, NormalOfTarget
from cimstudy.transformer import Model, load_model, program
from cimstudy.transformer.chunks import ChunkedMatrix
from cimstudy.transformer.config import digital_shapes, matrix_shapes

CONFIG = {
    "model_type": "llama",
    "vocab_size": 1700,
    "hidden_size": 64,
    "intermediate_size": 900,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "tie_word_embeddings": True,
}
SLICED = Crossbar(weights=Differential(slice_bits=2))
NOISY = Device(programming=NormalOfTarget(std=0.05), read_noise=NormalOfTarget(std=0.02))
TOKENS = np.random.default_rng(1).integers(0, 1700, (3, 32))
CALIBRATION = np.random.default_rng(2).integers(0, 1700, (2, 32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in float16, some of whose matrices have several parts."""
    from cimstudy.transformer.checkpoint import ADAPTERS, _config  # noqa: PLC0415 - for the tensors' names

    path = tmp_path_factory.mktemp("llama")
    adapter, rng = ADAPTERS["llama"], np.random.default_rng(0)
    config = _config(CONFIG, adapter, path)
    tensors = {}
    for name, shape in {**digital_shapes(config), **matrix_shapes(config)}.items():
        if name != "head":
            stored = shape[::-1] if name in matrix_shapes(config) else shape
            values = rng.normal(1.0 if len(shape) == 1 else 0.0, shape[0] ** -0.5, stored)
            tensors[adapter.source(name, "tokens").tensor] = values.astype(np.float16)
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path


def test_weights_left_in_their_files_are_the_same(folder: Path) -> None:
    kept, left = load_model(folder), load_model(folder, in_memory=False)
    assert kept == left
    assert isinstance(kept.weights, dict)
    assert not isinstance(left.weights, dict)
    assert list(kept.weights) == list(left.weights)
    for name, weight in kept.weights.items():
        np.testing.assert_array_equal(left.weights[name], weight)
        assert left.weights[name].flags.c_contiguous
    np.testing.assert_array_equal(kept.logits(TOKENS), left.logits(TOKENS))


@pytest.mark.parametrize("hardware", [Hardware(device=NOISY, crossbar=SLICED), Hardware(device=NOISY)])
def test_a_chip_in_parts_is_the_whole_chip(folder: Path, hardware: Hardware) -> None:
    whole = program(load_model(folder), hardware, seed=1, trial=2, calibration=CALIBRATION)
    model = load_model(folder, in_memory=False)
    for chunks in (1, 1_800_000):
        cimstudy.transformer.calibration._ranges.cache_clear()
        chip = program(model, hardware, seed=1, trial=2, calibration=CALIBRATION, chunks=chunks)
        head = chip.matrices["head"]
        assert isinstance(head, ChunkedMatrix)
        assert chunks > 1 or len(head.parts.starts) == 2
        np.testing.assert_array_equal(chip.logits(TOKENS), whole.logits(TOKENS))


def test_a_chip_on_two_workers_is_the_whole_chip(folder: Path) -> None:
    hardware = Hardware(device=NOISY, crossbar=SLICED)
    model = load_model(folder, in_memory=False)
    whole = program(model, hardware, seed=1, trial=2, calibration=CALIBRATION)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        chip = program(model, hardware, seed=1, trial=2, calibration=CALIBRATION, chunks=1, client=client)
        np.testing.assert_array_equal(chip.logits(TOKENS), whole.logits(TOKENS))
        assert all(held > 0 for held in client.run(lambda dask_worker: len(dask_worker.data)).values())


def test_learned_input_ranges_take_the_place_of_calibration(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    learned = np.array([0.5, 2.0, 0.25], np.float32)
    tensors |= {f"{name}.input_range": learned, f"{name}.input_range_update_idx": np.zeros(3, np.int64)}
    tensors |= {f"{name}.x_min": learned, f"{name}.x_max": learned, f"{name}.learnable_weight_clip": learned[:1]}
    save_file(tensors, tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    np.testing.assert_array_equal(model.input_ranges["layers.1.ffn.down"], learned)
    assert len(model.input_ranges) == 1
    hardware = Hardware(device=NOISY, crossbar=SLICED.replace("dac", Dac(range="calibrated")))
    chip = program(model, hardware, calibration=CALIBRATION)
    found = chip.matrices["layers.1.ffn.down"]
    x = np.random.default_rng(3).standard_normal((5, 900), dtype=np.float32)
    expected, inputs = np.zeros((5, 64), np.float32), inputs_of(model)["layers.1.ffn.down"]
    for number, (first, full) in enumerate(zip((0, 300, 600), (0.5, 2.0, 0.25), strict=True)):
        rows = slice(first, first + 300)
        one = hardware.replace("crossbar.dac.range", full)
        key = Key.root(0, 0).of("layers.1.ffn.down").of(f"block {number}")
        w = model.weights["layers.1.ffn.down"][rows]
        expected += map_matrix(w, one, calibration=inputs[..., rows]).program(key).matmul(x[:, rows])
    np.testing.assert_allclose(found.matmul(x), expected, rtol=1e-6)
    parts = program(model, hardware, calibration=CALIBRATION, chunks=1)
    np.testing.assert_array_equal(parts.logits(TOKENS), chip.logits(TOKENS))
    per_token = hardware.replace("crossbar.dac.range", "per_token")
    same = program(load_model(folder), per_token, calibration=CALIBRATION).logits(TOKENS)
    np.testing.assert_array_equal(program(model, per_token, calibration=CALIBRATION).logits(TOKENS), same)
    tensors[f"{name}.input_range"] = np.array([1, -1], np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"down_proj\.input_range in .* is \(2,\); allowed: 1 to 900 finite numbers"):
        load_model(tmp_path)


def inputs_of(model: Model) -> dict[str, np.ndarray]:
    """What the digital run multiplies each matrix by, of the calibration batch."""
    seen = {}

    def linear(name: str, x: np.ndarray, *, rows: np.ndarray | None = None) -> np.ndarray:
        seen[name] = x.copy()
        return model.product(name, x)

    model.logits(CALIBRATION, linear)
    return seen


def test_ranges_that_took_long_are_kept_on_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, hardware = load_model(folder), Hardware(device=NOISY, crossbar=SLICED)
    calibration = cimstudy.transformer.calibration
    monkeypatch.setenv("CIMSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "WORTH_KEEPING", math.inf)
    calibration._ranges.cache_clear()
    first = calibration.model_ranges(model, hardware, CALIBRATION)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(calibration, "WORTH_KEEPING", 0.0)
    calibration._ranges.cache_clear()
    calibration.model_ranges(model, hardware, CALIBRATION)
    (file,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(calibration, "calibrated", None)  # not called again
    calibration._ranges.cache_clear()
    again = calibration.model_ranges(model, hardware, CALIBRATION)
    for name, blocks in first.items():
        for one, other in zip(blocks, again[name], strict=True):
            assert (one.weights, one.inputs) == (other.weights, other.inputs)
            np.testing.assert_array_equal(one.adc, other.adc)
            assert one.adc.dtype == other.adc.dtype
    assert file.name.startswith("ranges-")
    calibration._ranges.cache_clear()


def test_a_chunk_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="chunks = 0; allowed: bytes of cells to hold at a time, 1 or more"):
        program(load_model(folder), Hardware(), chunks=0)
