"""Compaction: few large chunks, the same results, whatever ends it, and room for more."""

import contextlib
import itertools
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.study import Axis, Grid, compact, open_results, verify
from cimstudy.study import compaction as room
from cimstudy.study import store as stores
from cimstudy.study.blockio import handles, write_block
from cimstudy.study.compaction import large, split
from cimstudy.study.files import Files
from cimstudy.study.lock import WHOLE, locked
from cimstudy.study.plan import DONE, Block

BLOCK = (2, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compaction")


@pytest.fixture(scope="module")
def study(logged_study, folder):
    """The study of the store: one case of each standard deviation fails unless there is a file called `mended`."""
    changes = {"log": str(folder / "log"), "raises": ((6, 2),), "once": str(folder / "mended")}
    return logged_study.replace("trials", 5).replace("workload", logged_study.workload.model_copy(update=changes))


@pytest.fixture(scope="module")
def finished(study, folder, two_workers):
    """A finished store of six points and five trials, two cases of which have failed."""
    study.run(folder / "s.zarr", cluster=two_workers, block=BLOCK, progress=False)
    return folder / "s.zarr"


@pytest.fixture
def store(finished, tmp_path):
    return str(shutil.copytree(finished, tmp_path / "s.zarr"))


@pytest.fixture
def evaluations(finished, folder):
    """How many cases were evaluated since the test began."""
    file = folder / "log"
    before = len(file.read_text().splitlines())
    return lambda: len(file.read_text().splitlines()) - before


def plain(store):
    """All that plain xarray finds, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(store, chunks=None).load()


def same(store, other):
    xr.testing.assert_equal(plain(store), plain(other))


def chunks(store):
    """The files of chunks of cases: those of blocks, and large ones."""
    arrays = stores.case_arrays(zarr.open_group(store))
    blocks = [path for name in arrays for path in Path(store, name, "c").rglob("*") if path.is_file()]
    return len(blocks), sum(len(list(Path(store, name).glob("c.*"))) for name in arrays)


def test_a_compact_store_has_a_few_chunks_and_the_same_results(store, finished):
    assert chunks(finished) == (47, 0)
    found = compact(store)
    assert (found.name, found.before, found.after) == ("logged", 47, 6)
    assert chunks(store) == (0, 6)
    same(store, finished)
    assert open_results(store).attrs["study"] == open_results(finished).attrs["study"]
    assert verify(store, sample=0).defects == ()
    again = compact(store)
    assert (again.before, again.after) == (6, 6)


def test_a_store_of_more_than_a_chunk_is_compacted_in_whole_blocks(store, finished, monkeypatch):
    monkeypatch.setattr(room, "BYTES", 2 * 6 * 8)  # two points of three blocks of trials, for a float
    compact(store)
    same(store, finished)
    loss, layers = zarr.open_array(store, path="loss"), zarr.open_array(store, path="by_layer")
    assert (loss.chunks, layers.chunks) == ((2, 6), (2, 2, 3))


@given(st.tuples(*[st.integers(1, 300)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(1, 10**6))
def test_large_chunks_are_whole_blocks_and_no_larger_than_they_may_be(shape, block, numbers):
    array = zarr.create_array({}, shape=(*shape, numbers), chunks=(*block, numbers), dtype="float64")
    points, trials, rest = large(array, block)
    assert (points % block[0], trials % block[1], rest) == (0, 0, numbers)
    assert points * trials * rest * 8 <= max(room.BYTES, block[0] * block[1] * rest * 8)
    assert points < shape[0] + block[0]
    assert trials < shape[1] + block[1]


def test_what_is_added_to_a_compact_store_is_computed_once_and_lies_in_blocks(
    store, finished, study, evaluations, two_workers
):
    compact(store)
    study.run(store, cluster=two_workers, progress=False)  # nothing is to be done
    assert chunks(store) == (0, 6)
    wider = Grid([Axis("device.programming.std", [0.0, 0.1]), Axis("crossbar.adc.bits", [5, 6, 7, 8])])
    more = study.replace("trials", 7).replace("space", wider)
    ds = more.run(store, cluster=two_workers, progress=False).load()
    assert evaluations() == 8 * 7 - 6 * 5
    assert ((ds.status == DONE).sum(), ds.sizes["trial"]) == (54, 7)
    assert zarr.open_array(store, path="loss").chunks == BLOCK
    assert chunks(store)[1] == 0
    old = plain(store).isel(point=slice(6), trial=slice(5))
    xr.testing.assert_equal(old[["loss", "by_layer"]], plain(finished)[["loss", "by_layer"]])
    compact(store)
    xr.testing.assert_equal(open_results(store).load(), ds)


def test_a_failed_case_of_a_compact_store_may_be_tried_again(store, study, folder, evaluations, two_workers):
    compact(store)
    (folder / "mended").touch()
    try:
        ds = study.run(store, cluster=two_workers, progress=False, retry_failed=True)
    finally:
        (folder / "mended").unlink()
    assert (ds.status == DONE).all()
    assert evaluations() == 2


class KilledError(BaseException):
    """Stands for the end of a process."""


@contextlib.contextmanager
def killed_after(changes):
    """End the client in place of this change of a store's files. Yields whether that happened, in a list."""
    real = {name: getattr(Files, name) for name in ("set", "delete", "delete_dir")}
    left, killed = [changes], []

    def counted(name):
        async def change(self, key, *values):
            left[0] -= 1
            if left[0] < 0:
                killed.append(key)
                raise KilledError(key)
            await real[name](self, key, *values)

        return change

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KilledError):
        for name in real:
            patch.setattr(Files, name, counted(name))
        yield killed


@pytest.mark.parametrize(("direction", "step"), [("compact", 2), ("split", 7)])
def test_a_rewriting_that_dies_at_any_change_leaves_the_same_results_and_is_completed(
    finished, tmp_path, direction, step
):
    first = tmp_path / "first.zarr"
    shutil.copytree(finished, first)
    rewrite = compact
    if direction == "split":
        compact(first)
        rewrite = split
    for changes in itertools.count(0, step):
        store = str(shutil.copytree(first, tmp_path / f"{changes}.zarr"))
        with killed_after(changes) as killed:
            rewrite(store)
        same(store, finished)
        if changes % 3:
            stores.restore_layout(store)  # as the next run does
            assert stores.is_settled(store)
            same(store, finished)
        rewrite(store)
        same(store, finished)
        assert chunks(store)[direction == "compact"] == (6 if direction == "compact" else 47)
        shutil.rmtree(store)
        if not killed:
            break
    assert changes > 15


def test_a_run_goes_on_where_a_compaction_was_killed(store, finished, study, evaluations, two_workers):
    with killed_after(9) as killed:  # when a few arrays, but not all, have new metadata
        compact(store)
    assert killed
    assert not stores.is_settled(store)
    ds = study.replace("trials", 6).run(store, cluster=two_workers, progress=False)
    assert ((ds.status == DONE).sum(), evaluations()) == (34, 6)
    xr.testing.assert_equal(plain(store).isel(trial=slice(5))[["loss"]], plain(finished)[["loss"]])


RUNNER = """
import sys
from cimstudy.study import Study, load_study
load_study(sys.argv[1])
Study.from_json(sys.argv[2]).run(sys.argv[3], workers=1, progress=False)
"""


@pytest.mark.slow
def test_two_runners_that_start_together_on_a_compact_store_split_it_once(store, study, evaluations, request):
    compact(store)
    more = study.replace("trials", 9)
    command = [sys.executable, "-c", RUNNER, str(request.path.parent / "logged.py"), more.to_json(), store]
    for process in [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]:
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")
    assert evaluations() == 24
    assert (open_results(store).status == DONE).sum() == 52


def test_a_store_that_is_not_finished_or_is_being_worked_on_is_refused(store, monkeypatch):
    monkeypatch.setattr(room, "PATIENCE", 0.0)
    with locked(store, 7), pytest.raises(InputError, match=r"a run is under way; allowed: a store that no run is at"):
        compact(store)
    status = zarr.open_array(store, path="status")
    status[0, 0] = 0
    with pytest.raises(InputError, match=r"has 1 pending cases; allowed: a finished store"):
        compact(store)
    with pytest.raises(InputError, match="is not a store of results"):
        compact(f"{store}.none")


def test_a_store_whose_extension_was_broken_off_is_refused(store):
    zarr.open_array(store, path="loss").resize((6, 9))
    with pytest.raises(InputError, match=r"an extension was broken off; run the study again first"):
        compact(store)


def test_a_task_that_knew_blocks_writes_nothing_to_a_compact_store(store, finished):
    block = Block(rows=(0, 2), trials=(0, 2))
    handles(store, "old")
    compact(store)
    with pytest.raises(InputError, match=r"was compacted while a run was at work on it; run again to go on"):
        write_block(store, block, {})
    same(store, finished)


def test_a_whole_store_is_locked_against_its_blocks_and_they_against_it(store, bucket):
    for place in (store, f"{bucket}/s.zarr"):
        with locked(place, WHOLE, wait=False) as all_of_it, locked(place, 5, wait=False) as one:
            assert (all_of_it, one) == (True, False)
        with locked(place, 5, wait=False) as one, locked(place, WHOLE, wait=False) as all_of_it:
            assert (one, all_of_it) == (True, False)


HOLDER = """
import sys, time
from cimstudy.study.lock import locked
with locked(sys.argv[1], int(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("theirs", "ours"), [("5", WHOLE), (str(WHOLE), 5), (str(WHOLE), 0)])
@pytest.mark.parametrize("kind", ["local", "s3"])
def test_another_process_keeps_off_as_long_as_it_lives(store, bucket, kind, theirs, ours):
    place = store if kind == "local" else f"{bucket}/s.zarr"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, place, theirs], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with locked(place, ours, wait=False) as mine:
            assert not mine
    finally:
        holder.kill()
        holder.communicate()
    with locked(place, ours) as mine:
        assert mine


def test_a_store_in_an_object_store_is_compacted_and_extended(logged_study, log, two_workers, bucket):
    place = f"{bucket}/s.zarr"
    study = logged_study.replace("workload.log", str(log.file))
    before = study.run(place, cluster=two_workers, block=BLOCK, progress=False).load()
    found = compact(place)
    assert (found.before, found.after) == (30, 5)
    xr.testing.assert_equal(open_results(place).load(), before)
    ds = study.replace("trials", 6).run(place, cluster=two_workers, progress=False)
    assert (ds.status == DONE).sum() == 36
    assert set(log.cases().values()) == {1}
    xr.testing.assert_equal(ds[["loss", "by_layer"]].isel(trial=slice(4)).load(), before[["loss", "by_layer"]])
