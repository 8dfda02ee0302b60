"""Hugging Face checkpoint folders as a config and float32 arrays.

Every tensor of a folder is accounted for: one that is missing, left over, misshapen or not finite is an error, never a
guess. What the families of checkpoints call things stands in adapters.py.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cimstudy import memory
from cimstudy.errors import InputError
from cimstudy.transformer.adapters import Adapter, Fields, Source, lookup
from cimstudy.transformer.config import TransformerConfig, check_field, digital_shapes, matrix_shapes
from cimstudy.transformer.decoders import DECODERS
from cimstudy.transformer.encoders import ENCODERS
from cimstudy.transformer.weights import Array, Place, Stored, StoredWeights, decoded, frozen, is_finite

Raw = Mapping[str, Any]  # config.json as it is

ADAPTERS: Mapping[str, Adapter] = {**DECODERS, **ENCODERS}  # by config.json's model_type
# What training for analog noise leaves beside each matrix (aihwkit-lightning, analog foundation models). Weights are
# stored as they were clipped, so only the ranges of inputs matter here.
LEARNED = (r".*\.(input_range|input_range_update_idx|x_min|x_max|learnable_weight_clip)",)
BUNDLED = Path(__file__).parent / "bundled"
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # bfloat16 is the upper half of a float32


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder, read and checked."""

    config: TransformerConfig
    weights: Mapping[str, Array]  # read-only; matrices (n_in, n_out), C-contiguous
    checksum: str  # SHA-256 of the safetensors files' bytes, hex
    input_ranges: Mapping[str, Array]  # learned with the weights: by matrix, one for each tile of its inputs


def read_checkpoint(folder: Path, *, in_memory: bool | None = None) -> Checkpoint:
    """What `folder` holds: config.json, and model.safetensors or its shards.  Bad folders raise one InputError line.

    in_memory : whether weights are converted at once, or each when it is asked for; None: at once if they fit into a
        quarter of this process's memory.
    """
    raw = _read_json(folder, "config.json")
    adapter = _adapter(raw, folder)
    config = _config(raw, adapter, folder)
    files = _weight_files(folder)
    tensors = _all_tensors(files, adapter)
    learned = {name: tensors.pop(name) for name in list(tensors) if _matches(name, LEARNED)}
    weights = _weights(tensors, config, adapter, folder)
    ranges = _learned(learned, config, adapter, folder)
    small = size(config) <= memory.limit() / 4
    kept = dict(weights) if (small if in_memory is None else in_memory) else weights
    return Checkpoint(config=config, weights=kept, checksum=_checksum(files), input_ranges=ranges)


def read_config(model: str | Path) -> TransformerConfig:
    """The config of the bundled model or of a checkpoint's folder.  Errors as `read_checkpoint`."""
    folder = BUNDLED if model == "bundled" else Path(model)
    raw = _read_json(folder, "config.json")
    return _config(raw, _adapter(raw, folder), folder)


def size(config: TransformerConfig) -> int:
    """Bytes of all weights in float32."""
    shapes: list[tuple[int, ...]] = [*matrix_shapes(config).values(), *digital_shapes(config).values()]
    return 4 * sum(math.prod(shape) for shape in shapes)


def _read_json(folder: Path, name: str) -> Raw:
    if not folder.is_dir():
        raise InputError(f"no model at {str(folder)!r}; allowed: 'bundled', or a checkpoint's folder")
    path = folder / name
    if not path.is_file():
        raise InputError(f"no {name} in {str(folder)!r}; a checkpoint's folder holds config.json and model.safetensors")
    try:
        raw = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{str(path)!r} holds a JSON {type(raw).__name__}; allowed: an object")
    return raw


def _adapter(raw: Raw, folder: Path) -> Adapter:
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in ADAPTERS:
        raise InputError(f"model_type {kind!r} in {str(folder)!r}; allowed: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[kind]


def _config(raw: Raw, adapter: Adapter, folder: Path) -> TransformerConfig:
    for path, allowed in adapter.fixed.items():
        value = lookup(raw, path)
        if value is not None and value not in allowed:
            names = " or ".join([*(repr(a) for a in allowed), "none"])
            raise InputError(f"{path}={value!r} in the config.json of {str(folder)!r}; allowed: {names}")
    known: dict[str, Any] = {}
    for ours, rule in adapter.rules.items():
        try:
            known[ours] = rule(Fields(raw=raw, folder=folder, known=known))
        except (TypeError, ValueError, AttributeError) as error:  # text where a number belongs, and the like
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{ours} cannot be read from the config.json of {str(folder)!r}: {reason}") from None
        check_field(ours, known[ours])  # at once, as later rules compute with it
    return TransformerConfig(**known)


def _weight_files(folder: Path) -> list[Path]:
    single, index = folder / "model.safetensors", "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not (folder / index).is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir() if path.name != "config.json")) or "nothing"
        raise InputError(
            f"no model.safetensors in {str(folder)!r}, which holds {found}; allowed: model.safetensors, or its shards "
            f"with {index}; the transformers library turns a pytorch_model.bin into them: save_pretrained(folder)"
        )
    shards = _read_json(folder, index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index} in {str(folder)!r} has no weight_map; it maps each tensor to its file")
    files = [folder / name for name in sorted(set(shards.values()))]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise InputError(f"{str(folder)!r} lacks {', '.join(missing)}, named in its {index}")
    return files


def _all_tensors(files: list[Path], adapter: Adapter) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for path in files:
        for stored, tensor in _tensors(path, adapter.ignored):
            name = stored
            for old, new in adapter.renamed.items():
                name = name.removesuffix(old) + new if name.endswith(old) else name
            if name in tensors:
                raise InputError(f"tensor {name} is in two of the files in {str(path.parent)!r}; allowed: in one")
            tensors[name] = tensor
    return tensors


def _tensors(path: Path, ignored: tuple[str, ...]) -> Iterator[tuple[str, Stored]]:
    """Names and memory-mapped tensors of one file, in their stored number format; not integers that carry nothing."""
    try:
        with safe_open(path, framework="np"):
            pass  # checks the header, and that the file is as long as it says
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(path)!r} is cut short or no safetensors file: {error}") from None
    # Read by hand, because NumPy knows no bfloat16.
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    data = np.memmap(path, np.uint8, "r", start) if path.stat().st_size > start else np.empty(0, np.uint8)
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            if _matches(name, (*ignored, *LEARNED)):  # counts and places
                continue
            raise InputError(f"tensor {name} in {str(path)!r} is {entry['dtype']}; allowed: {', '.join(_DTYPES)}")
        begin, end = entry["data_offsets"]
        yield name, data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _weights(tensors: Mapping[str, Stored], config: TransformerConfig, adapter: Adapter, folder: Path) -> StoredWeights:
    matrices = matrix_shapes(config)
    shapes: dict[str, tuple[int, ...]] = {**digital_shapes(config), **matrices}
    ignored = [*adapter.ignored]
    if config.tied_embeddings:
        del shapes["head"]
        ignored.append(re.escape(adapter.source("head", config.head).tensor))  # a copy of the embedding, in some files
    sources = {name: _found(adapter.source(name, config.head), tensors, adapter.prefix) for name in shapes}
    _account_for(tensors, list(dict.fromkeys(source.tensor for source in sources.values())), ignored, folder)
    expected = _stored_shapes(sources, {n: s[::-1] if n in matrices else s for n, s in shapes.items()}, config)
    places = {}
    for name, source in sources.items():
        flat = name in matrices and adapter.inputs_first and name.startswith("layers.")
        shape = expected[source.tensor]
        stored = _checked(tensors, source.tensor, shape[::-1] if flat else shape, folder)
        places[name] = Place(tensor=stored.T if flat else stored, take=source.take, turned=name in matrices)
    if config.tied_embeddings:
        places["head"] = replace(places["embedding"], turned=True)
    for name, stored in tensors.items():
        if not is_finite(stored):
            raise InputError(f"tensor {name} in {str(folder)!r} holds NaN or infinity; allowed: finite weights")
    return StoredWeights(places, config)


def _learned(
    tensors: Mapping[str, Stored], config: TransformerConfig, adapter: Adapter, folder: Path
) -> dict[str, Array]:
    """Ranges of the inputs of matrices, (tiles,)."""
    found: dict[str, Array] = {}
    places = {name: adapter.source(name, config.head).tensor for name in matrix_shapes(config)}
    for name, tensor in places.items():
        stem = tensor.removesuffix(".weight")
        stored = tensors.get(f"{stem}.input_range", tensors.get(f"{stem.removeprefix(adapter.prefix)}.input_range"))
        if stored is None:
            continue
        found[name] = frozen(decoded(stored)).reshape(-1)
        n_in = matrix_shapes(config)[name][0]
        if not 1 <= len(found[name]) <= n_in or not (np.isfinite(found[name]) & (found[name] > 0)).all():
            raise InputError(
                f"tensor {stem}.input_range in {str(folder)!r} is {stored.shape}; allowed: 1 to {n_in} finite numbers "
                "above 0, one for each tile of the inputs"
            )
    return found


def _stored_shapes(
    sources: Mapping[str, Source], shapes: Mapping[str, tuple[int, ...]], config: TransformerConfig
) -> dict[str, tuple[int, ...]]:
    """Of each tensor, outputs first. Several of our weights may lie in one, side by side."""
    expected: dict[str, tuple[int, ...]] = {}
    for name, source in sources.items():
        outputs, *inputs = shapes[name]
        before = expected.get(source.tensor, (source.more,))[0]
        expected[source.tensor] = (before + outputs, *inputs) if source.shape is None else source.shape(config)
    return expected


def _found(source: Source, tensors: Mapping[str, Stored], prefix: str) -> Source:
    """The source under the name that this file gives it: files of a bare network lack the family's prefix."""
    bare = source.tensor.removeprefix(prefix)
    return replace(source, tensor=bare) if source.tensor not in tensors and bare in tensors else source


def _account_for(tensors: Mapping[str, Stored], needed: list[str], ignored: list[str], folder: Path) -> None:
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise InputError(f"{str(folder)!r} lacks {_some(missing)}; its config.json calls for {len(needed)} tensors")
    extra = sorted(set(tensors) - set(needed))
    extra = [name for name in extra if not _matches(name, ignored)]
    if extra:
        raise InputError(f"{str(folder)!r} holds {_some(extra)}, which its config.json has no place for")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _checked(tensors: Mapping[str, Stored], name: str, shape: tuple[int, ...], folder: Path) -> Stored:
    stored = tensors[name]
    if stored.shape != shape:
        raise InputError(
            f"tensor {name} in {str(folder)!r} is {stored.shape}; allowed: {shape}, which follows from config.json"
        )
    return stored


def _checksum(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
