"""Verification: whether a store is whole, and whether cases that are computed again come out the same, bit for bit."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from distributed import Client, KilledWorker
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.study import store as stores
from cimstudy.study.blockio import Case
from cimstudy.study.cluster import connect, result_of, submitted
from cimstudy.study.clusterfile import described
from cimstudy.study.codec import differences
from cimstudy.study.evaluate import Outcome, one_line
from cimstudy.study.layout import BOOKKEEPING
from cimstudy.study.place import is_url, location
from cimstudy.study.plan import DONE, FAILED, PENDING, Block, Plan
from cimstudy.study.provenance import machine, versions
from cimstudy.study.stop import StoreLostError
from cimstudy.study.store import Arrays
from cimstudy.study.study import Study
from cimstudy.study.task import pack, try_cases

SAMPLE = 16  # cases that are computed again


@dataclass(frozen=True, kw_only=True)
class Defect:
    """Something that is wrong in a store."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was looked at in a store, and what is wrong."""

    name: str
    blocks: int  # that hold results, and were read
    done: int  # cases in them
    recomputed: int  # cases
    elsewhere: tuple[str, ...]  # what results depend on and is different here: their last bits may be
    leftovers: tuple[str, ...]  # files of writers that were killed; harmless
    defects: tuple[Defect, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything about it, as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What reading a block has shown. done, odd: (points, trials); odd cases have a result that is not finite."""

    defects: tuple[str, ...] = ()
    done: NDArray[np.bool_] | None = None
    odd: NDArray[np.bool_] | None = None


def verify(store: str | Path, *, sample: int = SAMPLE, cluster: Any = None, workers: int | None = None) -> Verification:
    """Read every block of a store that holds results, and compute a sample of its cases again.

    The sample is spread over the points, and is the same every time. A result that is not finite may be right, or a
    file that was lost: as many cases with such results are computed again, too. `cluster` and `workers` are those of
    `Study.run`. Raises InputError if there is no store, or if its workload, model or data are not here.
    """
    if sample < 0:
        raise InputError(f"sample = {sample}; allowed: 0 or more")
    cluster, place = described(cluster), location(store)
    group = stores.open_group(place)
    study = study_of(place, group) if sample else None
    defects, blocks = list(frame_defects(place, group)), 0
    done, odd = np.zeros((2, *stores.status_array(group).shape), np.bool_)
    for block in all_blocks(group):
        look = look_at(group, block)
        defects += [Defect(where=spelled(block), what=text) for text in look.defects]
        if look.done is not None and look.odd is not None:
            blocks += 1
            done[block.region], odd[block.region] = look.done, look.odd
    picked: list[Case] = []
    if study is not None:
        picked = sorted({*spread(odd, sample, study.seed), *spread(done, sample, study.seed)})
        with connect(cluster, workers) as client:
            defects += recomputed(client, study, group, picked)
    return Verification(
        name=str(group.attrs["name"]),
        blocks=blocks,
        done=int(np.count_nonzero(done)),
        recomputed=len(picked),
        elsewhere=tuple(elsewhere(group)),
        leftovers=tuple(leftovers(place)),
        defects=tuple(defects),
    )


def study_of(place: str, group: zarr.Group) -> Study:
    """The study that filled a store. Raises InputError if its workload, model or data are not here."""
    there: Any = group.attrs["checksums"]
    again = f"{place} cannot be computed again"
    try:
        study = Study.from_json(str(group.attrs["study"]))
    except InputError as error:
        raise InputError(f"{again}: {error} (cimstudy verify --study FILE)") from None
    here = study.checksums()
    if "code" in there and "code" not in here:
        raise InputError(f"{again}: a study file defines its workload (cimstudy verify --study FILE)")
    for path, (old, new) in differences({"checksums": there}, {"checksums": here}).items():
        raise InputError(f"{again}: {path} is {old} there, {new} here")
    return study


def all_blocks(group: zarr.Group) -> Iterator[Block]:
    """The chunks of a store."""
    points, trials = stores.status_array(group).shape
    height, width = stores.status_array(group).chunks
    plan = Plan(points=points, trials=trials, block=(height, width))
    for row, column in itertools.product(range(-(-points // height)), range(-(-trials // width))):
        yield plan.at(row, column)


def look_at(group: zarr.Group, block: Block) -> Look:
    """Read a block, and say what cannot be."""
    arrays = stores.case_arrays(group)
    states, unreadable = readable({"status": arrays["status"]}, block)
    if states and (states["status"] == PENDING).all():
        return Look()
    values, more = readable({name: array for name, array in arrays.items() if name != "status"}, block)
    if unreadable or more:
        return Look(defects=(*unreadable, *more))
    done = states["status"] == DONE
    odd = ~np.logical_and.reduce([finite(values[name]) for name in values.keys() - BOOKKEEPING])
    return Look(defects=tuple(contradictions(states["status"], values)), done=done, odd=done & odd)


def spelled(block: Block) -> str:
    """A block, for people."""
    (first, stop), (start, end) = block.rows, block.trials
    return f"points {first} to {stop - 1}, trials {start} to {end - 1}"


def readable(arrays: Arrays, block: Block) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """What can be read of a block, and what to say of what cannot."""
    values: dict[str, NDArray[Any]] = {}
    wrong: list[str] = []
    for name, array in arrays.items():
        try:
            values[name] = np.asarray(array[block.region])
        except (InputError, StoreLostError):
            raise  # of the whole store
        except Exception as error:  # noqa: BLE001 - each codec has its own ways to say it
            wrong.append(f"{name} cannot be read ({type(error).__name__}: {one_line(error)})")
    return values, wrong


def finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cases have finite values only. values: (points, trials, ...). Returns (points, trials)."""
    found: NDArray[np.bool_] = np.isfinite(values).all(axis=tuple(range(2, values.ndim)))
    return found


def contradictions(status: NDArray[np.int8], values: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What a block's bookkeeping says that cannot be."""
    told = values["error"] != ""
    claims = {
        "an unknown status": ~np.isin(status, (PENDING, DONE, FAILED)),
        "no duration, but are done": (status == DONE) & ~finite(values["duration"]),
        "an error, but are done": (status == DONE) & told,
        "no error, but have failed": (status == FAILED) & ~told,
    }
    for claim, found in claims.items():
        if found.any():
            yield f"{np.count_nonzero(found)} cases have {claim}"


def spread(chosen: NDArray[np.bool_], most: int, seed: int) -> list[Case]:
    """At most so many of the chosen cases, of as many points as can be. chosen: (points, trials)."""
    draw = np.random.default_rng(seed)
    rows = np.flatnonzero(chosen.any(axis=1))
    points = min(most, len(rows))
    rows = rows[np.arange(points) * len(rows) // max(points, 1)]
    queues = [draw.permutation(np.flatnonzero(chosen[row])).tolist() for row in rows]
    turns = itertools.zip_longest(*queues)  # each point's first, then each point's second, ...
    found = ((row, trial) for turn in turns for row, trial in zip(rows.tolist(), turn, strict=True))
    return list(itertools.islice(((row, trial) for row, trial in found if trial is not None), most))


def recomputed(client: Client, study: Study, group: zarr.Group, picked: Iterable[Case]) -> Iterator[Defect]:
    """Compute cases again on workers, and say which come out otherwise."""
    payload, settings = pack(study), stores.stored_settings(group)
    names = stores.stored_axes(group).values()
    futures = {
        (row, trial): submitted(client, "verify", try_cases, payload, ((settings.point(row), (trial,)),))
        for row, trial in picked
    }
    for (row, trial), future in futures.items():
        at = "".join(f"{name}={np.asarray(group[name][row]).item()}, " for name in names)  # type: ignore[index]
        try:
            (outcome,) = result_of(future)
        except KilledWorker:
            outcome = Outcome(error="its worker died")
        for text in unequal(outcome, stores.case_arrays(group), (row, trial)):
            yield Defect(where=f"{at}trial {trial}", what=text)


def unequal(outcome: Outcome, arrays: Arrays, case: Case) -> Iterator[str]:
    """In what a case differs from what the store holds of it."""
    if outcome.error:
        yield f"is done, but fails when computed again: {outcome.error.splitlines()[0]}"
        return
    for name in sorted(arrays.keys() - BOOKKEEPING):
        stored, found = np.asarray(arrays[name][case], np.float64), outcome.values.get(name)
        if found is None or found.shape != stored.shape:
            shape = "missing" if found is None else f"of the shape {found.shape}"
            yield f"{name} has the shape {stored.shape}, computed again it is {shape}"
            continue
        bits = stored.reshape(-1).view(np.uint64), found.reshape(-1).view(np.uint64)
        for place in np.flatnonzero(bits[0] != bits[1])[:1].tolist():
            at = f"[{', '.join(map(str, np.unravel_index(place, stored.shape)))}]" if stored.ndim else ""
            yield f"{name}{at} is {stored.reshape(-1)[place]!s}, computed again {found.reshape(-1)[place]!s}"


def frame_defects(place: str, group: zarr.Group) -> Iterator[Defect]:
    """What does not fit together in a store's definition."""
    points, trials = stores.status_array(group).shape
    if not stores.is_settled(place):
        yield Defect(
            where="definition", what="a change of shape or chunks was broken off; running the study again ends it"
        )
    for name, array in stores.case_arrays(group).items():
        if array.shape[:2] != (points, trials):
            yield Defect(where=name, what=f"its shape is {array.shape}; {points} points and {trials} trials are there")
    if len(stores.stored_settings(group)) != points:
        yield Defect(where="setting", what=f"{len(stores.stored_settings(group))} of {points} points can be read")


def elsewhere(group: zarr.Group) -> Iterator[str]:
    """What results depend on and is not here as it was where they come from."""
    then, now = stores.history_of(group)[-1], {"versions": versions(), "machine": machine()}
    for path, (old, new) in differences({name: then[name] for name in now}, now).items():
        yield f"{path} is {old} there, {new} here"


def leftovers(place: str) -> Iterator[str]:
    """Files that writers had not finished when they were killed."""
    if not is_url(place):
        yield from sorted(str(path) for path in Path(place).rglob("*.partial"))
