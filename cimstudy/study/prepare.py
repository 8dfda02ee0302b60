"""From a study and a store to what is left to do: the store is created or extended, and every point has its row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study import store as stores
from cimstudy.study.lock import locked
from cimstudy.study.merge import matched_rows
from cimstudy.study.place import is_url
from cimstudy.study.plan import DONE, PENDING, Plan, asked, unfinished
from cimstudy.study.resolve import Resolution
from cimstudy.study.stopping import Verdict
from cimstudy.study.store import Rows
from cimstudy.study.study import Study
from cimstudy.study.table import PointsByRow
from cimstudy.study.verdict import extended, unseen, verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A store that has a place for every case of a study, and the states of the cases when it was looked at."""

    store: str
    plan: Plan
    points: PointsByRow  # the study's points, by row of the store
    rows: NDArray[np.intp]  # of each of the study's points, in its order
    needed: NDArray[np.intp]  # chips that the study asks for at each row, as far as is known; the store may hold more
    capped: NDArray[np.bool_]  # rows that have got all there may be, in vain
    status: NDArray[np.int8]  # (points, trials) of the store

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which of the store's cases are this study's. (points, trials)."""
        return asked(self.needed, (0, self.status.shape[1]))

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
    more = (len(rows) - status.shape[0], max(0, study.most_trials - status.shape[1]))
    found = extended(verdict(group, study.trials), more[0], study.trials)
    status = np.pad(status, [(0, more[0]), (0, more[1])])
    return ready(store, status, stores.block_of(group), found, (places, resolved))


def blank(study: Study, store: str, plan: Plan, resolved: Resolution) -> Ready:
    """What a store would hold that is yet to be created."""
    status = np.full((plan.points, plan.trials), PENDING, np.int8)
    return ready(store, status, plan.block, unseen(plan.points, study.trials), (np.arange(plan.points), resolved))


def enter(study: Study, store: str, resolved: Resolution, make: Callable[[], zarr.Group] | None = None) -> Ready | None:
    """The store with room for the whole study: extended if it exists, else made by `make` (None: left alone).

    Raises InputError if it holds another study.
    """
    with locked(store):
        if not stores.exists(store):
            if make is None:
                return None
            plan = Plan(points=len(resolved), trials=study.most_trials, block=stores.block_of(make()))
            return blank(study, store, plan, resolved)
        stores.restore_layout(store)
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
    return len(rows) > points or study.most_trials > trials or study.hash() != group.attrs["study_hash"]


def lacks(group: zarr.Group, study: Study, places: NDArray[np.intp]) -> bool:
    """Whether any of the study's cases is not done. Only for a store that has room for it."""
    needed = verdict(group, study.trials).needed[places]
    status = stores.read_status(group)[places]
    return bool(((status != DONE) & asked(needed, (0, status.shape[1]))).any())


def present(study: Study, store: str, places: NDArray[np.intp], resolved: Resolution) -> Ready:
    """What the store holds now."""
    group = stores.open_group(store)
    found = verdict(group, study.trials)
    return ready(store, stores.read_status(group), stores.block_of(group), found, (places, resolved))


def ready(
    store: str,
    status: NDArray[np.int8],
    block: tuple[int, int],
    found: Verdict,
    placed: tuple[NDArray[np.intp], Resolution],
) -> Ready:
    """A study's place in a store of these statuses. placed: the row of each point, and the points."""
    rows, resolved = placed
    mine = np.zeros(len(status), np.bool_)
    mine[rows] = True
    return Ready(
        store=store,
        plan=Plan(points=status.shape[0], trials=status.shape[1], block=block),
        points=PointsByRow(rows, resolved.table),
        rows=rows,
        needed=np.where(mine, found.needed, 0),
        capped=mine & found.capped,
        status=status,
    )


def check_chunks(prepared: Ready, block: tuple[int, int] | None) -> None:
    """Raise InputError if a block size is asked for that the store does not have."""
    if block is not None and block != prepared.plan.block:
        raise InputError(f"block = {block}; this store was created with {prepared.plan.block}, and keeps it")


def clear_parent(store: str) -> None:
    """Make the folder in which a local store lies. Raises InputError if that cannot be."""
    if is_url(store):
        return
    try:
        Path(store).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{store} cannot be written ({error.strerror}); allowed: a path in a folder of yours"
        ) from None
