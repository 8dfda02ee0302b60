"""Attention as chips compute it: one file for each scheme of `hardware.attention`."""

from collections.abc import Callable, Mapping

from cimstudy.hardware import (
    BlockedAttention,
    CascadedAttention,
    DecomposedAttention,
    EarlyExit,
    FullAttention,
    FusedAttention,
    GainCellAttention,
    HashedAttention,
    Part,
    ProductQuantisedAttention,
    ThresholdAttention,
    TokenPruning,
    TopKAttention,
    WindowAttention,
)
from cimstudy.transformer.schemes.blocked import Blocked
from cimstudy.transformer.schemes.cascaded import Cascaded
from cimstudy.transformer.schemes.decomposed import Decomposed
from cimstudy.transformer.schemes.exits import Exits
from cimstudy.transformer.schemes.full import Full
from cimstudy.transformer.schemes.fused import Fused
from cimstudy.transformer.schemes.gain_cell import GainCell
from cimstudy.transformer.schemes.hashed import Hashed
from cimstudy.transformer.schemes.product_quantised import ProductQuantised
from cimstudy.transformer.schemes.pruning import Pruning
from cimstudy.transformer.schemes.setup import Asked, Scheme, Setup
from cimstudy.transformer.schemes.threshold import Thresholded
from cimstudy.transformer.schemes.top_k import TopK
from cimstudy.transformer.schemes.window import Window

SCHEMES: Mapping[type[Part], Callable[[Setup], Scheme]] = {
    FullAttention: Full.of,
    WindowAttention: Window.of,
    BlockedAttention: Blocked.of,
    TopKAttention: TopK.of,
    ThresholdAttention: Thresholded.of,
    FusedAttention: Fused.of,
    DecomposedAttention: Decomposed.of,
    CascadedAttention: Cascaded.of,
    ProductQuantisedAttention: ProductQuantised.of,
    HashedAttention: Hashed.of,
    GainCellAttention: GainCell.of,
    TokenPruning: Pruning.of,
    EarlyExit: Exits.of,
}


def scheme_of(setup: Setup) -> Scheme:
    """The attention of a chip. Raises InputError where the scheme does not fit the model."""
    return SCHEMES[type(setup.hardware.architecture.attention)](setup)


__all__ = ["SCHEMES", "Asked", "Scheme", "Setup", "scheme_of"]
