"""From a study and a store to what is left to do: the store is created or extended, and every point has its row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study import store as stores
from cimstudy.study.blockio import Case
from cimstudy.study.evaluate import Outcome
from cimstudy.study.lock import locked
from cimstudy.study.merge import matched_rows
from cimstudy.study.plan import DONE, FAILED, PENDING, Block, Plan, unfinished
from cimstudy.study.resolve import Resolution
from cimstudy.study.store import Rows
from cimstudy.study.study import Study
from cimstudy.study.table import PointsByRow
from cimstudy.study.task import Job


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A store that has a place for every case of a study, and the states of the cases when it was looked at."""

    store: str
    plan: Plan
    points: PointsByRow  # the study's points, by row of the store
    rows: NDArray[np.intp]  # of each of the study's points, in its order
    trials: int  # that the study asks for; the store may hold more
    status: NDArray[np.int8]  # (points, trials) of the store

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which of the store's cases are this study's. (points, trials)."""
        asked = np.zeros(self.status.shape, np.bool_)
        asked[self.rows, : self.trials] = True
        return asked

    def count(self, state: int) -> int:
        """How many of the study's cases are in this state."""
        return int(np.count_nonzero(self.asked & (self.status == state)))

    def wanted(self, *, retry_failed: bool) -> NDArray[np.bool_]:
        """The study's cases that are still to be evaluated. (points, trials) of the store."""
        return self.asked & unfinished(self.status, retry_failed=retry_failed)


def look(study: Study, store: str, resolved: Resolution) -> Ready | None:
    """What a store would hold of the study once it is extended; None if there is no store. Writes nothing."""
    if not stores.exists(store):
        return None
    group = stores.open_group(store)
    rows, places = matched_rows(group, study, resolved)
    status = stores.read_status(group)
    more = (len(rows) - status.shape[0], max(0, study.trials - status.shape[1]))
    return ready(study, store, np.pad(status, [(0, more[0]), (0, more[1])]), stores.block_of(group), (places, resolved))


def blank(study: Study, store: str, plan: Plan, resolved: Resolution) -> Ready:
    """What a store would hold that is yet to be created."""
    status = np.full((plan.points, plan.trials), PENDING, np.int8)
    return ready(study, store, status, plan.block, (np.arange(plan.points), resolved))


def enter(study: Study, store: str, resolved: Resolution, make: Callable[[], zarr.Group] | None = None) -> Ready | None:
    """The store with room for the whole study: extended if it exists, else made by `make` (None: left alone).

    Raises InputError if it holds another study.
    """
    with locked(store):
        if not stores.exists(store):
            if make is None:
                return None
            make()
            return present(study, store, np.arange(len(resolved)), resolved)
        settled = stores.is_settled(store)
        group = stores.open_group(store, write=True, consolidated=False)
        rows, places = matched_rows(group, study, resolved)
        foreign = not stores.same_place(group)
        if not settled or outgrown(group, study, rows) or (foreign and lacks(group, study, places)):
            stores.extend(group, study, rows)
        return present(study, store, places, resolved)


def outgrown(group: zarr.Group, study: Study, rows: Rows) -> bool:
    """Whether the store has no room for this study, or holds another definition."""
    points, trials = stores.status_array(group).shape
    return len(rows) > points or study.trials > trials or study.hash() != group.attrs["study_hash"]


def lacks(group: zarr.Group, study: Study, places: NDArray[np.intp]) -> bool:
    """Whether any of the study's cases is not done. Only for a store that has room for it."""
    return bool((stores.read_status(group)[places, : study.trials] != DONE).any())


def present(study: Study, store: str, places: NDArray[np.intp], resolved: Resolution) -> Ready:
    """What the store holds now."""
    group = stores.open_group(store)
    return ready(study, store, stores.read_status(group), stores.block_of(group), (places, resolved))


def ready(
    study: Study,
    store: str,
    status: NDArray[np.int8],
    block: tuple[int, int],
    placed: tuple[NDArray[np.intp], Resolution],
) -> Ready:
    """A study's place in a store of these statuses. placed: the row of each point, and the points."""
    rows, resolved = placed
    return Ready(
        store=store,
        plan=Plan(points=status.shape[0], trials=status.shape[1], block=block),
        points=PointsByRow(rows, resolved.table),
        rows=rows,
        trials=study.trials,
        status=status,
    )


def jobs(prepared: Ready, known: Mapping[Case, Outcome], *, run: str, order: int, retry_failed: bool) -> Iterator[Job]:
    """The tasks that complete the study, in the order of work."""
    wanted = prepared.wanted(retry_failed=retry_failed)
    failed = prepared.asked & (prepared.status == FAILED) & (not retry_failed)
    for block in prepared.plan.blocks(wanted, order):
        yield Job(
            store=prepared.store,
            run=run,
            block=block,
            points=prepared.points.between(*block.rows),
            trials=prepared.trials,
            retry_failed=retry_failed,
            known={case: outcome for case, outcome in known.items() if holds(block, case)},
            todo=int(np.count_nonzero(wanted[block.region])),
            failed=int(np.count_nonzero(failed[block.region])),
        )


def holds(block: Block, case: Case) -> bool:
    """Whether a case is in a block."""
    return block.rows[0] <= case[0] < block.rows[1] and block.trials[0] <= case[1] < block.trials[1]


def check_chunks(prepared: Ready, block: tuple[int, int] | None) -> None:
    """Raise InputError if a block size is asked for that the store does not have."""
    if block is not None and block != prepared.plan.block:
        raise InputError(f"block = {block}; this store was created with {prepared.plan.block}, and keeps it")


def clear_parent(store: str) -> None:
    """Make the folder in which a local store lies. Raises InputError if that cannot be."""
    if "://" in store:
        return
    try:
        Path(store).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{store} cannot be written ({error.strerror}); allowed: a path in a folder of yours"
        ) from None
