"""What every benchmark shares: one thread, the machine's description, alternating runs, one JSON object."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy loads its BLAS

import json  # noqa: E402 - all imports follow the pinning
import platform  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402


def machine() -> dict[str, Any]:
    """The machine and the libraries that the figures hold for."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    blas: Any = np.show_config(mode="dicts")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas["Build Dependencies"]["blas"]["name"],
    }


def alternating(*calls: Callable[[], Any], seconds: float = 1.0, least: int = 5) -> list[list[float]]:
    """Times of each call, s, run in turn so that a change of the machine's speed meets all of them."""
    for call in calls:
        call()  # compiles, allocates, warms caches
    times: list[list[float]] = [[] for _ in calls]
    start = time.perf_counter()
    while len(times[0]) < least or time.perf_counter() - start < seconds * len(calls):
        for call, found in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
    return times


def medians(*calls: Callable[[], Any], seconds: float = 1.0, least: int = 5) -> list[float]:
    """Median time of each call, s, run in turn."""
    return [statistics.median(found) for found in alternating(*calls, seconds=seconds, least=least)]


def ratio(times: list[float], others: list[float]) -> float:
    """Median of the ratios of calls that were run one after the other, which had the machine at one speed."""
    return statistics.median(first / second for first, second in zip(times, others, strict=True))


def report(rows: list[dict[str, Any]]) -> None:
    """Print the benchmark's one JSON object."""
    print(json.dumps({"machine": machine(), "rows": rows}, indent=1))
