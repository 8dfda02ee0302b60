"""The dry run: what a run would do, from one timed case. Writes nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dask.system import CPU_COUNT

from cimstudy.study import store as stores
from cimstudy.study.cluster import connect
from cimstudy.study.pilot import Pilot, fly
from cimstudy.study.place import location
from cimstudy.study.plan import DONE, FAILED, DryRun, Plan, block_shape
from cimstudy.study.prepare import Ready, blank, look
from cimstudy.study.runner import variables_of
from cimstudy.study.study import Study
from cimstudy.study.table import Table
from cimstudy.study.task import pack


def dry_run(study: Study, store: str | Path, workers: int | None, *, retry_failed: bool) -> DryRun:
    """What a run would do. `Study.dry_run` says more."""
    place, workers = location(store), workers or CPU_COUNT
    resolved = study.resolve_all()
    prepared = look(study, place, resolved)
    if prepared is not None:
        timed = stores.mean_duration(place) or one_case(study, resolved.table).seconds_per_case
        effort = Effort(seconds_per_case=timed, workers=workers, sizes=stores.metric_sizes(place))
        return expected(prepared, study.most_trials, effort, retry_failed=retry_failed)
    pilot = one_case(study, resolved.table)
    timed = pilot.seconds_per_case
    shape = block_shape(len(resolved), study.least_trials, seconds_per_case=timed, workers=workers)
    prepared = blank(study, place, Plan(points=len(resolved), trials=study.most_trials, block=shape), resolved)
    variables = variables_of(study, pilot)
    study.check_trials([column.name for column in variables])
    sizes = [math.prod(column.shape) for column in variables]
    effort = Effort(seconds_per_case=timed, workers=workers, sizes=sizes)
    return expected(prepared, study.most_trials, effort, retry_failed=retry_failed)


def one_case(study: Study, points: Table) -> Pilot:
    """Time a warm case in one worker process."""
    payload = pack(study)
    with connect(None, 1) as client:
        return fly(client, payload, study, points, 1)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a case takes, and who works."""

    seconds_per_case: float
    workers: int
    sizes: Sequence[int]  # numbers that each metric has in a case


def expected(prepared: Ready, most_trials: int, effort: Effort, *, retry_failed: bool) -> DryRun:
    """The numbers of a dry run."""
    sizes = effort.sizes
    wanted = prepared.wanted(retry_failed=retry_failed)
    todo = int(np.count_nonzero(wanted))
    arrays = len(sizes) + 3  # duration, peak memory and status; `error` has files only where cases fail
    axes = len(prepared.points.table.columns)
    return DryRun(
        points=len(prepared.rows),
        trials=int(prepared.needed.max()),
        most_trials=most_trials,
        cases=int(np.count_nonzero(prepared.asked)),
        done=prepared.count(DONE),
        failed=0 if retry_failed else prepared.count(FAILED),
        todo=todo,
        blocks=sum(1 for _ in prepared.plan.blocks(wanted)),
        seconds_per_case=effort.seconds_per_case,
        seconds=todo * effort.seconds_per_case / effort.workers,
        bytes=int(np.count_nonzero(prepared.asked)) * (8 * sum(sizes) + 4 + 4 + 1),
        files=len(prepared.plan) * arrays + (arrays + 1) + 2 * (axes + 2) + 1,  # chunks, metadata, coordinates, root
    )
