"""The forward pass against a Llama written down by other means: PyTorch, float64, complex rotations, head by head."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cimstudy.transformer
from cimstudy.transformer import Model, load_model

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

BUNDLED = Path(cimstudy.transformer.__file__).parent / "bundled"
Tokens = NDArray[np.integer]
Tensor = Any  # torch.Tensor, which is known only where PyTorch is installed

CONFIGS = {
    "plain": {},
    "grouped": {"num_attention_heads": 6, "num_key_value_heads": 2},
    "one key head, tied": {"num_attention_heads": 6, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "odd sizes": {"hidden_size": 15, "intermediate_size": 7, "head_dim": 6, "vocab_size": 17, "num_hidden_layers": 3},
    "wide heads": {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 10, "rope_theta": 10},
    "one layer, long": {"num_hidden_layers": 1, "max_position_embeddings": 200},
}


def tokens_for(model: Model, *shape: int) -> Tokens:
    return np.random.default_rng(1).integers(0, model.config.vocab_size, shape)


def torch_logits(folder: Path, tokens: Tokens) -> NDArray[np.float64]:
    """Logits of the checkpoint in `folder`: tokens (sequences, T) gives (sequences, T, vocab)."""
    raw = json.loads((folder / "config.json").read_text())
    w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    heads, kv_heads = raw["num_attention_heads"], raw["num_key_value_heads"]
    d_head = raw.get("head_dim") or raw["hidden_size"] // heads
    n = tokens.shape[-1]
    frequency = raw["rope_theta"] ** (-2 * torch.arange(d_head // 2, dtype=torch.float64) / d_head)
    phase = torch.exp(1j * torch.arange(n)[:, None] * frequency)  # (T, d_head / 2)

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + raw["rms_norm_eps"]).sqrt() * w[f"{name}.weight"]

    def turned(x: Tensor) -> Tensor:
        z = torch.complex(x[..., : d_head // 2], x[..., d_head // 2 :]) * phase
        return torch.cat([z.real, z.imag], -1)

    def attention(x: Tensor, at: str) -> Tensor:
        q, k, v = (torch.einsum("stw,ow->sto", x, w[f"{at}.{p}_proj.weight"]) for p in "qkv")
        mixed = []
        for head in range(heads):
            mine, shared = slice(head * d_head, (head + 1) * d_head), head // (heads // kv_heads) * d_head
            theirs = slice(shared, shared + d_head)
            scores = turned(q[..., mine]) @ turned(k[..., theirs]).mT / d_head**0.5
            scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
            mixed.append(scores.softmax(-1) @ v[..., theirs])
        return torch.cat(mixed, -1) @ w[f"{at}.o_proj.weight"].T

    x = w["model.embed_tokens.weight"][torch.as_tensor(tokens)]
    for i in range(raw["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        x = x + attention(norm(x, f"{layer}.input_layernorm"), f"{layer}.self_attn")
        y = norm(x, f"{layer}.post_attention_layernorm")
        gate, up = y @ w[f"{layer}.mlp.gate_proj.weight"].T, y @ w[f"{layer}.mlp.up_proj.weight"].T
        x = x + (gate * gate.sigmoid() * up) @ w[f"{layer}.mlp.down_proj.weight"].T
    head = w["model.embed_tokens.weight" if raw["tie_word_embeddings"] else "lm_head.weight"]
    return (norm(x, "model.norm") @ head.T).numpy()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_are_those_of_the_equations(write_llama: Callable[..., Path], config: dict[str, Any]) -> None:
    folder = write_llama(**config)
    model = load_model(folder)
    tokens = tokens_for(model, 3, model.config.context)
    logits = model.logits(tokens)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, torch_logits(folder, tokens), rtol=0, atol=1e-4)


def test_logits_of_the_bundled_model_are_those_of_the_equations() -> None:
    model = load_model("bundled")
    tokens = tokens_for(model, 2, model.config.context)
    np.testing.assert_allclose(model.logits(tokens), torch_logits(BUNDLED, tokens), rtol=0, atol=1e-4)
