"""The store without a cluster: the same steps as a run, in this process."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import obstore
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.study import Axis, Grid, lease, open_results, store_status
from cimstudy.study import store as stores
from cimstudy.study.agenda import Agenda, Manner
from cimstudy.study.blockio import block_lock, write_block
from cimstudy.study.evaluate import Outcome
from cimstudy.study.files import Files
from cimstudy.study.layout import columns
from cimstudy.study.lock import is_held, locked
from cimstudy.study.merge import rows_of
from cimstudy.study.place import is_url, opened
from cimstudy.study.plan import DONE, FAILED, PENDING, Block, unfinished
from cimstudy.study.prepare import enter
from cimstudy.study.remote import Remote
from cimstudy.study.remote import bucket as client_of
from cimstudy.study.task import Receipt, pack, run_block
from cimstudy.study.workload import metrics_of


def prepared(study, store, block=(2, 2)):
    """The store, created or extended."""
    resolved = study.resolve_all()
    rows = rows_of(study, resolved)
    sample = Outcome(values={"loss": np.array(0.0), "by_layer": np.zeros(3)})
    variables = columns(sample, metrics_of(study.workload), {})
    return enter(study, str(store), resolved, lambda: stores.create(str(store), study, rows, variables, block))


def fill(study, store, block=(2, 2), **options):
    """What a run does, in this process."""
    ready = prepared(study, store, block)
    agenda = Agenda(ready, study.trials, Manner(**{"run": "here", "order": 1, "retry_failed": False} | options))
    while job := agenda.take():
        run_block(pack(study), job)
        agenda.settle(job)
    return open_results(store)


bits = st.lists(st.sampled_from([4, 5, 6, 7]), min_size=1, max_size=3, unique=True)
stds = st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2]), min_size=1, max_size=3, unique=True)
times = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=2, unique=True)


@st.composite
def spaces(draw):
    axes = {"crossbar.adc.bits": bits, "device.programming.std": stds, "workload.time": times}
    chosen = draw(st.lists(st.sampled_from(sorted(axes)), max_size=3, unique=True))
    return Grid({path: draw(axes[path]) for path in chosen})


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(spaces(), st.integers(1, 5)), min_size=2, max_size=3),
    block=st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 4])),
)
def test_any_series_of_studies_on_one_store_evaluates_each_case_once_and_right(
    tmp_path_factory, logged_study, steps, block
):
    folder = tmp_path_factory.mktemp("series")
    log = folder / "log"
    asked = set()
    for number, (space, trials) in enumerate(steps):
        study = logged_study.replace("space", space).replace("trials", trials).replace("workload.log", str(log))
        fill(study, folder / "s.zarr", block, run=str(number))
        asked |= {(point.identity, trial) for point in study.resolve_all() for trial in range(trials)}
    assert len(log.read_text().splitlines()) == len(asked)
    with xr.open_zarr(folder / "s.zarr") as ds:
        assert int((ds.status == DONE).sum()) == len(asked)
        base = logged_study.hardware
        for row, trial in np.argwhere(ds.status.values == DONE):
            at = ds.isel(point=row, trial=trial)
            hardware, workload = base, logged_study.workload
            if "adc_bits" in ds:
                hardware = hardware.replace("crossbar.adc.bits", int(at.adc_bits))
            if "programming_std" in ds:
                hardware = hardware.replace("device.programming.std", float(at.programming_std))
            if "workload_time" in ds:
                workload = workload.replace("time", float(at.workload_time))
            assert float(at.loss) == workload(hardware, seed=7, trial=int(trial))["loss"]


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "s.zarr")


def outcome(loss):
    return Outcome(values={"loss": np.array(loss), "by_layer": np.full(3, loss)}, seconds=1.0)


def block(row, trial, size=(2, 2)):
    return Block(rows=(row, row + size[0]), trials=(trial, trial + size[1]))


def test_a_done_case_stays_as_it_is(logged_study, store):
    prepared(logged_study, store)
    write_block(store, block(0, 0), {(0, 0): outcome(1.0), (1, 1): Outcome(error="E: first\n")})
    write_block(store, block(0, 0), {(0, 0): Outcome(error="E: late\n"), (0, 1): outcome(2.0), (1, 1): outcome(3.0)})
    ds = xr.open_zarr(store).isel(point=slice(2), trial=slice(2))
    assert ds.status.values.tolist() == [[DONE, DONE], [PENDING, DONE]]
    assert np.array_equal(ds.loss.values, [[1.0, 2.0], [np.nan, 3.0]], equal_nan=True)
    assert ds.error.values.tolist() == [["", ""], ["", ""]]


def test_a_writer_that_knows_an_old_shape_loses_nothing_of_a_newer_one(logged_study, store):
    study = logged_study.replace("trials", 3)
    prepared(study, store)
    write_block(store, block(0, 2, (2, 1)), {(0, 2): outcome(1.0)})  # opens the arrays with three trials
    prepared(study.replace("trials", 4), store)
    write_block(store, block(0, 2), {(0, 3): outcome(2.0), (1, 3): outcome(3.0)})
    write_block(store, block(0, 2, (2, 1)), {(1, 2): outcome(4.0)})
    ds = xr.open_zarr(store).isel(point=slice(2), trial=slice(2, 4))
    assert ds.loss.values.tolist() == [[1.0, 2.0], [4.0, 3.0]]
    assert (ds.status == DONE).all()


@pytest.mark.parametrize(("row", "trial", "size"), [(1, 0, (2, 2)), (0, 1, (2, 2)), (0, 0, (3, 2)), (0, 0, (2, 0))])
def test_a_block_that_is_not_within_one_chunk_is_never_written(logged_study, store, row, trial, size):
    prepared(logged_study, store)
    with pytest.raises(RuntimeError, match="is not within one chunk of"):
        write_block(store, block(row, trial, size), {(row, trial): outcome(1.0)})
    assert (stores.read_status(stores.open_group(store)) == PENDING).all()


@pytest.mark.parametrize(
    "values",
    [
        {"loss": np.array(1.0)},
        {"loss": np.array(1.0), "by_layer": np.zeros(4)},
        {"loss": np.zeros(3), "by_layer": np.zeros(3)},
    ],
)
def test_a_case_with_other_metrics_than_the_store_fails_and_says_which(logged_study, store, values):
    prepared(logged_study, store)
    status = write_block(store, block(0, 0), {(0, 0): Outcome(values=values), (0, 1): outcome(1.0)})
    assert status.tolist() == [[FAILED, DONE], [PENDING, PENDING]]
    error = store_status(store).failures[0].error
    assert error.startswith("ValueError: the workload returned ")
    assert error.endswith("; the store holds by_layer (3,), loss")


def test_a_result_that_is_not_a_number_is_done(logged_study, store):
    prepared(logged_study, store)
    write_block(store, block(0, 0), {(0, 0): outcome(np.nan), (0, 1): outcome(np.inf)})
    status = stores.read_status(stores.open_group(store))
    assert status[0, :2].tolist() == [DONE, DONE]
    assert not unfinished(status, retry_failed=True)[0, :2].any()


READER = """
import json, pathlib, sys, warnings
import xarray as xr
warnings.simplefilter("error")
stop, shapes = pathlib.Path(sys.argv[2]), []
while not stop.exists() or not shapes:
    sizes = xr.open_zarr(sys.argv[1], chunks=None).load().sizes
    if not shapes:
        print("reading", flush=True)
    shapes.append((sizes["point"], sizes["trial"]))
print(json.dumps(shapes))
"""


def test_readers_meet_the_old_or_the_new_shape_while_a_store_grows(logged_study, store, tmp_path):
    prepared(logged_study, store)
    command = [sys.executable, "-c", READER, store, str(tmp_path / "stop")]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "reading\n"
    for step in range(1, 6):
        values = [5, 6, 7, 8, 9][: 3 + step // 2]
        space = Grid({"device.programming.std": [0.0, 0.1], "crossbar.adc.bits": values})
        prepared(logged_study.replace("trials", 4 + step).replace("space", space), store)
    (tmp_path / "stop").touch()
    shapes, errors = reader.communicate(timeout=60)
    assert errors == ""
    assert {tuple(shape) for shape in json.loads(shapes)} <= {(6, 4), (6, 5), (8, 6), (8, 7), (10, 8), (10, 9)}


class KilledError(BaseException):
    """Stands for the end of a process."""


@contextlib.contextmanager
def killed_after(writes):
    """End the client in place of its write number `writes`. Yields whether that happened, in a list."""
    left, killed = [writes], []

    def counted(write):
        async def counting(self, key, value):
            left[0] -= 1
            if left[0] < 0:
                killed.append(key)
                raise KilledError(key)
            await write(self, key, value)

        return counting

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KilledError):
        for kind in (Files, Remote):
            patch.setattr(kind, "set", counted(kind.set))
        yield killed


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def home(request, tmp_path):
    """Where the stores of a test are: a folder, or a bucket."""
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")


def copied(home, old, new):
    """The location of a copy of a store."""
    if not is_url(home):
        shutil.copytree(Path(home, old), Path(home, new))
        return f"{home}/{new}"
    for page in obstore.list(client_of(home), f"{old}/"):
        for entry in page:
            obstore.copy(client_of(home), entry["path"], entry["path"].replace(old, new, 1))
    return f"{home}/{new}"


def every_write(step=3):
    """Numbers of writes, until one is too large to be reached."""
    ends = []
    for writes in itertools.count(0, step):
        yield writes, ends
        if ends and not ends[-1]:
            return


def test_a_creation_that_dies_at_any_write_is_done_anew(logged_study, home):
    for writes, ends in every_write():
        store = f"{home}/{writes}.zarr"
        with killed_after(writes) as killed:
            prepared(logged_study, store)
        ends.append(bool(killed))
        prepared(logged_study, store)
        assert plain_sizes(store) == (6, 4)
    assert len(ends) > 5


def test_an_extension_that_dies_at_any_write_harms_no_reader_and_is_completed(study, log, home):
    axes = [Axis("device.programming.std", [0.05, 0.0, 0.1]), Axis("crossbar.adc.bits", [5, 7, 6])]
    larger = study.replace("space", Grid([*axes, Axis("crossbar.dac.bits", [8, 7])])).replace("trials", 5)
    fill(study, f"{home}/first.zarr", (3, 2))
    for writes, ends in every_write():
        store = copied(home, "first.zarr", f"{writes}.zarr")
        with killed_after(writes) as killed:
            prepared(larger, store)
        ends.append(bool(killed))
        assert plain_sizes(store) in {(6, 4), (18, 5)}
        prepared(larger, store)
        assert plain_sizes(store) == (18, 5)
    assert len(ends) > 5
    before = len(log.lines())
    ds = fill(larger, store)
    assert len(log.lines()) - before == 18 * 5 - 24
    assert (ds.status == DONE).all()
    assert ds.sizes == {"programming_std": 3, "adc_bits": 3, "dac_bits": 2, "trial": 5, "layer": 3}


def plain_sizes(store):
    """Points and trials as plain xarray sees them, without a warning and with all values readable."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes = xr.open_zarr(opened(str(store)), chunks=None).load().sizes
    return sizes["point"], sizes["trial"]


def test_a_store_whose_creator_died_is_made_anew(logged_study, store):
    zarr.create_group(store, zarr_format=3, attributes={"cimstudy_version": "0"})
    with pytest.raises(InputError, match="is a Zarr group without a study"):
        open_results(store)
    assert (fill(logged_study, store).status == DONE).all()


def test_a_foreign_zarr_group_is_refused(logged_study, store):
    zarr.create_group(store, zarr_format=3, attributes={"title": "mine"})
    with pytest.raises(InputError, match="is a Zarr group without a study; allowed: a new path, or a store"):
        prepared(logged_study, store)
    assert zarr.open_group(store).attrs["title"] == "mine"


HOLDER = """
import sys, time
from cimstudy.study.lock import locked
with locked(sys.argv[1], 5):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_lock_is_held_against_other_processes_until_its_holder_ends(tmp_path, bucket, place):
    store = f"{bucket}/s.zarr" if place == "s3" else str(tmp_path / "s.zarr")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, store], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with locked(store, 5, wait=False) as mine, locked(store, 6, wait=False) as another:
            assert (mine, another) == (False, True)
        holder.kill()
        holder.wait()
        with locked(store, 5) as mine:
            assert mine
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("place", ["s.zarr", "s3", "no/such/folder/s.zarr"])
def test_a_lock_is_held_against_other_threads_of_the_process(tmp_path, bucket, place):
    store = f"{bucket}/s.zarr" if place == "s3" else str(tmp_path / place)
    with locked(store, 5) as mine, locked(store, 5, wait=False) as again:
        assert (mine, again) == (True, False)
        assert is_held(store, 5)
    assert not is_held(store, 5)
    with locked(store, 5, wait=False) as mine:
        assert mine


def test_a_lock_outlives_the_deletion_of_its_file(store):
    with locked(store) as mine:
        assert mine
    Path(f"{store}.lock").unlink()
    with locked(store) as mine:
        assert mine
        assert Path(f"{store}.lock").exists()


def test_a_task_leaves_a_block_alone_that_another_runner_is_at(study, store, log):
    ready = prepared(study, store)
    first = Agenda(ready, study.trials, Manner(run="here", order=1, retry_failed=False)).take()
    payload = pack(study)
    with block_lock(store, "here", first.block, wait=False):
        assert run_block(payload, first) == Receipt(busy=True)
        waiting = threading.Thread(target=run_block, args=(payload, replace(first, wait=True)))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert not log.lines()
    waiting.join()
    assert len(log.lines()) == 4
    assert run_block(payload, first) == Receipt(failed=0)
    assert len(log.lines()) == 4


def test_a_block_whose_lease_was_lost_is_left_to_who_has_it(study, log, bucket, monkeypatch):
    store = f"{bucket}/s.zarr"
    first = Agenda(prepared(study, store), study.trials, Manner(run="here", order=1, retry_failed=False)).take()
    with monkeypatch.context() as patch:
        patch.setattr(lease.Lease, "is_held", lambda _: False)
        assert run_block(pack(study), first) == Receipt(busy=True)
    assert len(log.lines()) == 4
    assert store_status(store).pending == 24


def test_values_of_mixed_kinds_and_parts_make_text_coordinates(plain_study, tmp_path, two_workers):
    space = Grid({"crossbar.adc.range": ["full", 0.5, (1.0,)], "crossbar.weights.slice_bits": [None, 7]})
    ds = plain_study.replace("space", space).run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    assert ds.adc_range.values.tolist() == ["full", "0.5", "[1.0]"]
    assert ds.weights_slice_bits.values.tolist() == ["None", "7"]
    more = Grid({"crossbar.adc.range": ["full"], "crossbar.weights.slice_bits": [7]})
    again = plain_study.replace("space", more).run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    assert (again.status == DONE).all()
    assert again.sizes == ds.sizes


def test_a_coordinate_may_change_its_kind_when_a_store_grows(plain_study, tmp_path, two_workers):
    store = tmp_path / "s.zarr"
    plain_study.replace("space", Grid({"crossbar.weights.slice_bits": [3, 7]})).run(
        store, cluster=two_workers, progress=False
    )
    grown = plain_study.replace("space", Grid({"crossbar.weights.slice_bits": [None, 3, 7]}))
    ds = grown.run(store, cluster=two_workers, progress=False)
    assert ds.weights_slice_bits.values.tolist() == ["None", "3", "7"]
    assert (ds.status == DONE).all()
