"""Families of checkpoints: tables of what each calls our sizes and our weights, over the one forward pass."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where config.json keeps one of our fields."""

    paths: tuple[str, ...]  # dotted; the first one that is present and not null counts
    default: Callable[[Mapping[str, Any]], Any] | None = None  # from the fields before it; None: required


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One family of checkpoints: its names for what the forward pass needs."""

    settings: Mapping[str, Setting]  # our field: its place in config.json
    fixed: Mapping[str, tuple[Any, ...]]  # config.json's path: what it may be, if present
    tensors: Mapping[str, str]  # our weight: its tensor, {i} standing for the layer
    transposed: bool  # matrices are stored (n_out, n_in)
    ignored: tuple[str, ...] = ()  # patterns of tensors that carry nothing

    def tensor(self, weight: str) -> str:
        """Their name of our weight: "layers.3.ffn.up" may be "model.layers.3.mlp.up_proj.weight"."""
        layer = re.match(r"layers\.(\d+)\.", weight)
        if layer is None:
            return self.tensors[weight]
        return self.tensors[weight.replace(layer[1], "{i}", 1)].replace("{i}", layer[1])


LLAMA = Adapter(
    settings={
        "vocab_size": Setting(paths=("vocab_size",)),
        "width": Setting(paths=("hidden_size",)),
        "layers": Setting(paths=("num_hidden_layers",)),
        "heads": Setting(paths=("num_attention_heads",)),
        "kv_heads": Setting(paths=("num_key_value_heads",), default=lambda known: known["heads"]),
        "head_width": Setting(paths=("head_dim",), default=lambda known: known["width"] // known["heads"]),
        "ffn_width": Setting(paths=("intermediate_size",)),
        "context": Setting(paths=("max_position_embeddings",)),
        "norm_eps": Setting(paths=("rms_norm_eps",), default=lambda _: 1e-6),
        "rope_theta": Setting(paths=("rope_theta", "rope_parameters.rope_theta"), default=lambda _: 10000.0),
        "tied_embeddings": Setting(paths=("tie_word_embeddings",), default=lambda _: False),
    },
    fixed={
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "rope_scaling": (),
        "rope_parameters.rope_type": ("default",),
    },
    tensors={
        "embedding": "model.embed_tokens.weight",
        "layers.{i}.attention.norm": "model.layers.{i}.input_layernorm.weight",
        "layers.{i}.attention.q": "model.layers.{i}.self_attn.q_proj.weight",
        "layers.{i}.attention.k": "model.layers.{i}.self_attn.k_proj.weight",
        "layers.{i}.attention.v": "model.layers.{i}.self_attn.v_proj.weight",
        "layers.{i}.attention.o": "model.layers.{i}.self_attn.o_proj.weight",
        "layers.{i}.ffn.norm": "model.layers.{i}.post_attention_layernorm.weight",
        "layers.{i}.ffn.gate": "model.layers.{i}.mlp.gate_proj.weight",
        "layers.{i}.ffn.up": "model.layers.{i}.mlp.up_proj.weight",
        "layers.{i}.ffn.down": "model.layers.{i}.mlp.down_proj.weight",
        "norm": "model.norm.weight",
        "head": "lm_head.weight",
    },
    transposed=True,
    ignored=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),  # in old files; follows from rope_theta
)

ADAPTERS: Mapping[str, Adapter] = {"llama": LLAMA}  # by config.json's model_type
