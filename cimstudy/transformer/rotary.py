"""Rotary positions: how fast each pair of a head's entries turns, and the ways in which models stretch that.

The scalings are those that checkpoints name in `rope_parameters` (formerly `rope_scaling`): linear (position
interpolation, Chen et al. 2023), llama3 (Llama 3.1), yarn (Peng et al. 2023) and longrope (Ding et al. 2024).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError

Array = NDArray[np.float32]
Angles = NDArray[np.float64]
Places = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Turns of the first `2 * len(frequencies)` entries of a head; the others stay as they are.

    frequencies : radians per position, of each pair.  scale : factor on cosines and sines.
    long : frequencies for sequences that are longer than `long_after` tokens; empty: the same for all.
    """

    frequencies: tuple[float, ...]
    scale: float = 1.0
    long: tuple[float, ...] = ()
    long_after: int = 0

    @classmethod
    def plain(cls, width: int, theta: float = 10000.0) -> "Rotary":
        """Frequencies theta ** (-2 i / width), i from 0 to width / 2 - 1: the original rotary positions."""
        return cls(frequencies=tuple(plain_frequencies(width, theta).tolist()))

    @property
    def width(self) -> int:
        """Entries of a head that turn."""
        return 2 * len(self.frequencies)

    def turns(self, positions: Places, last: Places, head_width: int, heads: int) -> Array:
        """Cosines and signed sines of position times frequency, repeated for every head.

        positions : (sequences or 1, T).  last : (sequences or 1,), the last position of each sequence that counts.
        Returns (2, sequences or 1, T, heads * head_width).
        """
        angles = positions[..., None] * self.speeds(last)
        cos, sin = self.scale * np.cos(angles), self.scale * np.sin(angles)
        rest = (*angles.shape[:-1], head_width - self.width)
        turns = np.stack(
            [
                np.concatenate([cos, cos, np.ones(rest)], axis=-1),
                np.concatenate([-sin, sin, np.zeros(rest)], axis=-1),
            ]
        )
        return np.tile(turns.astype(np.float32), heads)

    def speeds(self, last: Places) -> Angles:
        """Frequencies for sequences that end at these positions: (sequences or 1, 1, width / 2)."""
        frequencies = np.array(self.frequencies)[None, None]
        if not self.long:
            return frequencies
        return np.where((last >= self.long_after)[:, None, None], np.array(self.long), frequencies)


def rotate(x: Array, turns: Array, head_width: int, width: int) -> Array:
    """Turn the pairs (i, i + width / 2) of each head, as Hugging Face's models do.

    x : (sequences, T, heads * head_width).  turns : (2, sequences or 1, T, at least heads * head_width).
    Returns x's shape.
    """
    cos, sin = turns[..., : x.shape[-1]]
    partners = x.reshape(*x.shape[:2], x.shape[-1] // head_width, head_width).copy()
    halves = partners[..., :width].reshape(*partners.shape[:-1], 2, width // 2)
    partners[..., :width] = halves[..., ::-1, :].reshape(*partners.shape[:-1], width)
    y: Array = partners.reshape(x.shape)
    y *= sin
    y += x * cos
    return y


def plain_frequencies(width: int, theta: float) -> Angles:
    """Radians per position of each pair of the `width` entries that turn: (width / 2,)."""
    return theta ** (-np.arange(0, width, 2) / width)


def read_rotary(parameters: Mapping[str, Any], width: int, context: int) -> Rotary:
    """The rotary positions that a checkpoint's `rope_parameters` describe.

    width : entries of a head that turn.  context : the checkpoint's longest sequence.  Raises InputError for a
    scaling that is not known here, or one without a number that it needs.
    """
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in SCALINGS:
        raise InputError(f"rope_type {kind!r} in a transformer's config; allowed: {', '.join(SCALINGS)}")
    try:
        return SCALINGS[kind](plain_frequencies(width, parameters["rope_theta"]), parameters, context)
    except KeyError as error:
        raise InputError(f"rope_type {kind!r} in a transformer's config needs {error.args[0]}") from None


def _default(plain: Angles, _parameters: Mapping[str, Any], _context: int) -> Rotary:
    return Rotary(frequencies=tuple(plain.tolist()))


def _linear(plain: Angles, parameters: Mapping[str, Any], _context: int) -> Rotary:
    return Rotary(frequencies=tuple((plain / parameters["factor"]).tolist()))


def _llama3(plain: Angles, parameters: Mapping[str, Any], _context: int) -> Rotary:
    """Slow turns are stretched by the factor, fast ones kept, those between are blended."""
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    turns = parameters["original_max_position_embeddings"] * plain / (2 * math.pi)  # in the original context
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return Rotary(frequencies=tuple((plain * (kept + (1 - kept) / parameters["factor"])).tolist()))


def _yarn(plain: Angles, parameters: Mapping[str, Any], context: int) -> Rotary:
    """As `_llama3` with a blend that is linear in the pair's number, and sharper attention."""
    factor, theta = parameters["factor"], parameters["rope_theta"]
    if "mscale" in parameters or "mscale_all_dim" in parameters:
        raise InputError(
            "rope_type 'yarn' with mscale in a transformer's config; allowed: without, or attention_factor"
        )
    original = parameters.get("original_max_position_embeddings") or context

    def pair(turns: float) -> float:  # which turns so often in the original context
        return len(plain) * math.log(original / (turns * 2 * math.pi)) / math.log(theta)

    first, last = pair(parameters.get("beta_fast") or 32), pair(parameters.get("beta_slow") or 1)
    if parameters.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * len(plain) - 1)
    ramp = np.clip((np.arange(len(plain)) - first) / (last - first or 0.001), 0, 1)
    scale = parameters.get("attention_factor") or (0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
    return Rotary(frequencies=tuple((plain * (1 - ramp + ramp / factor)).tolist()), scale=scale)


def _longrope(plain: Angles, parameters: Mapping[str, Any], context: int) -> Rotary:
    """A factor for each pair, one set for short sequences and one for long."""
    original = parameters["original_max_position_embeddings"]
    factor = parameters.get("factor") or context / original
    scale = parameters.get("attention_factor")
    if scale is None:
        scale = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    short, long = np.array(parameters["short_factor"], float), np.array(parameters["long_factor"], float)
    if short.shape != plain.shape or long.shape != plain.shape:
        raise InputError(
            f"short_factor and long_factor hold {short.size} and {long.size} numbers; allowed: {plain.size}"
        )
    return Rotary(
        frequencies=tuple((plain / short).tolist()),
        scale=scale,
        long=tuple((plain / long).tolist()),
        long_after=original,
    )


SCALINGS: Mapping[str, Callable[[Angles, Mapping[str, Any], int], Rotary]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
