"""Small Llama checkpoints, written as Hugging Face writes them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

Tensors = dict[str, NDArray[Any]]
WriteLlama = Callable[..., Path]

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 13,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "max_position_embeddings": 24,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "tie_word_embeddings": False,
}


def random_tensors(config: Mapping[str, Any], seed: int = 0) -> Tensors:
    """Tensors of a Llama, (n_out, n_in), large enough that every part of the network matters."""
    rng = np.random.default_rng(seed)
    width, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    d_head = config.get("head_dim") or width // config["num_attention_heads"]
    q_width, kv_width = config["num_attention_heads"] * d_head, config["num_key_value_heads"] * d_head
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, width), "model.norm.weight": (width,)}
    for i in range(config["num_hidden_layers"]):
        layer = {
            "input_layernorm": (width,),
            "self_attn.q_proj": (q_width, width),
            "self_attn.k_proj": (kv_width, width),
            "self_attn.v_proj": (kv_width, width),
            "self_attn.o_proj": (width, q_width),
            "post_attention_layernorm": (width,),
            "mlp.gate_proj": (ffn, width),
            "mlp.up_proj": (ffn, width),
            "mlp.down_proj": (width, ffn),
        }
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, width)
    return {name: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def write_llama(tmp_path: Path) -> WriteLlama:
    """Write a random small Llama: `change` gets its tensors before they are written, `config` overrides fields."""

    def write(change: Callable[[Tensors], None] = lambda _: None, **config: object) -> Path:
        raw: dict[str, Any] = CONFIG | config
        tensors = random_tensors(raw)
        change(tensors)
        (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v != "left out"}))
        save_file(tensors, tmp_path / "model.safetensors")
        return tmp_path

    return write
