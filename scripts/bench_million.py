"""A study of a million points with an analytic workload: time and memory of planning, of the run, and of reading it.

    python scripts/bench_million.py [--points 1048576] [--workers 2]

Prints one JSON object. Each row is a space: a grid, and a Sobol sequence whose every point has a device of its own.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads

import numpy as np

import cimstudy as cim
from cimstudy.hardware import Hardware, NormalOfRange
from cimstudy.study import store as stores
from cimstudy.study.agenda import Agenda, Manner
from cimstudy.study.layout import Column
from cimstudy.study.merge import rows_of
from cimstudy.study.prepare import enter

HARDWARE = cim.Hardware(device=cim.Device(programming=NormalOfRange(std=0.1)))


def signal_to_noise(hardware: Hardware, *, seed: int, trial: int) -> dict[str, float]:
    """A stand-in for a model in closed form: two numbers from the device and the converter."""
    law, adc = hardware.device.programming, hardware.crossbar.adc
    std, bits = law.std if isinstance(law, NormalOfRange) else 0.0, adc.bits if adc else 16
    noise = std**2 * hardware.crossbar.rows + 4.0**-bits
    return {"snr": hardware.device.g_max / (noise + 1e-12), "noise": noise, "chip": seed + trial}


def grid(points: int) -> cim.Grid:
    """Two axes in two parts of the hardware."""
    side = round(points**0.5)
    return cim.Grid({"device.g_max": np.linspace(1e-6, 1e-4, side), "crossbar.rows": range(1, side + 1)})


def sobol(points: int) -> cim.Sobol:
    """Four axes, two of them continuous, so that no two points share a device."""
    axes = {
        "device.g_max": (1e-6, 1e-4, "log"),
        "device.programming.std": (0.0, 0.1),
        "crossbar.adc.bits": (4, 10, "integer"),
        "crossbar.rows": (16, 1024, "log", "integer"),
    }
    return cim.Sobol(axes, n=1 << (points - 1).bit_length())


SPACES: dict[str, Callable[[int], Any]] = {"grid": grid, "sobol": sobol}


def study_of(kind: str, points: int) -> cim.Study:
    """The study of this space."""
    return cim.Study(name=f"million-{kind}", workload=signal_to_noise, hardware=HARDWARE, space=SPACES[kind](points))


def plan(study: cim.Study, folder: Path) -> int:
    """What a run does before its first block: resolve, validate, create the store, make the first job."""
    resolved, store = study.resolve_all(), str(folder / "plan.zarr")
    columns = [Column(name="snr"), Column(name="noise"), Column(name="chip")]
    made = enter(
        study, store, resolved, lambda: stores.create(store, study, rows_of(study, resolved), columns, (65536, 1))
    )
    if made is not None:
        Agenda(made, study.trials, Manner(run="plan", order=0, retry_failed=False)).take()
    return len(resolved)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and how long it takes, s."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def measure(kind: str, points: int, workers: int) -> dict[str, Any]:
    """One row."""
    study = study_of(kind, points)
    folder = Path(tempfile.mkdtemp())
    try:
        count, planning = timed(lambda: plan(study, folder))
        ds, running = timed(lambda: study.run(folder / "run.zarr", workers=workers, progress=False))
        done = int((ds.status == 1).sum())
        mean, reading = timed(lambda: float(cim.open_results(folder / "run.zarr").snr.mean()))
    finally:
        shutil.rmtree(folder)
    return {
        "what": f"{kind} of {count} points",
        "done": done,
        "planning_s": round(planning, 2),
        "study_s": round(running, 1),
        "open_and_mean_s": round(reading, 2),
        "client_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "workers": workers,
        "mean": mean,
    }


def main() -> None:
    """Measure each space in a process of its own, since memory is counted from its start."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--points", type=int, default=10**6)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--kind", choices=SPACES, help="measure this space only, in this process")
    asked = options.parse_args()
    if asked.kind:
        report([measure(asked.kind, asked.points, asked.workers)])
        return
    rows = []
    for kind in SPACES:
        command = [sys.executable, __file__, "--kind", kind, "--points", str(asked.points)]
        found = subprocess.run(  # noqa: S603 - this very script
            [*command, "--workers", str(asked.workers)], check=True, capture_output=True, text=True
        )
        rows += json.loads(found.stdout)["rows"]
    report(rows)


if __name__ == "__main__":
    main()
