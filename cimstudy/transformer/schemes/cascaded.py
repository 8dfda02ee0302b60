"""Keys and values from array to array without converters: ReCAT (Xu et al., doi 10.1145/3701034).

What is stored is W x + the error of the product + the error of writing, and stays for the whole sequence.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cimstudy.errors import InputError
from cimstudy.hardware import Attention, Hardware
from cimstudy.transformer.attention import Meeting, attend, merge_heads, split_heads
from cimstudy.transformer.calibration import Tokens
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.model import Model
from cimstudy.transformer.network import Weighted, meeting
from cimstudy.transformer.schemes.full import met
from cimstudy.transformer.schemes.heads import HeadMatrices, Weights, mapped, program_heads
from cimstudy.transformer.schemes.operands import Operands, calibration_meetings, placed_arrays
from cimstudy.transformer.schemes.setup import Array, Asked, Scheme, Setup


@dataclass(frozen=True, eq=False, kw_only=True)
class Cascaded(Scheme):
    """Softmax attention whose keys and values are never numbers. k, v : their projections, without converters."""

    products = ("dynamic-crossbar",)

    operands: Operands
    k: HeadMatrices
    v: HeadMatrices

    @classmethod
    def check(cls, config: TransformerConfig, given: Attention) -> None:
        """Raise InputError for a model whose keys have to be numbers on their way."""
        if config.rotary is not None or config.qk_norm:
            has = "norms of queries and keys" if config.rotary is None else "rotary positions"
            raise InputError(
                f"architecture.attention.kind = {given.kind!r}: the model has {has}; allowed: models without, such as "
                "GPT-2"
            )

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """The scheme on a chip. Raises InputError if its projections are not in arrays."""
        check_projections(setup)
        layers = range(setup.model.config.layers)
        keys, values = (
            {
                layer: placed_arrays(
                    setup, met, (layer, part), unrounded(setup.hardware.of(setup.operator(layer, part)))
                )
                for layer in layers
            }
            for part in ("scores", "values")
        )
        return cls(
            operands=Operands(keys=keys, values=values),
            k=projections(setup, "k", weights_of_k),
            v=projections(setup, "v", weights_of_v),
        )

    def __call__(self, asked: Asked) -> Array:
        """As `Scheme`."""
        run, name, config = asked.run, asked.name, asked.run.config
        q = split_heads(run.product(f"{name}.q", asked.x), config.heads)
        k, v = (
            split_heads(
                run.biased(f"{name}.{part}", matrix.times(asked.group, asked.x[:, None], asked.first_vector)[:, 0]),
                config.kv_heads,
            )
            for part, matrix in (("k", self.k), ("v", self.v))
        )
        found = meeting(run, asked.layer, (q, k, v))
        return merge_heads(attend(found, self.operands.products(asked, found)))


def check_projections(setup: Setup) -> None:
    """Raise InputError unless keys and values leave analog arrays."""
    for layer in range(setup.model.config.layers):
        for part in ("k", "v"):
            engine = setup.hardware.engine(setup.operator(layer, part))
            if engine != "crossbar":
                raise InputError(
                    f"architecture.attention.kind = 'cascaded': {setup.operator(layer, part)} runs on {engine!r}; "
                    "allowed: 'crossbar'"
                )


def unrounded(hardware: Hardware) -> Hardware:
    """Arrays into which currents are written as they are."""
    weights = hardware.crossbar.weights.replace("slice_bits", None).replace("bits", None)
    device = hardware.device.replace("levels", None)
    return Hardware(device=device, crossbar=hardware.crossbar.replace("weights", weights))


def projections(setup: Setup, part: str, weights: Weights) -> HeadMatrices:
    """A projection of each group of layers in arrays without converters behind them."""
    arrays = {}
    for layer in range(setup.model.config.layers):
        hardware = setup.hardware.of(setup.operator(layer, part)).replace("crossbar.adc", None)
        layouts = mapped(setup, hardware, (layer, weights, inputs_of_batch))
        arrays[setup.model.config.group(layer)] = program_heads(setup, hardware, setup.operator(layer, part), layouts)
    groups = range(setup.model.config.groups)
    return HeadMatrices(weights={group: weights(setup.model, group) for group in groups}, arrays=arrays)


def weights_of_k(model: Weighted, group: int) -> Array:
    """W_K as one matrix, (1, width, kv_heads d_head)."""
    return np.asarray(model.weights[f"layers.{group}.attention.k"])[None]


def weights_of_v(model: Weighted, group: int) -> Array:
    """W_V as one matrix, (1, width, kv_heads d_head)."""
    return np.asarray(model.weights[f"layers.{group}.attention.v"])[None]


def met_inputs(asked: Asked) -> Meeting:
    """The layer's inputs, in place of queries."""
    return meeting(asked.run, asked.layer, (asked.x[:, None], asked.x[:, None], asked.x[:, None]))


def inputs_of_batch(model: Model, tokens: Tokens, layer: int) -> Array:
    """What a projection is multiplied by in the digital run, (1, vectors, width)."""
    x = calibration_meetings(model, tokens, met_inputs)[layer].k
    return x.reshape(1, -1, x.shape[-1])
