"""Keys with a hash like the query's, found by a content-addressable memory: iMCAT and iMTransformer.

A hash is the signs of products with random vectors (Charikar 2002): two vectors at an angle a differ in each bit with
probability a / pi. (Laguna et al., DATE 2021; doi 10.3389/felec.2022.847069.)
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import ndtr

from cimstudy.analog import Key, normals
from cimstudy.hardware import HashedAttention
from cimstudy.transformer.attention import Block, Meeting, digital_scores
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Hashed(Scheme):
    """Softmax over keys whose hash matches, and those at fixed places."""

    searches = ("digital", "cam")

    operands: Operands
    given: HashedAttention
    key: Key

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given = setup.hardware.architecture.attention
        assert isinstance(given, HashedAttention)  # noqa: S101 - chosen by type
        return cls(operands=Operands.of(setup, met), given=given, key=setup.key.of("hash"))

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found, given = met(asked), self.given
        hashes = self.hashes(asked, found)
        bits = asked.tokens * found.k.shape[1] * given.bits
        asked.count(searches=asked.tokens * found.q.shape[1], writes=bits, cell_writes=bits)

        def keep(block: Block, scores: Array) -> Array:  # noqa: ARG001 - as Keep
            differing = (given.bits - digital_scores(hashes, block)) / 2
            return (differing <= given.distance) | always(found, block, given)

        return attend_to_kept(asked, found, self.operands, keep)

    def hashes(self, asked: Asked, found: Meeting) -> Meeting:
        """A meeting of hashes, whose bits are 1 and -1: of queries, and of keys as they are stored."""
        layer, heads = self.key.of(f"layers.{asked.layer}"), found.k.shape[1]
        random = np.stack(
            [normals(layer.of(f"head {head}"), (found.k.shape[3], self.given.bits)) for head in range(heads)]
        )
        groups = found.q.shape[1] // heads
        q, k = signs(found.q @ np.repeat(random, groups, axis=0)), signs(found.k @ random)
        if self.given.flip_rate > 0:
            k *= np.stack([[self.flips(layer, head, origin, k) for head in range(heads)] for origin in asked.origins])
        return replace(found, q=q, k=k)

    def flips(self, layer: Key, head: int, origin: int, k: Array) -> Array:
        """Which stored bits are wrong (-1) of a head's keys of a sequence, (K, bits)."""
        drawn = normals(layer.of(f"head {head}", f"sequence {origin}"), k.shape[2:])
        return np.where(ndtr(drawn) < self.given.flip_rate, np.float32(-1), np.float32(1))


def signs(x: Array) -> Array:
    """1 for what is not negative, -1 for what is."""
    return np.where(x >= 0, np.float32(1), np.float32(-1))


def always(found: Meeting, block: Block, given: HashedAttention) -> Array:
    """Which keys are kept for their place: (sequences or 1, 1, queries, keys)."""
    far = np.abs(found.distances(block))
    kept: Array = (far <= given.window) | (np.arange(block.keys.start, block.keys.stop) < given.sinks)
    return kept if given.stride is None else np.asarray(kept | (far % given.stride == 0))
