"""LanguageModel on the bundled model: what its metrics mean, what it measures on, what it refuses."""

import math

import numpy as np
import pytest

from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Architecture, Crossbar, Dac, Device, Differential, Hardware, NormalOfRange
from cimstudy.transformer import held_out_text, load_model
from cimstudy.workloads import LanguageModel
from cimstudy.workloads.language_model import Sample, compare, log_softmax, summarise, text_sample

PERFECT = Hardware(crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None))
SHORT = LanguageModel(tokens=512)


def reram(std, bits=8):
    return Hardware(
        device=Device(g_max=40e-6, programming=NormalOfRange(std=std)),
        crossbar=Crossbar(weights=Differential(slice_bits=2), adc=Adc(bits=bits)),
    )


def test_metrics_follow_their_definitions():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), 6), rng.dirichlet(np.ones(5), 6)
    targets = rng.integers(0, 5, (2, 3))
    found = summarise(compare(np.log(p).reshape(2, 3, 5), np.log(q).reshape(2, 3, 5), targets) / 6)
    nll = -np.mean([math.log(p[i, t]) for i, t in enumerate(targets.ravel())])
    assert found["nll"] == pytest.approx(nll)
    assert found["perplexity"] == pytest.approx(math.exp(nll))
    assert found["top1_accuracy"] == np.mean(p.argmax(1) == targets.ravel())
    assert found["top1_agreement"] == np.mean(p.argmax(1) == q.argmax(1))
    assert found["kl_divergence"] == pytest.approx(np.mean((q * np.log(q / p)).sum(1)))


def test_log_softmax_normalises_and_survives_large_logits():
    logits = np.array([[1e4, 1e4 - 1, 0.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(logits)[0, 1] - log_softmax(logits)[0, 0], -1, rtol=1e-5)


def test_the_reference_is_the_digital_run_of_the_network():
    found = SHORT.reference()
    sample = text_sample("bundled", "bundled", 512)
    logits = load_model().logits(sample.sequences[:, :-1]).astype(float)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(probabilities, sample.sequences[:, 1:, None], axis=-1)
    assert found["nll"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert found["top1_agreement"] == 1
    assert found["kl_divergence"] == 0
    assert found["nll"] / math.log(2) < 1.6  # bits per byte: the bundled model can read


def test_a_perfect_chip_meets_the_digital_run():
    found, reference = SHORT(PERFECT, seed=0, trial=0), SHORT.reference()
    assert found["nll"] == pytest.approx(reference["nll"], abs=1e-5)
    assert found["top1_agreement"] > 0.995
    assert abs(found["kl_divergence"]) < 1e-6


def test_quality_falls_with_error_and_rises_with_bits():
    chips = range(3)
    error = [np.mean([SHORT(reram(std), seed=0, trial=chip)["nll"] for chip in chips]) for std in (0, 0.05, 0.1)]
    bits = [np.mean([SHORT(reram(0.02, bits), seed=0, trial=chip)["nll"] for chip in chips]) for bits in (8, 6, 4)]
    assert error == sorted(error)
    assert bits == sorted(bits)
    assert error[0] == pytest.approx(SHORT.reference()["nll"], abs=0.1)


def test_a_case_depends_on_seed_and_trial_alone():
    one = SHORT(reram(0.05), seed=1, trial=2)
    assert SHORT(reram(0.05), seed=1, trial=2) == one
    assert SHORT(reram(0.05), seed=1, trial=3) != one
    assert SHORT(reram(0.05), seed=2, trial=2) != one


def test_a_digital_architecture_is_the_reference():
    head_only = PERFECT.replace("architecture", Architecture(crossbar=("head",)))
    assert SHORT(head_only, seed=0, trial=0)["nll"] == pytest.approx(SHORT.reference()["nll"], abs=1e-6)


def test_sequences_are_spread_and_followed_by_their_targets():
    text = np.arange(10_000)
    sample = Sample(text, 100, 8)
    starts = sample.sequences[:, 0]
    assert starts[0] == 0
    assert starts[-1] == 10_000 - 101
    assert np.ptp(np.diff(starts)) <= 1
    tokens = 0
    for first, inputs, targets in sample.passes():
        assert first == tokens
        np.testing.assert_array_equal(targets, inputs + 1)
        tokens += inputs.size
    assert tokens == 800
    measured = set(sample.sequences[:, :-1].ravel())
    assert not measured & set(sample.calibration.ravel())


def test_passes_cover_many_sequences_once():
    sample = Sample(np.arange(50_000), 256, 30)
    seen = np.concatenate([inputs for _, inputs, _ in sample.passes()])
    np.testing.assert_array_equal(seen, sample.sequences[:, :-1])


def test_checksums_name_model_and_text(tmp_path):
    file = tmp_path / "text"
    file.write_bytes(held_out_text()[:-1])
    ours, other = SHORT.checksums(), LanguageModel(text=str(file)).checksums()
    assert ours["model"] == other["model"] == load_model().checksum
    assert ours["text"] != other["text"]


def test_bad_input_is_refused_before_any_work(tmp_path):
    short = tmp_path / "short.txt"
    short.write_bytes(b"a" * 300)
    with pytest.raises(InputError, match=r"tokens = 1000: allowed are multiples of the model's context, 256"):
        LanguageModel(tokens=1000).check(PERFECT)
    with pytest.raises(InputError, match=r"tokens = 512: the text .*short.txt' has 300, so at most 299 are allowed"):
        LanguageModel(tokens=512, text=str(short)).check(PERFECT)
    with pytest.raises(InputError, match="no text at '/nowhere'"):
        LanguageModel(text="/nowhere").check(PERFECT)
    with pytest.raises(InputError, match="/nowhere"):
        LanguageModel(model="/nowhere").check(PERFECT)
    with pytest.raises(InputError, match="tokens: should be greater than or equal to 1"):
        LanguageModel(tokens=0)
    with pytest.raises(InputError, match=r"fits no matrix of bundled"):
        SHORT.check(PERFECT.replace("architecture", Architecture(crossbar=("nothing",))))


def test_calibrated_inputs_are_as_good_as_scaling_each_token():
    calibrated = reram(0.02).replace("crossbar.dac", Dac(range="calibrated"))
    found, per_token = (SHORT(hardware, seed=0, trial=0)["nll"] for hardware in (calibrated, reram(0.02)))
    assert found == pytest.approx(per_token, abs=0.15)
