"""A chip is the same, bit for bit, however it is held: whole, in parts that come and go, or on a cluster's workers."""

import json
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from safetensors.numpy import save_file

import cimstudy.transformer.chip
from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, Device, Differential, Hardware, NormalOfTarget
from cimstudy.transformer import load_model, program
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
        cimstudy.transformer.chip._ranges.cache_clear()
        chip = program(model, hardware, seed=1, trial=2, calibration=CALIBRATION, chunks=chunks)
        head = chip.matrices["head"]
        assert isinstance(head, ChunkedMatrix)
        assert chunks > 1 or len(head.parts.starts) == 3
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


def test_a_chunk_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="chunks = 0; allowed: bytes of cells to hold at a time, 1 or more"):
        program(load_model(folder), Hardware(), chunks=0)
