"""Writing a block: one task, whole chunks, data first and `status` last."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study.evaluate import Outcome, matched
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.lock import is_held, locked
from cimstudy.study.place import Version, is_url, version_of
from cimstudy.study.plan import DONE, FAILED, Block
from cimstudy.study.store import LARGE, Arrays, case_arrays, open_group, separator

Case = tuple[int, int]  # row, trial
AT_ONCE = 16  # requests to an object store


@lru_cache(maxsize=4)
def handles(store: str, run: str) -> Arrays:  # noqa: ARG001 - another run may find another shape
    """The arrays of a store as this process first met them in a run."""
    return arrays_now(store)


def open_arrays(store: str) -> Arrays:
    """The arrays over (point, trial), as they are now."""
    return case_arrays(open_group(store, write=True, consolidated=False))


def check_owned(block: Block, chunk: tuple[int, ...]) -> None:
    """A task owns its chunk: two that share one would lose each other's cases without an error."""
    for (start, stop), size in zip((block.rows, block.trials), chunk, strict=False):
        if start % size or not start < stop <= start + size:
            raise RuntimeError(f"block {block} is not within one chunk of {chunk[:2]}")


def arrays_now(store: str) -> Arrays:
    """The arrays with their present shapes. Raises InputError if their chunks are no blocks any more."""
    arrays = arrays_at(store, version_of(store, "status/zarr.json"))  # who extends a store does so with `status` last
    if separator(arrays["status"]) == LARGE:
        raise InputError(f"{store} was compacted while a run was at work on it; run again to go on")
    return arrays


@lru_cache(maxsize=4)
def arrays_at(store: str, version: Version) -> Arrays:  # noqa: ARG001 - another version may have another shape
    """The arrays of a store, opened once for each of its shapes."""
    return open_arrays(store)


def block_lock(store: str, run: str, block: Block, *, wait: bool) -> AbstractContextManager[bool]:
    """The lock of a block."""
    return locked(store, byte_of(store, run, block), wait=wait)


def is_ours(store: str, run: str, block: Block) -> bool:
    """Whether this process still has a block's lock and may write."""
    return is_held(store, byte_of(store, run, block))


def byte_of(store: str, run: str, block: Block) -> int:
    """The byte of a block's lock, the same however much the store grows."""
    chunk = handles(store, run)["status"].chunks
    return 1 + (block.rows[0] // chunk[0] << 24) + block.trials[0] // chunk[1]


def case_shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """The shape that each metric has in one case."""
    return {name: array.shape[2:] for name, array in arrays.items() if name not in BOOKKEEPING}


def block_status(arrays: Arrays, block: Block) -> NDArray[np.int8]:
    """The states of a block's cases, read now. (points, trials)."""
    return np.asarray(arrays["status"][block.region], np.int8)


def write_block(
    store: str, block: Block, outcomes: Mapping[Case, Outcome], status: NDArray[np.int8] | None = None
) -> NDArray[np.int8]:
    """Add outcomes to a block and write it whole. Only with the block's lock held.

    status : of its cases, if they have been read since the lock was taken.

    Cases that the store has as done stay as they are. A block at the edge of the arrays is written with their present
    shape, for another runner may have extended them. Returns the states of the block's cases. (points, trials).
    """
    arrays = arrays_now(store)
    check_owned(block, arrays["status"].chunks)
    present = read_block(arrays, block, block_status(arrays, block) if status is None else status)
    had_errors, shapes = present["error"].any(), case_shapes(arrays)
    first, done = (block.rows[0], block.trials[0]), present["status"] == DONE
    found = {(row - first[0], trial - first[1]): outcome for (row, trial), outcome in outcomes.items()}
    put(present, {place: matched(outcome, shapes) for place, outcome in found.items() if not done[place]})
    if not (had_errors or present["error"].any()):
        del present["error"]  # there is no file, and none is needed
    now = present.pop("status")
    write_all(store, arrays, block, present)
    arrays["status"][block.region] = now
    return np.asarray(now, np.int8)


def write_all(store: str, arrays: Arrays, block: Block, present: Mapping[str, NDArray[Any]]) -> None:
    """Write a block's chunks; those of an object store at once, where a request takes long and waits for nothing."""

    def write(name: str) -> None:
        arrays[name][block.region] = present[name]

    if not is_url(store):
        for name in present:
            write(name)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(write, present))  # raises what a write has raised


def read_block(arrays: Arrays, block: Block, status: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    """What a block of these states holds, `status` last; blanks, without reading them, if no case is finished."""
    if status.any():
        return {name: np.array(array[block.region]) for name, array in arrays.items()}
    return {
        name: np.full((*block.shape, *array.shape[2:]), array.fill_value, array.dtype) for name, array in arrays.items()
    }


def put(present: Mapping[str, NDArray[Any]], outcomes: Mapping[Case, Outcome]) -> None:
    """Enter outcomes at their places in a block."""
    if not outcomes:
        return
    at, found = tuple(np.transpose(list(outcomes))), outcomes.values()
    for name in present.keys() - BOOKKEEPING:
        none = np.full(present[name].shape[2:], np.nan)
        present[name][at] = [none if outcome.error else outcome.values[name] for outcome in found]
    present["error"][at] = [outcome.error for outcome in found]
    present["duration"][at] = [outcome.seconds for outcome in found]
    present["peak_memory"][at] = [outcome.peak_memory for outcome in found]
    present["status"][at] = [FAILED if outcome.error else DONE for outcome in found]
