"""Blocks of a matrix's rows with an input range of their own, as checkpoints bring them that were trained for noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from cimstudy.analog import Key
from cimstudy.hardware import Hardware
from cimstudy.transformer.config import matrix_shapes
from cimstudy.transformer.model import Model

Array = np.ndarray[Any, np.dtype[Any]]


class Matrix(Protocol):
    """What a chip needs of a matrix in its cells."""

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """The product of x (..., n_in) with the matrix: (..., n_out), float32."""
        ...


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some rows of a matrix, and the hardware with their range of inputs; of most matrices all rows."""

    name: str
    rows: slice
    hardware: Hardware


def blocks_of(model: Model, hardware: Hardware, name: str) -> list[Block]:
    """The blocks of a matrix, with its own hardware.

    There is one, unless the checkpoint has learned ranges and the converter would be calibrated.
    """
    hardware = hardware.of(name)
    learned, dac = model.input_ranges.get(name), hardware.crossbar.dac
    n_in = matrix_shapes(model.config)[name][0]
    if learned is None or dac is None or dac.range != "calibrated":
        return [Block(name=name, rows=slice(0, n_in), hardware=hardware)]
    edges = [round(tile * n_in / len(learned)) for tile in range(len(learned) + 1)]
    return [
        Block(name=name, rows=slice(*rows), hardware=hardware.replace("crossbar.dac.range", float(full)))
        for rows, full in zip(pairwise(edges), learned, strict=True)
    ]


def block_keys(key: Key, count: int) -> Iterator[Key]:
    """Keys for the draws of a matrix's blocks."""
    return iter([key]) if count == 1 else (key.of(f"block {number}") for number in range(count))


@dataclass(frozen=True, eq=False)
class Stacked:
    """A matrix of blocks of rows, whose products are added up, in their order."""

    blocks: Sequence[tuple[slice, Matrix]]

    def matmul(self, x: Array, *, first_vector: int = 0) -> Array:
        """The product of x (..., n_in) with the matrix: (..., n_out), float32."""
        rows, matrix = self.blocks[0]
        y = matrix.matmul(x[..., rows], first_vector=first_vector)
        for rows, matrix in self.blocks[1:]:
            y += matrix.matmul(x[..., rows], first_vector=first_vector)
        return y


def stacked(blocks: Sequence[tuple[slice, Matrix]]) -> Matrix:
    """The matrix of these blocks."""
    return blocks[0][1] if len(blocks) == 1 else Stacked(blocks)
