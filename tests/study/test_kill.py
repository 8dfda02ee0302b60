"""Runs that are killed, interrupted or doubled: real processes, real signals."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import xarray as xr

from cimstudy.study import ClusterLostError, open_results, store_status
from cimstudy.study.plan import DONE
from cimstudy.study.store import open_group as open_store
from cimstudy.study.store import read_status

RUNNER = """
import sys
from cimstudy.study import Interrupted, Study, load_study
load_study(sys.argv[1])
study = Study.from_json(sys.argv[2])
try:
    study.run(sys.argv[3], workers=2, block=(2, 2), progress=False)
except Interrupted as interrupted:
    sys.exit(f"resume: {interrupted.resume}")
"""


@pytest.fixture
def store(request, tmp_path):
    """Where a test's store is: by default in its folder."""
    kind = getattr(request, "param", "local")
    return str(tmp_path / "s.zarr") if kind == "local" else f"{request.getfixturevalue('bucket')}/s.zarr"


everywhere = pytest.mark.parametrize("store", ["local", "s3"], indirect=True)


@pytest.fixture
def start(store, request):
    """Start a client of its own, with two workers, on the test's store."""
    started = []

    def starting(study):
        file = request.path.parent / "logged.py"
        command = [sys.executable, "-c", RUNNER, str(file), study.to_json(), store]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield starting
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(condition, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def family(process):
    """The descendants of a process."""
    return psutil.Process(process.pid).children(recursive=True)


def workers(process):
    """Its worker processes: those that have evaluated something are among them."""
    return [child for child in family(process) if "spawn_main" in " ".join(child.cmdline())]


def alive(processes):
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def done_cases(store):
    """The cases that a store has as done: (row, trial)."""
    return set(map(tuple, np.argwhere(read_status(open_store(store)) == DONE).tolist()))


@pytest.fixture(scope="module")
def undisturbed(logged_study, two_workers, tmp_path_factory):
    """What a run of six trials gives when nothing happens."""
    store = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    return logged_study.replace("trials", 6).run(store, cluster=two_workers, progress=False).load()


def assert_same(ds, undisturbed):
    assert (ds.status == DONE).all()
    xr.testing.assert_equal(ds[["loss", "by_layer"]].load(), undisturbed[["loss", "by_layer"]])


@everywhere
@pytest.mark.parametrize("victims", ["client", pytest.param("client and workers", marks=pytest.mark.slow)])
def test_a_killed_run_leaves_no_process_and_the_next_one_computes_only_the_rest(
    start, store, study, log, two_workers, undisturbed, victims
):
    study = study.replace("trials", 6).replace("workload.sleep", 0.1)
    process = start(study)
    until(lambda: len(log.lines()) >= 16)
    children = family(process)
    killed = [process, *(workers(process) if victims != "client" else [])]
    for victim in killed:
        os.kill(victim.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not alive(children), seconds=10)

    kept = done_cases(store)
    before = log.cases()
    assert 4 <= len(kept) < 36
    ds = study.run(store, cluster=two_workers, progress=False)
    again = log.cases() - before
    assert sum(again.values()) == 36 - len(kept)
    points = [("0", "5"), ("0", "6"), ("0", "7"), ("0.1", "5"), ("0.1", "6"), ("0.1", "7")]
    finished = {(points[row][1], points[row][0], "8", "0", str(trial)) for row, trial in kept}
    assert not finished & set(again)
    assert_same(ds, undisturbed)


def test_a_killed_worker_costs_its_block_and_nothing_else(start, store, study, log, undisturbed):
    process = start(study.replace("trials", 6).replace("workload.sleep", 0.1))
    until(lambda: len(log.lines()) >= 12)
    os.kill(int(log.lines()[-1].split()[-1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert len(log.lines()) <= 36 + 4
    assert_same(open_results(store), undisturbed)


def test_ctrl_c_closes_everything_quickly_and_says_how_to_go_on(start, store, study, log, two_workers, undisturbed):
    study = study.replace("trials", 6).replace("workload.sleep", 0.2)
    process = start(study)
    until(lambda: len(log.lines()) >= 10)
    children = family(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, errors = process.communicate(timeout=30)
    assert errors == f"resume: study.run({store!r})\n"
    until(lambda: not alive(children), seconds=10)
    assert store_status(store).pending > 0
    assert_same(study.run(store, cluster=two_workers, progress=False), undisturbed)


@pytest.mark.slow
@everywhere
def test_two_runners_that_start_together_and_one_that_joins_make_one_correct_store(
    start, store, study, log, undisturbed
):
    study = study.replace("trials", 6).replace("workload.sleep", 0.2)
    processes = [start(study), start(study)]
    until(lambda: len(log.lines()) >= 8)
    processes.append(start(study))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert len(log.cases()) == 36
    assert len(log.lines()) <= 36 + 1  # asked for: 5 % more
    assert_same(open_results(store), undisturbed)


@pytest.mark.slow
@everywhere
def test_a_runner_may_extend_the_store_while_another_fills_it(start, store, study, log, undisturbed):
    study = study.replace("workload.sleep", 0.1)
    first = start(study.replace("trials", 3))  # blocks of two trials: the last chunk is shared by old and new trials
    until(lambda: len(log.lines()) >= 6)
    second = start(study.replace("trials", 6))
    for process in (first, second):
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert_same(open_results(store), undisturbed)


@pytest.mark.slow
def test_a_scheduler_lost_for_good_ends_the_run_and_the_next_one_goes_on(
    study, store, log, tmp_path, two_workers, undisturbed
):
    file = tmp_path / "scheduler.json"
    study = study.replace("trials", 6).replace("workload.sleep", 0.2)
    common = ["--no-dashboard", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        stderr=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--host", "127.0.0.1", *common],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))  # it is made first, then written
        address = json.loads(file.read_text())["address"]
        killer = threading.Thread(target=lambda: (until(lambda: len(log.lines()) >= 10), scheduler.kill()))
        killer.start()
        with pytest.raises(
            ClusterLostError, match="the Dask scheduler is gone; run again to go on from what the store"
        ):
            study.run(store, cluster=address, block=(2, 2), progress=False)
        killer.join()
    finally:
        scheduler.kill()
        worker.terminate()
        worker.wait()
        scheduler.wait()
    assert_same(study.run(store, cluster=two_workers, progress=False), undisturbed)


@pytest.mark.slow
def test_rounds_of_kills_of_everything_leave_a_store_that_one_more_run_completes(request):
    script = request.config.rootpath / "scripts" / "chaos.py"
    command = [sys.executable, str(script), "--rounds", "4", "--cases", "200", "--seed", "1"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    (row,) = json.loads(found.stdout)["rows"]
    assert (row["done"], row["failed"], row["bit_identical"]) == (200, 0, True)
    assert row["evaluated_again_by_the_clean_run"] == 0


@pytest.mark.slow
def test_a_scheduler_that_comes_back_is_joined_again(study, log, tmp_path, undisturbed):
    study = study.replace("trials", 6).replace("workload.sleep", 0.1)
    file = tmp_path / "scheduler.json"
    started = []

    def begin(port):
        common = ["--no-dashboard", "--scheduler-file", str(file), "--host", "127.0.0.1"]
        file.unlink(missing_ok=True)
        for module, *options in (("dask_scheduler", "--port", str(port)), ("dask_worker", "--nthreads", "1")):
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options, *common]
            started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        return json.loads(file.read_text())["address"]

    def replace():
        until(lambda: len(log.lines()) >= 6)
        for process in started:
            process.kill()
            process.wait()
        begin(address.rpartition(":")[2])

    try:
        address = begin(0)
        other = threading.Thread(target=replace)
        other.start()
        ds = study.run(tmp_path / "s.zarr", cluster=address, block=(2, 2), progress=False)
        other.join()
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert_same(ds, undisturbed)
