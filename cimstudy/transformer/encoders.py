"""Families of encoders: tables of what each calls our sizes and weights, and a few flags over the one forward pass."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cimstudy.errors import InputError
from cimstudy.transformer.adapters import (
    Adapter,
    Fields,
    Rule,
    Source,
    Stored,
    always,
    at,
    from_row,
    named,
)
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.decoders import ACTIVATION_NAMES, ALL_BIASES, PLAIN_RULES

HEADS = {"ForMaskedLM": "masked", "ForPreTraining": "masked", "ForSequenceClassification": "classes", "Model": "none"}
IMAGE_HEADS = {"ForImageClassification": "classes", "Model": "none"}
ENCODER_BIASES = ALL_BIASES | {"head", "head.transform", "head.pool", "embedding.projection", "embedding.patch"}


def head_kind(kinds: Mapping[str, str]) -> Rule:
    """What comes out, by the ending of the architecture's name: BertForMaskedLM gives logits of masked tokens."""

    def rule(fields: Fields) -> str:
        names: Any = fields.get("architectures") or ["Model"]
        found = [kind for ending, kind in kinds.items() if str(names[0]).endswith(ending)]
        if not found:
            allowed = ", ".join(f"...{ending}" for ending in kinds)
            raise InputError(f"architecture {names[0]!r} in {str(fields.folder)!r}; allowed: {allowed}")
        return found[0]

    return rule


def class_count(fields: Fields) -> int:
    """Classes of a head; 0 for other heads."""
    if fields.known["head"] != "classes":
        return 0
    labels = fields.get("id2label")
    return len(labels) if labels else fields.get("num_labels") or 2


def if_classes(activation: str) -> Rule:
    """The activation ahead of a head of classes; None for other heads."""
    return lambda fields: activation if fields.known["head"] == "classes" else None


def tied_if_masked(fields: Fields) -> bool:
    """Whether the head is the embedding, transposed: where it gives tokens. InputError if it is not even there."""
    if fields.known["head"] == "masked" and fields.get("tie_word_embeddings") is False:
        raise InputError(
            f"tie_word_embeddings=False in the config.json of {str(fields.folder)!r}; allowed: true or none"
        )
    return bool(fields.known["head"] == "masked")


def beyond_padding(fields: Fields) -> int:
    """The context of a table of positions whose first two rows no token uses."""
    context: int = at("max_position_embeddings")(fields) - 2
    return context


BERT_RULES: Mapping[str, Rule] = {
    **PLAIN_RULES,
    "norm_eps": at("layer_norm_eps", default=1e-12),
    "norm": always("layer"),
    "norm_place": always("after"),
    "final_norm": always(False),
    "causal": always(False),
    "learned_positions": always(True),
    "token_types": at("type_vocab_size", default=2),
    "embedding_norm": always(True),
    "activation": named(ACTIVATION_NAMES, "hidden_act", default="gelu"),
    "gated": always(False),
    "biases": always(ENCODER_BIASES),
    "head": head_kind(HEADS),
    "tied_embeddings": tied_if_masked,
    "classes": class_count,
    "pool": if_classes("tanh"),
}
BERT_FIXED: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
OLD_NORMS = {".gamma": ".weight", ".beta": ".bias"}  # in files that came from TensorFlow


def bert_tensors(prefix: str) -> dict[str, str | Source]:
    """BERT's names, which RoBERTa has taken over."""
    layer = f"{prefix}encoder.layer.{{i}}"
    return {
        "embedding": f"{prefix}embeddings.word_embeddings.weight",
        "positions": f"{prefix}embeddings.position_embeddings.weight",
        "token_types": f"{prefix}embeddings.token_type_embeddings.weight",
        "embedding.norm": f"{prefix}embeddings.LayerNorm.weight",
        "layers.{i}.attention.q": f"{layer}.attention.self.query.weight",
        "layers.{i}.attention.k": f"{layer}.attention.self.key.weight",
        "layers.{i}.attention.v": f"{layer}.attention.self.value.weight",
        "layers.{i}.attention.o": f"{layer}.attention.output.dense.weight",
        "layers.{i}.attention.norm": f"{layer}.attention.output.LayerNorm.weight",
        "layers.{i}.ffn.up": f"{layer}.intermediate.dense.weight",
        "layers.{i}.ffn.down": f"{layer}.output.dense.weight",
        "layers.{i}.ffn.norm": f"{layer}.output.LayerNorm.weight",
    }


BERT = Adapter(
    rules=BERT_RULES,
    fixed=BERT_FIXED,
    tensors={
        **bert_tensors("bert."),
        "head.transform": "cls.predictions.transform.dense.weight",
        "head.norm": "cls.predictions.transform.LayerNorm.weight",
        "head": {"masked": "cls.predictions.decoder.weight", "classes": "classifier.weight"},
        "head.bias": {"masked": "cls.predictions.bias", "classes": "classifier.bias"},
        "head.pool": "bert.pooler.dense.weight",
    },
    prefix="bert.",
    renamed=OLD_NORMS,
    ignored=(
        r"(bert\.)?pooler\.dense\.(weight|bias)",
        r"(bert\.)?embeddings\.position_ids",
        r"cls\.seq_relationship\.(weight|bias)",
        r"cls\.predictions\.decoder\.bias",
    ),
)
ROBERTA = Adapter(
    rules={**BERT_RULES, "context": beyond_padding, "norm_eps": at("layer_norm_eps", default=1e-12)},
    fixed={**BERT_FIXED, "pad_token_id": (1,), "hidden_act": ("gelu",)},
    tensors={
        **bert_tensors("roberta."),
        "positions": Source(tensor="roberta.embeddings.position_embeddings.weight", take=from_row(2), more=2),
        "head.transform": "lm_head.dense.weight",
        "head.norm": "lm_head.layer_norm.weight",
        "head": {"masked": "lm_head.decoder.weight", "classes": "classifier.out_proj.weight"},
        "head.bias": {"masked": "lm_head.bias", "classes": "classifier.out_proj.bias"},
        "head.pool": "classifier.dense.weight",
    },
    prefix="roberta.",
    renamed=OLD_NORMS,
    ignored=(
        r"(roberta\.)?pooler\.dense\.(weight|bias)",
        r"(roberta\.)?embeddings\.position_ids",
        r"lm_head\.decoder\.bias",
    ),
)
DISTILBERT = Adapter(
    rules={
        **BERT_RULES,
        "width": at("dim", "hidden_size"),
        "layers": at("n_layers", "num_hidden_layers"),
        "heads": at("n_heads", "num_attention_heads"),
        "ffn_width": at("hidden_dim"),
        "token_types": always(0),
        "norm_eps": always(1e-12),
        "activation": named(ACTIVATION_NAMES, "activation", default="gelu"),
        "pool": if_classes("relu"),
    },
    fixed={},
    tensors={
        "embedding": "distilbert.embeddings.word_embeddings.weight",
        "positions": "distilbert.embeddings.position_embeddings.weight",
        "embedding.norm": "distilbert.embeddings.LayerNorm.weight",
        "layers.{i}.attention.q": "distilbert.transformer.layer.{i}.attention.q_lin.weight",
        "layers.{i}.attention.k": "distilbert.transformer.layer.{i}.attention.k_lin.weight",
        "layers.{i}.attention.v": "distilbert.transformer.layer.{i}.attention.v_lin.weight",
        "layers.{i}.attention.o": "distilbert.transformer.layer.{i}.attention.out_lin.weight",
        "layers.{i}.attention.norm": "distilbert.transformer.layer.{i}.sa_layer_norm.weight",
        "layers.{i}.ffn.up": "distilbert.transformer.layer.{i}.ffn.lin1.weight",
        "layers.{i}.ffn.down": "distilbert.transformer.layer.{i}.ffn.lin2.weight",
        "layers.{i}.ffn.norm": "distilbert.transformer.layer.{i}.output_layer_norm.weight",
        "head.transform": "vocab_transform.weight",
        "head.norm": "vocab_layer_norm.weight",
        "head": {"masked": "vocab_projector.weight", "classes": "classifier.weight"},
        "head.bias": {"masked": "vocab_projector.bias", "classes": "classifier.bias"},
        "head.pool": "pre_classifier.weight",
    },
    prefix="distilbert.",
    ignored=(r"(distilbert\.)?embeddings\.position_ids",),
)
ALBERT_LAYER = "albert.encoder.albert_layer_groups.{i}.albert_layers.0"
ALBERT = Adapter(
    rules={
        **BERT_RULES,
        "layer_groups": at("num_hidden_groups", default=1),
        "embedding_width": at("embedding_size", default=128),
        "activation": named(ACTIVATION_NAMES, "hidden_act", default="gelu_new"),
    },
    fixed={**BERT_FIXED, "inner_group_num": (1,)},
    tensors={
        "embedding": "albert.embeddings.word_embeddings.weight",
        "positions": "albert.embeddings.position_embeddings.weight",
        "token_types": "albert.embeddings.token_type_embeddings.weight",
        "embedding.norm": "albert.embeddings.LayerNorm.weight",
        "embedding.projection": "albert.encoder.embedding_hidden_mapping_in.weight",
        "layers.{i}.attention.q": f"{ALBERT_LAYER}.attention.query.weight",
        "layers.{i}.attention.k": f"{ALBERT_LAYER}.attention.key.weight",
        "layers.{i}.attention.v": f"{ALBERT_LAYER}.attention.value.weight",
        "layers.{i}.attention.o": f"{ALBERT_LAYER}.attention.dense.weight",
        "layers.{i}.attention.norm": f"{ALBERT_LAYER}.attention.LayerNorm.weight",
        "layers.{i}.ffn.up": f"{ALBERT_LAYER}.ffn.weight",
        "layers.{i}.ffn.down": f"{ALBERT_LAYER}.ffn_output.weight",
        "layers.{i}.ffn.norm": f"{ALBERT_LAYER}.full_layer_layer_norm.weight",
        "head.transform": "predictions.dense.weight",
        "head.norm": "predictions.LayerNorm.weight",
        "head": {"masked": "predictions.decoder.weight", "classes": "classifier.weight"},
        "head.bias": {"masked": "predictions.bias", "classes": "classifier.bias"},
        "head.pool": "albert.pooler.weight",
    },
    prefix="albert.",
    ignored=(
        r"(albert\.)?pooler\.(weight|bias)",
        r"(albert\.)?embeddings\.position_ids",
        r"predictions\.decoder\.bias",
        r"sop_classifier\.classifier\.(weight|bias)",
    ),
)


def patch_count(fields: Fields) -> int:
    """Patches of an image, and one place for the class token."""
    image, patch = at("image_size", default=224)(fields), fields.known["patch"]
    if not isinstance(image, int) or not isinstance(patch, int) or image % patch:
        raise InputError(f"image_size={image!r} is not a whole number of patches of {patch!r}; allowed: a multiple")
    return (image // patch) ** 2 + 1


def flattened(stored: Stored, _config: TransformerConfig) -> Stored:
    """All but the outputs as one axis."""
    return stored.reshape(len(stored), -1)


def last_axes(count: int) -> Any:
    """The last `count` axes; those before are one long."""

    def take(stored: Stored, _config: TransformerConfig) -> Stored:
        return np.reshape(stored, stored.shape[-count:])

    return take


VIT = Adapter(
    rules={
        **{name: rule for name, rule in BERT_RULES.items() if name not in {"vocab_size", "context", "token_types"}},
        "vocab_size": always(1),
        "patch": at("patch_size", default=16),
        "channels": at("num_channels", default=3),
        "context": patch_count,
        "norm_place": always("before"),
        "final_norm": always(True),
        "embedding_norm": always(False),
        "head": head_kind(IMAGE_HEADS),
        "tied_embeddings": always(False),
        "pool": always(None),
        "biases": lambda fields: (
            ENCODER_BIASES
            - ({"attention.q", "attention.k", "attention.v"} if fields.get("qkv_bias") is False else set())
        ),
    },
    fixed={},
    tensors={
        "embedding.patch": Source(
            tensor="vit.embeddings.patch_embeddings.projection.weight",
            take=flattened,
            shape=lambda config: (config.width, config.channels, config.patch, config.patch),
        ),
        "class_token": Source(
            tensor="vit.embeddings.cls_token", take=last_axes(1), shape=lambda config: (1, 1, config.width)
        ),
        "positions": Source(
            tensor="vit.embeddings.position_embeddings",
            take=last_axes(2),
            shape=lambda config: (1, config.context, config.width),
        ),
        "layers.{i}.attention.norm": "vit.encoder.layer.{i}.layernorm_before.weight",
        "layers.{i}.attention.q": "vit.encoder.layer.{i}.attention.attention.query.weight",
        "layers.{i}.attention.k": "vit.encoder.layer.{i}.attention.attention.key.weight",
        "layers.{i}.attention.v": "vit.encoder.layer.{i}.attention.attention.value.weight",
        "layers.{i}.attention.o": "vit.encoder.layer.{i}.attention.output.dense.weight",
        "layers.{i}.ffn.norm": "vit.encoder.layer.{i}.layernorm_after.weight",
        "layers.{i}.ffn.up": "vit.encoder.layer.{i}.intermediate.dense.weight",
        "layers.{i}.ffn.down": "vit.encoder.layer.{i}.output.dense.weight",
        "norm": "vit.layernorm.weight",
        "head": "classifier.weight",
    },
    prefix="vit.",
    ignored=(r"(vit\.)?pooler\.dense\.(weight|bias)", r"(vit\.)?embeddings\.mask_token"),
)
ENCODERS: Mapping[str, Adapter] = {
    "albert": ALBERT,
    "bert": BERT,
    "distilbert": DISTILBERT,
    "roberta": ROBERTA,
    "vit": VIT,
}
