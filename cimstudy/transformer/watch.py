"""What is noted while a chip computes: where errors enter, and what its attention writes, searches and keeps."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLE = 64  # vectors of each product that are kept


@dataclass(frozen=True, eq=False)
class Watch:
    """Notes of products and of attention; sums over all that was seen so far.

    powers : of each product on the chip, by matrix, power of the digital result and of the difference from it.
    inputs : of each product on the chip, by matrix, the first vectors that it met, (vectors, n_in).
    errors : whether powers are wanted, which cost a digital run more.
    counts : what attention did: `tokens` that came to a layer and were `computed` there; numbers that it `writes` to
        arrays and `cell_writes`; `searches`; keys `seen`, `kept`, and `found` among the true top ones.
    """

    powers: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, Array] = field(default_factory=dict)
    errors: bool = True

    def feed(self, name: str, x: Array) -> None:
        """Take note of a product's inputs, (..., n_in)."""
        if name not in self.inputs:
            self.inputs[name] = np.array(x.reshape(-1, x.shape[-1])[:SAMPLE])

    def see(self, name: str, digital: Array, found: Array) -> None:
        """Take note of a product's result beside the digital one."""
        signal, noise = self.powers.get(name, (0.0, 0.0))
        error = found - digital
        self.powers[name] = signal + square_sum(digital), noise + square_sum(error)

    def count(self, **amounts: float) -> None:
        """Add to counts."""
        for name, amount in amounts.items():
            self.counts[name] = self.counts.get(name, 0.0) + float(amount)


def square_sum(x: Array) -> float:
    """Sum of the squares of all elements, in double precision."""
    return float(np.square(x, dtype=np.float64).sum())
