"""Cases that a workload evaluates together, as arrays, instead of one after the other."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy import memory
from cimstudy.hardware import Hardware
from cimstudy.study.blockio import Case
from cimstudy.study.evaluate import Outcome
from cimstudy.study.resolve import Resolver, root_of
from cimstudy.study.table import PointsByRow, Table, grouped
from cimstudy.study.workload import has_evaluate

Parts = tuple[list[Any], NDArray[np.intp]]  # distinct ones, and which of them every point has


def evaluated(resolver: Resolver, points: PointsByRow, cases: Sequence[Case], seed: int) -> list[Outcome] | None:
    """The outcomes of these cases, in their order; None if they have to be evaluated one by one.

    That is so if the workload has no `evaluate`, or if that raises: then one by one shows which case is to blame.
    """
    table = points.in_order()
    workloads, which = parts_of(resolver, "workload", table)
    if not all(has_evaluate(workload) for workload in workloads):
        return None
    memory.restart_peak()
    start = time.perf_counter()
    trials = sorted({trial for _, trial in cases})
    hardware = {root: parts_of(resolver, root, table) for root in Hardware.model_fields}
    values: dict[Case, dict[str, Any]] = {}
    for number, workload in enumerate(workloads):
        mine = np.flatnonzero(which == number)
        chosen = {root: (parts, codes[mine]) for root, (parts, codes) in hardware.items()}
        try:
            found = arrays(workload.evaluate(chosen, seed=seed, trials=trials), (len(mine), len(trials)))
        except Exception:  # noqa: BLE001 - whatever it is, a case shows it again
            return None
        for place, row in enumerate(points.rows[mine].tolist()):
            for turn, trial in enumerate(trials):
                values[row, trial] = {name: array[place, turn] for name, array in found.items()}
    seconds, peak = (time.perf_counter() - start) / len(cases), memory.peak()
    return [Outcome(values=values[case], seconds=seconds, peak_memory=peak) for case in cases]


def parts_of(resolver: Resolver, root: str, table: Table) -> Parts:
    """The distinct parts of one kind at the points of a table, and which of them every point has."""
    mine = {path: column for path, column in table.columns.items() if root_of(path) == root}
    rows, codes = grouped([column.codes for column in mine.values()], table.size)
    points = Table(size=table.size, columns=mine).points(rows)
    return [resolver.part(root, point) for point in points], codes


def arrays(found: Mapping[str, Any], cases: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    """What a workload gave for all cases. Raises ValueError for an array that is not of so many points and trials."""
    values = {str(name): np.asarray(array, np.float64) for name, array in found.items()}
    for name, array in values.items():
        if array.shape[:2] != cases:
            raise ValueError(f"{name} has the shape {array.shape} for {cases[0]} points and {cases[1]} trials")
    return values
