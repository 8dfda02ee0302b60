"""Cost of design points: points a second in one thread, for totals and with the breakdown; and a study of a million.

    python scripts/bench_cost.py [--points 262144] [--study 10]

Prints one JSON object. Every point has its own value of 14 numbers, so that nothing is shared between points. The study
has six axes of so many values (0: none), and two workers.
"""

import argparse
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench_common import medians, report  # isort: skip - pins threads before NumPy loads

import numpy as np

import cimstudy as cim
from cimstudy.cost import Work, cost, model_shape

RANGES = {  # of a log-uniform draw
    "crossbar.rows": (64, 1024),
    "crossbar.columns": (64, 1024),
    "crossbar.cells_per_weight": (1, 16),
    "crossbar.pulses": (1, 8),
    "crossbar.adc.bits": (4, 12),
    "crossbar.adc.rate": (1e7, 1e10),
    "crossbar.adc.energy_scale": (0.1, 10),
    "device.g_max": (1e-6, 1e-4),
    "device.cost.read_time": (1e-9, 1e-7),
    "device.cost.endurance": (1e4, 1e12),
    "architecture.chips.node": (7e-9, 65e-9),
    "architecture.kv.energy": (1e-12, 8e-12),
    "data.drive": (0.1, 1),
    "workload.prefill": (128, 8192),
}
WHOLE = {"crossbar.rows", "crossbar.columns", "crossbar.cells_per_weight", "crossbar.pulses", "workload.prefill"}
DESIGNS: dict[str, dict[str, Any]] = {
    "static products in crossbars, attention in digital units": {},
    "attention in arrays that are written": {
        "architecture.placement.scores": "dynamic-crossbar",
        "architecture.placement.values": "dynamic-crossbar",
        "architecture.kv.location": "array",
    },
}


def design(points: int) -> dict[str, Any]:
    """Random designs."""
    rng = np.random.default_rng(0)
    drawn = {path: low * (high / low) ** rng.random(points) for path, (low, high) in RANGES.items()}
    return {path: np.round(values) if path in WHOLE else values for path, values in drawn.items()}


def study(values: int) -> dict[str, Any]:
    """A study to Zarr, from its definition to its last block."""
    axes = {
        "device.g_max": np.geomspace(1e-6, 1e-4, values),
        "crossbar.adc.bits": range(4, 4 + values),
        "crossbar.adc.rate": np.geomspace(1e8, 1e10, values),
        "crossbar.rows": np.geomspace(32, 2048, values).astype(int),
        "crossbar.columns": np.geomspace(32, 2048, values).astype(int),
        "architecture.chips.node": np.geomspace(7e-9, 65e-9, values),
    }
    planned = cim.Study(name="million", workload=cim.workloads.Cost(model="GPT-2"), space=cim.Grid(axes))
    folder = Path(tempfile.mkdtemp())
    try:
        start = time.perf_counter()
        ds = planned.run(folder / "s.zarr", workers=2, progress=False)
        seconds = time.perf_counter() - start
        done = int((ds.status == 1).sum())
    finally:
        shutil.rmtree(folder)
    return {"what": "study to Zarr", "points": values**6, "done": done, "workers": 2, "study_s": round(seconds, 1)}


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--points", type=int, default=1 << 18)
    options.add_argument("--study", type=int, default=0, help="values of each of six axes")
    asked = options.parse_args()
    shape, numbers = model_shape("Llama-2-7B"), design(asked.points)
    prefill = numbers.pop("workload.prefill")
    rows: list[dict[str, Any]] = []
    for what, placed in DESIGNS.items():
        work, here = Work(prefill=prefill, decode=128), numbers | placed
        whole, parted = medians(
            partial(cost, shape, work, here),
            partial(cost, shape, work, here, breakdown=True),
        )
        rows.append(
            {
                "what": what,
                "points": asked.points,
                "totals_points_per_s": round(asked.points / whole),
                "breakdown_points_per_s": round(asked.points / parted),
            }
        )
    report([*rows, study(asked.study)] if asked.study else rows)


if __name__ == "__main__":
    main()
