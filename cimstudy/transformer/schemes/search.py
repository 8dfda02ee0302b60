"""Keys whose approximate score, of operands of few bits, reaches a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from cimstudy.analog import Key, normals
from cimstudy.hardware import Crossbar, Dac, Device, Differential, Hardware, Searched
from cimstudy.transformer.attention import Block, Keep, Meeting, capped
from cimstudy.transformer.calibration import Tokens, ideal
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.schemes.operands import (
    Arrays,
    Filled,
    Meet,
    Scores,
    calibration_meetings,
    count_writes,
    operand_ranges,
    placed_arrays,
    row_step,
)
from cimstudy.transformer.schemes.setup import Array, Asked, Setup, for_each_layer

IN_ARRAYS = ("crossbar", "dynamic-crossbar")
OF_WRITTEN_KEYS = ("digital", "dynamic-crossbar")  # where such a search may be


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold:
    """A search with comparators: what they compare in each layer, and the threshold there."""

    arrays: Mapping[int, Arrays]
    thresholds: tuple[float, ...]
    comparator_std: float
    key: Key

    @classmethod
    def of(cls, setup: Setup, given: Searched, meet: Meet) -> Self | None:
        """The search of a chip; None if it keeps all keys."""
        if given.threshold is None and given.keep is None:
            return None
        layers = range(setup.model.config.layers)
        few = [few_bits(setup, layer, given.bits) for layer in layers]
        if given.threshold is not None:
            thresholds = for_each_layer("threshold", given.threshold, setup.model.config)
        else:
            thresholds = tuple(
                threshold_that_keeps(
                    setup.model, ideal(few[layer]), setup.calibration, meet, (layer, given.keep or 1.0)
                )
                for layer in layers
            )
        return cls(
            arrays={layer: placed_arrays(setup, meet, (layer, "search"), few[layer]) for layer in layers},
            thresholds=thresholds,
            comparator_std=given.comparator_std,
            key=setup.key.of("comparators"),
        )

    def keep(self, asked: Asked, met: Meeting) -> Keep:
        """Which keys to keep; writes those of this pass to the arrays of the search."""
        arrays = self.arrays[asked.layer]
        count_writes(asked, arrays, met.k.shape[1] * met.k.shape[3])
        asked.count(searches=asked.tokens * met.q.shape[1])
        approximate = Scores.of(arrays, asked, met)
        offsets = self.offsets(asked.layer, met)

        def keep(block: Block, scores: Array) -> Array:  # noqa: ARG001 - as Keep
            found = capped(approximate(block), met.cap)
            kept: Array = found + offsets[:, None, block.keys] >= self.thresholds[asked.layer]
            return kept

        return keep

    def offsets(self, layer: int, met: Meeting) -> Array:
        """Of each column's comparator, (heads, keys): heads that share keys share comparators."""
        heads, keys = met.k.shape[1:3]
        drawn = (
            normals(self.key.of(f"layers.{layer}"), (heads, keys)) if self.comparator_std else np.zeros((heads, keys))
        )
        return np.repeat(self.comparator_std * drawn, met.q.shape[1] // heads, axis=0)


def few_bits(setup: Setup, layer: int, bits: int) -> Hardware:
    """Arrays whose operands have few bits, and whose columns meet comparators, not converters."""
    name = setup.operator(layer, "search")
    given = setup.hardware.of(name)
    crossbar = Crossbar(
        rows=given.crossbar.rows,
        columns=given.crossbar.columns,
        weights=Differential(bits=bits),
        dac=Dac(bits=bits, range="calibrated", percentile=100),
        adc=None,
    )
    device = given.device if setup.hardware.engine(name) in IN_ARRAYS else Device()
    return Hardware(device=device, crossbar=crossbar)


@lru_cache(maxsize=256)
def threshold_that_keeps(
    model: Model, hardware: Hardware, tokens: Tokens, meet: Meet, place: tuple[int, float]
) -> float:
    """The threshold that a share of a layer's approximate scores of seen keys reaches; place : layer and share."""
    layer, share = place
    met = calibration_meetings(model, tokens, meet)[layer]
    arrays = Arrays(
        hardware=hardware,
        ranges=operand_ranges(model, hardware, tokens, meet, (layer, "search")),
        key=Key.root(0),
        time=0.0,
        rows=row_step(model, hardware, "search"),
    )
    nothing = np.zeros(len(met.q), np.intp)
    approximate = Scores(met.q, Filled.of(arrays, nothing, nothing, met.k.swapaxes(-1, -2)))
    found = []
    for block, mask in met.blocks():
        scores = capped(approximate(block), met.cap)
        found.append(scores[np.broadcast_to(mask == 0, scores.shape)])
    return float(np.quantile(np.concatenate(found), 1 - share, method="higher")) if share < 1 else -np.inf


def check_thresholds(config: TransformerConfig, given: Searched) -> None:
    """Raise InputError for another number of thresholds than of layers."""
    if given.threshold is not None:
        for_each_layer("threshold", given.threshold, config)
