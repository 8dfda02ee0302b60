"""Static matrices of single heads, which some schemes have in place of a projection."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from cimstudy.analog import MappedMatrix, ProgrammedMatrix, map_matrix
from cimstudy.hardware import Hardware
from cimstudy.transformer.calibration import Tokens, ideal
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Weighted
from cimstudy.transformer.schemes.setup import Array, Setup

Weights = Callable[[Weighted, int], Array]  # of a model's group of layers: (heads, n_in, n_out)
Inputs = Callable[[Model, Tokens, int], Array]  # of a layer, in the digital run of a batch: (heads, vectors, n_in)


@dataclass(frozen=True, eq=False, kw_only=True)
class HeadMatrices:
    """Static matrices, one for each head, by number of a layer or group of layers.

    weights : (heads, n_in, n_out) each.  arrays : of each head; none where they are digital.
    """

    weights: Mapping[int, Array]
    arrays: Mapping[int, list[ProgrammedMatrix]]

    @classmethod
    def of(cls, setup: Setup, part: str, weights: Weights, inputs: Inputs, place: str | None = None) -> Self:
        """Matrices called `part`, which are where the operator `place` of their layer is."""
        model, arrays = setup.model, {}
        for layer in {model.config.group(i): i for i in reversed(range(model.config.layers))}.values():
            name = setup.operator(layer, place or part)
            if setup.hardware.engine(name) == "digital":
                continue
            hardware = setup.hardware.of(name)
            arrays[model.config.group(layer)] = program_heads(
                setup, hardware, setup.operator(layer, part), mapped(setup, hardware, (layer, weights, inputs))
            )
        return cls(weights={group: weights(model, group) for group in range(model.config.groups)}, arrays=arrays)

    def times(self, number: int, x: Array, first_vector: int = 0) -> Array:
        """Products of x (sequences, heads or a multiple, T, n_in); neighbours share a matrix if there are more.

        Returns (sequences, heads, T, n_out).
        """
        weights, (sequences, heads, length, _) = self.weights[number], x.shape
        together = heads // len(weights)
        if number not in self.arrays:
            y = x.reshape(sequences, len(weights), together, length, -1) @ weights[:, None]
            return np.asarray(y.reshape(sequences, heads, length, -1))
        found = [
            matrix.matmul(
                x[:, head * together : (head + 1) * together].transpose(0, 2, 1, 3),  # vector after vector
                first_vector=first_vector * together,
            ).transpose(0, 2, 1, 3)
            for head, matrix in enumerate(self.arrays[number])
        ]
        return np.concatenate(found, axis=1)


def mapped(setup: Setup, hardware: Hardware, what: tuple[int, Weights, Inputs]) -> tuple[MappedMatrix, ...]:
    """The matrices of a layer's heads laid out, which is the same for all chips."""
    dac, adc = hardware.crossbar.dac, hardware.crossbar.adc
    calibrated = "calibrated" in (dac and dac.range, adc and adc.range)
    return mapped_once(setup.model, ideal(hardware), setup.calibration if calibrated else None, what)


@lru_cache(maxsize=256)
def mapped_once(
    model: Model, hardware: Hardware, tokens: Tokens | None, what: tuple[int, Weights, Inputs]
) -> tuple[MappedMatrix, ...]:
    """As `mapped`, kept for other chips."""
    layer, weights, inputs = what
    matrices = weights(model, model.config.group(layer))
    x = [None] * len(matrices) if tokens is None else inputs(model, tokens, layer)
    return tuple(map_matrix(w, hardware, calibration=batch) for w, batch in zip(matrices, x, strict=True))


def program_heads(
    setup: Setup, hardware: Hardware, name: str, matrices: tuple[MappedMatrix, ...]
) -> list[ProgrammedMatrix]:
    """The matrices of a layer's heads in the cells of one chip."""
    key = setup.key.of(name)
    return [
        matrix.on(hardware).program(key.of(f"head {head}"), time=setup.time) for head, matrix in enumerate(matrices)
    ]
