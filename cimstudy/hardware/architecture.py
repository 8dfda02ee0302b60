"""Architecture: which of a network's matrices are held by crossbars; all else is digital."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from cimstudy.hardware.part import Part


class Architecture(Part):
    """What runs where. Every static matrix whose name fits a pattern of `crossbar` is held by crossbars.

    Patterns are dotted names in which `*` stands for anything and a number may be a range: `layers.0-3.attention.*`.
    Attention scores, softmax, norms, activations and embeddings are digital.
    """

    name: str = "static-weights"
    crossbar: Annotated[tuple[str, ...], Field(description="patterns of matrix names")] = ("*",)
    drift_compensation: Literal["global", "per_column"] | None = Field(
        default=None, description="digital factors against drift: one for each array, or for each of its columns"
    )

    @field_validator("crossbar")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not re.fullmatch(r"[\w*.-]+", pattern):
                raise ValueError(f"pattern {pattern!r}: allowed are names, dots, '*' and ranges such as 0-3")
        return patterns

    def on_crossbar(self, matrix: str) -> bool:
        """Whether the matrix of this name is held by crossbars."""
        return any(matches(pattern, matrix) for pattern in self.crossbar)


def matches(pattern: str, name: str) -> bool:
    """Whether a dotted `name` fits `pattern`: `*` stands for anything, `0-3` for the numbers 0 to 3."""
    low_high = re.compile(r"(\d+)-(\d+)")
    parts = []
    for step in pattern.split("."):
        bounds = low_high.fullmatch(step)
        if bounds:
            numbers = range(int(bounds[1]), int(bounds[2]) + 1)
            parts.append("(" + "|".join(map(str, numbers)) + ")")
        else:
            parts.append(".*".join(re.escape(piece) for piece in step.split("*")))
    return re.fullmatch(r"\.".join(parts), name) is not None
