"""Time of the analog product beside the plain float32 product and the sgemm passes that it needs, on one core.

    python scripts/bench_matmul.py > matmul.json

(b) unsliced, no output converter, programming error
(d) 8-bit weights in 4 slices of 2 bits, differential, 128 rows, 8-bit inputs at once, 8-bit ADC
(c) as (d), with bit-serial inputs and a conversion for each input bit
(e) as (d), with Gaussian read noise on every cell
(n) as (e), beside (d) itself
(r) (d) for one vector: its limit is the time to read the conductances from memory once
(p) programming of (d): its limit is the time NumPy needs to draw as many float32 normals
(w) as (d), with wires: its limit is (d) itself
(x, s) what 128 x 128 cells with wires multiply by, exactly and by expansion: their limits are 60 ms and 2 ms

`limit_seconds` is the time of just the matrix products at the tile height (of one plain product for (b)), `ratio` is
seconds / limit_seconds, `plain_ratio` is seconds over one plain product of the same shape and batch. Both are medians
of the ratios of calls that follow each other, since the speed of a shared machine changes within a row.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

from bench_common import alternating, ratio, report  # isort: skip - pins threads before NumPy loads

import numpy as np

from cimstudy import analog
from cimstudy.analog.wires import effective_matrix, series_matrix
from cimstudy.hardware import Adc, Crossbar, Dac, Device, Differential, Hardware, NormalOfTarget, Wires

SLICED = Differential(bits=8, slice_bits=2)
NOISY = Device(programming=NormalOfTarget(std=0.05))
CONFIGURATIONS = {
    "b": Hardware(device=NOISY, crossbar=Crossbar(adc=None, dac=None)),
    "d": Hardware(device=NOISY, crossbar=Crossbar(weights=SLICED, adc=Adc(range="full"))),
    "c": Hardware(device=NOISY, crossbar=Crossbar(weights=SLICED, dac=Dac(serial_bits=1), adc=Adc(range="full"))),
    "e": Hardware(
        device=NOISY.replace("read_noise", NormalOfTarget(std=0.02)),
        crossbar=Crossbar(weights=SLICED, adc=Adc(range="full")),
    ),
}
SHAPES = [(768, 768), (768, 3072)]
BATCHES = [1, 64, 512]


def passes(hardware: Hardware, shape: tuple[int, int], batch: int) -> Callable[[], None]:
    """Just the matrix products that a configuration needs, each at its tile height, into one buffer."""
    rng = np.random.default_rng(0)
    crossbar = hardware.crossbar
    slices = 1 if crossbar.adc is None else crossbar.weights.slices
    cycles = 1 if crossbar.adc is None or crossbar.dac is None else crossbar.dac.cycles
    tiles = [slice(0, shape[0])] if crossbar.adc is None else analog.row_tiles(shape[0], crossbar.rows)
    planes = [rng.standard_normal((tile.stop - tile.start, shape[1]), dtype=np.float32) for tile in tiles * slices]
    inputs = [rng.standard_normal((cycles * batch, len(plane)), dtype=np.float32) for plane in planes]
    out = np.empty((cycles * batch, shape[1]), np.float32)

    def products() -> None:
        for driven, plane in zip(inputs, planes, strict=True):
            np.matmul(driven, plane, out=out)

    return products


def product_rows(shape: tuple[int, int], batch: int, seconds: float) -> list[dict[str, Any]]:
    """One row a configuration for one shape and batch."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal(shape, dtype=np.float32)
    x = rng.standard_normal((batch, shape[0]), dtype=np.float32)
    rows = []
    for name, hardware in CONFIGURATIONS.items():
        matrix = analog.program_matrix(w, hardware, 0)
        matmul = lambda matrix=matrix: matrix.matmul(x)  # noqa: E731 - a call to be timed
        times, limits, plain = alternating(matmul, passes(hardware, shape, batch), lambda: x @ w, seconds=seconds)
        rows.append(row(name, shape, batch, times, limits) | {"plain_ratio": round(ratio(times, plain), 3)})
    return rows


def beside_row(shape: tuple[int, int], batch: int, seconds: float) -> dict[str, Any]:
    """(e) beside (d)."""
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal(shape, dtype=np.float32), rng.standard_normal((batch, shape[0]), dtype=np.float32)
    noisy, quiet = (analog.program_matrix(w, CONFIGURATIONS[name], 0) for name in "ed")
    return row("n", shape, batch, *alternating(lambda: noisy.matmul(x), lambda: quiet.matmul(x), seconds=seconds))


def reading_row(shape: tuple[int, int], seconds: float) -> dict[str, Any]:
    """(d) for one vector beside a sum over its conductances, which waits for memory alone."""
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal(shape, dtype=np.float32), rng.standard_normal((1, shape[0]), dtype=np.float32)
    matrix = analog.program_matrix(w, CONFIGURATIONS["d"], 0)
    held = matrix.planes.reshape(-1)
    return row("r", shape, 1, *alternating(lambda: matrix.matmul(x), lambda: held @ held, seconds=seconds))


def programming_row(shape: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Programming of (d): two cells a weight and slice."""
    hardware = CONFIGURATIONS["d"]
    w = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    mapped = analog.map_matrix(w, hardware)
    generator = np.random.Generator(np.random.SFC64(0))
    z = np.empty(2 * hardware.crossbar.weights.slices * w.size, np.float32)
    program, draws = alternating(
        lambda: mapped.program(0), lambda: generator.standard_normal(out=z, dtype=np.float32), seconds=seconds
    )
    return row("p", shape, 1, program, draws)


def wired_row(shape: tuple[int, int], batch: int, seconds: float) -> dict[str, Any]:
    """The product of (d) with wires beside the one without."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal(shape, dtype=np.float32)
    x = rng.standard_normal((batch, shape[0]), dtype=np.float32)
    wires = Wires(row_resistance=1.0, column_resistance=1.0, method="series")
    bare, wired = (
        analog.program_matrix(w, hardware, 0)
        for hardware in (CONFIGURATIONS["d"], CONFIGURATIONS["d"].replace("crossbar.wires", wires))
    )
    return row("w", shape, batch, *alternating(lambda: wired.matmul(x), lambda: bare.matmul(x), seconds=seconds))


def array_rows(seconds: float) -> list[dict[str, Any]]:
    """The reduction of one array to its effective matrix."""
    cells = np.random.default_rng(1).uniform(0, 1, (128, 128)).astype(np.float32)
    line = np.full(128, 5e-5)
    exact, series = alternating(
        lambda: effective_matrix(cells, line, line), lambda: series_matrix(cells, line, line), seconds=seconds
    )
    return [
        row("x", (128, 128), 1, exact, [0.060] * len(exact)),
        row("s", (128, 128), 1, series, [0.002] * len(series)),
    ]


def row(what: str, shape: tuple[int, int], batch: int, times: list[float], limits: list[float]) -> dict[str, Any]:
    """One line of the result."""
    return {
        "what": what,
        "shape": list(shape),
        "batch": batch,
        "seconds": statistics.median(times),
        "limit_seconds": statistics.median(limits),
        "ratio": round(ratio(times, limits), 3),
    }


def main() -> None:
    """Measure every configuration, shape and batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="least time for each measured call")
    seconds = parser.parse_args().seconds
    rows = [found for shape in SHAPES for batch in BATCHES for found in product_rows(shape, batch, seconds)]
    rows += [beside_row(shape, batch, seconds) for shape in SHAPES for batch in BATCHES[1:]]
    rows += [reading_row(shape, seconds) for shape in SHAPES]
    rows += [programming_row(shape, seconds) for shape in SHAPES]
    rows += [wired_row(shape, batch, seconds) for shape in SHAPES for batch in BATCHES[1:]]
    rows += array_rows(seconds)
    report(rows)


if __name__ == "__main__":
    main()
