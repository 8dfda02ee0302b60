"""LanguageModel on the bundled model: what its metrics mean, what it measures on, what it refuses."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Crossbar, Dac, Device, Differential, Hardware, NormalOfRange, PowerLaw
from cimstudy.transformer import held_out_text, load_model, load_tokenizer
from cimstudy.workloads import LanguageModel, on_chip
from cimstudy.workloads.language_model import compare, log_softmax, summarise
from cimstudy.workloads.windows import spread, strided, text_windows

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
    sums = compare(np.log(p).reshape(2, 3, 5), np.log(q).reshape(2, 3, 5), targets, np.ones((2, 3), bool))
    found = summarise(sums, np.array([3, 3]))
    nll = -np.mean([math.log(p[i, t]) for i, t in enumerate(targets.ravel())])
    assert found["nll"] == pytest.approx(nll)
    assert found["perplexity"] == pytest.approx(math.exp(nll))
    assert found["top1_accuracy"] == np.mean(p.argmax(1) == targets.ravel())
    assert found["top1_agreement"] == np.mean(p.argmax(1) == q.argmax(1))
    assert found["kl_divergence"] == pytest.approx(np.mean((q * np.log(q / p)).sum(1)))
    assert found["sequence_nll"].mean() == pytest.approx(nll)


def test_tokens_that_do_not_count_change_nothing():
    rng = np.random.default_rng(0)
    found, expected = (np.log(rng.dirichlet(np.ones(5), (1, 4))) for _ in range(2))
    targets = rng.integers(0, 5, (1, 4))
    scored = np.array([[False, True, True, False]])
    part = compare(found[:, 1:3], expected[:, 1:3], targets[:, 1:3], scored[:, 1:3])
    np.testing.assert_allclose(compare(found, expected, targets, scored), part)


def test_log_softmax_normalises_and_survives_large_logits():
    logits = np.array([[1e4, 1e4 - 1, 0.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(logits)[0, 1] - log_softmax(logits)[0, 0], -1, rtol=1e-5)


def test_the_reference_is_the_digital_run_of_the_network():
    found = SHORT.reference()
    sample = text_windows("bundled", "bundled", 512, None, None)
    logits = load_model().logits(sample.tokens[:, :-1]).astype(float)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(probabilities, sample.tokens[:, 1:, None], axis=-1)
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
    def sequences(seed, trial):
        return SHORT(reram(0.05), seed=seed, trial=trial)["sequence_nll"]

    one = sequences(1, 2)
    np.testing.assert_array_equal(sequences(1, 2), one)
    assert (sequences(1, 3) != one).all()
    assert (sequences(2, 2) != one).all()


def test_a_digital_architecture_is_the_reference():
    head_only = PERFECT.replace("architecture", "digital").override("head", engine="crossbar")
    assert SHORT(head_only, seed=0, trial=0)["nll"] == pytest.approx(SHORT.reference()["nll"], abs=1e-6)


def test_sequences_are_spread_and_followed_by_their_targets():
    windows = spread(np.arange(10_000), 100, 8)
    starts = windows.tokens[:, 0]
    assert starts[0] == 0
    assert starts[-1] == 10_000 - 101
    assert np.ptp(np.diff(starts)) <= 1
    tokens = 0
    for part in windows.passes():
        assert part.first_vector == tokens
        assert part.scored.all()
        np.testing.assert_array_equal(part.targets, part.inputs + 1)
        tokens += part.inputs.size
    assert tokens == 800
    measured = set(windows.tokens[:, :-1].ravel())
    assert not measured & set(windows.calibration.ravel())


def test_passes_cover_many_sequences_once():
    windows = spread(np.arange(50_000), 256, 30)
    seen = np.concatenate([part.inputs for part in windows.passes()])
    np.testing.assert_array_equal(seen, windows.tokens[:, :-1])


@given(length=st.integers(2, 60), context=st.integers(2, 20), stride=st.integers(1, 19))
def test_strided_windows_predict_every_token_once_from_as_much_as_they_can(length, context, stride):
    assume(stride < context)
    text = np.arange(length) + 1
    windows = strided(text, context, stride, np.arange(100))
    seen = {}
    for part in windows.passes():
        for inputs, targets, scored in zip(part.inputs, part.targets, part.scored, strict=True):
            for place in np.flatnonzero(scored):
                assert targets[place] not in seen
                seen[int(targets[place])] = inputs[: place + 1].tolist()
    assert sorted(seen) == list(range(2, length + 1))
    for token, before in seen.items():
        assert before == list(range(token - len(before), token))
        assert len(before) >= min(token - 1, context - stride)
    assert windows.scored.sum() == length - 1


def test_strided_perplexity_is_that_of_transformers(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=256, n_embd=24, n_layer=2, n_head=4, n_positions=32)
    peer = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weight in peer.parameters():
            weight.normal_(0.0 if weight.ndim > 1 else 0.5, 0.2)
    peer.save_pretrained(tmp_path)
    text = held_out_text()[:1001]
    (tmp_path / "text.txt").write_bytes(text)
    tokens = torch.as_tensor(np.frombuffer(text, np.uint8).astype(int))[None]
    total, count, before = 0.0, 0, 0
    for begin in range(0, 1001, 20):  # as the library's guide to perplexity does
        end = min(begin + 32, 1001)
        labels = tokens[:, begin:end].clone()
        labels[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = peer(tokens[:, begin:end], labels=labels).loss
        valid = int((labels[:, 1:] != -100).sum())
        total, count, before = total + float(loss) * valid, count + valid, end
        if end == 1001:
            break
    workload = LanguageModel(model=str(tmp_path), text=str(tmp_path / "text.txt"), tokens=None, stride=20)
    assert count == 1000
    assert workload.reference()["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    found = workload(PERFECT, seed=0, trial=0)
    assert found["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-3)
    assert len(found["sequence_nll"]) == math.ceil((1001 - 32) / 20) + 1


def test_tokens_may_come_from_a_tokenizer_or_an_array(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = ["the", "cat", "sat", "on", "a", "mat", "[UNK]"]
    numbers = {word: number for number, word in enumerate(words)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=words[-1]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    config = transformers.GPT2Config(vocab_size=7, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    backend.save(str(tmp_path / "tokenizer.json"))
    text = "the cat sat on a mat " * 20
    (tmp_path / "text.txt").write_text(text)
    np.save(tmp_path / "tokens.npy", np.tile(np.arange(6), 20))
    read, stored = (
        LanguageModel(model=str(tmp_path), text=str(tmp_path / file), tokens=80) for file in ("text.txt", "tokens.npy")
    )
    assert read.reference() == stored.reference()
    assert read.checksums() == stored.checksums()
    np.save(tmp_path / "large.npy", np.arange(100))
    with pytest.raises(InputError, match=r"has tokens from 0 to 99; model .* allows 0 to 6$"):
        LanguageModel(model=str(tmp_path), text=str(tmp_path / "large.npy"), tokens=80).check(PERFECT)
    np.save(tmp_path / "table.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"table.npy' holds float64 \(3, 2\); allowed: integers \(n,\)"):
        LanguageModel(model=str(tmp_path), text=str(tmp_path / "table.npy"), tokens=80).check(PERFECT)


def test_a_broken_tokenizer_is_named(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.json' is no tokenizer"):
        load_tokenizer(tmp_path)


def test_a_digital_run_that_does_not_fit_is_computed_beside_each_chip(monkeypatch):
    kept = SHORT.reference(), SHORT(reram(0.05), seed=0, trial=0)["kl_divergence"]
    monkeypatch.setattr(LanguageModel, "output_bytes", lambda _: 10**15)
    monkeypatch.setattr(on_chip, "kept_outputs", None)
    assert (SHORT.reference(), SHORT(reram(0.05), seed=0, trial=0)["kl_divergence"]) == kept


def test_checksums_name_model_and_text(tmp_path):
    file = tmp_path / "text"
    file.write_bytes(held_out_text()[:-1])
    ours, other = SHORT.checksums(), LanguageModel(text=str(file)).checksums()
    assert ours["model"] == other["model"] == load_model().checksum
    assert ours["data"] != other["data"]


def test_bad_input_is_refused_before_any_work(tmp_path):
    short = tmp_path / "short.txt"
    short.write_bytes(b"a" * 300)
    tiny = tmp_path / "tiny.txt"
    tiny.write_bytes(b"a" * 100)
    with pytest.raises(InputError, match=r"tokens = 1000: allowed are multiples of the model's context, 256"):
        LanguageModel(tokens=1000).check(PERFECT)
    with pytest.raises(InputError, match=r"tokens = 512: the text .*short.txt' has 300, so at most 299 are allowed"):
        LanguageModel(tokens=512, text=str(short)).check(PERFECT)
    with pytest.raises(InputError, match=r"tiny.txt' has 100 tokens; allowed: at least one window of 256"):
        LanguageModel(tokens=None, stride=128, text=str(tiny)).check(PERFECT)
    with pytest.raises(InputError, match="tokens = 1: allowed are 2 or more"):
        LanguageModel(tokens=1, stride=128).check(PERFECT)
    with pytest.raises(InputError, match="no text at '/nowhere'"):
        LanguageModel(text="/nowhere").check(PERFECT)
    with pytest.raises(InputError, match="/nowhere"):
        LanguageModel(model="/nowhere").check(PERFECT)
    with pytest.raises(InputError, match=r"context = 300: allowed are 2 to 256, the model's own"):
        LanguageModel(context=300).check(PERFECT)
    with pytest.raises(InputError, match=r"stride = 256: allowed are 1 to 255, less than the model's context"):
        LanguageModel(stride=256).check(PERFECT)
    with pytest.raises(InputError, match="tokens: should be greater than or equal to 1"):
        LanguageModel(tokens=0)
    with pytest.raises(InputError, match=r"fits no operator of the model"):
        SHORT.check(PERFECT.override("nothing", engine="digital"))


def test_calibrated_inputs_are_as_good_as_scaling_each_token():
    calibrated = reram(0.02).replace("crossbar.dac", Dac(range="calibrated"))
    found, per_token = (SHORT(hardware, seed=0, trial=0)["nll"] for hardware in (calibrated, reram(0.02)))
    assert found == pytest.approx(per_token, abs=0.15)


def test_time_is_an_axis_along_which_one_chip_ages():
    """Drift takes the chip away from the digital run; compensation brings back what its cells share."""
    device = Device(programming=NormalOfRange(std=0.01), drift=PowerLaw(t0=20.0, exponent=0.06, exponent_std=0.01))
    hardware = PERFECT.replace("device", device)
    on_chip.kept_outputs.cache_clear()
    at = {time: SHORT.replace("time", time)(hardware, seed=0, trial=0)["kl_divergence"] for time in (0.0, 3600.0, 3e7)}
    assert at[0.0] < at[3600.0] < at[3e7]
    assert on_chip.kept_outputs.cache_info().misses == 1  # the digital run has no age
    compensated = hardware.replace("architecture.drift_compensation", "per_column")
    assert SHORT.replace("time", 3e7)(compensated, seed=0, trial=0)["kl_divergence"] < at[3e7] / 4


def test_a_time_before_programming_is_refused():
    with pytest.raises(InputError, match="time: should be greater than or equal to 0"):
        LanguageModel(time=-1.0)
