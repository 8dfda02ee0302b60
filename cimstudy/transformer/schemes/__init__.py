"""Attention as chips compute it: one file for each scheme of `hardware.attention`."""

from collections.abc import Mapping

from cimstudy.errors import InputError
from cimstudy.hardware import (
    Attention,
    BlockedAttention,
    CascadedAttention,
    DecomposedAttention,
    EarlyExit,
    FullAttention,
    FusedAttention,
    GainCellAttention,
    Hardware,
    HashedAttention,
    Part,
    ProductQuantisedAttention,
    ThresholdAttention,
    TokenPruning,
    TopKAttention,
    WindowAttention,
)
from cimstudy.transformer.config import TransformerConfig
from cimstudy.transformer.schemes.blocked import Blocked
from cimstudy.transformer.schemes.cascaded import Cascaded
from cimstudy.transformer.schemes.decomposed import Decomposed
from cimstudy.transformer.schemes.exits import Exits
from cimstudy.transformer.schemes.full import Full
from cimstudy.transformer.schemes.fused import Fused
from cimstudy.transformer.schemes.gain_cell import GainCell
from cimstudy.transformer.schemes.hashed import Hashed
from cimstudy.transformer.schemes.operands import written_at_inference
from cimstudy.transformer.schemes.product_quantised import ProductQuantised
from cimstudy.transformer.schemes.pruning import Pruning
from cimstudy.transformer.schemes.setup import Asked, Scheme, Setup, check_numbers
from cimstudy.transformer.schemes.threshold import Thresholded
from cimstudy.transformer.schemes.top_k import TopK
from cimstudy.transformer.schemes.window import Window

SCHEMES: Mapping[type[Part], type[Scheme]] = {
    FullAttention: Full,
    WindowAttention: Window,
    BlockedAttention: Blocked,
    TopKAttention: TopK,
    ThresholdAttention: Thresholded,
    FusedAttention: Fused,
    DecomposedAttention: Decomposed,
    CascadedAttention: Cascaded,
    ProductQuantisedAttention: ProductQuantised,
    HashedAttention: Hashed,
    GainCellAttention: GainCell,
    TokenPruning: Pruning,
    EarlyExit: Exits,
}


def scheme_of(setup: Setup) -> Scheme:
    """The attention of a chip. Raises InputError as `check_attention`."""
    check_attention(setup.model.config, setup.hardware)
    return SCHEMES[type(setup.hardware.architecture.attention)].of(setup)


def check_attention(config: TransformerConfig, hardware: Hardware) -> None:
    """Raise InputError where the scheme does not fit the model, or an engine does not fit the scheme."""
    scheme = SCHEMES[type(hardware.architecture.attention)]
    check_placed_search(hardware)
    for group in range(config.groups if hardware.overrides else 1):
        check_engines(scheme, hardware, f"layers.{group}.attention")
    check_scheme(config, hardware.architecture.attention)


def check_scheme(config: TransformerConfig, given: Attention) -> None:
    """Raise InputError where the scheme does not fit the model."""
    SCHEMES[type(given)].check(config, given)


def check_fields(hardware: Hardware, layers: int) -> None:
    """Raise InputError for fields of a scheme that do not fit a network of so many layers."""
    check_placed_search(hardware)
    for name, value in hardware.architecture.attention:
        if isinstance(value, tuple):
            check_numbers(name, value, layers)


def check_placed_search(hardware: Hardware) -> None:
    """Raise InputError for a search that is placed, where the scheme has none."""
    placed, given = hardware.architecture.placement.search, hardware.architecture.attention
    if placed != "digital" and not SCHEMES[type(given)].searches:
        raise InputError(
            f"architecture.placement.search = {placed!r}; allowed with architecture.attention.kind = {given.kind!r}, "
            "which has no search to place: 'digital'"
        )


def check_engines(scheme: type[Scheme], hardware: Hardware, name: str) -> None:
    """Raise InputError for engines that do not do what the scheme needs in the attention of this name."""
    for part, allowed in (("scores", scheme.products), ("values", scheme.products), ("search", scheme.searches)):
        engine = hardware.engine(f"{name}.{part}")
        if allowed and engine not in allowed:
            raise InputError(
                f"{name}.{part} runs on {engine!r}; architecture.attention.kind = "
                f"{hardware.architecture.attention.kind!r} allows {', '.join(map(repr, allowed))}"
            )
        if part != "search" and engine != "digital":
            written_at_inference(hardware.of(f"{name}.{part}"))


__all__ = [
    "SCHEMES",
    "Asked",
    "Scheme",
    "Setup",
    "check_attention",
    "check_fields",
    "check_scheme",
    "scheme_of",
]
