"""What a GPU takes at most: a roofline, with weights and keys and values in 16-bit floating point."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.cost.coefficients import table
from cimstudy.cost.shapes import ModelShape
from cimstudy.errors import InputError

BYTES = 2  # of a number


@dataclass(frozen=True, kw_only=True, eq=False)
class Roofline:
    """A token on a GPU, at its peak."""

    time: Any  # s, of all sequences of the batch together
    energy: Any  # J a token, at full board power
    tokens_per_second: Any
    fits: Any  # whether weights, keys and values do in the memory of one


def gpus() -> tuple[str, ...]:
    """Names of the known ones."""
    return tuple(table("gpus"))


def roofline(shape: ModelShape, gpu: str, *, context: Any, batch: Any = 1) -> Roofline:
    """A token for each sequence of a batch, after a context of so many tokens. Raises InputError for an unknown GPU."""
    if gpu not in gpus():
        raise InputError(f"unknown GPU {gpu!r}; known: {', '.join(gpus())}")
    data = table("gpus")[gpu]
    pairs = sum(
        group.layers * (np.asarray(context) if group.window is None else np.minimum(context, group.window))
        for group in shape.attention
    )
    held = BYTES * (shape.weights + np.multiply(batch, pairs) * shape.kv_elements / shape.layers)
    operations = 2 * (shape.macs + shape.attention_macs / shape.layers * pairs) * batch
    time = np.maximum(held / data["bandwidth"], operations / data["flops"])
    return Roofline(
        time=time,
        energy=data["power"] * time / batch,
        tokens_per_second=batch / time,
        fits=held <= data["memory"],
    )
