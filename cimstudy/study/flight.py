"""The tasks of a run that are under way: blocks, and at its end shares of blocks, so that no worker idles for long."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from distributed import Client, Future, KilledWorker, as_completed
from numpy.typing import NDArray

from cimstudy.study.agenda import Agenda
from cimstudy.study.blockio import Case, block_lock
from cimstudy.study.cluster import result_of, slots, submitted
from cimstudy.study.evaluate import Outcome
from cimstudy.study.isolated import run_isolated
from cimstudy.study.task import Job, Payload, Receipt, by_point, lacking, record, run_block, status_now, try_cases

IN_FLIGHT = 3  # tasks for each worker: enough to keep it busy, few enough to lose and to blame
RECOUNT = 5.0  # s between looks how many workers there are
SHARES = 8  # of a block at the end of a run
MOST_SHARED = 32  # blocks, which this process writes itself
WORTH_SHARING = 0.25  # s that a block takes: several times what it costs to send its results


def receipts(
    client: Client, payload: Payload, agenda: Agenda, seconds_per_case: float
) -> Iterator[tuple[Job, Receipt]]:
    """Run the agenda's jobs and yield each with its receipt; what the caller settles may put more on the agenda.

    A job whose block another runner is at comes again when there is no other, and then waits for that runner.
    """
    flight = Flight(client, payload)
    try:
        while True:
            while not flight.is_full() and (job := agenda.take() or flight.postponed()):
                worth_it = job.todo * seconds_per_case > WORTH_SHARING
                flight.send(job, shared=worth_it and agenda.is_ending(min(flight.to_share, MOST_SHARED)))
            if not flight.running:
                return
            yield from flight.landed()
    finally:
        flight.cancel()


@dataclass(eq=False)
class Shared:
    """A block in shares. This process holds its lock, and writes it once all have come."""

    job: Job
    status: NDArray[np.int8]
    lock: contextlib.ExitStack
    awaited: int  # shares
    found: dict[Case, Outcome] = field(default_factory=dict)
    has_killed: bool = False  # its workers


@dataclass(frozen=True, eq=False)
class Share:
    """Some cases of a block, which one task evaluates."""

    whole: Shared
    cases: Sequence[Case]


class Flight:
    """The tasks in flight: a few for each worker."""

    def __init__(self, client: Client, payload: Payload) -> None:
        self.running: dict[Future[Any], Job | Share] = {}
        self.workers = 1
        self._client, self._payload = client, payload
        self._done = as_completed(loop=client.loop)  # type: ignore[no-untyped-call]
        self._counted = float("-inf")
        self._busy: list[Job] = []
        self._locks = contextlib.ExitStack()

    def is_full(self) -> bool:
        """Whether there are enough tasks for now. Clusters grow and shrink, so workers are counted now and then."""
        if time.monotonic() - self._counted > RECOUNT:
            self._counted, self.workers = time.monotonic(), slots(self._client)
        return len(self.running) >= IN_FLIGHT * self.workers

    @property
    def to_share(self) -> int:
        """Blocks at the end of a run: each worker has, on average, half a block left of its last one."""
        return -(-self.workers // 2)

    def postponed(self) -> Job | None:
        """The next job whose block another runner is at, to wait for it; None if there is none."""
        return replace(self._busy.pop(0), wait=True) if self._busy else None

    def send(self, job: Job, *, shared: bool) -> None:
        """Send a job on its way, as one task or in shares."""
        if shared and not job.wait and job.todo > 1:
            self._share(job)
        else:
            self._submit(job, "block", run_block, job)

    def landed(self) -> Iterator[tuple[Job, Receipt]]:
        """Wait for a task and yield its job and receipt, if that is all of the job and no other runner is at it.

        A job whose task kills its workers is sent again, to run in child processes.
        """
        future = next(self._done)
        work = self.running.pop(future)
        try:
            result = result_of(future)
        except KilledWorker:
            result = None
        if isinstance(work, Share):
            yield from self._gather(work, result)
        elif result is None:
            self._submit(work, "isolated", run_isolated, work)
        elif result.busy:
            self._busy.append(work)
        else:
            yield work, result

    def cancel(self) -> None:
        """Call back what is still in flight: the cluster may not be ours, and go on."""
        self._locks.close()
        with contextlib.suppress(Exception):  # or be gone
            self._client.cancel(list(self.running))  # type: ignore[no-untyped-call]

    def _submit(self, work: Job | Share, name: str, task: Callable[..., Any], what: Any) -> None:
        future = submitted(self._client, name, task, self._payload, what)
        self.running[future] = work
        self._done.add(future)  # type: ignore[no-untyped-call]

    def _share(self, job: Job) -> None:
        lock = self._locks.enter_context(contextlib.ExitStack())
        if not lock.enter_context(block_lock(job.store, job.run, job.block, wait=False)):
            self._busy.append(job)
            return
        status = status_now(job)
        todo = lacking(job, status)
        count = max(1, min(SHARES, len(todo)))
        whole = Shared(job, status, lock, count)
        # named like whole blocks: Dask queues what there is much of by name, and would place rare names ahead of them.
        # It takes blocks for shorter than they are then; there are few left.
        for cases in (todo[i * len(todo) // count : (i + 1) * len(todo) // count] for i in range(count)):
            self._submit(Share(whole, cases), "block", try_cases, tuple(by_point(job.points, cases)))

    def _gather(self, share: Share, outcomes: Sequence[Outcome] | None) -> Iterator[tuple[Job, Receipt]]:
        whole = share.whole
        whole.awaited -= 1
        whole.has_killed |= outcomes is None
        whole.found.update(zip(share.cases, outcomes or (), strict=outcomes is not None))
        if whole.awaited:
            return
        with whole.lock:
            receipt = record(whole.job, whole.status, whole.found)
        if whole.has_killed:
            self._submit(whole.job, "isolated", run_isolated, whole.job)
        elif receipt.busy:
            self._busy.append(whole.job)
        else:
            yield whole.job, receipt
