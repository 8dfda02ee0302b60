"""Cost of design points: points a second in one thread, for totals and with the breakdown.

    python scripts/bench_cost.py [--points 262144]

Prints one JSON object. Every point has its own value of 14 numbers, so that nothing is shared between points.
"""

import argparse
from typing import Any

from bench_common import medians, report  # isort: skip - pins threads before NumPy loads

import numpy as np

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


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--points", type=int, default=1 << 18)
    asked = options.parse_args()
    shape, numbers = model_shape("Llama-2-7B"), design(asked.points)
    prefill = numbers.pop("workload.prefill")
    rows = []
    for what, placed in DESIGNS.items():
        work, here = Work(prefill=prefill, decode=128), numbers | placed
        whole, parted = medians(
            lambda work=work, here=here: cost(shape, work, here),  # type: ignore[misc]
            lambda work=work, here=here: cost(shape, work, here, breakdown=True),  # type: ignore[misc]
        )
        rows.append(
            {
                "what": what,
                "points": asked.points,
                "totals_points_per_s": round(asked.points / whole),
                "breakdown_points_per_s": round(asked.points / parted),
            }
        )
    report(rows)


if __name__ == "__main__":
    main()
