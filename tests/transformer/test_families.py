"""Every family against the `transformers` library: random weights, small configurations that exercise every flag."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.transformer import Model, load_model
from cimstudy.transformer.attention import Cache

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

Array = NDArray[np.float32]
Peer = Any  # a model of the transformers library

VOCABULARY, LONGEST = 31, 40
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 64} | {
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OPT = SIZES | {"ffn_dim": 40, "word_embed_proj_dim": 24}
NEOX = SIZES | {"hidden_size": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "short_factor": [1.0, 1.1, 1.2],
    "long_factor": [1.0, 2.0, 4.0],
    "original_max_position_embeddings": 32,
}
DECODERS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2, untied, narrow": ("GPT2LMHeadModel", "GPT2Config", GPT2 | {"tie_word_embeddings": False, "n_inner": 17}),
    "opt": ("OPTForCausalLM", "OPTConfig", OPT),
    "opt, norm after, projected": (
        "OPTForCausalLM",
        "OPTConfig",
        OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 12},
    ),
    "opt, no biases": ("OPTForCausalLM", "OPTConfig", OPT | {"enable_bias": False}),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", NEOX),
    "gpt_neox, one after the other": ("GPTNeoXForCausalLM", "GPTNeoXConfig", NEOX | {"use_parallel_residual": False}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "llama, odd sizes, biases, tied": (
        "LlamaForCausalLM",
        "LlamaConfig",
        GROUPED
        | {"hidden_size": 20, "head_dim": 10, "intermediate_size": 7, "attention_bias": True, "mlp_bias": True}
        | {"tie_word_embeddings": True},
    ),
    "llama, linear scaling": (
        "LlamaForCausalLM",
        "LlamaConfig",
        SIZES | {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}},
    ),
    "llama 3 scaling": ("LlamaForCausalLM", "LlamaConfig", GROUPED | {"rope_parameters": LLAMA3, "head_dim": 12}),
    "llama, yarn": ("LlamaForCausalLM", "LlamaConfig", GROUPED | {"rope_parameters": YARN, "head_dim": 16}),
    "mistral": ("MistralForCausalLM", "MistralConfig", GROUPED | {"sliding_window": 8}),
    "mistral, no window": ("MistralForCausalLM", "MistralConfig", GROUPED | {"sliding_window": None}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen2, windows in some layers": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        GROUPED | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", GROUPED | {"head_dim": 10}),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", GROUPED | {"sliding_window": 7}),
    "phi3, part of a head": (
        "Phi3ForCausalLM",
        "Phi3Config",
        GROUPED
        | {"hidden_size": 32, "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}}
        | {"partial_rotary_factor": 0.5},
    ),
    "phi3, longrope": (
        "Phi3ForCausalLM",
        "Phi3Config",
        GROUPED | {"original_max_position_embeddings": 32, "rope_parameters": LONGROPE},
    ),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", GROUPED | {"head_dim": 10, "sliding_window": 8}),
    "gemma2, other caps": (
        "Gemma2ForCausalLM",
        "Gemma2Config",
        GROUPED
        | {"head_dim": 6, "attn_logit_softcapping": 2.0, "final_logit_softcapping": None, "query_pre_attn_scalar": 9},
    ),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", GROUPED | {"num_local_experts": 4}),
    "mixtral, three of five": (
        "MixtralForCausalLM",
        "MixtralConfig",
        GROUPED | {"num_local_experts": 5, "num_experts_per_tok": 3, "sliding_window": 8},
    ),
}
DISTILBERT = {
    "vocab_size": VOCABULARY,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 40,
    "max_position_embeddings": 64,
}
ROBERTA = SIZES | {"pad_token_id": 1}
ALBERT = SIZES | {"embedding_size": 12, "num_hidden_layers": 4}
ENCODERS = {
    "bert": ("BertForMaskedLM", "BertConfig", SIZES),
    "bert, classes": ("BertForSequenceClassification", "BertConfig", SIZES | {"num_labels": 5}),
    "bert, vectors": ("BertModel", "BertConfig", SIZES),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", ROBERTA),
    "roberta, classes": ("RobertaForSequenceClassification", "RobertaConfig", ROBERTA | {"num_labels": 3}),
    "roberta, vectors": ("RobertaModel", "RobertaConfig", ROBERTA),
    "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig", DISTILBERT),
    "distilbert, classes": ("DistilBertForSequenceClassification", "DistilBertConfig", DISTILBERT),
    "distilbert, vectors": ("DistilBertModel", "DistilBertConfig", DISTILBERT),
    "albert": ("AlbertForMaskedLM", "AlbertConfig", ALBERT),
    "albert, two groups": ("AlbertForMaskedLM", "AlbertConfig", ALBERT | {"num_hidden_groups": 2}),
    "albert, classes": ("AlbertForSequenceClassification", "AlbertConfig", ALBERT | {"num_labels": 4}),
    "albert, vectors": ("AlbertModel", "AlbertConfig", ALBERT),
}
VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "image_size": 12,
    "patch_size": 4,
}
IMAGE_MODELS = {
    "vit": ("ViTForImageClassification", "ViTConfig", VIT | {"num_labels": 5}),
    "vit, no biases, one channel": (
        "ViTForImageClassification",
        "ViTConfig",
        VIT | {"num_labels": 2, "qkv_bias": False, "num_channels": 1},
    ),
    "vit, vectors": ("ViTModel", "ViTConfig", VIT),
}
Spec = tuple[str, str, dict[str, Any]]


def written(folder: Path, spec: Spec) -> Peer:
    """A model of the library, with random weights in which every part matters, written to `folder`."""
    kind, config, fields = spec
    torch.manual_seed(0)
    peer = getattr(transformers, kind)(getattr(transformers, config)(**fields)).eval()
    with torch.no_grad():
        for weight in peer.parameters():
            weight.normal_(0.0 if weight.ndim > 1 else 0.5, 0.3)
    peer.save_pretrained(folder)
    peer.set_attn_implementation("eager")  # which knows every flag
    return peer


def outputs(peer: Peer, **inputs: Any) -> Array:
    """What the library computes."""
    with torch.no_grad():
        found = peer(**{name: torch.as_tensor(value) for name, value in inputs.items()})
    vectors: Array = (found.logits if "logits" in found else found.last_hidden_state).numpy()
    return vectors


def random_tokens(sequences: int) -> NDArray[np.integer]:
    return np.random.default_rng(1).integers(3, VOCABULARY, (sequences, LONGEST))


@pytest.mark.parametrize("spec", DECODERS.values(), ids=DECODERS.keys())
def test_decoders_meet_transformers_in_prefill_and_decode(tmp_path: Path, spec: Spec) -> None:
    peer = written(tmp_path, spec)
    model, tokens = load_model(tmp_path), random_tokens(3)
    expected = outputs(peer, input_ids=tokens)
    np.testing.assert_allclose(model.logits(tokens), expected, rtol=0, atol=1e-4)
    short = outputs(peer, input_ids=tokens[:, :30])  # longer texts may turn at other speeds
    np.testing.assert_allclose(model.logits(tokens[:, :30]), short, rtol=0, atol=1e-4)
    np.testing.assert_allclose(decoded(model, tokens[:, :30], [13, 20, 7]), short, rtol=0, atol=1e-4)


def decoded(model: Model, tokens: NDArray[np.integer], starts: list[int]) -> Array:
    """Logits of prompts of unequal length, and then token by token."""
    cache = Cache(model.config, *tokens.shape)
    found = np.full((*tokens.shape, model.config.vocab_size), np.nan, np.float32)
    longest = max(starts)
    prompts = tokens[:, :longest].copy()
    prompts[np.arange(longest) >= np.array(starts)[:, None]] = 0  # does not count
    prefill = model.logits(prompts, lengths=starts, cache=cache)
    for row, start in enumerate(starts):
        found[row, :start] = prefill[row, :start]
    while cache.lengths.min() < tokens.shape[1]:
        at = np.minimum(cache.lengths, tokens.shape[1] - 1)  # a text that has ended stands at its last token
        cache.lengths[:] = at
        step = model.logits(np.take_along_axis(tokens, at[:, None], 1), cache=cache)
        found[np.arange(len(tokens)), at] = step[:, 0]
    return found


@pytest.mark.parametrize("name", ["phi3, longrope", "gemma2", "gpt2"])
def test_a_text_does_not_depend_on_longer_ones_beside_it(tmp_path: Path, name: str) -> None:
    written(tmp_path, DECODERS[name])
    model, tokens = load_model(tmp_path), random_tokens(2)
    together = model.logits(tokens, lengths=[LONGEST, 20])[1, :20]
    np.testing.assert_allclose(together, model.logits(tokens[1, :20]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", ENCODERS.values(), ids=ENCODERS.keys())
def test_encoders_meet_transformers_with_texts_of_unequal_length(tmp_path: Path, spec: Spec) -> None:
    peer = written(tmp_path, spec)
    model, tokens, lengths = load_model(tmp_path), random_tokens(3), np.array([30, 40, 17])
    counts = np.arange(LONGEST) < lengths[:, None]
    types = {"token_type_ids": (np.arange(LONGEST) >= 11) * np.ones((3, 1), int)} if model.config.token_types else {}
    expected = outputs(peer, input_ids=tokens, attention_mask=counts.astype(int), **types)
    found = model.logits(tokens, lengths=lengths, token_types=types.get("token_type_ids", 0))
    assert found.shape == expected.shape
    mean = counts if model.config.head != "classes" else np.ones(3, bool)
    np.testing.assert_allclose(found[mean], expected[mean], rtol=0, atol=1e-4)


@pytest.mark.parametrize("spec", IMAGE_MODELS.values(), ids=IMAGE_MODELS.keys())
def test_image_models_meet_transformers(tmp_path: Path, spec: Spec) -> None:
    peer = written(tmp_path, spec)
    model = load_model(tmp_path)
    images = np.random.default_rng(0).standard_normal((2, model.config.channels, 12, 12), dtype=np.float32)
    np.testing.assert_allclose(model.image_logits(images), outputs(peer, pixel_values=images), rtol=0, atol=1e-4)
    with pytest.raises(InputError, match=r"images of shape \(3, 12, 8\); allowed: \(\.\.\., "):
        model.image_logits(np.zeros((3, 12, 8)))
    with pytest.raises(InputError, match="this model reads images, not tokens"):
        model.logits([1, 2])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert, vectors", "mixtral"])
def test_half_precision_files_hold_the_same_model(tmp_path: Path, name: str) -> None:
    peer = written(tmp_path, (DECODERS | ENCODERS)[name])
    exact = load_model(tmp_path).weights
    peer.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    for weight, values in load_model(tmp_path / "half").weights.items():
        np.testing.assert_allclose(values, exact[weight], rtol=2.0**-8, atol=1e-6)


def test_files_of_a_bare_network_and_of_old_names_are_read(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415

    written(tmp_path, ENCODERS["bert"])
    exact = load_model(tmp_path)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(old, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path).logits([[3, 4, 5]]), exact.logits([[3, 4, 5]]))
    written(tmp_path / "gpt2", DECODERS["gpt2"])
    model = load_model(tmp_path / "gpt2")
    bare = {
        name.removeprefix("transformer."): tensor
        for name, tensor in load_file(tmp_path / "gpt2" / "model.safetensors").items()
    }
    save_file(bare, tmp_path / "gpt2" / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "gpt2").logits([[3, 4, 5]]), model.logits([[3, 4, 5]]))


def test_the_matrices_of_shared_layers_are_listed_once(tmp_path: Path) -> None:
    written(tmp_path, ENCODERS["albert, two groups"])
    model = load_model(tmp_path)
    assert model.config.layers == 4
    assert len([name for name in model.matrices if name.endswith("attention.q")]) == 2


BAD_CONFIGS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "architecture": (
        "bert",
        lambda raw: raw.update(architectures=["BertForQuestionAnswering"]),
        r"architecture 'BertForQuestionAnswering' in .*; allowed: \.\.\.ForMaskedLM",
    ),
    "longrope": (
        "phi3, longrope",
        lambda raw: raw["rope_parameters"].update(short_factor=[1.0]),
        r"short_factor and long_factor hold 1 and 3 numbers; allowed: 3",
    ),
    "untied": ("bert", lambda raw: raw.update(tie_word_embeddings=False), r"tie_word_embeddings=False in .*; allowed"),
    "speeds": (
        "mistral",
        lambda raw: raw["rope_parameters"].update(rope_theta="fast"),
        r"rotary cannot be read from the config\.json of .*: ",
    ),
    "no speeds": ("mistral", lambda raw: raw.update(rope_parameters=[1]), r"rotary cannot be read from the config"),
    "activation": (
        "mistral",
        lambda raw: raw.update(hidden_act=["silu"]),
        r"activation cannot be read from the config",
    ),
    "window": ("mistral", lambda raw: raw.update(sliding_window="x"), r"windows=\('x', 'x'\) in .*; allowed: integers"),
    "scaled scores": ("gpt2", lambda raw: raw.update(scale_attn_by_inverse_layer_idx=True), r"=True in .*; allowed"),
}


@pytest.mark.parametrize(("name", "change", "message"), BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_what_the_forward_pass_does_not_compute_is_refused(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    import json  # noqa: PLC0415

    written(tmp_path, (DECODERS | ENCODERS)[name])
    raw = json.loads((tmp_path / "config.json").read_text())
    change(raw)
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
