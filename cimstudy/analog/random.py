"""Random streams keyed by what a draw is: counter-based Philox4x32-10 and normal draws made from it.

A `Key` names a stream: seed and trial, then the names of what is drawn (matrix, purpose). Within a stream a draw has a
place (plane, row, column), so any part of a matrix can be drawn alone, in any order, with the same numbers.
The normal is the inverse error function of Giles, "Approximating the erfinv function", GPU Computing Gems (2012), in
single precision.

Columns are drawn in blocks of 64: 16 counters of 4 words each, so that a block is a few vector instructions.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from cimstudy.analog.philox import LANES, TOGETHER, philox, put_words
from cimstudy.analog.vectors import bits_of, float_of, lanes_below, lowest_bit, use_wide_vectors
from cimstudy.compiled import compiled
from cimstudy.errors import InputError

BLOCK = 4 * LANES  # columns that one block of counters serves
BATCH = 16  # blocks that are drawn at a time: their words stay in the first-level cache

BITS = np.int32(0x7FFFFFFF)  # of a word, that give a normal's magnitude
FAR = np.int32(0x006EA000)  # below it are all words with -log(1 - x**2) >= 5, and hardly others

# Contraction to fused multiply-adds is wanted; reassociation is not: it would remove the rounding of `log_of`.
FASTMATH = {"nnan", "ninf", "nsz", "contract"}


@dataclass(frozen=True)
class Key:
    """A stream of draws: two 32-bit words. `Key.root(seed, trial).of("layers.0.attention.q", "programming")`."""

    low: int
    high: int
    event: str = ""  # which writing of the cells, if they are written more than once

    @classmethod
    def root(cls, seed: int, trial: int = 0) -> Self:
        """The key of one chip: `seed` and `trial` from 0 to 2**32 - 1."""
        for name, value in (("seed", seed), ("trial", trial)):
            if not 0 <= value < 2**32 or int(value) != value:
                raise InputError(f"{name} = {value}: allowed are whole numbers from 0 to {2**32 - 1}")
        return cls(int(seed), int(trial))

    def of(self, *names: str) -> Self:
        """The key of a named part of this stream; different names give unrelated streams."""
        low, high = self.low, self.high
        for name in names:
            low, high = derived(low, high, name)
        return type(self)(low, high)

    def at(self, event: str) -> Self:
        """The same cells, written another time: draws of `writing` are then others, all else stays."""
        return type(self)(self.low, self.high, event)

    @property
    def writing(self) -> Self:
        """The stream of what is drawn whenever cells are written."""
        return self.of(f"writing {self.event}") if self.event else self

    @property
    def words(self) -> np.ndarray:
        """The key as (2,) uint32, for kernels."""
        return np.array([self.low, self.high], dtype=np.uint32)


@compiled()
def words_to_normals(words, logs, z):
    """Standard normals `z` (n,) float32 from random `words` (n,) uint32; `logs` (n,) float32 is scratch.

    n : a multiple of BLOCK.  The lowest 31 bits give the distance of the uniform from its end, exact also for small
    distances, so the normals reach to 6.2; the highest bit gives the sign.
    """
    magnitudes_of(words, logs, z)
    central_normals(words, logs, z)
    correct_far_normals(words, logs, z)


@compiled(inline="always")
def tail_of(word):
    """Distance of a word's uniform number in (0, 1) from its end."""
    return (np.float32(np.int32(word & np.uint32(BITS))) + np.float32(0.5)) * np.float32(2.0**-31)


@compiled(inline="always")
def signed(magnitude, word):
    """The magnitude, or its negative if the word's highest bit is set."""
    return float_of(np.int32(bits_of(magnitude) ^ np.int32(word & np.uint32(0x80000000))))


@compiled(inline="always")
def log_of(x):
    """Logarithm: exponent and mantissa in [sqrt(1/2), sqrt(2)), then a polynomial fitted to 5e-8.

    Every sum of integers is told to be of 32 bits: for Numba it has 64, which takes twice the instructions.
    """
    shifted = np.int32(bits_of(x) - np.int32(0x3F3504F3))
    exponent = np.float32(np.int32(shifted >> np.int32(23)))
    mantissa = np.int32(shifted & np.int32(0x007FFFFF))
    f = float_of(np.int32(mantissa + np.int32(0x3F3504F3))) - np.float32(1)
    p = np.float32(0.0927221426)
    p = p * f - np.float32(0.141184249)
    p = p * f + np.float32(0.146763966)
    p = p * f - np.float32(0.165928563)
    p = p * f + np.float32(0.199851278)
    p = p * f - np.float32(0.250009217)
    p = p * f + np.float32(0.333334103)
    return exponent * np.float32(0.693147181) + (f - np.float32(0.5) * f * f + f * f * f * p)


@compiled(fastmath=FASTMATH)
def magnitudes_of(words, logs, z):
    """Leave the magnitude of the uniform x in (-1, 1) in `z`, and -log(1 - x**2) in `logs`."""
    use_wide_vectors()
    for i in range(len(words)):
        tail = tail_of(words[i])
        z[i] = np.float32(1) - tail
        logs[i] = -log_of(tail * (np.float32(2) - tail))  # (1 - x)(1 + x)


@compiled(fastmath=FASTMATH)
def magnitudes_and_roots_of(words, logs, z, squares):
    """The same; and turn squares (n,) into their roots, for which the processor has a part that is idle meanwhile."""
    use_wide_vectors()
    for i in range(len(words)):
        tail = tail_of(words[i])
        z[i] = np.float32(1) - tail
        logs[i] = -log_of(tail * (np.float32(2) - tail))
        squares[i] = np.sqrt(squares[i])


@compiled(fastmath=FASTMATH)
def central_normals(words, logs, z):
    """Turn magnitudes `z` into normals by the polynomial of the middle.

    A loop of its own: one with the logarithm has more steps than a processor looks ahead.
    """
    use_wide_vectors()
    for i in range(len(words)):
        a = logs[i] - np.float32(2.5)
        centre = np.float32(2.81022636e-08)
        centre = centre * a + np.float32(3.43273939e-07)
        centre = centre * a - np.float32(3.5233877e-06)
        centre = centre * a - np.float32(4.39150654e-06)
        centre = centre * a + np.float32(0.00021858087)
        centre = centre * a - np.float32(0.00125372503)
        centre = centre * a - np.float32(0.00417768164)
        centre = centre * a + np.float32(0.246640727)
        centre = centre * a + np.float32(1.50140941)
        z[i] = signed(np.float32(1.41421356) * z[i] * centre, words[i])


@compiled()
def correct_far_normals(words, logs, z):
    """Put those right that are far from the middle. They are one in 300: not worth vector instructions for all."""
    for start in range(0, len(words), BLOCK):
        far = lanes_below(words, start, np.uint32(BITS), np.uint32(FAR))
        while far:
            i = np.uintp(start + lowest_bit(far))
            far &= far - np.uint64(1)
            if logs[i] >= np.float32(5):
                z[i] = far_normal(words[i], logs[i])


@compiled(fastmath=FASTMATH)
def far_normal(word, w):
    """The normal of a word, by the polynomial of the ends. w : as `central_normals` leaves it."""
    b = np.sqrt(w) - np.float32(3)
    outer = np.float32(-0.000200214257)
    outer = outer * b + np.float32(0.000100950558)
    outer = outer * b + np.float32(0.00134934322)
    outer = outer * b - np.float32(0.00367342844)
    outer = outer * b + np.float32(0.00573950773)
    outer = outer * b - np.float32(0.0076224613)
    outer = outer * b + np.float32(0.00943887047)
    outer = outer * b + np.float32(1.00167406)
    outer = outer * b + np.float32(2.83297682)
    x = np.float32(1) - tail_of(word)
    return signed(np.float32(1.41421356) * x * outer, word)


@compiled()
def draw_blocks(key, plane, places, z, words, logs):
    """Fill `z` (BATCH * BLOCK,) with the normals of BATCH blocks.

    key : (2,) uint32.  plane : uint32.  places : (BATCH, 2) int64, the row and the block of columns of each.
    words, logs : scratch like `z`.  Column 64 b + 16 w + l is word w of counter 16 b + l of its row.
    """
    hash_blocks(key, plane, places, words)
    words_to_normals(words, logs, z)


@compiled()
def draw_blocks_and_roots(key, plane, places, z, words, logs, squares):
    """The same; and turn squares (BATCH * BLOCK,), one for each draw, into their roots."""
    hash_blocks(key, plane, places, words)
    magnitudes_and_roots_of(words, logs, z, squares)
    central_normals(words, logs, z)
    correct_far_normals(words, logs, z)


@compiled()
def hash_blocks(key, plane, places, words):
    """Fill `words` (BATCH * BLOCK,) with those of BATCH blocks. Arguments as above."""
    for block in range(0, BATCH, TOGETHER):
        put_words(key[0], key[1], plane, places, block, words)


@lru_cache(maxsize=1024)
def derived(low: int, high: int, name: str) -> tuple[int, int]:
    """The words of the key of a named part of the stream of another key."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    words = philox(np.uint32(low), np.uint32(high), np.frombuffer(digest, "<u4").astype(np.uint32))
    return int(words[0]), int(words[1])


@compiled()
def fill_normals(key, plane, first_row, first_column, out):
    """Fill `out` (rows, columns) float32 with the normals of `plane`, from a row and a multiple of BLOCK columns on."""
    rows, columns = out.shape
    across = (columns + BLOCK - 1) // BLOCK
    places = np.zeros((BATCH, 2), np.int64)
    z = np.empty(BATCH * BLOCK, np.float32)
    words = np.empty(BATCH * BLOCK, np.uint32)
    logs = np.empty(BATCH * BLOCK, np.float32)
    flat = out.reshape(-1)
    for start in range(0, rows * across, BATCH):
        count = min(BATCH, rows * across - start)
        for block in range(count):
            places[block, 0] = first_row + (start + block) // across
            places[block, 1] = first_column // BLOCK + (start + block) % across
        if count == BATCH and columns % BLOCK == 0:  # in place
            draw_blocks(key, plane, places, flat[start * BLOCK : (start + BATCH) * BLOCK], words, logs)
            continue
        draw_blocks(key, plane, places, z, words, logs)
        for block in range(count):
            row = (start + block) // across
            column = (start + block) % across * BLOCK
            for j in range(min(BLOCK, columns - column)):
                out[row, column + j] = z[block * BLOCK + j]


def normals(
    key: Key, shape: tuple[int, int], *, plane: int = 0, first_row: int = 0, first_column: int = 0
) -> np.ndarray:
    """Standard normal draws, float32, (rows, columns), of one plane of a stream.

    A draw depends on key, plane, row and column alone: `normals(key, (2, n), first_row=5)` are rows 5 and 6 of any
    larger array. `first_column` is a multiple of 64. Single-precision tails end at 6.2.
    """
    out = np.empty(shape, np.float32)
    fill_normals(key.words, np.uint32(plane), first_row, first_column, out)
    return out
