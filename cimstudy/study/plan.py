"""How cases become blocks: pure functions of counts, times and statuses.

A block is what one task evaluates and what one chunk of each array holds: neighbouring points x neighbouring trials.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError

PENDING, DONE, FAILED = 0, 1, 2
MOST_TRIALS = 32  # in a block: a look at 32, 64, ... trials then never waits for part of a block
SHORTEST, LONGEST = 5.0, 60.0  # s; below, scheduling shows; above, the last block and a lost worker cost too much
BLOCKS_A_WORKER = 100  # of a long study
FEWEST_A_WORKER = 6  # of a short study, for progress and an even end
LEAST = 0.02  # s of work in a block, which is what writing it costs


@dataclass(frozen=True, kw_only=True)
class Block:
    """A rectangle of cases: the rows (points) and trials of one chunk, cut off at the array's edge."""

    rows: tuple[int, int]  # start, stop
    trials: tuple[int, int]  # start, stop

    @property
    def region(self) -> tuple[slice, slice]:
        """Where it lies in an array."""
        return slice(*self.rows), slice(*self.trials)

    @property
    def shape(self) -> tuple[int, int]:
        """Its points and trials."""
        return self.rows[1] - self.rows[0], self.trials[1] - self.trials[0]

    def holds(self, row: int, trial: int) -> bool:
        """Whether a case is in it."""
        return self.rows[0] <= row < self.rows[1] and self.trials[0] <= trial < self.trials[1]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the cases of a store are cut into blocks."""

    points: int
    trials: int
    block: tuple[int, int]  # points, trials

    def __len__(self) -> int:
        return -(-self.points // self.block[0]) * -(-self.trials // self.block[1])

    def at(self, row: int, column: int) -> Block:
        """The block in this row and column of blocks."""
        (height, width), top, left = self.block, row * self.block[0], column * self.block[1]
        return Block(rows=(top, min(top + height, self.points)), trials=(left, min(left + width, self.trials)))

    def holding(self, row: int, trial: int) -> Block:
        """The block that holds a case."""
        return self.at(row // self.block[0], trial // self.block[1])

    def beside(self, block: Block, wanted: NDArray[np.bool_]) -> list[Block]:
        """The blocks with the rows of `block` that hold a wanted case. wanted: (rows of the block, trials)."""
        columns = np.flatnonzero(tiled(wanted, (len(wanted), self.block[1]))[0])
        return [self.at(block.rows[0] // self.block[0], column) for column in columns.tolist()]

    def blocks(self, wanted: NDArray[np.bool_], order: int = 0) -> Iterator[Block]:
        """The blocks that hold a wanted case, breadth first: every point gets its first trials before any gets more.

        `wanted`: (points, trials). Within a round of trials the order is shuffled by the seed `order`, so that two
        runners on one store seldom meet.
        """
        rows, columns = np.nonzero(tiled(wanted, self.block))
        shuffle = random.Random(order)  # noqa: S311 - only the order of work depends on it
        for column in sorted(set(columns.tolist())):
            found = rows[columns == column].tolist()
            shuffle.shuffle(found)
            yield from (self.at(row, column) for row in found)


def asked(needed: NDArray[np.intp], trials: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of the trials from start to before stop points need. needed: chips (points,). Returns (points, trials)."""
    return np.asarray(np.arange(*trials) < needed[:, np.newaxis])


def tiled(wanted: NDArray[np.bool_], block: tuple[int, int]) -> NDArray[np.bool_]:
    """Which blocks hold a wanted case. wanted: (points, trials). Returns (rows of blocks, columns of blocks)."""
    for axis, size in enumerate(block):
        starts = np.arange(0, wanted.shape[axis], size)
        wanted = np.logical_or.reduceat(wanted, starts, axis=axis)
    return wanted


def block_shape(points: int, trials: int, *, seconds_per_case: float, workers: int) -> tuple[int, int]:
    """How many points and trials a block should hold.

    Aims at 100 blocks a worker of 5 to 60 s each, and in short studies at 6 blocks a worker. Up to 32 trials are
    together; points take up the rest. Blocks are as equal as can be.
    """
    count = cases_per_block(points * trials, seconds_per_case, workers)
    width = even(trials, min(MOST_TRIALS, count))
    return even(points, max(1, count // width)), width


def even(total: int, most: int) -> int:
    """The size of the fewest parts of `total` that do not exceed `most`, all but the last of them equal."""
    return -(-total // -(-total // most))


def cases_per_block(cases: int, seconds_per_case: float, workers: int) -> int:
    """The number of cases whose evaluation takes as long as a block should."""
    seconds = min(max(cases * seconds_per_case / (BLOCKS_A_WORKER * workers), SHORTEST), LONGEST)
    seconds = min(seconds, max(cases * seconds_per_case / (FEWEST_A_WORKER * workers), LEAST))
    return max(1, min(cases, int(seconds / max(seconds_per_case, 1e-9))))


def check_block(block: tuple[int, int]) -> tuple[int, int]:
    """`block` if it is two positive counts; InputError otherwise."""
    if len(block) != 2 or not all(isinstance(size, int) and size >= 1 for size in block):
        raise InputError(f"block = {block!r}; allowed: (points, trials), each 1 or more")
    return block[0], block[1]


def unfinished(status: NDArray[np.int8], *, retry_failed: bool) -> NDArray[np.bool_]:
    """Which cases are still to be evaluated."""
    return np.asarray((status == PENDING) | (retry_failed & (status == FAILED)))


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a run would do: cases of the study, the store's part of them, and what is left to do.

    With a stopping rule: as far as is known now; results may ask for more, up to `most_trials` at each point.
    """

    points: int
    trials: int
    most_trials: int
    cases: int
    done: int
    failed: int
    todo: int
    blocks: int  # to be done, a task each
    seconds_per_case: float
    seconds: float  # of wall time, with all workers
    bytes: int  # of the results asked for, uncompressed
    files: int  # of the finished store
