"""What runs on workers: evaluate a block and write it. Only a receipt of a few numbers goes back."""

import faulthandler
import itertools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import cloudpickle
import numpy as np
from distributed import get_worker
from numpy.typing import NDArray

from cimstudy import memory
from cimstudy.errors import InputError
from cimstudy.study.blockio import Case, arrays_now, block_lock, block_status, is_ours, write_block
from cimstudy.study.evaluate import Outcome, evaluate, one_line
from cimstudy.study.plan import FAILED, Block, unfinished
from cimstudy.study.resolve import Resolved, Resolver
from cimstudy.study.shipping import Source, install, shipped
from cimstudy.study.study import Study
from cimstudy.study.table import Point, PointsByRow
from cimstudy.study.together import evaluated


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A study as workers receive it: pickled once, with the text of the modules they cannot import."""

    sources: tuple[tuple[str, Source], ...]  # by module name
    pickled: bytes
    case_timeout: float | None = None  # s


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One task: a block, and the points and chips of it that the study asks for."""

    store: str
    run: str
    block: Block
    points: PointsByRow
    needed: NDArray[np.intp]  # chips at each row of the block
    retry_failed: bool
    todo: int  # cases to evaluate, as far as the client knew
    failed: int  # cases that had failed before and are not tried again
    wait: bool = False  # for another runner that is at this block
    known: Mapping[Case, Outcome] = field(default_factory=dict)  # what the pilot found of the block


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a task leaves: how many of its job's cases are failed now; or nothing, if another runner is at the block."""

    failed: int = 0
    busy: bool = False


def pack(study: Study, case_timeout: float | None = None) -> Payload:
    """The study for workers. Raises InputError if it cannot be sent."""
    try:
        pickled = cloudpickle.dumps(study)
    except Exception as error:  # noqa: BLE001 - pickling runs the workload's own code
        raise InputError(
            f"the workload cannot be sent to workers: {one_line(error)}; define it in a study file"
        ) from None
    return Payload(sources=tuple(shipped.items()), pickled=pickled, case_timeout=case_timeout)


@lru_cache(maxsize=4)
def unpack(payload: Payload) -> tuple[Study, Resolver]:
    """The study and its points, once for each process, so that a workload keeps what it has loaded.

    Raises InputError if it needs what is not installed here.
    """
    memory.set_limit(own_memory())
    install(dict(payload.sources))
    try:
        study: Study = pickle.loads(payload.pickled)  # noqa: S301 - sent by our own client
    except Exception as error:
        text = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"workers cannot load the study ({text}); install what it needs there too") from error
    return study, Resolver(study.hardware, study.workload)


def own_memory() -> int | None:
    """Bytes that this worker may fill; None if it has no limit, or this is no worker."""
    try:
        found: int | None = get_worker().memory_manager.memory_limit
    except ValueError:
        return None
    return found


def run_block(payload: Payload, job: Job) -> Receipt:
    """Evaluate what a block lacks, and write it."""
    study, resolve = unpack(payload)

    def outcomes(todo: Sequence[Case]) -> Iterable[Outcome]:
        together = None if payload.case_timeout else evaluated(resolve, job.points, todo, study.seed)
        return one_by_one(todo) if together is None else together

    def one_by_one(todo: Sequence[Case]) -> Iterator[Outcome]:
        for point, trials in by_point(job.points, todo):
            resolved = resolve(point)
            for trial in trials:
                yield bounded(resolved, study.seed, trial, payload.case_timeout)

    return finish(job, outcomes)


def finish(job: Job, outcomes: Callable[[Sequence[Case]], Iterable[Outcome]]) -> Receipt:
    """Bring a block up to date with the `outcomes` of the cases that it lacks, as the store is now.

    Another runner, or the first try of this very task, may have done some of them.
    """
    with block_lock(job.store, job.run, job.block, wait=job.wait) as mine:
        return complete(job, outcomes) if mine else Receipt(busy=True)


def complete(job: Job, outcomes: Callable[[Sequence[Case]], Iterable[Outcome]]) -> Receipt:
    """Evaluate what a block lacks and write it, with its lock held."""
    status = status_now(job)
    todo = lacking(job, status)
    return record(job, status, dict(zip(todo, outcomes(todo), strict=True)))


def status_now(job: Job) -> NDArray[np.int8]:
    """The states of a block's cases, as the store is now. (points, trials)."""
    return block_status(arrays_now(job.store), job.block)


def lacking(job: Job, status: NDArray[np.int8]) -> list[Case]:
    """The cases that a block of these states lacks, and that the pilot did not try."""
    wanted = unfinished(status, retry_failed=job.retry_failed)
    return [case for case in cases(job) if wanted[place(job, case)] and case not in job.known]


def record(job: Job, status: NDArray[np.int8], found: Mapping[Case, Outcome]) -> Receipt:
    """Write what was found of a block, if this process still has its lock. status: since the lock was taken."""
    if not is_ours(job.store, job.run, job.block):
        return Receipt(busy=True)
    if found or job.known:
        status = write_block(job.store, job.block, {**job.known, **found}, status)
    return Receipt(failed=sum(int(status[place(job, case)] == FAILED) for case in cases(job)))


def cases(job: Job) -> list[Case]:
    """The cases of a job's block that its study asks for."""
    first, stop = job.block.trials
    ends = np.minimum(job.needed, stop).tolist()
    return [(row, trial) for row in job.points for trial in range(first, ends[row - job.block.rows[0]])]


def place(job: Job, case: Case) -> Case:
    """Where a case is in its block."""
    return case[0] - job.block.rows[0], case[1] - job.block.trials[0]


def bounded(resolved: Resolved, seed: int, trial: int, timeout: float | None) -> Outcome:
    """Evaluate a case, or end this process if that takes too long, be it in native code that never lets go."""
    if timeout is None:
        return evaluate(resolved, seed, trial)
    faulthandler.dump_traceback_later(timeout, exit=True, file=nowhere())
    try:
        return evaluate(resolved, seed, trial)
    finally:
        faulthandler.cancel_dump_traceback_later()


@cache
def nowhere() -> TextIO:
    """Where the stacks of a case that is ended go: its record tells the case, and the worker's log is not ours."""
    return Path(os.devnull).open("w", encoding="utf-8")


def by_point(points: Mapping[int, Point], cases: Iterable[Case]) -> Iterator[tuple[Point, tuple[int, ...]]]:
    """Each point of these cases, with its trials, in their order. points: by row."""
    for row, group in itertools.groupby(cases, key=itemgetter(0)):
        yield points[row], tuple(trial for _, trial in group)


def try_cases(payload: Payload, picked: tuple[tuple[Point, tuple[int, ...]], ...]) -> tuple[Outcome, ...]:
    """Evaluate some trials of some points, writing nothing. The first case of a process pays for loading."""
    study, resolve = unpack(payload)
    return tuple(
        bounded(resolved, study.seed, trial, payload.case_timeout)
        for resolved, trials in ((resolve(point), trials) for point, trials in picked)
        for trial in trials
    )


def reference_of(payload: Payload) -> dict[str, float]:
    """The digital run's metrics, of a workload that knows them."""
    return {name: float(value) for name, value in unpack(payload)[0].workload.reference().items()}
