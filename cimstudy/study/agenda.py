"""The order of work: which tasks complete a study, and which more a finished one makes necessary."""

import heapq
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cimstudy.study.blockio import Case, handles
from cimstudy.study.evaluate import Outcome
from cimstudy.study.plan import FAILED, Block, asked, unfinished
from cimstudy.study.prepare import Ready
from cimstudy.study.stopping import Trials
from cimstudy.study.task import Job
from cimstudy.study.verdict import verdict_of


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run goes about its work."""

    run: str  # a name for this run
    order: int  # seed of the order of blocks
    retry_failed: bool
    known: Mapping[Case, Outcome] = field(default_factory=dict)  # what the pilot found, written with its blocks


class Agenda:
    """The tasks that are still to be done, those of the first trials first."""

    def __init__(self, prepared: Ready, trials: int | Trials, manner: Manner) -> None:
        self._ready, self._trials, self._manner = prepared, trials, manner
        self._needed, self._status = prepared.needed.copy(), prepared.status.copy()
        self._wanted = prepared.wanted(retry_failed=manner.retry_failed)
        self._blocks = prepared.plan.blocks(self._wanted, manner.order)
        self._soon: deque[Block] = deque()  # those that were looked at ahead
        self._later: list[tuple[int, int, Block]] = []  # by trial, then as they came
        self._count = itertools.count()

    def take(self) -> Job | None:
        """The next task; None if there is none, as far as is known."""
        block = self._soon.popleft() if self._soon else next(self._blocks, None)
        if block is None and self._later:
            block = heapq.heappop(self._later)[2]
        return None if block is None else self._job(block)

    def is_ending(self, count: int) -> bool:
        """Whether fewer than `count` tasks are left, as far as is known."""
        self._soon.extend(itertools.islice(self._blocks, max(0, count - len(self._soon))))
        return len(self._soon) + len(self._later) < count

    def settle(self, job: Job) -> int:
        """Take note of a finished task. Returns how many more cases the stopping rule now asks for."""
        if isinstance(self._trials, int):
            return 0
        rows = slice(*job.block.rows)
        arrays = handles(self._ready.store, self._manner.run)
        before = self._needed[rows].copy()
        found = verdict_of(arrays, self._trials, rows).needed
        needed = np.where(before > 0, np.maximum(before, found), 0)  # 0: not this study's
        if (needed == before).all():
            return 0
        self._needed[rows] = needed
        self._status[rows] = arrays["status"][rows]
        trials = (0, self._status.shape[1])
        more = asked(needed, trials) & ~asked(before, trials)
        self._wanted[rows] = more & unfinished(self._status[rows], retry_failed=self._manner.retry_failed)
        for block in self._ready.plan.beside(job.block, self._wanted[rows]):
            heapq.heappush(self._later, (block.trials[0], next(self._count), block))
        return int(np.count_nonzero(more))

    def _job(self, block: Block) -> Job:
        status, needed = self._status[block.region], self._needed[slice(*block.rows)]
        mine = asked(needed, block.trials)
        return Job(
            store=self._ready.store,
            run=self._manner.run,
            block=block,
            points=self._ready.points.between(*block.rows),
            needed=needed,
            retry_failed=self._manner.retry_failed,
            todo=int(np.count_nonzero(self._wanted[block.region])),
            failed=0 if self._manner.retry_failed else int(np.count_nonzero(mine & (status == FAILED))),
            known={case: outcome for case, outcome in self._manner.known.items() if block.holds(*case)},
        )
