import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cimstudy.errors import InputError
from cimstudy.transformer import TransformerConfig, load_model
from cimstudy.transformer.rotary import Rotary

Tensors = dict[str, NDArray[Any]]
WriteLlama = Callable[..., Path]

DOWN = "model.layers.1.mlp.down_proj.weight"


def rewrite_config(folder: Path, **fields: object) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | fields))


def rewrite_dtype(folder: Path, dtype: str) -> None:
    """Replace the file by one that holds its float32 tensors as `dtype`, bfloat16 being cut, not rounded."""
    tensors = load_file(folder / "model.safetensors")
    if dtype != "bfloat16":
        save_file({name: tensor.astype(dtype) for name, tensor in tensors.items()}, folder / "model.safetensors")
        return
    halves = {name: (tensor.view(np.uint32) >> 16).astype("<u2") for name, tensor in tensors.items()}
    header, blocks, end = {}, [], 0
    for name, half in halves.items():
        header[name] = {"dtype": "BF16", "shape": half.shape, "data_offsets": [end, end + half.nbytes]}
        blocks.append(half.tobytes())
        end += half.nbytes
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def shard(folder: Path) -> list[str]:
    """Cut the folder's file in two; their names."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    place = {name: files[i % 2] for i, name in enumerate(sorted(tensors))}
    for file in files:
        save_file({name: tensor for name, tensor in tensors.items() if place[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return files


def test_a_model_says_what_it_is(write_llama: WriteLlama) -> None:
    folder = write_llama(num_key_value_heads=1)
    model = load_model(folder)
    assert model.name == folder.name
    assert model.config == TransformerConfig(
        vocab_size=13,
        width=12,
        layers=2,
        heads=3,
        kv_heads=1,
        head_width=4,
        ffn_width=20,
        context=24,
        rotary=Rotary.plain(4, 500.0),
    )
    assert model.checksum == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert model.matrices[:8] == tuple(
        f"layers.{i}.{part}"
        for i, part in [
            *((0, f"attention.{name}") for name in "qkvo"),
            *((0, f"ffn.{name}") for name in ("gate", "up", "down")),
            (1, "attention.q"),
        ]
    )
    assert len(model.matrices) == 15
    assert model.matrices[-1] == "head"


def test_weights_are_the_files_numbers_turned_to_n_in_n_out(write_llama: WriteLlama) -> None:
    folder = write_llama()
    model, stored = load_model(folder), load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(model.weights["layers.1.ffn.down"], stored[DOWN].T)
    np.testing.assert_array_equal(model.weights["embedding"], stored["model.embed_tokens.weight"])
    for weight in model.weights.values():
        assert weight.dtype == np.float32
        assert weight.flags.c_contiguous
        assert not weight.flags.writeable


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 7), ("float32", 24)])
def test_each_number_format_is_read(write_llama: WriteLlama, dtype: str, bits: int) -> None:
    folder = write_llama()
    exact = load_model(folder).weights
    rewrite_dtype(folder, dtype)
    for name, weight in load_model(folder).weights.items():
        # One unit in the last place of the format; float16's smallest step covers what lies below its normal range.
        np.testing.assert_allclose(weight, exact[name], rtol=2.0**-bits, atol=2.0**-24)


def test_shards_are_one_model(write_llama: WriteLlama) -> None:
    folder = write_llama()
    whole = load_model(folder)
    files = shard(folder)
    model = load_model(folder)
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(model.weights[name], weight)
    contents = b"".join((folder / file).read_bytes() for file in files)
    assert model.checksum == hashlib.sha256(contents).hexdigest()


def test_a_tied_head_is_the_embedding_even_if_the_file_holds_a_copy(write_llama: WriteLlama) -> None:
    def add_head(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()

    for change in (lambda _: None, add_head):
        model = load_model(write_llama(change, tie_word_embeddings=True))
        np.testing.assert_array_equal(model.weights["head"], model.weights["embedding"].T)
        assert model.matrices[-1] == "head"


def test_fields_may_be_left_to_their_defaults_or_written_the_new_way(write_llama: WriteLlama) -> None:
    folder = write_llama(num_key_value_heads=3, rope_theta="left out", rms_norm_eps="left out", head_dim=None)
    rewrite_config(folder, rope_parameters={"rope_theta": 77.0, "rope_type": "default"})
    config = load_model(folder).config
    assert (config.kv_heads, config.head_width, config.norm_eps) == (3, 4, 1e-6)
    assert config.rotary == Rotary.plain(4, 77.0)


def test_rotary_buffers_of_old_files_are_skipped(write_llama: WriteLlama) -> None:
    def add(tensors: Tensors) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, np.float32)

    assert "head" in load_model(write_llama(add)).weights


def test_a_model_survives_pickling_and_is_known_by_its_checksum(write_llama: WriteLlama) -> None:
    model = load_model(write_llama())
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes
    assert again == model
    assert hash(again) == hash(model)
    np.testing.assert_array_equal(again.logits([1, 2, 3]), model.logits([1, 2, 3]))


CHANGED_TENSORS = {
    "missing": (lambda t: t.pop(DOWN), rf"lacks {DOWN}; its config\.json calls for 21 tensors"),
    "many missing": (
        lambda t: [t.pop(name) for name in list(t) if "layers.1" in name],
        r"lacks model\.layers\.1\.input_layernorm\.weight, .* and 6 more tensors",
    ),
    "extra": (
        lambda t: t.update(extra=np.ones(3, np.float32)),
        r"holds extra, which its config\.json has no place for",
    ),
    "bias": (
        lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": np.ones(12, np.float32)}),
        r"holds model\.layers\.0\.self_attn\.q_proj\.bias",
    ),
    "misshapen": (
        lambda t: t.update({DOWN: t[DOWN].T.copy()}),
        rf"tensor {DOWN} in .* is \(20, 12\); allowed: \(12, 20\)",
    ),
    "nan": (lambda t: t[DOWN].__setitem__((3, 4), np.nan), rf"tensor {DOWN} in .* holds NaN or infinity; allowed: fin"),
    "integers": (
        lambda t: t.update({DOWN: t[DOWN].astype(np.int8)}),
        rf"tensor {DOWN} in .* is I8; allowed: F32, F16, BF16",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGED_TENSORS.values(), ids=CHANGED_TENSORS.keys())
def test_every_tensor_is_accounted_for(
    write_llama: WriteLlama, change: Callable[[Tensors], object], message: str
) -> None:
    folder = write_llama(change)
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


CHANGED_CONFIGS = {
    "family": ({"model_type": "mamba"}, r"model_type 'mamba' in .*; allowed: albert, .*, llama, "),
    "no family": ({"model_type": "left out"}, r"model_type None in .*; allowed: albert, .*, llama, "),
    "no size": ({"intermediate_size": "left out"}, r"no intermediate_size in the config\.json of .*; it is required"),
    "text": ({"vocab_size": "13"}, r"vocab_size='13' in a transformer's config; allowed: an integer of at least 1"),
    "no heads": ({"num_attention_heads": 0}, r"^heads=0 in a transformer's config; allowed: an integer of at least 1"),
    "eps": ({"rms_norm_eps": -1}, r"norm_eps=-1 in a transformer's config; allowed: a finite number above 0"),
    "tied": ({"tie_word_embeddings": 1}, r"tied_embeddings=1 in a transformer's config; allowed: true or false"),
    "groups": ({"num_key_value_heads": 2}, r"kv_heads=2 does not divide heads=3; allowed: a divisor"),
    "odd heads": ({"head_dim": 3}, r"head_width=3; allowed: an even number"),
    "activation": ({"hidden_act": "mish"}, r"hidden_act='mish' in .*; allowed: silu, swish, gelu"),
    "biases": ({"attention_bias": True}, r"lacks model\.layers\.0\.self_attn\.q_proj\.bias, .* and 5 more tensors"),
    "scaled": (
        {"rope_scaling": {"rope_type": "dynamic"}},
        r"rope_type 'dynamic' in .*; allowed: default, linear, llama3",
    ),
    "half scaled": ({"rope_scaling": {"rope_type": "linear"}}, r"rope_type 'linear' in .* needs factor"),
}


@pytest.mark.parametrize(("fields", "message"), CHANGED_CONFIGS.values(), ids=CHANGED_CONFIGS.keys())
def test_a_config_that_the_forward_pass_does_not_compute_is_refused(
    write_llama: WriteLlama, fields: dict[str, Any], message: str
) -> None:
    folder = write_llama()
    raw = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v != "left out"}))
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def leave_a_header_only(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"abc")


def leave_pickles_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def lose_a_shard(folder: Path) -> None:
    (folder / shard(folder)[1]).unlink()


def lose_the_map(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text("{}")


def repeat_a_tensor(folder: Path) -> None:
    first, second = (folder / file for file in shard(folder))
    save_file(load_file(first) | load_file(second), second)


BROKEN_FOLDERS = {
    "truncated": (cut_short, r"model\.safetensors' is cut short or no safetensors file"),
    "garbage": (leave_a_header_only, r"model\.safetensors' is cut short or no safetensors file"),
    "pickles": (
        leave_pickles_only,
        r"no model\.safetensors in .*, which holds pytorch_model\.bin; allowed: model\.saf",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"no model\.safetensors in .*, which holds nothing"),
    "no shard": (
        lose_a_shard,
        r"lacks model-00002-of-00002\.safetensors, named in its model\.safetensors\.index\.json",
    ),
    "no map": (lose_the_map, r"model\.safetensors\.index\.json in .* has no weight_map"),
    "twice": (repeat_a_tensor, r"is in two of the files in .*; allowed: in one"),
    "no config": (lambda f: (f / "config.json").unlink(), r"no config\.json in .*; a checkpoint's folder holds"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json' is not JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), r"config\.json' holds a JSON list; allowed: an object"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN_FOLDERS.values(), ids=BROKEN_FOLDERS.keys())
def test_a_broken_folder_is_named(write_llama: WriteLlama, damage: Callable[[Path], object], message: str) -> None:
    folder = write_llama()
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model at '.*nowhere'; allowed: 'bundled', or a checkpoint's folder"):
        load_model(tmp_path / "nowhere")
