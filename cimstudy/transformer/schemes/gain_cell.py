"""Attention in cells that hold charges: Leroux et al., Nat. Comput. Sci. 5:813 (2025), doi 10.1038/s43588-025-00854-1.

A stored number u of age t multiplies an input through a polynomial of u exp(-t / tau). As the age depends on query and
key alone, the product is a sum of three: of inputs with u, u**2 and u**3, each times a power of the decay.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np

from cimstudy.analog import Key, normals
from cimstudy.hardware import GainCellAttention
from cimstudy.transformer.attention import (
    Block,
    Meeting,
    capped,
    digital_scores,
    digital_values,
    merge_heads,
)
from cimstudy.transformer.calibration import Tokens
from cimstudy.transformer.model import Model
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.operands import calibration_meetings
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


class Scales(NamedTuple):
    """What full scale stands for in a layer: of queries (times the scale of scores), keys, values, sub-tile outputs."""

    q: float
    k: float
    v: float
    out: float


@dataclass(frozen=True, eq=False, kw_only=True)
class GainCell(Scheme):
    """Keys and values as charges. scales : of each layer."""

    products = ("digital", "dynamic-crossbar")  # that is what it is, wherever it is said to be

    given: GainCellAttention
    scales: tuple[Scales, ...]
    key: Key

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, GainCellAttention)  # noqa: S101 - chosen by type
        layers = range(setup.model.config.layers)
        scales = tuple(calibrated_scales(setup.model, setup.calibration, layer, given) for layer in layers)
        return cls(given=given, scales=scales, key=setup.key.of("gain cells"))

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        given, scales, whole = self.given, self.scales[asked.layer], met(asked)
        found = held(whole, given)
        numbers = asked.tokens * found.k.shape[1] * (found.k.shape[3] + found.v.shape[3])
        asked.count(writes=numbers, cell_writes=numbers, seen=seen_keys(asked, whole), kept=seen_keys(asked, found))
        stored = replace(
            found,
            q=rounded(found.q / scales.q, given.query_bits),
            k=self.charges(asked, "k", rounded(found.k / scales.k, given.operand_bits)),
            v=self.charges(asked, "v", rounded(found.v / scales.v, given.operand_bits)),
        )
        out = np.zeros((*found.q.shape[:3], found.v.shape[3]), np.float32)
        for block, sums in tile_sums(stored, given, scales):
            counted = scales.out * rounded(sums / scales.out, given.output_bits) if given.output_bits else sums
            out[block.some, :, block.rows] += counted
        return merge_heads(out)

    def charges(self, asked: Asked, operand: str, u: Array) -> Array:
        """Numbers (sequences, heads, K, n) as they are written, with errors that belong to sequence, head and place."""
        if self.given.write_std == 0:
            return u
        key = self.key.of(f"layers.{asked.layer}.{operand}")
        drawn = [
            [normals(key.of(f"head {head}", f"sequence {origin}"), u.shape[2:]) for head in range(u.shape[1])]
            for origin in asked.origins
        ]
        return u + np.float32(self.given.write_std) * np.array(drawn)


def seen_keys(asked: Asked, found: Meeting) -> int:
    """Keys that the queries of all heads see."""
    seen = found.view.mask(found.positions, slice(0, found.k.shape[2])) == 0  # (sequences or 1, Q, K)
    return int(np.count_nonzero(seen & asked.real[..., None])) * int(found.q.shape[1])


def held(found: Meeting, given: GainCellAttention) -> Meeting:
    """The meeting of tokens that are still held."""
    window = min(given.window, found.view.window or given.window)
    return replace(found, view=replace(found.view, window=window))


def rounded(u: Array, bits: int | None) -> Array:
    """Numbers clipped to [-1, 1], and rounded to levels of so many bits with the sign."""
    u = np.clip(u, -1, 1)
    return u if bits is None else np.rint(u * (2 ** (bits - 1) - 1)) / np.float32(2 ** (bits - 1) - 1)


def tile_sums(stored: Meeting, given: GainCellAttention, scales: Scales) -> Iterator[tuple[Block, Array]]:
    """What each sub-tile of values gives for the queries of a block: (sequences, heads, queries, width).

    stored : queries and operands as fractions of full scale.
    """
    for block, mask in stored.blocks():
        decay = decays(stored, block, given)
        scores = polynomial_product(stored, block, decay, given) * np.float32(scales.q * scales.k)
        pulses = pulses_of(stored, block, capped(scores, stored.cap) + mask, given)
        for keys in sub_tiles(block.keys, given):
            inner = slice(keys.start - block.keys.start, keys.stop - block.keys.start)
            tile = Block(block.some, block.rows, keys)
            yield tile, np.float32(scales.v) * averaged(stored, tile, pulses[..., inner], decay[..., inner], given)


def decays(stored: Meeting, block: Block, given: GainCellAttention) -> Array:
    """What is left of each key's charge when a query reads it, (sequences or 1, 1, queries, keys).

    Where later tokens are seen too, all are written before the first query reads.
    """
    ages = stored.distances(block)
    if not stored.view.causal:
        lengths = stored.view.lengths
        ages = ages + (stored.k.shape[2] if lengths is None else lengths[block.some, None, None, None])
    if given.tau is None:
        return np.ones(ages.shape, np.float32)
    return np.exp(-np.maximum(ages, 0) * (given.token_time / given.tau)).astype(np.float32)


def coefficients(given: GainCellAttention) -> list[tuple[int, np.float32]]:
    """Powers of the multiplier's polynomial, with their coefficients."""
    each = enumerate((1.0, given.quadratic, given.cubic), start=1)
    return [(power, np.float32(coefficient)) for power, coefficient in each if coefficient]


def polynomial_product(stored: Meeting, block: Block, decay: Array, given: GainCellAttention) -> Array:
    """Queries times what keys' charges have become, through the multiplier: (sequences, heads, queries, keys)."""
    found: list[Array] = [
        coefficient * decay**power * digital_scores(replace(stored, k=stored.k**power), block)
        for power, coefficient in coefficients(given)
    ]
    return np.asarray(sum(found))


def averaged(stored: Meeting, tile: Block, pulses: Array, decay: Array, given: GainCellAttention) -> Array:
    """Pulses times what values' charges have become, through the multiplier: (sequences, heads, queries, width)."""
    one = np.ones(1, np.float32)
    found: list[Array] = [
        coefficient * digital_values(replace(stored, v=stored.v**power), tile, pulses * decay**power, one)
        for power, coefficient in coefficients(given)
    ]
    return np.asarray(sum(found))


def pulses_of(stored: Meeting, block: Block, scores: Array, given: GainCellAttention) -> Array:
    """Lengths of the pulses that scores become, minus infinity for keys that are not seen."""
    if given.pulse == "softmax":
        weights, sums = stored.softmax(block, scores)
        return np.asarray(weights / sums)
    seen = scores > -np.inf
    return np.where(seen, np.clip(given.slope * np.where(seen, scores, 0) + given.offset, 0, 1), 0).astype(np.float32)


def sub_tiles(keys: slice, given: GainCellAttention) -> Iterator[slice]:
    """Keys of one sub-tile each: a place in the window is that of a token a whole window ago."""
    start = keys.start
    while start < keys.stop:
        place = start % given.window
        room = min(given.rows - place % given.rows, given.window - place)
        yield slice(start, min(start + room, keys.stop))
        start += room


@lru_cache(maxsize=256)
def calibrated_scales(model: Model, tokens: Tokens, layer: int, given: GainCellAttention) -> Scales:
    """Full scales of a layer: largest magnitudes of the digital run of a batch, and of what sub-tiles make of it."""
    found = held(calibration_meetings(model, tokens, met)[layer], given)
    q, k, v = (float(np.abs(part).max()) or 1.0 for part in (found.q, found.k, found.v))
    scales = Scales(q=q, k=k, v=v, out=1.0)
    stored = replace(found, q=found.q / scales.q, k=found.k / scales.k, v=found.v / scales.v)
    sums = [float(np.abs(part).max()) for _, part in tile_sums(stored, given, scales)]
    return scales._replace(out=max(sums) or 1.0)
