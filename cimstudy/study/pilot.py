"""The pilot: a few cases on workers, before the store exists, for the time of a case and the shapes of metrics."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from distributed import Client, KilledWorker
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study.blockio import Case
from cimstudy.study.cluster import result_of, submitted
from cimstudy.study.evaluate import Outcome, one_line
from cimstudy.study.stop import ClusterLostError
from cimstudy.study.study import Study
from cimstudy.study.table import Point, Table
from cimstudy.study.task import Payload, reference_of, try_cases
from cimstudy.study.workload import has_reference

Place = tuple[int, int]  # the point's number in the space, trial


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What the pilot found. Its outcomes are written with their blocks, so no case is evaluated twice."""

    outcomes: Mapping[Place, Outcome] = field(default_factory=dict)
    seconds_per_case: float  # the slowest of the warm cases
    reference: Mapping[str, float] = field(default_factory=dict)

    @property
    def sample(self) -> Outcome | None:
        """An outcome with metrics."""
        return next((outcome for outcome in self.outcomes.values() if not outcome.error), None)

    def by_row(self, rows: NDArray[np.intp]) -> dict[Case, Outcome]:
        """The outcomes, by row of the store and trial. rows : of each point."""
        return {(int(rows[point]), trial): outcome for (point, trial), outcome in self.outcomes.items()}


def rounds(points: int, trials: int, workers: int) -> Iterator[list[list[Place]]]:
    """Which cases to try: a cold and a warm one at the two ends of the space, then elsewhere until one succeeds."""
    places = dict.fromkeys((0, points - 1, points // 2, points // 4, 3 * points // 4))
    pairs = [pair(point, points, trials) for point in places]
    first = pairs[: 2 if workers > 1 and trials > 1 else 1]
    yield first
    for later in pairs[len(first) :]:
        yield [later]


def pair(point: int, points: int, trials: int) -> list[Place]:
    """Two neighbouring cases, as far as there are two."""
    if trials > 1:
        return [(point, 0), (point, 1)]
    return list(dict.fromkeys([(point, 0), ((point + 1) % points, 0)]))


def fly(client: Client, payload: Payload, study: Study, points: Table, workers: int) -> Pilot:
    """Try cases until one succeeds. Raises InputError if the workload says that its input is bad."""
    outcomes: dict[Place, Outcome] = {}
    seconds: list[float] = []
    for pairs in rounds(len(points), study.most_trials, workers):
        for places, found in try_pairs(client, payload, points, pairs):
            outcomes |= dict(zip(places, found, strict=True))
            seconds += [outcome.seconds for outcome in found[-1:]]
        if any(not outcome.error for outcome in outcomes.values()):
            break
    return Pilot(
        outcomes=outcomes,
        seconds_per_case=max(seconds, default=1.0),
        reference=reference(client, payload, study.workload),
    )


def try_pairs(
    client: Client, payload: Payload, points: Table, pairs: list[list[Place]]
) -> Iterator[tuple[list[Place], tuple[Outcome, ...]]]:
    """Outcomes of pairs of cases, tried side by side. A pair that kills its worker is left out."""
    futures = [submitted(client, "pilot", try_cases, payload, picked(points, places)) for places in pairs]
    for places, future in zip(pairs, futures, strict=True):
        try:
            found: tuple[Outcome, ...] = result_of(future)
        except KilledWorker:
            continue
        for outcome in found:
            if outcome.refused:
                raise InputError(outcome.error.splitlines()[0].removeprefix("InputError: "))
        yield places, found


def picked(points: Table, places: Iterable[Place]) -> tuple[tuple[Point, tuple[int, ...]], ...]:
    """The points and trials at these places."""
    return tuple((points.point(at), (trial,)) for at, trial in places)


def reference(client: Client, payload: Payload, workload: Any) -> dict[str, float]:
    """The digital run's metrics, from a worker. Raises InputError if the workload cannot give them."""
    if not has_reference(workload):
        return {}
    try:
        found: dict[str, float] = result_of(submitted(client, "reference", reference_of, payload))
    except (ClusterLostError, InputError):
        raise
    except Exception as error:
        raise InputError(f"the workload's reference failed: {type(error).__name__}: {one_line(error)}") from error
    return found
