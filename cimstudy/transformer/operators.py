"""The operators of a network by name, and which engine each runs on."""

from collections.abc import Iterator

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.hardware.placement import matches
from cimstudy.transformer.config import TransformerConfig, matrix_shapes, norm_widths


def operators(config: TransformerConfig) -> Iterator[str]:
    """Names of all operators: matrices, products of activations, softmaxes, activations, norms."""
    yield from matrix_shapes(config)
    for group in range(config.groups):
        for part in ("search", "scores", "softmax", "values"):
            yield f"layers.{group}.attention.{part}"
        if config.qk_norm:
            yield from (f"layers.{group}.attention.{part}_norm" for part in "qk")
        yield f"layers.{group}.ffn.activation"
        if config.experts:
            yield f"layers.{group}.ffn.softmax"
    if config.head == "masked" or (config.head == "classes" and config.pool is not None):
        yield "head.activation"
    yield from (name for name, _ in norm_widths(config))


def check_overrides(config: TransformerConfig, hardware: Hardware) -> None:
    """Raise InputError if the pattern of an override fits no operator."""
    names = list(operators(config))
    for override in hardware.overrides:
        if not any(matches(override.pattern, name) for name in names):
            raise InputError(
                f"overrides.{override.name}: pattern {override.pattern!r} fits no operator of the model; there are: "
                f"{', '.join(names[:7])}, ..., {names[-1]}"
            )


def placed_matrices(config: TransformerConfig, hardware: Hardware) -> list[str]:
    """Names of the matrices that arrays hold; the others are digital. Raises InputError if an override fits nothing."""
    check_overrides(config, hardware)
    return [name for name in matrix_shapes(config) if hardware.engine(name) != "digital"]
