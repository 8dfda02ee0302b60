"""Compaction: the chunks of a finished store rewritten as few large ones, and split again before more is computed.

Both kinds have keys of their own (`c/0/0` of a block, `c.0.0` of a large chunk), so new chunks are written beside the
old ones. Which are read is for the arrays' metadata to say: readers go over in one write, that of the consolidated
metadata, and only then are the old chunks deleted. A process that dies anywhere leaves one whole set that is read.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.sync import sync

from cimstudy.errors import InputError
from cimstudy.study import store as stores
from cimstudy.study.lock import POLL, WHOLE, is_held, locked
from cimstudy.study.place import is_url, location
from cimstudy.study.results import store_status
from cimstudy.study.stop import StoreLostError
from cimstudy.study.store import BLOCKS, LARGE

BYTES = 2**23  # in a large chunk, uncompressed
ZSTD = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}  # as zarr compresses by itself
PATIENCE, PATIENCE_FAR = 2.0, 150.0  # s to wait for runs; a lease whose holder has died elsewhere ends meanwhile


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """How many chunks a store had, and has."""

    name: str
    before: int
    after: int


def compact(store: str | Path) -> Compaction:
    """Rewrite a finished store in few large chunks. A run that has something to add splits them again.

    Results are the same, bit for bit, but datasets that were opened before have to be opened again. If it is killed,
    the store is as it was, or compact. Raises InputError if there is no store, if cases are pending, or if a run is
    under way.
    """
    place = location(store)
    pending = store_status(place).pending
    if pending:
        raise InputError(f"{place} has {pending} pending cases; allowed: a finished store")
    with whole(place):
        stores.restore_layout(place)
        if not stores.is_settled(place):
            raise InputError(f"{place}: an extension was broken off; run the study again first")
        group = stores.open_group(place, write=True, consolidated=False)
        before = chunk_count(group)
        stores.remember_block(group)
        rewrite(place, LARGE)
        after = chunk_count(stores.open_group(place))
    return Compaction(name=str(group.attrs["name"]), before=before, after=after)


def split(store: str) -> None:
    """If a store is compact, rewrite it in blocks, which tasks can write each for itself."""
    while stores.is_compact(stores.open_group(store)):
        with locked(store, WHOLE, wait=False) as mine:
            if mine:
                stores.restore_layout(store)
                rewrite(store, BLOCKS)
                return
        time.sleep(POLL)  # another runner splits it, most likely


@contextlib.contextmanager
def whole(store: str) -> Iterator[None]:
    """Keep every run away from a store. Raises InputError if one is under way."""
    end = time.monotonic() + (PATIENCE_FAR if is_url(store) else PATIENCE)
    while True:
        with locked(store, WHOLE, wait=False) as mine:
            if mine:
                yield
                return
        if time.monotonic() > end:
            raise InputError(f"{store}: a run is under way; allowed: a store that no run is at work on")
        time.sleep(POLL)


def rewrite(store: str, kind: str) -> None:
    """Write all chunks anew as chunks of this kind, let readers go over to them, and delete the old ones.

    Only with the whole store's lock held.
    """
    group = stores.open_group(store, write=True, consolidated=False)
    arrays = stores.case_arrays(group)
    if stores.is_compact(group) != (kind == LARGE):
        block = stores.block_of(group)
        sync(dropped(group.store, arrays, kind))  # what is left of another that was killed
        new = {name: relaid(array, block, kind) for name, array in arrays.items()}
        for name, array in arrays.items():
            copy(array, new[name], large(array, block))
        if not is_held(store, WHOLE):
            raise StoreLostError(f"{store}: the lease was lost; the store is as it was")
        for array in new.values():
            array.update_attributes({})  # writes its metadata
        stores.consolidate(group)
    sync(dropped(group.store, arrays, LARGE if kind == BLOCKS else BLOCKS))


def relaid(array: "zarr.Array[Any]", block: tuple[int, int], kind: str) -> "zarr.Array[Any]":
    """The same array with chunks of another kind. Its metadata are not written yet."""
    chunks = large(array, block) if kind == LARGE else (*block, *array.chunks[2:])
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    keys = {"name": "default", "configuration": {"separator": kind}}
    metadata: Any = array.metadata.to_dict()
    compressors = [ZSTD] if stores.worth_compressing(chunks, array.dtype) else []
    codecs = [metadata["codecs"][0], *compressors]  # the first makes bytes of values
    metadata |= {"chunk_grid": grid, "chunk_key_encoding": keys, "codecs": codecs}
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


def large(array: "zarr.Array[Any]", block: tuple[int, int]) -> tuple[int, ...]:
    """The shape of large chunks: whole blocks, of all trials if these find room."""
    cases = BYTES // (stores.size_of(array.dtype) * math.prod(array.chunks[2:]))
    (points, trials), (height, width) = array.shape[:2], block
    columns = min(-(-trials // width), max(1, cases // (height * width)))
    rows = min(-(-points // height), max(1, cases // (height * columns * width)))
    return (rows * height, columns * width, *array.chunks[2:])


def copy(array: "zarr.Array[Any]", new: "zarr.Array[Any]", step: tuple[int, ...]) -> None:
    """Write an array's values into the chunks of another, so much at a time, and read them back."""
    starts = (range(0, size, width) for size, width in zip(array.shape, step, strict=True))
    for corner in itertools.product(*starts):
        region = tuple(slice(start, start + width) for start, width in zip(corner, step, strict=True))
        values = np.asarray(array[region])
        new[region] = values
        if not same(values, np.asarray(new[region])):
            raise StoreLostError(f"{array.name} does not come back as it was written; the store is as it was")


def same(one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]") -> bool:
    """Whether two arrays are equal in every bit."""
    return bool((one == other).all()) if one.dtype.kind in "OTU" else one.tobytes() == other.tobytes()


async def dropped(store: Store, names: Iterable[str], kind: str) -> None:
    """Delete the chunks of this kind."""
    for name in names:
        if kind == BLOCKS:
            await store.delete_dir(f"{name}/c")
            continue
        keys = [key async for key in store.list_prefix(f"{name}/") if key.startswith(f"{name}/c{LARGE}")]
        await asyncio.gather(*map(store.delete, keys))


def chunk_count(group: zarr.Group) -> int:
    """How many chunks are stored of all cases."""
    return sum(array.nchunks_initialized for array in stores.case_arrays(group).values())
