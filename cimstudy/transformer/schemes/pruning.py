"""Layers that attend to the tokens that earlier layers have attended to most.

As SpAtten (Wang et al., HPCA 2021) chooses them, and MulTCIM and PRIMATE after it: by the probability that a token has
received so far. In decoders "so far" ends with the query, so that no token sees what later ones attend to.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.hardware import Attention, TokenPruning
from cimstudy.transformer.attention import Block, Meeting
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.kept import attend_to_kept, true_top
from cimstudy.transformer.schemes.operands import Operands
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup, for_each_layer


@dataclass(frozen=True, eq=False, kw_only=True)
class Pruning(Scheme):
    """Softmax over the tokens that are left. shares : of the tokens, for each layer."""

    operands: Operands
    shares: tuple[float, ...]

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip."""
        given, config = setup.hardware.architecture.attention, setup.model.config
        assert isinstance(given, TokenPruning)  # noqa: S101 - chosen by type
        falling = not isinstance(given.keep, tuple) and config.layers > 1
        shares = np.linspace(1, given.keep, config.layers) if falling else for_each_layer("keep", given.keep, config)
        return cls(operands=Operands.of(setup, met), shares=tuple(map(float, shares)))

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for another number of shares than of layers."""
        assert isinstance(given, TokenPruning)  # noqa: S101 - chosen by type
        for_each_layer("keep", given.keep, config)

    def layer(self, asked: Asked) -> Array:
        """A layer that leaves dropped tokens as they are, in models that see both sides."""
        if asked.run.config.causal:
            return super().layer(asked)
        alive, before = self.alive(asked), asked.x.copy()
        asked.count(computed=alive.sum())
        return np.where(alive[..., None], super().layer(asked), before)

    def alive(self, asked: Asked) -> Array:
        """The tokens of a batch that this layer still has, (sequences, T)."""
        real = asked.real
        before, received = (asked.notes["alive"], asked.notes["received"]) if asked.layer else (real, 0.0)
        worth = np.where(before, received, -np.inf)
        worth[:, 0] = np.inf
        counts = np.minimum(np.ceil(self.shares[asked.layer] * real.sum(axis=1)).astype(int), before.sum(axis=1))
        asked.notes["alive"] = true_top(worth, counts)
        return np.asarray(asked.notes["alive"])

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        found = met(asked)
        worth, counts = (self.so_far if found.view.causal else self.both_sides)(asked, found)
        got = np.zeros((len(found.q), found.q.shape[2], found.k.shape[2]))

        def keep(block: Block, scores: Array) -> Array:
            seen = (scores > -np.inf).any(axis=1)
            kept = true_top(
                np.where(seen, worth[block.some, block.rows, block.keys], -np.inf), counts[block.some, block.rows]
            )
            chosen: Array = (kept & seen)[:, None]
            weights, sums = found.softmax(block, np.where(chosen, scores, np.float32(-np.inf)))
            shares = np.where(asked.real[block.some, None, block.rows, None], weights / sums, 0).sum(axis=1)
            got[block.some, block.rows, block.keys] = shares
            return chosen

        context = attend_to_kept(asked, found, self.operands, keep)
        remember(asked, got)
        return context

    def so_far(self, asked: Asked, found: Meeting) -> tuple[Array, Array]:
        """What tokens have received until each query, (sequences, Q, K), and how many are kept, (sequences, Q)."""
        shape = (len(found.q), found.q.shape[2], found.k.shape[2])
        worth = np.zeros(shape)
        for layer in range(asked.layer):
            before = asked.notes["received before", layer]
            worth[..., : before.shape[1]] += before[:, None]
            worth += np.cumsum(asked.notes["received now", layer], axis=1)
        counts = np.ceil(self.shares[asked.layer] * (found.positions + 1)).astype(int)
        return worth, np.broadcast_to(counts, shape[:2])

    def both_sides(self, asked: Asked, found: Meeting) -> tuple[Array, Array]:
        """The tokens that are left, as worth 1, and how many they are."""
        alive = np.asarray(asked.notes["alive"])
        shape = (len(found.q), found.q.shape[2], found.k.shape[2])
        worth = np.broadcast_to(np.where(alive, 1.0, -np.inf)[:, None], shape)
        return worth, np.broadcast_to(alive.sum(axis=1)[:, None], shape[:2])


def remember(asked: Asked, got: Array) -> None:
    """Note what tokens have received in a layer, (sequences, Q, K): of this pass, and of those before."""
    notes, layer = asked.notes, asked.layer
    if not asked.run.config.causal:
        notes["received"] = got.sum(axis=1) + (notes["received"] if layer else 0)
        return
    before = np.zeros((len(got), got.shape[2]))
    if ("received now", layer) in notes:
        earlier, last = notes["received before", layer], notes["received now", layer].sum(axis=1)
        before[:, : earlier.shape[1]] += earlier
        before[:, : last.shape[1]] += last
    notes["received before", layer], notes["received now", layer] = before, got
