"""What of a network runs on crossbars, and how many arrays that takes: shown, never silent."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimstudy.hardware import Hardware, arrays_of
from cimstudy.hardware.placement import operator_kind
from cimstudy.transformer.checkpoint import read_config
from cimstudy.transformer.config import TransformerConfig, digital_shapes, matrix_shapes
from cimstudy.transformer.operators import placed_matrices


@dataclass(frozen=True, kw_only=True)
class Item:
    """One product, table or norm of a network.

    shape : of the weights, (n_in, n_out) of a matrix; () for products of activations.
    macs : multiply-accumulates for each token.  engine : what it runs on.
    arrays : arrays that hold its weights; 0 if none do.  utilisation : share of their cells that hold weights, or NaN.
    """

    name: str
    shape: tuple[int, ...]
    macs: float
    engine: str = "digital"
    arrays: int = 0
    utilisation: float = math.nan

    @property
    def weights(self) -> int:
        """Numbers that it holds."""
        return math.prod(self.shape) if self.shape else 0

    def as_json(self) -> dict[str, Any]:
        """Everything about it, as JSON can hold it."""
        used = None if math.isnan(self.utilisation) else self.utilisation
        return {**vars(self), "shape": list(self.shape), "utilisation": used}

    def as_row(self) -> tuple[str, ...]:
        """Name, shape, where it runs, and what that takes, as text."""
        shape = " x ".join(map(str, self.shape))
        if not self.arrays:
            return self.name, shape, self.engine, "-", "-"
        return self.name, shape, self.engine, str(self.arrays), f"{100 * self.utilisation:.3g} %"


def coverage(model: str | Path, hardware: Hardware) -> list[Item]:
    """Everything that a checkpoint's network computes with, in order of use, matrices first.

    Reads config.json alone.  Raises InputError for a folder that is no known checkpoint.
    """
    config = read_config(model)
    return [*matrices(config, hardware), *dynamic(config, hardware), *tables(config, hardware)]


def totals(items: Sequence[Item]) -> Iterator[str]:
    """Lines that say what crossbars hold and do, of all."""
    placed = [item for item in items if item.arrays]
    weights, held = (sum(item.weights for item in some) for some in (items, placed))
    macs, done = (sum(item.macs for item in some) for some in (items, placed))
    arrays = sum(item.arrays for item in placed)
    used = sum(item.arrays * item.utilisation for item in placed) / max(arrays, 1)
    yield f"{held} of {weights} weights ({100 * held / weights:.3g} %) in {arrays} arrays, {100 * used:.3g} % used"
    yield f"{100 * done / macs:.3g} % of the multiply-accumulates, for texts as long as the context"
    for engine in dict.fromkeys(item.engine for item in items if not item.arrays):
        kinds = dict.fromkeys(kind_of(item.name) for item in items if not item.arrays and item.engine == engine)
        yield f"{engine}: {', '.join(kinds)}"


def matrices(config: TransformerConfig, hardware: Hardware) -> Iterator[Item]:
    """The static matrices."""
    placed = set(placed_matrices(config, hardware))
    for name, (n_in, n_out) in matrix_shapes(config).items():
        macs = n_in * n_out * uses(config, name)
        if name not in placed:
            yield Item(name=name, shape=(n_in, n_out), macs=macs)
            continue
        crossbar = hardware.of(name).crossbar
        tiles = -(-n_in // crossbar.rows) * -(-n_out // crossbar.columns)
        used = n_in * n_out / (tiles * crossbar.rows * crossbar.columns)
        own = hardware.of(name)
        arrays = tiles * arrays_of(own.architecture.redundancy, own.device.faults, crossbar.weights.slices)
        engine = hardware.engine(name)
        yield Item(name=name, shape=(n_in, n_out), macs=macs, engine=engine, arrays=arrays, utilisation=used)


def uses(config: TransformerConfig, name: str) -> float:
    """How often a token meets a matrix: layers may share one, and an expert sees some of the tokens."""
    if not name.startswith("layers."):
        return 1.0
    share = config.experts_per_token / config.experts if ".experts." in name else 1.0
    return share * config.layers / config.groups


def dynamic(config: TransformerConfig, hardware: Hardware) -> Iterator[Item]:
    """Products of activations, for each token of a sequence as long as the context, and what is not linear."""
    for layer in range(config.layers):
        window = config.window(layer) or config.context
        seen = min(window, (config.context + 1) / 2) if config.causal else config.context
        macs = config.heads * config.head_width * seen
        for part, share in (
            ("attention.scores", 1),
            ("attention.softmax", 0),
            ("attention.values", 1),
            ("ffn.activation", 0),
        ):
            engine = hardware.engine(f"layers.{config.group(layer)}.{part}")
            yield Item(name=f"layers.{layer}.{part}", shape=(), macs=share * macs, engine=engine)


def tables(config: TransformerConfig, hardware: Hardware) -> Iterator[Item]:
    """The weights that no arrays hold: embeddings, norms, biases."""
    for name, shape in digital_shapes(config).items():
        norm = kind_of(name) == "norm"
        yield Item(
            name=name, shape=shape, macs=0, engine=hardware.engine(name.removesuffix(".bias")) if norm else "digital"
        )


def kind_of(name: str) -> str:
    """What an operator or a table is, for people."""
    kind = operator_kind(name.removesuffix(".bias"))
    if name.endswith(".bias") and kind != "norm":
        return "biases"
    return "embeddings" if kind == "embedding" or name in {"positions", "token_types", "class_token"} else kind
