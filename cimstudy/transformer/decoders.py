"""Families of decoders: tables of what each calls our sizes and weights, and a few flags over the one forward pass."""

from collections.abc import Mapping
from typing import Any

from cimstudy.transformer.adapters import (
    Adapter,
    Fields,
    Rule,
    Source,
    always,
    at,
    biases,
    from_row,
    head_width,
    maybe,
    named,
    of_each_head,
    of_query_key_value,
    plus_one,
    rotary,
    same,
    share,
    windows,
)

ACTIVATION_NAMES = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
QKV = ("attention.q", "attention.k", "attention.v")
ALL_BIASES = frozenset({*QKV, "attention.o", "ffn.up", "ffn.down"})

PLAIN_RULES: Mapping[str, Rule] = {  # the usual names; families override some
    "vocab_size": at("vocab_size"),
    "width": at("hidden_size"),
    "layers": at("num_hidden_layers"),
    "heads": at("num_attention_heads"),
    "kv_heads": same("heads"),
    "head_width": head_width,
    "ffn_width": at("intermediate_size"),
    "context": at("max_position_embeddings"),
}
LLAMA_RULES: Mapping[str, Rule] = {
    **PLAIN_RULES,
    "kv_heads": at("num_key_value_heads", default=same("heads")),
    "head_width": at("head_dim", default=head_width),
    "norm_eps": at("rms_norm_eps", default=1e-6),
    "tied_embeddings": at("tie_word_embeddings", default=False),
    "activation": named(ACTIVATION_NAMES, "hidden_act", default="silu"),
    "rotary": rotary(),
}
LLAMA_TENSORS = {
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
}


def narrower(fields: Fields) -> Any:
    """The width of OPT's embeddings, if it is not the residual stream's."""
    width = fields.get("word_embed_proj_dim")
    return None if width == fields.known["width"] else width


ROTARY_BUFFERS = (r"(model\.)?layers\.\d+\.self_attn\.rotary_emb\.inv_freq",)  # in old files; follow from the config


LLAMA = Adapter(
    rules={
        **LLAMA_RULES,
        "biases": biases(
            {("attention_bias", False): (*QKV, "attention.o"), ("mlp_bias", False): ("ffn.gate", "ffn.up", "ffn.down")}
        ),
    },
    fixed={},
    tensors=LLAMA_TENSORS,
    prefix="model.",
    ignored=ROTARY_BUFFERS,
)
MISTRAL = Adapter(
    rules={**LLAMA_RULES, "windows": windows(lambda _fields, _layer: True)},
    fixed={},
    tensors=LLAMA_TENSORS,
    prefix="model.",
    ignored=ROTARY_BUFFERS,
)
QWEN_RULES: Mapping[str, Rule] = {
    **LLAMA_RULES,
    "windows": windows(lambda fields, layer: layer >= (fields.get("max_window_layers") or 0)),
}
QWEN2 = Adapter(
    rules={**QWEN_RULES, "biases": always(frozenset(QKV))},
    fixed={},
    tensors=LLAMA_TENSORS,
    prefix="model.",
    ignored=ROTARY_BUFFERS,
)
QWEN3 = Adapter(
    rules={
        **QWEN_RULES,
        "head_width": at("head_dim", default=128),
        "qk_norm": always(True),
        "biases": biases({("attention_bias", False): (*QKV, "attention.o")}),
    },
    fixed={},
    tensors={
        **LLAMA_TENSORS,
        "layers.{i}.attention.q_norm": "model.layers.{i}.self_attn.q_norm.weight",
        "layers.{i}.attention.k_norm": "model.layers.{i}.self_attn.k_norm.weight",
    },
    prefix="model.",
)
PHI3 = Adapter(
    rules={
        **LLAMA_RULES,
        "norm_eps": at("rms_norm_eps", default=1e-5),
        "rotary": rotary(at("rope_parameters.partial_rotary_factor", "partial_rotary_factor", default=1.0)),
        "windows": windows(lambda _fields, _layer: True),
    },
    fixed={},
    tensors={
        **LLAMA_TENSORS,
        **{
            f"layers.{{i}}.{name}": Source(
                tensor="model.layers.{i}.self_attn.qkv_proj.weight", take=of_query_key_value(index)
            )
            for index, name in enumerate(QKV)
        },
        "layers.{i}.ffn.gate": Source(tensor="model.layers.{i}.mlp.gate_up_proj.weight", take=share(0, 2)),
        "layers.{i}.ffn.up": Source(tensor="model.layers.{i}.mlp.gate_up_proj.weight", take=share(1, 2)),
    },
    prefix="model.",
)
GEMMA2 = Adapter(
    rules={
        **LLAMA_RULES,
        "head_width": at("head_dim", default=256),
        "tied_embeddings": at("tie_word_embeddings", default=True),
        "activation": named(ACTIVATION_NAMES, "hidden_activation", "hidden_act", default="gelu_pytorch_tanh"),
        "norm_place": always("around"),
        "embedding_scale": lambda fields: fields.known["width"] ** 0.5,
        "score_scale": lambda fields: at("query_pre_attn_scalar", default=256)(fields) ** -0.5,
        "score_cap": maybe("attn_logit_softcapping"),
        "logit_cap": maybe("final_logit_softcapping"),
        "windows": windows(lambda _fields, layer: layer % 2 == 0),
        "biases": biases({("attention_bias", False): (*QKV, "attention.o")}),
    },
    fixed={"use_bidirectional_attention": (False,)},
    tensors={
        **LLAMA_TENSORS,
        "layers.{i}.attention.norm": Source(tensor="model.layers.{i}.input_layernorm.weight", take=plus_one),
        "layers.{i}.attention.norm_after": Source(
            tensor="model.layers.{i}.post_attention_layernorm.weight", take=plus_one
        ),
        "layers.{i}.ffn.norm": Source(tensor="model.layers.{i}.pre_feedforward_layernorm.weight", take=plus_one),
        "layers.{i}.ffn.norm_after": Source(tensor="model.layers.{i}.post_feedforward_layernorm.weight", take=plus_one),
        "norm": Source(tensor="model.norm.weight", take=plus_one),
    },
    prefix="model.",
)
MIXTRAL = Adapter(
    rules={
        **LLAMA_RULES,
        "norm_eps": at("rms_norm_eps", default=1e-5),
        "experts": at("num_local_experts", default=8),
        "experts_per_token": at("num_experts_per_tok", default=2),
        "windows": windows(lambda _fields, _layer: True),
    },
    fixed={},
    tensors={
        **{name: tensor for name, tensor in LLAMA_TENSORS.items() if ".ffn." not in name},
        "layers.{i}.ffn.norm": "model.layers.{i}.post_attention_layernorm.weight",
        "layers.{i}.ffn.router": "model.layers.{i}.block_sparse_moe.gate.weight",
        "layers.{i}.ffn.experts.{e}.gate": "model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight",
        "layers.{i}.ffn.experts.{e}.down": "model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight",
        "layers.{i}.ffn.experts.{e}.up": "model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight",
    },
    prefix="model.",
)
GPT2 = Adapter(
    rules={
        "vocab_size": at("vocab_size"),
        "width": at("n_embd", "hidden_size"),
        "layers": at("n_layer", "num_hidden_layers"),
        "heads": at("n_head", "num_attention_heads"),
        "kv_heads": same("heads"),
        "head_width": head_width,
        "ffn_width": at("n_inner", default=lambda fields: 4 * fields.known["width"]),
        "context": at("n_positions", "n_ctx"),
        "norm_eps": at("layer_norm_epsilon", default=1e-5),
        "tied_embeddings": at("tie_word_embeddings", default=True),
        "norm": always("layer"),
        "learned_positions": always(True),
        "activation": named(ACTIVATION_NAMES, "activation_function", default="gelu_new"),
        "gated": always(False),
        "biases": always(ALL_BIASES),
    },
    fixed={
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    tensors={
        "embedding": "transformer.wte.weight",
        "positions": "transformer.wpe.weight",
        "layers.{i}.attention.norm": "transformer.h.{i}.ln_1.weight",
        **{
            f"layers.{{i}}.{name}": Source(tensor="transformer.h.{i}.attn.c_attn.weight", take=share(index, 3))
            for index, name in enumerate(QKV)
        },
        "layers.{i}.attention.o": "transformer.h.{i}.attn.c_proj.weight",
        "layers.{i}.ffn.norm": "transformer.h.{i}.ln_2.weight",
        "layers.{i}.ffn.up": "transformer.h.{i}.mlp.c_fc.weight",
        "layers.{i}.ffn.down": "transformer.h.{i}.mlp.c_proj.weight",
        "norm": "transformer.ln_f.weight",
        "head": "lm_head.weight",
    },
    inputs_first=True,
    prefix="transformer.",
    ignored=(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias",),  # causal masks, in old files
)
OPT = Adapter(
    rules={
        **PLAIN_RULES,
        "ffn_width": at("ffn_dim"),
        "tied_embeddings": at("tie_word_embeddings", default=True),
        "norm": always("layer"),
        "norm_place": lambda fields: "after" if fields.get("do_layer_norm_before") is False else "before",
        "final_norm": lambda fields: fields.known["norm_place"] == "before",
        "learned_positions": always(True),
        "positions_projected": always(False),
        "embedding_width": narrower,
        "activation": named(ACTIVATION_NAMES, "activation_function", default="relu"),
        "gated": always(False),
        "biases": biases({("enable_bias", True): tuple(sorted(ALL_BIASES))}),
    },
    fixed={"layer_norm_elementwise_affine": (True,), "_remove_final_layer_norm": (False,)},
    tensors={
        "embedding": "model.decoder.embed_tokens.weight",
        "positions": Source(tensor="model.decoder.embed_positions.weight", take=from_row(2), more=2),
        "embedding.projection": "model.decoder.project_in.weight",
        "layers.{i}.attention.norm": "model.decoder.layers.{i}.self_attn_layer_norm.weight",
        "layers.{i}.attention.q": "model.decoder.layers.{i}.self_attn.q_proj.weight",
        "layers.{i}.attention.k": "model.decoder.layers.{i}.self_attn.k_proj.weight",
        "layers.{i}.attention.v": "model.decoder.layers.{i}.self_attn.v_proj.weight",
        "layers.{i}.attention.o": "model.decoder.layers.{i}.self_attn.out_proj.weight",
        "layers.{i}.ffn.norm": "model.decoder.layers.{i}.final_layer_norm.weight",
        "layers.{i}.ffn.up": "model.decoder.layers.{i}.fc1.weight",
        "layers.{i}.ffn.down": "model.decoder.layers.{i}.fc2.weight",
        "norm": "model.decoder.final_layer_norm.weight",
        "head.projection": "model.decoder.project_out.weight",
        "head": "lm_head.weight",
    },
    prefix="model.",
)
GPT_NEOX = Adapter(
    rules={
        **PLAIN_RULES,
        "norm_eps": at("layer_norm_eps", default=1e-5),
        "tied_embeddings": at("tie_word_embeddings", default=False),
        "norm": always("layer"),
        "parallel": at("use_parallel_residual", default=True),
        "rotary": rotary(at("rope_parameters.partial_rotary_factor", "rotary_pct", default=0.25)),
        "activation": named(ACTIVATION_NAMES, "hidden_act", default="gelu"),
        "gated": always(False),
        "biases": biases({("attention_bias", True): (*QKV, "attention.o"), ("mlp_bias", True): ("ffn.up", "ffn.down")}),
    },
    fixed={"is_decoder": (True, False)},
    tensors={
        "embedding": "gpt_neox.embed_in.weight",
        "layers.{i}.attention.norm": "gpt_neox.layers.{i}.input_layernorm.weight",
        **{
            f"layers.{{i}}.{name}": Source(
                tensor="gpt_neox.layers.{i}.attention.query_key_value.weight", take=of_each_head(index, 3)
            )
            for index, name in enumerate(QKV)
        },
        "layers.{i}.attention.o": "gpt_neox.layers.{i}.attention.dense.weight",
        "layers.{i}.ffn.norm": "gpt_neox.layers.{i}.post_attention_layernorm.weight",
        "layers.{i}.ffn.up": "gpt_neox.layers.{i}.mlp.dense_h_to_4h.weight",
        "layers.{i}.ffn.down": "gpt_neox.layers.{i}.mlp.dense_4h_to_h.weight",
        "norm": "gpt_neox.final_layer_norm.weight",
        "head": "embed_out.weight",
    },
    prefix="gpt_neox.",
    ignored=(
        r"(gpt_neox\.)?layers\.\d+\.attention\.(masked_)?bias",
        r"(gpt_neox\.)?layers\.\d+\.attention\.rotary_emb\.inv_freq",
    ),
)
DECODERS: Mapping[str, Adapter] = {
    "gemma2": GEMMA2,
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "mixtral": MIXTRAL,
    "opt": OPT,
    "phi3": PHI3,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
}
