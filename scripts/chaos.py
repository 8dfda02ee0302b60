"""Kill everything at random moments, many times; then run once more and compare every bit.

A study of cheap cases runs on a scheduler and worker processes of its own. In each round one of them, or the client, is
ended by SIGKILL at a random moment: client, worker, nanny, scheduler. A new client goes on where the last one stopped.
After the rounds, a clean run completes the store, which is compared with that of an undisturbed run.

    python scripts/chaos.py [--rounds 30] [--seed 0] [--cases 2000]

Prints one JSON object: how many rounds hit what, whether the metrics are bit-identical, and how many evaluations of
finished blocks the clean run made. Exit status 1 if any of that is not as it should be.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads

import numpy as np
import psutil
import xarray as xr

import cimstudy as cim
from cimstudy.hardware import Hardware, Part
from cimstudy.study import ClusterLostError, store_status

TARGETS = ("client", "worker", "nanny", "scheduler")
PATIENCE = 120.0  # s for which a condition is waited for
METRICS = ("loss", "by_layer")


class Logged(Part):
    """A cheap case that leaves a line in a file."""

    log: str
    seconds: float

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> dict[str, Any]:
        """Numbers that depend on the case alone."""
        time.sleep(self.seconds)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{hardware.crossbar.rows} {trial}\n".encode())
        os.close(descriptor)
        draws = np.random.Generator(np.random.Philox(key=[seed, trial])).standard_normal(3)
        return {"loss": draws.mean() / hardware.crossbar.rows, "by_layer": draws}


def study_of(log: Path, cases: int, seconds: float) -> cim.Study:
    """The study whose every evaluation is counted."""
    trials = 20
    space = cim.Grid({"crossbar.rows": range(1, 1 + cases // trials)})
    return cim.Study(name="chaos", workload=Logged(log=str(log), seconds=seconds), space=space, trials=trials, seed=5)


def client(folder: Path, cases: int, seconds: float) -> None:
    """What the client process does: run the study on the scheduler that the round has."""
    address = json.loads((folder / "scheduler.json").read_text())["address"]
    study = study_of(folder / "log", cases, seconds)
    with contextlib.suppress(ClusterLostError):
        study.run(folder / "s.zarr", cluster=address, block=(5, 4), progress=False)


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[dict[str, list["subprocess.Popen[bytes]"]]]:
    """A scheduler and two nannies with a worker each; all are gone at the end."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    started: dict[str, list[subprocess.Popen[bytes]]] = {"scheduler": [], "nanny": []}
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    try:
        started["scheduler"].append(spawn("distributed.cli.dask_scheduler", "--port", "0", *common))
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        worker = ["--nworkers", "1", "--nthreads", "1", "--local-directory", str(folder / "scratch"), *common]
        started["nanny"] += [spawn("distributed.cli.dask_worker", *worker) for _ in range(2)]
        yield started
    finally:
        for process in [*started["nanny"], *started["scheduler"]]:
            end_tree(process.pid)
            process.wait()


def spawn(module: str, *options: str) -> "subprocess.Popen[bytes]":
    """A process of Dask's command line."""
    return subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-m", module, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def end_tree(pid: int) -> None:
    """Kill a process and those that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def until(condition: Any, seconds: float = PATIENCE) -> None:
    """Wait for a condition. Raises TimeoutError if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited for {seconds} s in vain")
        time.sleep(0.02)


def victim(target: str, runner: int, started: dict[str, list["subprocess.Popen[bytes]"]], choice: random.Random) -> int:
    """The process to kill."""
    if target == "client":
        return runner
    if target != "worker":
        return choice.choice(started[target]).pid
    nanny = choice.choice(started["nanny"]).pid
    found: list[int] = []

    def workers() -> bool:
        found[:] = [
            child.pid for child in psutil.Process(nanny).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        return bool(found)

    until(workers)
    return found[0]


def play(folder: Path, command: list[str], target: str, choice: random.Random) -> bool:
    """One round: run, kill after a while, let what is left go on for a little. Whether the study is finished then."""
    with processes(folder) as started:
        runner = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - this very script
        try:
            lines = evaluations(folder)
            until(lambda: runner.poll() is not None or evaluations(folder) > lines)
            time.sleep(choice.uniform(0, 1))
            if runner.poll() is None:
                with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                    os.kill(victim(target, runner.pid, started, choice), signal.SIGKILL)
                time.sleep(choice.uniform(0, 0.5))
            return runner.poll() == 0
        finally:
            runner.kill()
            runner.wait()


def evaluations(folder: Path) -> int:
    """How many cases have been evaluated so far."""
    log = folder / "log"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def chaos(folder: Path, *, rounds: int, seed: int, cases: int, seconds: float) -> dict[str, Any]:
    """All rounds, the clean run, and the comparison."""
    choice = random.Random(seed)  # noqa: S311 - which process dies when
    hits: Counter[str] = Counter()
    options = ["--folder", str(folder), "--cases", str(cases), "--seconds", str(seconds)]
    command = [sys.executable, __file__, "--client", *options]
    for number in range(rounds):
        target = TARGETS[number % len(TARGETS)]
        hits[target] += 1
        if play(folder, command, target, choice):
            break  # no case is left to kill anything at
    before = store_status(folder / "s.zarr")
    done = finished_cases(folder / "s.zarr")
    killed = evaluations(folder)
    ds = study_of(folder / "log", cases, seconds).run(folder / "s.zarr", workers=2, progress=False)
    again = {tuple(line.split()) for line in (folder / "log").read_text().splitlines()[killed:]} & done
    whole = study_of(folder / "undisturbed.log", cases, 0.0).run(folder / "u.zarr", workers=2, progress=False)
    same = all(np.array_equal(ds[name].to_numpy(), whole[name].to_numpy()) for name in METRICS)
    after = store_status(folder / "s.zarr")
    return {
        "what": f"{sum(hits.values())} kills: " + ", ".join(f"{hits[name]} {name}" for name in TARGETS),
        "cases": after.cases,
        "done_before_the_clean_run": before.done,
        "done": after.done,
        "failed": after.failed,
        "bit_identical": same,
        "evaluations": killed,
        "evaluated_again_by_the_clean_run": len(again),
    }


def finished_cases(store: Path) -> set[tuple[str, ...]]:
    """The cases that the store has as done: rows of the crossbar and trial, as the log has them."""
    with xr.open_zarr(store) as ds:
        done = np.argwhere(ds.status.to_numpy() == 1)
        rows = ds.crossbar_rows.to_numpy()
    return {(str(rows[point]), str(trial)) for point, trial in done.tolist()}


def main() -> int:
    """Rounds, or one client of a round."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--cases", type=int, default=2000)
    options.add_argument("--seconds", type=float, default=0.02, help="that a case takes")
    options.add_argument("--folder", type=Path, help="where the store is; default: a new one that is deleted")
    options.add_argument("--client", action="store_true", help="be a client of a round")
    asked = options.parse_args()
    if asked.client:
        client(asked.folder, asked.cases, asked.seconds)
        return 0
    folder = asked.folder or Path(tempfile.mkdtemp())
    try:
        found = chaos(folder, rounds=asked.rounds, seed=asked.seed, cases=asked.cases, seconds=asked.seconds)
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    report([found])
    sound = found["bit_identical"] and not found["evaluated_again_by_the_clean_run"] and found["done"] == found["cases"]
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
