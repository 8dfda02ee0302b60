"""Running a study: prepare the store, keep a few blocks in flight for each worker, and let the store remember."""

import contextlib
import math
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Client

from cimstudy.errors import InputError
from cimstudy.study import store as stores
from cimstudy.study.agenda import Agenda, Manner
from cimstudy.study.blockio import block_lock, write_block
from cimstudy.study.cluster import LOST, awaited, capacity, check_threads, connect, slots
from cimstudy.study.compaction import split
from cimstudy.study.flight import receipts
from cimstudy.study.layout import Column, columns
from cimstudy.study.lock import PILOT, locked
from cimstudy.study.merge import rows_of
from cimstudy.study.notes import noting
from cimstudy.study.pilot import Pilot, fly
from cimstudy.study.plan import DONE, FAILED, block_shape, check_block
from cimstudy.study.prepare import Ready, check_chunks, clear_parent, enter
from cimstudy.study.progress import Report, State, moved, reporting
from cimstudy.study.resolve import Resolution
from cimstudy.study.results import open_results
from cimstudy.study.stop import ClusterLostError, Interrupted
from cimstudy.study.study import Study
from cimstudy.study.task import Payload, pack
from cimstudy.study.workload import has_evaluate, metrics_of

if TYPE_CHECKING:
    import xarray as xr

ALONE = 10_000  # cases that one worker evaluates as arrays in the time that another takes to start
CLUSTERS = 5  # that a run takes, one after the other, before it gives up


@dataclass(frozen=True, kw_only=True)
class Run:
    """A study that is being run: where to and on what."""

    study: Study
    resolved: Resolution  # of each point
    store: str
    cluster: Any
    workers: int | None
    block: tuple[int, int] | None
    retry_failed: bool
    case_timeout: float | None  # s
    joined_before: bool = False  # another cluster, which was lost

    @property
    def processes(self) -> int | None:
        """Worker processes to start on this machine; None: one for each core."""
        cases = len(self.resolved) * self.study.least_trials
        alone = cases <= ALONE and has_evaluate(self.study.workload)
        return 1 if self.cluster is None and self.workers is None and alone else self.workers


def carry_out(run: Run, *, progress: bool) -> "xr.Dataset":
    """Evaluate what the store lacks of the study. `Study.run` says more."""
    if run.block is not None:
        check_block(run.block)
    check_timeout(run.case_timeout)
    clear_parent(run.store)
    prepared = enter(run.study, run.store, run.resolved)
    if prepared is not None:
        check_chunks(prepared, run.block)
    if prepared is None or prepared.wanted(retry_failed=run.retry_failed).any():
        try:
            if prepared is not None:
                split(run.store)
            with reporting(wanted=progress) as report:
                persevere(run, prepared, report)
        except KeyboardInterrupt:
            raise Interrupted(f"study.run({run.store!r})") from None
    return open_results(run.store)


def persevere(run: Run, prepared: Ready | None, report: Report) -> None:
    """Work, with another cluster whenever one is lost. Raises ClusterLostError if there is none to be had."""
    for left in reversed(range(CLUSTERS)):
        try:
            work(run, prepared, report)
        except ClusterLostError:
            if not left or isinstance(run.cluster, Client):
                raise
        else:
            return
        report.stage(f"{run.study.name}: the scheduler is gone; going on with another")
        run = replace(run, joined_before=True)
        prepared = enter(run.study, run.store, run.resolved)


@contextlib.contextmanager
def joined(run: Run) -> Iterator[Client]:
    """The run's cluster. Raises ClusterLostError if it is the second one and cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(connect(run.cluster, run.processes))
        except InputError as error:
            if run.joined_before:
                raise ClusterLostError(f"{LOST} ({error})") from error
            raise
        yield client


def work(run: Run, prepared: Ready | None, report: Report) -> None:
    """Start or join a cluster, create the store if there is none, and complete it."""
    payload = pack(run.study, run.case_timeout)
    report.stage(f"{run.study.name}: {awaited(run.cluster)}")
    with joined(run) as client:
        if run.case_timeout is not None:
            check_threads(client)
        pilot = Pilot(seconds_per_case=math.inf)  # as far as is known
        if prepared is None:
            report.stage(f"{run.study.name}: timing a case")
            prepared, pilot = launch(run, client, payload)
        report.stage(f"{run.study.name}: {slots(client)} workers, dashboard {client.dashboard_link}")
        manner = Manner(
            run=uuid.uuid4().hex,
            order=secrets.randbits(32),
            retry_failed=run.retry_failed,
            known=pilot.by_row(prepared.rows),
        )
        # in shares of a block the cases of such a workload would be evaluated one by one
        seconds_per_case = 0.0 if has_evaluate(run.study.workload) else pilot.seconds_per_case
        agenda = Agenda(prepared, run.study.trials, manner)
        state = opening(run, prepared, client.dashboard_link or "")
        report.show(state)
        with noting(run.store) as note:
            note.write(state, slots(client))
            for job, receipt in receipts(client, payload, agenda, seconds_per_case):
                state = moved(state, job.todo, receipt.failed - job.failed, agenda.settle(job))
                report.show(state)
                if note.is_due():
                    note.write(state, slots(client))


def launch(run: Run, client: Client, payload: Payload) -> tuple[Ready, Pilot]:
    """Time a case and create the store, or wait until another runner has done so. Returns also what was found."""
    with locked(run.store, PILOT):
        prepared = enter(run.study, run.store, run.resolved)
        if prepared is not None:
            check_chunks(prepared, run.block)
            return prepared, Pilot(seconds_per_case=math.inf)
        pilot = fly(client, payload, run.study, run.resolved.table, slots(client))
        prepared = begin(run, pilot, capacity(client))
        keep(pilot, prepared)
        return prepared, pilot


def keep(pilot: Pilot, prepared: Ready) -> None:
    """Write what the pilot found beyond what is asked for; the rest is written with its blocks."""
    run = uuid.uuid4().hex
    for (row, trial), outcome in pilot.by_row(prepared.rows).items():
        if not prepared.asked[row, trial]:
            block = prepared.plan.holding(row, trial)
            with block_lock(prepared.store, run, block, wait=True):
                write_block(prepared.store, block, {(row, trial): outcome})


def begin(run: Run, pilot: Pilot, workers: int) -> Ready:
    """Create the store, with blocks that fit the time of a case."""
    study, points = run.study, len(run.resolved)
    variables = variables_of(study, pilot)
    study.check_trials([column.name for column in variables])
    least = study.least_trials
    shape = run.block or block_shape(points, least, seconds_per_case=pilot.seconds_per_case, workers=workers)
    rows = rows_of(study, run.resolved)
    prepared = enter(study, run.store, run.resolved, lambda: stores.create(run.store, study, rows, variables, shape))
    assert prepared is not None  # noqa: S101 - made if it was not there
    return prepared


def check_timeout(case_timeout: float | None) -> None:
    """Raise InputError if this is no time."""
    if case_timeout is not None and not 0 < case_timeout < float("inf"):
        raise InputError(f"case_timeout = {case_timeout} s; allowed: above 0, or None for no limit")


def variables_of(study: Study, pilot: Pilot) -> tuple[Column, ...]:
    """The metrics' variables. Raises InputError, with the failure, if no case succeeded and they cannot be known."""
    try:
        return columns(pilot.sample, metrics_of(study.workload), pilot.reference)
    except InputError as error:
        failures = [outcome.error.splitlines()[0] for outcome in pilot.outcomes.values() if outcome.error]
        reason = f"; the first cases failed: {failures[0]}" if failures and pilot.sample is None else ""
        raise InputError(f"{error}{reason}") from None


def opening(run: Run, prepared: Ready, dashboard: str) -> State:
    """The state before the first block."""
    failed = 0 if run.retry_failed else prepared.count(FAILED)
    finished = prepared.count(DONE) + failed
    return State(
        name=run.study.name,
        total=int(np.count_nonzero(prepared.asked)),
        finished=finished,
        at_start=finished,
        failed=failed,
        started=time.time(),
        dashboard=dashboard,
    )
