"""What runners tell of themselves, and what a watcher makes of it."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.study import Trials, open_results
from cimstudy.study.notes import FRESH, Note, notes, noting
from cimstudy.study.progress import State

STATE = State(name="s", total=10, finished=6, failed=0, at_start=2, started=time.time() - 2, dashboard="http://here")


def test_a_note_says_how_far_a_run_is_and_goes_with_it(tmp_path):
    store = str(tmp_path / "s.zarr")
    with noting(store) as first, noting(store) as second:
        first.write(STATE, workers=3)
        second.write(STATE, workers=1)
        assert not first.is_due()
        found = notes(store)
        assert sorted(note.workers for note in found) == [1, 3]
        assert (found[0].finished, found[0].total, found[0].dashboard) == (6, 10, "http://here")
        assert 0 < found[0].rate < 2.1
    assert notes(store) == []
    assert not list(tmp_path.iterdir())


def test_an_old_note_says_nothing(tmp_path, monkeypatch):
    store = str(tmp_path / "s.zarr")
    with noting(store) as note:
        note.write(STATE, workers=1)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 2 * FRESH)
        assert notes(store) == []


def test_a_folder_that_cannot_be_written_disturbs_nothing(tmp_path):
    (tmp_path / "s.zarr.runs").write_text("in the way")
    with noting(str(tmp_path / "s.zarr")) as note:
        note.write(STATE, workers=1)


@given(st.floats(0, 1e6), st.floats(0.1, 1e6))
def test_a_rate_is_cases_of_this_run_over_its_time(cases, seconds):
    note = Note(
        host="h", process=1, workers=1, dashboard="", finished=int(cases) + 5, at_start=5, total=10**7, started=0.0,
        updated=seconds,
    )  # fmt: skip
    assert note.rate == int(cases) / seconds


@pytest.mark.slow
def test_watching_a_run_shows_runner_rate_and_intervals_until_nothing_is_pending(study, log, tmp_path, two_workers):
    store = tmp_path / "s.zarr"
    rule = Trials(min=4, max=16, half_width={"loss": 0.4}, bounds={"loss": (-0.5, 3)})
    slow = study.replace("workload.sleep", 0.25).replace("trials", rule)
    running = threading.Thread(
        target=slow.run, args=(store,), kwargs={"cluster": two_workers, "block": (1, 2), "progress": False}
    )
    running.start()
    end = time.monotonic() + 60
    while not notes(str(store)):
        assert time.monotonic() < end
        time.sleep(0.05)
    command = [sys.executable, "-m", "cimstudy", "status", str(store), "--watch", "--every", "1"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    running.join()
    first, last = found.split("\n\n")[0], found.split("\n\n")[-1]
    assert "runner" in first
    assert "cases/s on 2 workers, dashboard http://127.0.0.1" in first
    assert "pending  0 of" in last
    needed = int(open_results(store).needed.sum())
    assert f"done     {needed} of {needed} cases (100 %)" in last
    assert "interval loss: half-width" in last
    assert "6 of 6 no wider than 0.4" in last
    assert "runner" not in last
