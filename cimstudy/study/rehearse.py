"""The dry run: what a run would do, from one timed case. Writes nothing."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dask.system import CPU_COUNT

from cimstudy.study import store as stores
from cimstudy.study.cluster import connect
from cimstudy.study.pilot import Pilot, fly
from cimstudy.study.plan import DONE, FAILED, DryRun, Plan, block_shape
from cimstudy.study.prepare import Ready, blank, look
from cimstudy.study.runner import variables_of
from cimstudy.study.study import Study
from cimstudy.study.table import Table
from cimstudy.study.task import pack


def dry_run(study: Study, store: str | Path, workers: int | None) -> DryRun:
    """What a run would do. `Study.dry_run` says more."""
    place, workers = stores.location(store), workers or CPU_COUNT
    resolved = study.resolve_all()
    prepared = look(study, place, resolved)
    if prepared is not None:
        timed = stores.mean_duration(place) or one_case(study, resolved.table).seconds_per_case
        return expected(prepared, timed, workers, stores.metric_sizes(place))
    pilot = one_case(study, resolved.table)
    timed = pilot.seconds_per_case
    shape = block_shape(len(resolved), study.trials, seconds_per_case=timed, workers=workers)
    prepared = blank(study, place, Plan(points=len(resolved), trials=study.trials, block=shape), resolved)
    return expected(prepared, timed, workers, [math.prod(column.shape) for column in variables_of(study, pilot)])


def one_case(study: Study, points: Table) -> Pilot:
    """Time a warm case in one worker process."""
    payload = pack(study)
    with connect(None, 1) as client:
        return fly(client, payload, study, points, 1)


def expected(prepared: Ready, timed: float, workers: int, sizes: Sequence[int]) -> DryRun:
    """The numbers of a dry run. timed: s a case. sizes: numbers that each metric has in a case."""
    wanted = prepared.wanted(retry_failed=False)
    todo = int(np.count_nonzero(wanted))
    arrays = len(sizes) + 2  # duration and status; `error` has files only where cases fail
    axes = len(prepared.points.table.columns)
    return DryRun(
        points=len(prepared.rows),
        trials=prepared.trials,
        cases=int(np.count_nonzero(prepared.asked)),
        done=prepared.count(DONE),
        failed=prepared.count(FAILED),
        todo=todo,
        blocks=sum(1 for _ in prepared.plan.blocks(wanted)),
        seconds_per_case=timed,
        seconds=todo * timed / workers,
        bytes=prepared.status.size * (8 * sum(sizes) + 4 + 1),
        files=len(prepared.plan) * arrays + (arrays + 1) + 2 * (axes + 2) + 1,  # chunks, metadata, coordinates, root
    )
