"""What it takes to read a store of a million points and 16 chips from disk: seconds and memory of each statistic.

    python scripts/bench_reading.py [--points 1000000] [--trials 16]

Prints one JSON object. Every row is a process of its own, since memory is counted from its start.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads

import numpy as np
import xarray as xr

from cimstudy import analysis
from cimstudy.analysis import plots

CHUNK = 16384  # points
Reading = Callable[[xr.Dataset], Any]
READINGS: dict[str, Reading] = {
    "summary": lambda ds: analysis.summary(ds, "loss").compute(),
    "yield": lambda ds: analysis.yield_(ds, "loss", at_most=1.0).compute(),
    "compare": lambda ds: analysis.compare(ds, "loss", {"bits": 8}).compute(),
    "claim": lambda ds: analysis.claim(ds, "loss", {"bits": 8}).compute(),
    "pareto": lambda ds: analysis.pareto(ds, ["loss", "energy"]),
    "sensitivity": lambda ds: analysis.sensitivity(ds, "loss"),
    "line": lambda ds: plots.line(ds, "loss", "spread", "bits", select={"bits": [4, 6, 8], "area": 0.0}),
}


def make(path: Path, points: int, trials: int) -> None:
    """A store as a study leaves it: a grid of three axes, two metrics, some cases failed."""
    bits, area = np.arange(4, 12), np.arange(0.0, 25.0)
    std = np.linspace(0, 0.1, points // (len(bits) * len(area)))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(std, bits, area, indexing="ij")])
    random = np.random.default_rng(0)
    luck = random.standard_normal(trials)
    loss = 100 * grid[0] ** 2 + 4.0 ** (4 - grid[1]) + 0.3 / (1 + grid[2]) + 0.1
    spread = (0.02 + grid[0])[:, None] * (luck + 0.5 * random.standard_normal((grid.shape[1], trials)))
    energy = 1e-12 * 2 ** grid[1] * (1 + 0.1 * grid[2])
    status = np.where(random.uniform(size=spread.shape) < 1e-4, 2, 1).astype("int8")
    shape, case = (len(std), len(bits), len(area), trials), ("spread", "bits", "area", "trial")
    values = {"loss": loss[:, None] + spread, "energy": np.broadcast_to(energy[:, None], spread.shape)}
    done = {name: np.where(status == 1, value, np.nan).reshape(shape) for name, value in values.items()}
    ds = xr.Dataset(
        {name: (case, value, {"better": "lower"}) for name, value in done.items()}
        | {"status": (case, status.reshape(shape))},
        {"spread": std, "bits": bits, "area": area, "trial": np.arange(trials)},
    )
    together = max(1, CHUNK // (len(bits) * len(area)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        ds.chunk(spread=together).to_zarr(path, zarr_format=3, consolidated=True)


def measure(what: str, store: str) -> dict[str, Any]:
    """One row."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", analysis.CollapseWarning)
        READINGS[what](xr.open_zarr(store))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"what": what, "seconds": round(seconds, 1), "mb": round(peak / 1024), "imports_mb": round(base / 1024)}


def main() -> None:
    """Make the store, then read it in every way."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--points", type=int, default=10**6)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--what", choices=READINGS, help="read this way only, in this process")
    options.add_argument("--store", help="the store to read with --what")
    asked = options.parse_args()
    if asked.what:
        report([measure(asked.what, asked.store)])
        return
    folder, rows = Path(tempfile.mkdtemp()), []
    try:
        make(folder / "many.zarr", asked.points, asked.trials)
        for what in READINGS:
            command = [sys.executable, __file__, "--what", what, "--store", str(folder / "many.zarr")]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this script
            rows += json.loads(answer.stdout)["rows"]
    finally:
        shutil.rmtree(folder)
    report(rows)


if __name__ == "__main__":
    main()
