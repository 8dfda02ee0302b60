"""How families of checkpoints are told to the loader: rules for our config, and names for our weights.

A family is a table. A rule reads a field of our config from config.json; a source says which tensor holds a weight,
and which of the tensor's outputs, if several weights share it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.rotary import Rotary, read_rotary

Stored = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """config.json, while our config is made from it: `known` holds our fields so far."""

    raw: Mapping[str, Any]
    folder: Path
    known: dict[str, Any]

    def get(self, *paths: str) -> Any:
        """The first of these dotted paths that is present and not null; None if none is."""
        found = (lookup(self.raw, path) for path in paths)
        return next((value for value in found if value is not None), None)


Rule = Callable[[Fields], Any]
Take = Callable[[Stored, TransformerConfig], Stored]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a weight is stored. `take` cuts it out of the tensor's outputs, which come first, or changes it.

    `more`: rows of the tensor beyond those of our weights.  `shape`: of the tensor, if it is not that of our weight.
    """

    tensor: str
    take: Take
    more: int = 0
    shape: Callable[[TransformerConfig], tuple[int, ...]] | None = None


Entry = str | Source | Mapping[str, str]  # a tensor's name, what to take of it, or a name for each kind of head


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One family of checkpoints: its names for what the forward pass needs."""

    rules: Mapping[str, Rule]  # our field: how to find it
    fixed: Mapping[str, tuple[Any, ...]]  # config.json's path: what it may be, if present
    tensors: Mapping[str, Entry]  # of our weights; {i} stands for the layer, {e} for the expert
    inputs_first: bool = False  # matrices of layers are stored (n_in, n_out), the others (n_out, n_in)
    prefix: str = ""  # of all tensors but the head's; files without it are read too
    ignored: tuple[str, ...] = ()  # patterns of tensors that carry nothing
    renamed: Mapping[str, str] = field(default_factory=dict)  # endings in old files: what they are now

    def source(self, weight: str, head: str) -> Source:
        """Where our weight "layers.3.ffn.up" is stored: "model.layers.3.mlp.up_proj.weight", for example."""
        places = dict(zip("ie", re.findall(r"\.(\d+)(?=\.)", weight), strict=False))
        generic = weight
        for mark, number in places.items():
            generic = generic.replace(f".{number}.", f".{{{mark}}}.", 1)
        entry = self.tensors.get(generic)
        if entry is None and generic.endswith(".bias"):
            entry = bias_of(self.tensors[generic.removesuffix(".bias")], head)
        found = as_source(self.tensors[generic] if entry is None else entry, head)
        return replace(found, tensor=found.tensor.format(**places))


def as_source(entry: Entry, head: str) -> Source:
    """A tensor's name alone means the whole tensor."""
    if isinstance(entry, Source):
        return entry
    return Source(tensor=entry if isinstance(entry, str) else entry[head], take=whole)


def bias_of(entry: Entry, head: str) -> Source:
    """Where a matrix's or a norm's bias is: beside its weight, cut as that is."""
    found = as_source(entry, head)
    take = found.take if found.shape is None else whole
    return Source(tensor=f"{found.tensor.removesuffix('.weight')}.bias", take=take)


def whole(stored: Stored, _config: TransformerConfig) -> Stored:
    """The tensor as it is."""
    return stored


def share(index: int, count: int) -> Take:
    """One of `count` equal shares of the outputs."""

    def take(stored: Stored, _config: TransformerConfig) -> Stored:
        size = len(stored) // count
        return stored[index * size : (index + 1) * size]

    return take


def of_each_head(index: int, count: int) -> Take:
    """One of `count` equal shares of the outputs of each head, which lie together."""

    def take(stored: Stored, config: TransformerConfig) -> Stored:
        heads = stored.reshape(config.heads, count, config.head_width, *stored.shape[1:])
        return heads[:, index].reshape(-1, *stored.shape[1:])

    return take


def of_query_key_value(index: int) -> Take:
    """Queries, keys or values, which lie one after the other."""

    def take(stored: Stored, config: TransformerConfig) -> Stored:
        q, kv = config.heads * config.head_width, config.kv_heads * config.head_width
        edges = (0, q, q + kv, q + 2 * kv)
        return stored[edges[index] : edges[index + 1]]

    return take


def from_row(first: int) -> Take:
    """The rows from this one on, of a table."""
    return lambda stored, _config: stored[first:]


def plus_one(stored: Stored, _config: TransformerConfig) -> Stored:
    """A gain that is stored as what it is above one."""
    return np.asarray(stored, np.float32) + np.float32(1)


def at(*paths: str, default: Any = None) -> Rule:
    """The value at the first of these paths; `default`, or what it makes of the fields, if there is none."""

    def rule(fields: Fields) -> Any:
        found = fields.get(*paths)
        if found is not None:
            return found
        if default is None:
            raise InputError(f"no {paths[0]} in the config.json of {str(fields.folder)!r}; it is required")
        return default(fields) if callable(default) else default

    return rule


def maybe(*paths: str) -> Rule:
    """The value at the first of these paths; None if there is none."""
    return lambda fields: fields.get(*paths)


def always(value: Any) -> Rule:
    """The same for the whole family."""
    return lambda _fields: value


def same(field: str) -> Rule:
    """As another field of our config, which comes before."""
    return lambda fields: fields.known[field]


def named(names: Mapping[str, str], *paths: str, default: str | None = None) -> Rule:
    """What config.json calls by one of these names; InputError for any other."""
    find = at(*paths, default=default)

    def rule(fields: Fields) -> str:
        name = find(fields)
        if name not in names:
            allowed = ", ".join(names)
            raise InputError(f"{paths[0]}={name!r} in the config.json of {str(fields.folder)!r}; allowed: {allowed}")
        return names[name]

    return rule


def biases(groups: Mapping[tuple[str, bool], tuple[str, ...]]) -> Rule:
    """Matrices with biases: under each switch of config.json, with what it is if absent."""

    def rule(fields: Fields) -> frozenset[str]:
        found: set[str] = set()
        for (path, default), names in groups.items():
            value = fields.get(path)
            if default if value is None else value:
                found.update(names)
        return frozenset(found)

    return rule


def head_width(fields: Fields) -> Any:
    """Of a head, if all of them together are as wide as the residual stream."""
    return fields.known["width"] // fields.known["heads"]


def rotary(share_of_head: Rule | None = None) -> Rule:
    """Rotary positions, described the new way (`rope_parameters`) or the old (`rope_theta`, `rope_scaling`)."""

    def rule(fields: Fields) -> Rotary:
        scaling = fields.get("rope_parameters", "rope_scaling") or {}
        parameters = {
            "rope_theta": fields.get("rope_parameters.rope_theta", "rope_theta", "rotary_emb_base") or 10000.0,
            "original_max_position_embeddings": fields.get("original_max_position_embeddings"),
            **scaling,
        }
        parameters = {name: value for name, value in parameters.items() if value is not None}
        part = 1.0 if share_of_head is None else share_of_head(fields)
        width = int(fields.known["head_width"] * part)
        if width < 2 or width % 2:
            raise InputError(
                f"head_width={fields.known['head_width']}; allowed: an even number, as positions turn pairs"
            )
        return read_rotary(parameters, width, fields.known["context"])

    return rule


def windows(applies: Callable[[Fields, int], bool]) -> Rule:
    """The window of each layer: `layer_types` if given, or else where the family `applies` its sliding window."""

    def rule(fields: Fields) -> tuple[int | None, ...]:
        size, layers, types = fields.get("sliding_window"), fields.known["layers"], fields.get("layer_types")
        if size is None or fields.get("use_sliding_window") is False:
            return ()
        if types is not None:
            slides = [kind == "sliding_attention" for kind in types]
        else:
            slides = [applies(fields, layer) for layer in range(layers)]
        return tuple(size if slide else None for slide in slides) if any(slides) else ()

    return rule


def lookup(raw: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of config.json; None if there is none."""
    value: Any = raw
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
