"""Attention block by block, with an online softmax: X-Former (Sridharan et al., IEEE TVLSI 2023)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import BlockedAttention
from cimstudy.transformer.attention import Block, Meeting, Products, capped, merge_heads, slices
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Blocked(Scheme):
    """Softmax attention of which no more than `size` x `size` scores of a head exist at a time."""

    operands: Operands
    size: int

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, BlockedAttention)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), size=given.size)

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        return merge_heads(attend_in_blocks(found, self.operands.products(asked, found), self.size, asked))


def attend_in_blocks(found: Meeting, products: Products, size: int, asked: Asked) -> Array:
    """As `attend`, from scores of `size` queries and keys at a time."""
    sequences, heads, n_queries, _ = found.q.shape
    out = np.empty((sequences, heads, n_queries, found.v.shape[3]), np.float32)
    for rows in slices(n_queries, size):
        keys = found.view.keys(found.positions[:, rows], found.k.shape[2])
        first = keys.start // size * size
        running = Running.start((sequences, heads, rows.stop - rows.start), found.v.shape[3])
        for part in slices(keys.stop - first, size):
            block = Block(slice(0, sequences), rows, slice(max(first + part.start, keys.start), first + part.stop))
            scores = capped(products.scores(block), found.cap)
            scores += found.view.mask(found.positions[:, rows], block.keys)[:, None]
            running = running.add(scores, block, products)
            asked.count(score_blocks=sequences * heads)
        out[:, :, rows] = running.o / np.where(running.l > 0, running.l, 1)
    return out


@dataclass(frozen=True, eq=False)
class Running:
    """An online softmax. m : the largest score so far, l : the sum of exponentials, both (..., 1); o : (..., width)."""

    m: Array
    l: Array  # noqa: E741 - the name in the literature
    o: Array

    @classmethod
    def start(cls, shape: tuple[int, ...], width: int) -> Self:
        """Before the first block."""
        lowest = np.full((*shape, 1), np.finfo(np.float32).min, np.float32)
        return cls(lowest, np.zeros((*shape, 1), np.float32), np.zeros((*shape, width), np.float32))

    def add(self, scores: Array, block: Block, products: Products) -> "Running":
        """After another block."""
        m = np.maximum(self.m, scores.max(axis=-1, keepdims=True))
        weights, before = np.exp(scores - m), np.exp(self.m - m)
        values = products.values(block, weights, np.ones(1, np.float32))
        return Running(m, self.l * before + weights.sum(axis=-1, keepdims=True), self.o * before + values)
