"""What a study costs beside its work: time for each case, and how much a second worker helps.

10,000 cases of 1 ms (100 points, 100 trials) on two processes that are there already, beside xyzpy, pipefunc and xsweep
where these are installed; then a study of 2,000 cases of 5 ms on two workers and on one.

    python scripts/bench_study.py [--cases 10000]

`work_s`: the same cases in plain loops of two processes, just before and after on average, for a shared machine runs
these slower, too. `overhead_us`: the time of both processes beyond that, for each case. `fixed_s`: the time of 20
cases, which is mostly what a run costs before its first case. `times`: overhead in multiples of ours. xsweep and xyzpy
on Dask get a fifth of the cases.
"""

import argparse
import importlib.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads

import numpy as np
import xarray as xr
from distributed import Client

import cimstudy as cim
from cimstudy.hardware import Hardware
from cimstudy.study.cluster import connect

WORKERS = 2
CASE = 1e-3  # s
PAIRS = 3  # of runs for the efficiency
SLOW = 5  # how many times fewer cases those get that take minutes, and longer for each case the more there are


def work(seconds: float) -> None:
    """Compute for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def one(hardware: Hardware, *, seed: int, trial: int) -> dict[str, float]:
    """A case of 1 ms."""
    work(CASE)
    return {"x": hardware.crossbar.rows + trial + seed}


def five(hardware: Hardware, *, seed: int, trial: int) -> dict[str, float]:
    """A case of 5 ms."""
    work(5 * CASE)
    return {"x": hardware.crossbar.rows + trial + seed}


def plain(a: int, b: int) -> float:
    """The same case of 1 ms for the others."""
    work(CASE)
    return float(a + b)


if importlib.util.find_spec("xsweep"):
    from xsweep import SweepPolicy, sweep

    @sweep("loop(a, b) -> out()")
    def swept(a: float, b: float) -> float:
        """The same, as xsweep wants it: in the module, for its processes to find."""
        return plain(int(a), int(b))


def sides(cases: int) -> tuple[int, int]:
    """Two factors of a number of cases."""
    first = max(1, round(cases**0.5))
    return first, -(-cases // first)


def study_of(workload: Callable[..., Any], cases: int) -> cim.Study:
    """A study of so many cases."""
    points, trials = sides(cases)
    return cim.Study(
        name="bench", workload=workload, space=cim.Grid({"crossbar.rows": range(1, points + 1)}), trials=trials
    )


def cimstudy_run(client: Client, folder: Path) -> Callable[[int], None]:
    """Our own."""
    return lambda cases: void(study_of(one, cases).run(folder / f"{cases}.zarr", cluster=client, progress=False))


def xyzpy_run(folder: Path, **options: Any) -> Callable[[int], None]:
    """The harvester of xyzpy, which keeps results in a file."""
    import xyzpy  # noqa: PLC0415 - may not be installed

    def run(cases: int) -> None:
        first, second = sides(cases)
        runner = xyzpy.Runner(plain, var_names="x")
        harvester = xyzpy.Harvester(runner, str(folder / f"{cases}-{len(options)}.h5"))
        harvester.harvest_combos({"a": range(first), "b": range(second)}, verbosity=0, **options)

    return run


def pipefunc_run(folder: Path, pool: ProcessPoolExecutor) -> Callable[[int], None]:
    """The file storage of pipefunc."""
    from pipefunc import Pipeline, pipefunc  # noqa: PLC0415 - may not be installed

    pipeline = Pipeline([pipefunc(output_name="x", mapspec="a[i], b[j] -> x[i, j]")(plain)])

    def run(cases: int) -> None:
        first, second = sides(cases)
        inputs = {"a": list(range(first)), "b": list(range(second))}
        pipeline.map(inputs, run_folder=folder / str(cases), storage="file_array", executor=pool, show_progress=False)

    return run


def xsweep_run(folder: Path) -> Callable[[int], None]:
    """The Zarr store of xsweep."""

    def run(cases: int) -> None:
        first, second = sides(cases)
        space = xr.Dataset({"a": ("a", np.arange(first, dtype=float)), "b": ("b", np.arange(second, dtype=float))})
        policy = SweepPolicy(store=folder / f"{cases}.zarr", executor="process", max_workers=WORKERS)
        swept(space, policy=policy)

    return run


def void(_: object) -> None:
    """Nothing."""


def timed(call: Callable[[], object]) -> float:
    """How long a call takes, s."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def loop(cases: int) -> None:
    """So many cases, one after the other."""
    for case in range(cases):
        plain(case, case)


def work_of(cases: int, pool: ProcessPoolExecutor) -> float:
    """How long the work alone takes on all processes, s."""
    return timed(lambda: list(pool.map(loop, [cases // WORKERS] * WORKERS)))


def row(what: str, run: Callable[[int], None], cases: int, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """The figures of one way to run the cases."""
    run(16)  # starts pools, imports, compiles
    fixed = timed(lambda: run(20))
    before, wall, after = work_of(cases, pool), timed(lambda: run(cases)), work_of(cases, pool)
    work_s = (before + after) / 2
    return {
        "what": what,
        "cases": cases,
        "wall_s": round(wall, 2),
        "work_s": round(work_s, 2),
        "fixed_s": round(fixed, 2),
        "overhead_us": round(WORKERS * (wall - work_s) / cases * 1e6, 1),
    }


def overheads(cases: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each way that is installed, ours first."""
    rows: list[dict[str, Any]] = []
    with connect(None, WORKERS) as client, ProcessPoolExecutor(WORKERS) as pool:
        few = cases // SLOW
        ways: list[tuple[str, str, int, Callable[[], Callable[[int], None]]]] = [
            ("cimstudy", "", cases, lambda: cimstudy_run(client, folder / "c")),
            ("xyzpy", "loky", cases, lambda: xyzpy_run(folder, parallel=True, num_workers=WORKERS)),
            ("pipefunc", "file_array", cases, lambda: pipefunc_run(folder / "p", pool)),
            ("xsweep", "zarr", few, lambda: xsweep_run(folder / "s")),
            ("xyzpy", "dask", few, lambda: xyzpy_run(folder, executor=client)),
        ]
        for package, manner, number, make in ways:
            if not importlib.util.find_spec(package):
                rows.append({"what": f"{package} {manner}", "absent": "not installed"})
                continue
            rows.append(row(f"{package} {version(package)} {manner}".strip(), make(), number, pool))
    for found in rows[1:]:
        if "overhead_us" in found:
            found["times"] = round(found["overhead_us"] / rows[0]["overhead_us"], 1)
    return rows


def efficiency(cases: int, folder: Path) -> dict[str, Any]:
    """How much of its time a second worker works: the median of some pairs of runs, each one after the other."""
    study, pairs = study_of(five, cases), []
    with connect(None, 2) as two, connect(None, 1) as one_alone:
        for workers, client in ((2, two), (1, one_alone)):
            study_of(five, 16).run(folder / f"{workers}-warm.zarr", cluster=client, progress=False)
        for pair in range(PAIRS):
            stores = {client: folder / f"{number}-{pair}.zarr" for number, client in enumerate((two, one_alone))}
            pairs.append(
                [timed(partial(study.run, at, cluster=client, progress=False)) for client, at in stores.items()]
            )
    return {
        "what": f"{cases} cases of 5 ms on 2 workers and on 1",
        "wall_s": [[round(wall, 2) for wall in walls] for walls in pairs],
        "efficiency": round(statistics.median(one / (2 * two) for two, one in pairs), 3),
    }


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--cases", type=int, default=10_000)
    cases = options.parse_args().cases
    folder = Path(tempfile.mkdtemp())
    try:
        report([*overheads(cases, folder), efficiency(cases // 5, folder / "e")])
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
