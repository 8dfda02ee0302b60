"""Attention as chips compute it: one file for each scheme of `hardware.attention`."""

from collections.abc import Callable, Mapping

from cimstudy.hardware import BlockedAttention, FullAttention, Part, TopKAttention, WindowAttention
from cimstudy.transformer.schemes.blocked import Blocked
from cimstudy.transformer.schemes.full import Full
from cimstudy.transformer.schemes.setup import Asked, Scheme, Setup
from cimstudy.transformer.schemes.top_k import TopK
from cimstudy.transformer.schemes.window import Window

SCHEMES: Mapping[type[Part], Callable[[Setup], Scheme]] = {
    FullAttention: Full.of,
    WindowAttention: Window.of,
    BlockedAttention: Blocked.of,
    TopKAttention: TopK.of,
}


def scheme_of(setup: Setup) -> Scheme:
    """The attention of a chip. Raises InputError where the scheme does not fit the model."""
    return SCHEMES[type(setup.hardware.architecture.attention)](setup)


__all__ = ["SCHEMES", "Asked", "Scheme", "Setup", "scheme_of"]
