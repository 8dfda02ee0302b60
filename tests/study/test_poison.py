"""Cases that do nasty things fail alone, each with what happened, and their neighbours are as ever."""

import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

from cimstudy.errors import InputError
from cimstudy.study import load_study, open_results
from cimstudy.study.daskconfig import SETTINGS
from cimstudy.study.plan import DONE, FAILED

FILE = Path(__file__).parent / "poison.py"
TEXTS = {
    1: "ValueError: no",
    2: "WorkerDied: the process of this case was ended by SIGKILL, most likely because memory ran out",
    3: "WorkerDied: the process of this case was ended by SIGSEGV",
    4: "MemoryError: ",
    5: "CaseTimeout: the case was ended after 3 s, its time limit",
    7: "ValueError: the workload returned loss (2,); the store holds loss",
    8: "UnpicklableError: holds a lock",
}


@pytest.mark.slow
def test_every_poison_fails_alone_and_is_listed(tmp_path):
    store = tmp_path / "s.zarr"
    command = [sys.executable, "-m", "cimstudy", "run", str(FILE), "--store", str(store)]
    found = subprocess.run(
        [*command, "--workers", "2", "--case-timeout", "3"], check=False, capture_output=True, text=True, timeout=280
    )
    assert found.returncode == 1, found.stderr
    ds = open_results(store)
    states = np.full((2, 10), DONE)
    states[:, list(TEXTS)] = FAILED
    assert np.array_equal(ds.status.values, states)
    for trial, text in TEXTS.items():
        assert all(error.startswith(text) for error in ds.error.values[:, trial]), ds.error.values[:, trial]
        assert found.stderr.count(f"trial {trial}: {text}") == 2
    assert ds.loss.values[:, [0, 9]].tolist() == [[8, 17], [9, 18]]
    assert np.isnan(ds.loss.values[:, 6]).all()  # a result like any other
    assert (ds.duration.values[:, 5] > 3).all()
    assert (ds.peak_memory.values[:, 0] > 1e7).all()


@pytest.mark.slow
def test_a_case_that_outgrows_its_workers_memory_fails_with_both_numbers(tmp_path):
    study = load_study(FILE).replace("workload.kinds", ("fine", "fine", "hungry", "fine")).replace("trials", 4)
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="600MB", host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        ds = study.run(tmp_path / "s.zarr", cluster=client, block=(1, 4), progress=False)
    assert ds.status.values.tolist() == [[DONE, DONE, FAILED, DONE]] * 2
    for error, used in zip(ds.error.values[:, 2], ds.peak_memory.values[:, 2], strict=True):
        assert error.startswith("OutOfMemory: the case was ended with 0.6")
        assert "its worker may hold 0.6 GB" in error
        assert 5e8 < used < 8e8


def test_a_time_limit_that_cannot_be_is_refused(tmp_path, two_workers):
    study = load_study(FILE)
    with pytest.raises(InputError, match="case_timeout = 0 s; allowed: above 0"):
        study.run(tmp_path / "s.zarr", cluster=two_workers, case_timeout=0)
    with (
        Client(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, set_as_default=False
        ) as client,
        pytest.raises(InputError, match="case_timeout with workers of 2 threads; allowed: workers of one thread each"),
    ):
        study.run(tmp_path / "s.zarr", cluster=client, case_timeout=1)


def test_each_case_has_its_time_and_its_memory(tmp_path, two_workers, logged_study):
    ds = logged_study.replace("workload.sleep", 0.05).run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    assert ((ds.duration >= 0.05) & (ds.duration < 60)).all()
    assert ((ds.peak_memory > 1e7) & (ds.peak_memory < 1e11)).all()
    assert ds.peak_memory.attrs["units"] == "B"
