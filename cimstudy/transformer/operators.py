"""The operators of a network by name, and which engine each runs on."""

from collections.abc import Iterator, Sequence

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Override
from cimstudy.hardware.placement import ENGINES, matches, operator_kind
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


def check_overrides(config: TransformerConfig, overrides: Sequence[Override]) -> None:
    """Raise InputError if the pattern of an override fits no operator, or none that its engine or unit is for."""
    names = list(operators(config))
    for override in overrides:
        fitting = [name for name in names if matches(override.pattern, name)]
        if not fitting:
            raise InputError(
                f"overrides.{override.name}: pattern {override.pattern!r} fits no operator of the model; there are: "
                f"{', '.join(names[:7])}, ..., {names[-1]}"
            )
        kinds = sorted({operator_kind(name) for name in fitting})
        fits = f"overrides.{override.name}: pattern {override.pattern!r} fits {', '.join(kinds)}"
        engine = override.engine
        if engine is not None and not any(engine in ENGINES[kind] for kind in kinds):
            there = [f"{kind} on {' or '.join(ENGINES[kind])}" for kind in kinds]
            raise InputError(f"{fits}, none of which runs on {engine!r}; allowed: {'; '.join(there)}")
        for unit in ("softmax", "norm", "activation"):
            if getattr(override, unit) is not None and unit not in kinds:
                raise InputError(f"{fits}; allowed with {unit}: patterns that fit a {unit}")


def placed_matrices(config: TransformerConfig, hardware: Hardware) -> list[str]:
    """Names of the matrices that arrays hold; the others are digital. Raises InputError if an override fits nothing."""
    check_overrides(config, hardware.overrides)
    return [name for name in matrix_shapes(config) if hardware.engine(name) != "digital"]
