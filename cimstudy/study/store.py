"""The store: a Zarr group that is one xarray dataset; created once, grown by the client, written block by block.

Readers see consolidated metadata, rewritten as the last step of every change, so they meet the old or the new shape
and nothing between. Writers of blocks open arrays without it.
"""

import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study.codec import canonical
from cimstudy.study.layout import BOOKKEEPING, Column, check_labels, coordinate, coordinate_chunk, labelled
from cimstudy.study.place import is_blank, is_url, opened
from cimstudy.study.provenance import git_state, machine, version, versions
from cimstudy.study.study import Study
from cimstudy.study.table import Column as Along
from cimstudy.study.table import Table, table_of
from cimstudy.study.workload import coordinates_of, sources_of

Arrays = Mapping[str, "zarr.Array[Any]"]
CASE = ("point", "trial")
BLOCKS, LARGE = "/", "."  # separators in the keys of chunks: blocks, and those of a compact store
PAGE = 4096  # bytes: a file takes no less
TEXT = 64  # bytes that a text counts for


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The points of a store: the axes that tell them apart, and what these are at each."""

    axes: Mapping[str, str]  # path -> name of the dimension
    settings: Table  # JSON values of all axes
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # path -> attributes of its coordinate

    def __len__(self) -> int:
        return len(self.settings)

    def texts(self, rows: slice) -> list[str]:
        """The settings of these rows, as JSON."""
        columns = [jsons(path, column, rows) for path, column in self.settings.columns.items()]
        pairs = zip(*columns, strict=True) if columns else [()] * span(rows)
        return [f"{{{', '.join(filter(None, pair))}}}" for pair in pairs]


def any_group(store: str, *, write: bool = False, consolidated: bool | None = None) -> zarr.Group | None:
    """The Zarr group at a location; None if there is none. The only place where stores are opened."""
    mode: Literal["r", "r+"] = "r+" if write else "r"
    if write and not is_url(store) and not Path(store).is_dir():  # which opening it to write would make
        return None
    try:
        return zarr.open_group(opened(store, write=write), mode=mode, use_consolidated=consolidated, zarr_format=3)
    except (FileNotFoundError, zarr.errors.NodeNotFoundError, zarr.errors.ContainsArrayError):
        return None
    except InputError:
        raise
    except (ValueError, NotADirectoryError) as error:  # no such format
        reason = " ".join(str(error).split())
        raise InputError(f"{store} cannot be opened ({reason}); allowed: a path, or a URL of an object store") from None


def open_group(store: str, *, write: bool = False, consolidated: bool | None = None) -> zarr.Group:
    """The group of an existing study. Raises InputError if there is none."""
    group = any_group(store, write=write, consolidated=consolidated)
    if group is None:
        is_blank(store)  # raises if it is in a bucket that does not exist
        raise InputError(f"{store} is not a store of results; allowed: what study.run has written")
    if "study_hash" not in group.attrs:
        raise InputError(f"{store} is a Zarr group without a study; allowed: what study.run has written")
    return group


def exists(store: str) -> bool:
    """Whether a complete store is there. Raises InputError if something else is."""
    group = any_group(store)
    if group is None:
        if not is_blank(store):
            raise InputError(f"{store} exists and is not a store of results; allowed: a new path, or a store")
        return False
    if "study_hash" in group.attrs:
        return True
    if "cimstudy_version" in group.attrs:
        return False  # a runner died while creating it
    raise InputError(f"{store} is a Zarr group without a study; allowed: a new path, or a store")


def case_arrays(group: zarr.Group) -> dict[str, "zarr.Array[Any]"]:
    """The arrays over (point, trial), metrics first and `status` last, which is the order of writing."""
    found = {name: array for name, array in group.arrays() if dims_of(array)[:2] == CASE}
    return {name: found[name] for name in [*(name for name in found if name not in BOOKKEEPING), *BOOKKEEPING]}


def dims_of(array: "zarr.Array[Any]") -> tuple[str | None, ...]:
    """An array's dimension names."""
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def block_of(group: zarr.Group) -> tuple[int, int]:
    """The points and trials of this store's blocks."""
    known: Any = group.attrs["block"] if is_compact(group) else status_array(group).chunks
    points, trials = known
    return points, trials


def remember_block(group: zarr.Group) -> None:
    """Write down the size of blocks, which the chunks of a compact store do not tell."""
    zarr.open_group(group.store, mode="r+").update_attributes({"block": list(block_of(group))})


def is_compact(group: zarr.Group) -> bool:
    """Whether this store has large chunks in place of blocks."""
    return separator(status_array(group)) == LARGE


def separator(array: "zarr.Array[Any]") -> str:
    """What stands between the numbers in the keys of an array's chunks."""
    encoding = getattr(array.metadata, "chunk_key_encoding", None)
    return str(getattr(encoding, "separator", BLOCKS))


def restore_layout(store: str) -> None:
    """Give arrays the chunks that readers see, if a compaction was broken off. Only with the store's lock held."""
    seen, real = any_group(store, write=True), any_group(store, write=True, consolidated=False)
    if seen is None or real is None or seen.metadata.consolidated_metadata is None:
        return
    written = dict(real.arrays())
    for name, array in seen.arrays():
        if name in written and separator(array) != separator(written[name]):
            array.update_attributes({})  # writes its metadata


def status_array(group: zarr.Group) -> "zarr.Array[Any]":
    """The states of all cases."""
    array = group["status"]
    assert isinstance(array, zarr.Array)  # noqa: S101 - for the type checker
    return array


def read_status(group: zarr.Group) -> NDArray[np.int8]:
    """The states of all cases. (points, trials)."""
    return np.asarray(status_array(group)[:], np.int8)


def mean_duration(store: str) -> float | None:
    """The mean time of a finished case, s; None if there is none."""
    seconds = np.asarray(open_group(store)["duration"][:])  # type: ignore[index]
    seconds = seconds[np.isfinite(seconds)]
    return float(seconds.mean(dtype=np.float64)) if seconds.size else None


def metric_sizes(store: str) -> list[int]:
    """How many numbers each metric has in one case."""
    arrays = case_arrays(open_group(store))
    return [math.prod(array.shape[2:]) for name, array in arrays.items() if name not in BOOKKEEPING]


def create(store: str, study: Study, rows: Rows, columns: Sequence[Column], block: tuple[int, int]) -> zarr.Group:
    """A new store in which every case is pending. Only with the store's lock held."""
    attributes = {"cimstudy_version": version("cimstudy"), "metrics": [column.name for column in columns]}
    group = zarr.create_group(opened(store, write=True), overwrite=True, zarr_format=3, attributes=attributes)
    shape = (len(rows), study.most_trials)
    for column in (*columns, *BOOKKEEPING.values()):
        make_array(group, column, shape, block)
    write_coordinates(group, rows, study.most_trials)
    for dim, size in sorted({pair for column in columns for pair in zip(column.dims, column.shape, strict=True)}):
        write_labels(group, dim, size, coordinates_of(study.workload))
    finish(group, study, rows)
    return group


def make_array(group: zarr.Group, column: Column, shape: tuple[int, int], block: tuple[int, int]) -> None:
    """An empty array over (point, trial), whose chunks are blocks."""
    chunks = (*block, *(max(1, size) for size in column.shape))
    dtype = np.dtypes.StringDType() if column.dtype == "string" else np.dtype(column.dtype)
    group.create_array(
        column.name,
        shape=(*shape, *column.shape),
        chunks=chunks,
        compressors="auto" if worth_compressing(chunks, dtype) else None,
        dtype=dtype,
        fill_value=column.fill,
        dimension_names=(*CASE, *column.dims),
        attributes=dict(column.attributes),
    )


def worth_compressing(chunk: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether chunks take fewer bytes on a disk for it."""
    return math.prod(chunk) * size_of(dtype) > PAGE


def size_of(dtype: np.dtype[Any]) -> int:
    """Bytes of a value, before any compression."""
    return TEXT if dtype.kind in "OTU" else dtype.itemsize


def extend(group: zarr.Group, study: Study, rows: Rows) -> None:
    """Make room for more points and trials, and take over the study. Only with the store's lock held; never shrinks."""
    old_points, old_trials = status_array(group).shape
    points, trials = max(old_points, len(rows)), max(old_trials, study.most_trials)
    for array in case_arrays(group).values():
        if array.shape[:2] != (points, trials):
            array.resize((points, trials, *array.shape[2:]))
    write_coordinates(group, rows, trials)
    finish(group, study, rows)


def write_coordinates(group: zarr.Group, rows: Rows, trials: int) -> None:
    """The coordinates of all points and trials. Settings come last: whoever reads them finds the others."""
    for path, name in rows.axes.items():
        column = rows.settings.columns[path]
        check_labels(path, column.values)
        attributes = {"path": path} | dict(rows.meanings.get(path, {}))
        write_coordinate(group, name, "point", labelled(column.values, column.codes), attributes)
    attributes = {"long_name": "values of all axes, as JSON"}
    settings = make_coordinate(group, "setting", "point", (len(rows), np.dtype(object)), attributes)
    for part in parts_of(settings):
        settings[part] = np.array(rows.texts(part), dtype=object)
    write_coordinate(group, "trial", "trial", np.arange(trials), {"long_name": "chip"})


def write_labels(group: zarr.Group, dim: str, size: int, known: Mapping[str, Sequence[Any]]) -> None:
    """The labels along a dimension of a metric, if the workload has any; InputError if there are not as many."""
    if dim not in known:
        return
    if len(known[dim]) != size:
        raise InputError(f"the workload has {len(known[dim])} labels for the dimension {dim}, which is {size} long")
    write_coordinate(group, dim, dim, coordinate(list(known[dim])), {})


def write_coordinate(
    group: zarr.Group, name: str, dim: str, values: NDArray[Any], attributes: Mapping[str, Any]
) -> None:
    """A coordinate, new or grown."""
    make_coordinate(group, name, dim, (len(values), values.dtype), attributes)[:] = values


def make_coordinate(
    group: zarr.Group, name: str, dim: str, kind: tuple[int, np.dtype[Any]], attributes: Mapping[str, Any]
) -> "zarr.Array[Any]":
    """The array of a coordinate, new or grown; made anew if its values are now of another kind. kind: length, type."""
    length, dtype = kind
    text = dtype.kind == "O"
    array = group.get(name)
    if isinstance(array, zarr.Array) and array.dtype.kind == ("T" if text else dtype.kind):  # T: text of any length
        array.resize((length,))
        return array
    return group.create_array(
        name,
        shape=(length,),
        chunks=(coordinate_chunk(length),),
        dtype="string" if text else dtype,
        dimension_names=(dim,),
        attributes=dict(attributes),
        overwrite=True,
    )


def parts_of(array: "zarr.Array[Any]") -> Iterator[slice]:
    """The chunks of an array along its only dimension."""
    (length,), (chunk,) = array.shape, array.chunks
    for start in range(0, length, chunk):
        yield slice(start, min(start + chunk, length))


def span(rows: slice) -> int:
    """How many rows."""
    return int(rows.stop - rows.start)


def jsons(path: str, column: Along, rows: slice) -> list[str]:
    """`"path": value` of each row, as JSON; an empty text for a row that has none."""
    used = column.take(rows)
    numbers = isinstance(used.values, np.ndarray) and used.values.dtype.kind in "if"
    write = repr if numbers else canonical  # repr is the JSON of numbers
    name = json.dumps(path)
    texts = [f"{name}: {write(value)}" for value in used.values_list()]
    return [*map([*texts, ""].__getitem__, used.codes.tolist())]  # ABSENT is the last place


def finish(group: zarr.Group, study: Study, rows: Rows) -> None:
    """Write the attributes, and last the consolidated metadata: from here on readers see the new state."""
    names = list(rows.axes.values())
    now = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "study_hash": study.hash(), **here()}
    history = [*history_of(group), now]
    attributes = {
        "cimstudy_version": version("cimstudy"),
        "name": study.name,
        "study": study.to_json(),
        "study_hash": study.hash(),
        "seed": study.seed,
        "versions": history[0]["versions"],
        "machine": history[0]["machine"],
        "git": history[0].get("git"),
        "checksums": study.checksums(),
        **({"sources": sources} if (sources := sources_of(study.workload)) else {}),
        "created": history[0]["time"],
        "history": history,  # of definitions, versions, machines and commits that results come from
        "axes": names,
        "coordinates": " ".join([*names, "setting"]),  # xarray's convention
    }
    zarr.open_group(group.store, mode="r+").update_attributes(attributes)  # with what readers see kept until the end
    consolidate(group)


def consolidate(group: zarr.Group) -> None:
    """Let readers see the arrays as they are now."""
    with warnings.catch_warnings():  # it is "not part of the specification", but what xarray reads
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part", category=UserWarning)
        zarr.consolidate_metadata(group.store, zarr_format=3)


def history_of(group: zarr.Group) -> list[dict[str, Any]]:
    """What has filled this store, oldest first."""
    found: Any = group.attrs.get("history", [])
    return list(found)


def here() -> dict[str, Any]:
    """What results computed now depend on."""
    return {"versions": versions(), "machine": machine(), "git": git_state()}


def same_place(group: zarr.Group) -> bool:
    """Whether what filled the store last had the versions, the machine and the commit of now."""
    now, latest = here(), history_of(group)[-1]
    return {name: latest.get(name) for name in now} == now


def stored_axes(group: zarr.Group) -> dict[str, str]:
    """The axes of a store: path -> name."""
    names: Any = group.attrs["axes"]
    return {str(group[name].attrs["path"]): str(name) for name in names}


def stored_settings(group: zarr.Group) -> Table:
    """The settings of all rows, up to the last one that was written in full."""
    array = group["setting"]
    assert isinstance(array, zarr.Array)  # noqa: S101 - for the type checker
    texts = itertools.chain.from_iterable(np.asarray(array[part]).tolist() for part in parts_of(array))
    return table_of(map(json.loads, itertools.takewhile(bool, texts)))


def is_settled(store: str) -> bool:
    """Whether readers see the store as it is: no runner died while it created or extended it."""
    seen, real = any_group(store), any_group(store, consolidated=False)
    if seen is None or real is None or seen.metadata.consolidated_metadata is None:
        return False
    return shapes(seen) == shapes(real)


def shapes(group: zarr.Group) -> dict[str, tuple[Any, ...]]:
    """The shape and kind of each array, and of its chunks."""
    return {name: (array.shape, array.dtype, separator(array)) for name, array in group.arrays()}
