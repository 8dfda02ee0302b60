"""The other workloads on small random models: perfect chips meet the digital run, which meets plain formulas."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Crossbar, Device, Differential, Hardware, NormalOfRange, NormalOfTarget
from cimstudy.study import Study
from cimstudy.transformer import Cache, load_model, load_tokenizer
from cimstudy.workloads import (
    Classification,
    Embedding,
    Generation,
    LanguageModel,
    MaskedLanguageModel,
    MultipleChoice,
)
from cimstudy.workloads.mixtures import routing_metrics
from cimstudy.workloads.windows import text_windows

Checkpoint = Callable[..., Path]

PERFECT = Hardware(crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None))
ERRONEOUS = Hardware(device=Device(programming=NormalOfRange(std=0.05)))
NOISY = Hardware(device=Device(programming=NormalOfTarget(std=0.05), read_noise=NormalOfTarget(std=0.02)))


def scalars(found):
    return {name: value for name, value in found.items() if np.ndim(value) == 0}


def check_laws(workload, best: dict[str, float]) -> None:
    """A perfect chip is the digital run; a case repeats; chips differ; results are what the metrics say."""
    workload.check(ERRONEOUS)
    reference = workload.reference()
    assert {name: reference[name] for name in best} == pytest.approx(best)
    assert scalars(workload(PERFECT, seed=0, trial=0)) == pytest.approx(reference, abs=2e-3)
    found = workload(ERRONEOUS, seed=0, trial=1)
    for name, value in workload(ERRONEOUS, seed=0, trial=1).items():
        np.testing.assert_array_equal(value, found[name])
    other = workload(ERRONEOUS, seed=0, trial=2)
    assert any(not np.array_equal(other[name], found[name]) for name in found)
    assert found.keys() == workload.metrics.keys()
    for name, value in found.items():
        assert np.ndim(value) == len(workload.metrics[name].dims)


def test_embedding(checkpoint: Checkpoint, lines: Path) -> None:
    folder = checkpoint("BertModel", "BertConfig")
    workload = Embedding(model=str(folder), text=str(lines), sentences=6)
    check_laws(workload, {"cosine": 1, "rank_agreement": 1, "nearest_agreement": 1})
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    vectors = []
    for line in lines.read_text().splitlines():
        tokens = tokenizer.encode(line, special=True)
        assert tokens[0] == 2
        assert tokens[-1] == 3
        vector = model.logits(tokens).mean(axis=0)
        vectors.append(vector / np.linalg.norm(vector))
    (found,) = workload.outputs(program_perfect(folder))
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    one, other = np.random.default_rng(0).standard_normal((2, 6, 24))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    score = workload.score([one], [other])
    pairs = np.triu_indices(6, 1)
    assert score["rank_agreement"] == pytest.approx(spearmanr((one @ one.T)[pairs], (other @ other.T)[pairs])[0])
    assert score["sentence_cosine"] == pytest.approx((one * other).sum(axis=1))
    first = Embedding(model=str(folder), text=str(lines), sentences=6, pool="first")
    assert not np.allclose(next(first.outputs(program_perfect(folder))), found)


def program_perfect(folder: Path):
    from cimstudy.transformer import program  # noqa: PLC0415

    return program(load_model(folder), PERFECT)


def test_masked_language_model(checkpoint: Checkpoint, lines: Path) -> None:
    folder = checkpoint("BertForMaskedLM", "BertConfig")
    workload = MaskedLanguageModel(model=str(folder), text=str(lines), sentences=6, every=3)
    check_laws(workload, {"top1_agreement": 1, "kl_divergence": 0})
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    surprise = []
    for row, line in enumerate(lines.read_text().splitlines()):
        tokens = tokenizer.encode(line, special=True)
        gaps = [place for place in range(1, len(tokens) - 1) if (place + row) % 3 == 0]
        hidden = tokens.copy()
        hidden[gaps] = 4
        logits = model.logits(hidden).astype(float)
        likely = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        surprise += [-likely[place, tokens[place]] for place in gaps]
    assert workload.reference()["nll"] == pytest.approx(np.mean(surprise), rel=1e-4)


def test_classification_of_texts_and_pairs(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("BertForSequenceClassification", "BertConfig", num_labels=3)
    data = tmp_path / "labelled.jsonl"
    texts = ["the cat sat", "a dog ran to you", "the old tree", "bird"]
    data.write_text("\n".join(json.dumps({"text": text, "label": place % 3}) for place, text in enumerate(texts)))
    workload = Classification(model=str(folder), data=str(data))
    check_laws(workload, {"agreement": 1, "kl_divergence": 0})
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    right = [
        model.logits(tokenizer.encode(text, special=True)).argmax() == place % 3 for place, text in enumerate(texts)
    ]
    assert workload.reference()["accuracy"] == np.mean(right)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("\n".join(json.dumps({"text": t, "pair": "the mat", "label": 1}) for t in texts))
    workload = Classification(model=str(folder), data=str(pairs))
    tokens, types = tokenizer.encode_pair(texts[0], "the mat")
    assert types.tolist() == [0] * 5 + [1] * 3
    logits = model.logits(tokens, token_types=types).astype(float)
    expected = np.log(np.exp(logits).sum()) - logits[1]
    assert workload(PERFECT, seed=0, trial=0)["item_nll"][0] == pytest.approx(expected, rel=1e-4)


def test_classification_of_images(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint(
        "ViTForImageClassification",
        "ViTConfig",
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        image_size=12,
        patch_size=4,
        num_labels=4,
    )
    images = np.random.default_rng(0).standard_normal((40, 3, 12, 12), dtype=np.float32)
    labels = load_model(folder).image_logits(images).argmax(axis=1)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    workload = Classification(model=str(folder), data=str(tmp_path / "images.npz"))
    check_laws(workload, {"accuracy": 1, "agreement": 1, "kl_divergence": 0})
    assert "embedding.patch" in load_model(folder).matrices


def test_multiple_choice(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("GPT2LMHeadModel", "GPT2Config", n_positions=32)
    data = tmp_path / "questions.jsonl"
    questions = [
        {"context": "the cat sat on", "choices": ["a mat", "the dog and the bird", "you"], "label": 0},
        {"context": "a bird", "choices": ["sings", "ran to the tree"], "label": 1},
    ]
    data.write_text("\n".join(map(json.dumps, questions)))
    workload = MultipleChoice(model=str(folder), data=str(data))
    check_laws(workload, {"agreement": 1})
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    margins = []
    for question in questions:
        likely = []
        for choice in question["choices"]:
            before, ending = tokenizer.encode(question["context"]), tokenizer.encode(choice)
            logits = model.logits(np.concatenate([before, ending])).astype(float)
            log = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
            likely.append(sum(log[len(before) - 1 + place, token] for place, token in enumerate(ending)))
        right = likely.pop(question["label"])
        margins.append(right - max(likely))
    found = workload(PERFECT, seed=0, trial=0)
    assert found["question_margin"] == pytest.approx(margins, rel=1e-3)
    assert found["accuracy"] == np.mean([margin > 0 for margin in margins])


def test_generation_is_greedy_decoding(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("LlamaForCausalLM", "LlamaConfig", num_key_value_heads=2)
    np.save(tmp_path / "text.npy", np.random.default_rng(0).integers(5, 26, 100))
    options = {"model": str(folder), "text": str(tmp_path / "text.npy"), "prompts": 3}
    workload = Generation(**options, prompt_tokens=6, new_tokens=9)
    check_laws(workload, {"departure": 9, "agreement": 1})
    model = load_model(folder)
    (written,) = workload.outputs(program_perfect(folder))
    for prompt, text in zip(workload.calibration(), written, strict=True):
        tokens = prompt.tolist()
        for expected in text:
            tokens.append(int(model.logits(tokens)[-1].argmax()))
            assert tokens[-1] == expected
    one, other = np.array([[1, 2, 3], [1, 2, 3]]), np.array([[1, 5, 3], [1, 2, 3]])
    score = Generation(new_tokens=3).score([one], [other])
    assert score["departure"] == 2
    np.testing.assert_array_equal(score["prompt_departure"], [1, 3])
    np.testing.assert_array_equal(score["position_agreement"], [1, 0.5, 1])
    drawn = Generation(**options, prompt_tokens=6, new_tokens=9, temperature=1.0)
    (text,), (again,) = (drawn.outputs(program_perfect(folder)) for _ in range(2))
    np.testing.assert_array_equal(text, again)
    assert (text != written).any()
    (reseeded,) = drawn.replace("seed", 1).outputs(program_perfect(folder))
    assert (reseeded != text).any()


def test_read_noise_of_an_expert_belongs_to_the_token(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A token's noise does not depend on which other tokens ask the same expert."""
    from cimstudy.transformer import program  # noqa: PLC0415

    folder = checkpoint("MixtralForCausalLM", "MixtralConfig", num_key_value_heads=2, num_local_experts=3)
    noisy = NOISY.replace("crossbar.adc", Adc(range="full"))
    chip = program(load_model(folder), noisy)
    tokens = np.random.default_rng(0).integers(5, 26, (2, 8))
    changed = tokens.copy()
    changed[1] = 7
    np.testing.assert_array_equal(chip.logits(tokens)[0], chip.logits(changed)[0])


def test_a_mixture_tells_who_is_asked(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Loads are shares; a router that sees what the digital run sees asks the same, a noisy one does not."""
    folder = checkpoint("MixtralForCausalLM", "MixtralConfig", num_key_value_heads=2, num_local_experts=3)
    tokens = tmp_path / "tokens.npy"
    np.save(tokens, np.random.default_rng(0).integers(5, 26, 64))
    workload = LanguageModel(model=str(folder), text=str(tokens), tokens=None)
    assert workload.metrics["expert_load"].dims == ("layer", "expert")
    assert list(workload.coordinates["expert"]) == [0, 1, 2]
    exact = workload(Hardware(architecture="digital"), seed=0, trial=0)
    np.testing.assert_allclose(exact["expert_load"].sum(axis=-1), 1)
    assert (exact["router_agreement"] == 1).all()
    noisy = Hardware(device=Device(programming=NormalOfRange(std=0.5)), crossbar=Crossbar(adc=None))
    found = workload(noisy.replace("architecture", "digital").override("*.router", engine="crossbar"), seed=0, trial=0)
    assert (found["router_agreement"] < 1).any()
    assert (found["router_agreement"] >= 1 / 3).all()  # two of three are asked: one at least is the same
    assert set(workload.reference()) <= set(workload.scores)


def test_requests_are_compared_token_by_token() -> None:
    found, expected = np.array([[[0, 1], [2, 1], [0, 2]]]), np.array([[[1, 0], [1, 0], [1, 3]]])
    metrics = routing_metrics(found, expected, 4)
    np.testing.assert_allclose(metrics["expert_load"], [[2 / 6, 2 / 6, 2 / 6, 0]])
    np.testing.assert_allclose(metrics["router_agreement"], [3 / 6])


def test_sampling_follows_the_odds() -> None:
    from cimstudy.transformer.generation import chosen  # noqa: PLC0415

    logits = np.log(np.array([[0.5, 0.2, 0.3]], np.float32)).repeat(20_000, axis=0)
    counts = np.bincount(chosen(logits, 1.0, 3, 4), minlength=3) / 20_000
    np.testing.assert_allclose(counts, [0.5, 0.2, 0.3], atol=5 * np.sqrt(0.25 / 20_000))
    cold = np.bincount(chosen(logits, 0.1, 3, 4), minlength=3) / 20_000
    assert cold[0] > 0.98


def test_signal_to_noise_shows_where_the_error_enters(tmp_path: Path) -> None:
    hardware = Hardware(
        device=Device(programming=NormalOfRange(std=0.02)),
        crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None),
    )
    workload = LanguageModel(tokens=512, by_layer=True)
    found = [workload(hardware, seed=0, trial=trial)["signal_to_noise"] for trial in range(4)]
    model, powers = load_model(), {}
    assert np.shape(found) == (4, model.config.layers, 7)

    def linear(name, x, *, rows=None):
        y = model.product(name, x)
        powers[name] = (y.astype(float) ** 2).sum(), (x.astype(float) ** 2).sum() * y.shape[-1]
        return y

    model.logits(next(text_windows("bundled", "bundled", 512, None, None).passes()).inputs, linear)
    for operator, name in enumerate(workload.coordinates["operator"]):
        signal, drive = powers[f"layers.1.{name}"]
        # One cell of a pair errs by sigma, the other one, at zero, is clipped and errs by half the power of that.
        power = 1.5 * (0.02 * np.abs(model.weights[f"layers.1.{name}"]).max()) ** 2 * drive
        assert np.mean(found, axis=0)[1, operator] == pytest.approx(10 * np.log10(signal / power), abs=2)
    ds = Study(name="by layer", workload=workload, hardware=hardware).run(
        tmp_path / "s.zarr", workers=1, progress=False
    )
    assert ds["operator"].values.tolist() == list(workload.coordinates["operator"])
    np.testing.assert_array_equal(ds["signal_to_noise"].squeeze(), found[0])


BAD = {
    "embedding of a head": (lambda m: Embedding(model=m("BertForMaskedLM", "BertConfig")), "has a head; allowed"),
    "gaps in a decoder": (
        lambda m: MaskedLanguageModel(model=m("GPT2LMHeadModel", "GPT2Config")),
        "does not fill gaps; allowed",
    ),
    "language model of an encoder": (
        lambda m: LanguageModel(model=m("BertForMaskedLM", "BertConfig")),
        "does not predict the next token",
    ),
    "classes of none": (
        lambda m: Classification(model=m("BertModel", "BertConfig"), data="x.jsonl"),
        "has no classes; allowed",
    ),
    "no data": (
        lambda m: Classification(model=m("BertForSequenceClassification", "BertConfig"), data="/nowhere.jsonl"),
        "no data at '/nowhere.jsonl'",
    ),
    "long texts": (lambda m: Generation(model=m("GPT2LMHeadModel", "GPT2Config", n_positions=32)), "= 64; allowed: at"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD.keys())
def test_what_a_workload_cannot_measure_is_refused(checkpoint: Checkpoint, make, message: str) -> None:
    workload = make(lambda *arguments, **fields: str(checkpoint(*arguments, **fields)))
    with pytest.raises(InputError, match=message) as caught:
        workload.check(ERRONEOUS)
    assert "\n" not in str(caught.value)


BAD_LINES = {
    "no JSON": ("{", "line 1 of .* is not JSON"),
    "no label": ('{"text": "the cat"}', "line 1 of .* lacks a sound 'label'; needed: text, label"),
    "other class": ('{"text": "the cat", "label": 7}', "labels in .* are from 7 to 7; allowed: 0 to 1"),
    "empty": ("\n", "is empty; allowed"),
}


@pytest.mark.parametrize(("text", "message"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_data_are_named(checkpoint: Checkpoint, tmp_path: Path, text: str, message: str) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(text)
    folder = checkpoint("BertForSequenceClassification", "BertConfig", num_labels=2)
    with pytest.raises(InputError, match=message):
        Classification(model=str(folder), data=str(data)).check(ERRONEOUS)


def test_a_cache_is_for_decoders_and_within_the_context(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="sees later tokens too"):
        Cache(load_model(checkpoint("BertModel", "BertConfig")).config, 1, 8)
    model = load_model(checkpoint("GPT2LMHeadModel", "GPT2Config", n_positions=32))
    with pytest.raises(InputError, match="a cache of 33 tokens; allowed: 1 to 32"):
        Cache(model.config, 1, 33)
    cache = Cache(model.config, 1, 4)
    with pytest.raises(InputError, match="5 tokens for a cache of 4; allowed"):
        model.logits([[5] * 5], cache=cache)
    with pytest.raises(InputError, match="2 sequences for a cache of 1; allowed"):
        model.logits([[5], [5]], cache=cache)


def test_what_attention_does_is_a_metric():
    """Keys and values of the bundled model: 6 heads of 32 in 4 layers, a pair of cells each."""
    digital = dict.fromkeys(("embedding", "projections", "ffn", "head"), "digital")
    architecture = {"placement": {**digital, "scores": "dynamic-crossbar", "values": "dynamic-crossbar"}}
    workload = LanguageModel(tokens=512, attention_counts=True)
    full = workload(Hardware(architecture=architecture), seed=0, trial=0)
    assert set(full) == set(workload.metrics)
    assert full["operand_writes"] == 2 * 6 * 32 * 4
    assert full["cell_writes"] == 2 * full["operand_writes"]
    assert (full["kept_share"], full["top_recall"], full["searches"], full["layers_taken"]) == (1, 1, 0, 4)
    some = workload(
        Hardware(architecture={"placement": "digital", "attention": {"kind": "top_k", "k": 5}}), seed=0, trial=0
    )
    assert some["kept_share"] == np.minimum(np.arange(1, 257), 5).sum() / np.arange(1, 257).sum()
    assert some["operand_writes"] == 0
    both = workload.replace("by_layer", value=True)
    assert set(both.metrics) == set(workload.metrics) | {"signal_to_noise"}


def test_schemes_that_fit_no_model_are_refused_before_work_starts():
    with pytest.raises(InputError, match=r"kind = 'decomposed': the model has rotary positions"):
        LanguageModel(tokens=512).check(Hardware(architecture={"attention": "decomposed"}))
