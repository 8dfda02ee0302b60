"""Published macros against the cost model: leave one chip out, fit three global scales on the others, predict it.

    python scripts/validate_cost.py [TABLE.csv] [--rows]

Prints one JSON object. The scales multiply the energy of conversions, the area of converters, and the energy of all
else. All rows of a chip leave together; each chip weighs the same. A row's error is |ln(predicted / reported)|.
"""

import argparse
import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads

import numpy as np
from scipy.optimize import least_squares

from cimstudy.cost.adc import MODELS, Converter
from cimstudy.cost.design import Group, completed, groups
from cimstudy.cost.events import events_of, sram_multiply_accumulate
from cimstudy.cost.macros import CYCLES, neurram_phases
from cimstudy.cost.scaling import Scaling

TABLE = Path(__file__).parents[1] / "tests" / "data" / "cost" / "validation.csv"
PEERS = {  # what other tools publish of the same chips
    "Jia": "CiMLoop 7 % over supply voltages, after calibration on the chip",
    "Sinangil": "CiMLoop 7 % over supply voltages, after calibration on the chip",
    "Wan": "CiMLoop 6 % over input bits, after calibration on the chip",
    "DIMC1": "ZigZag-IMC 1 %, unit costs fitted to the same chips",
    "DIMC2": "ZigZag-IMC 39 %, the same",
    "DIMC3": "ZigZag-IMC 2 %, the same",
    "DIMC4": "ZigZag-IMC 16 times, the same; the chip's sparsity is not reported",
    "ISAAC-CE": "none held out",
}
SCALES = ("adc_energy", "adc_area", "periphery")
Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One published number and its parts: conversions, converters and the rest, which are scaled, and what is not."""

    row: str
    chip: str
    reported: float
    parts: tuple[float, float, float, float]

    def error(self, scales: Any) -> float:
        """ln(predicted / reported)."""
        found = sum(part * np.exp(scale) for part, scale in zip(self.parts, (*scales, 0.0), strict=True))
        return float(np.log(found / self.reported))


def analog(row: Row) -> tuple[float, float]:
    """Energy of conversions, and of all else, of a macro in one cycle, J."""
    cycle = CYCLES[row["macro"].split()[0]](row)
    node, volts = float(row["node_nm"]) * 1e-9, float(row["vdd_V"])
    rows, columns = float(row["rows"]), float(row["cols"])
    phases = neurram_phases(row) if chip_of(row) == "Wan" else [int(row["in_bits"])]
    conversions = float(row["adc_per_array"]) * len(phases)
    conversion, _ = MODELS["survey"](Converter(bits=float(row["adc_bits"]), rate=1 / cycle, node=node, voltage=volts))
    pulses = sum(2**bits - 1 for bits in phases) / 2 if row["in_bits"] != "1" else 1.0  # half of them on average
    group = at(node, volts, row)
    events = events_of(group)
    if row["device"].startswith("SRAM"):
        cell = 0.5 * events.scaling.charge("gate")
    else:
        cell = 0.5**2 * 2.5e-6 * 0.27e-6 * 0.5  # V2 S s: read at 0.5 V, 250 kOhm to 1 MOhm, half of the rows driven
    rest = rows * columns * pulses * cell + rows * pulses * events.line + conversions * events.shift_add
    return float(np.squeeze(conversions * conversion)), float(np.squeeze(rest))


def at(node: float, volts: float, row: Row) -> Group:
    """The events' design of a macro."""
    design = {
        "architecture.chips.node": node,
        "architecture.logic.voltage": volts,
        "crossbar.columns": float(row["cols"]),
        "crossbar.rows": float(row["rows"]),
        "device.cost.read_voltage": volts,
        "device.technology": "SRAM" if row["device"].startswith("SRAM") else "ReRAM",
    }
    return next(groups(completed(design)))


def efficiency(row: Row) -> Expected:
    """Joules an operation of an analog macro."""
    conversions, rest = analog(row)
    operations = float(row["ops_per_cycle"]) / float(row["n_arrays"])
    parts = (conversions / operations, 0.0, rest / operations, 0.0)
    return Expected(row=row["id"], chip=chip_of(row), reported=1e-12 / float(row["reported"]), parts=parts)


def digital(row: Row) -> Expected:
    """Joules a multiply-accumulate of SRAM with adder trees."""
    scaling = Scaling.of(at(float(row["node_nm"]) * 1e-9, float(row["vdd_V"]), row).numbers)
    energy = sram_multiply_accumulate(scaling, float(row["rows"]), (float(row["in_bits"]), float(row["w_bits"])))
    parts = (0.0, 0.0, float(np.squeeze(energy)), 0.0)
    return Expected(row=row["id"], chip=chip_of(row), reported=float(row["reported"]) * 1e-15, parts=parts)


def isaac_conversion(row: Row) -> Expected:
    """Joules a conversion of ISAAC."""
    energy, _ = MODELS["survey"](Converter(bits=8.0, rate=1.2e9, node=32e-9))
    parts = (float(energy), 0.0, 0.0, 0.0)
    return Expected(row=row["id"], chip=chip_of(row), reported=float(row["reported"]) * 1e-12, parts=parts)


def isaac_area(row: Row) -> Expected:
    """Square metres of ISAAC's chip: its converters are modelled, the rest is its table's."""
    _, area = MODELS["survey"](Converter(bits=8.0, rate=1.2e9, node=32e-9))
    converters = 16128.0
    rest = float(row["area_mm2"]) * 1e-6 - converters * 1200e-12
    parts = (0.0, converters * float(area), 0.0, rest)
    return Expected(row=row["id"], chip=chip_of(row), reported=float(row["area_mm2"]) * 1e-6, parts=parts)


def chip_of(row: Row) -> str:
    """The chip of a row."""
    return row["macro"].split()[0]


def expectation(row: Row) -> Expected | None:
    """What the model has to say of a row; None for rows of throughput, and of what it does not model."""
    kinds: dict[str, Callable[[Row], Expected]] = {
        "energy_eff": efficiency,
        "energy_per": digital,
        "adc_energy": isaac_conversion,
        "area_eff": isaac_area,
    }
    if row["quantity"].startswith("area_eff") and chip_of(row) != "ISAAC-CE":
        return None
    if row["quantity"].startswith("energy_eff") and chip_of(row) not in CYCLES:
        return None
    return next((make(row) for name, make in kinds.items() if row["quantity"].startswith(name)), None)


def fitted(rows: list[Expected]) -> Any:
    """The three logarithms of scales that fit these rows best; a weak pull to zero where nothing decides."""
    weight = {chip: 1 / np.sqrt(sum(row.chip == chip for row in rows)) for chip in {row.chip for row in rows}}

    def residuals(scales: Any) -> list[float]:
        return [*(weight[row.chip] * row.error(scales) for row in rows), *(1e-3 * scales)]

    return least_squares(residuals, np.zeros(3)).x


def quantiles(errors: list[float]) -> dict[str, float]:
    """Median and 90 % quantile of absolute errors."""
    found = np.abs(errors)
    return {"median": round(float(np.median(found)), 3), "q90": round(float(np.quantile(found, 0.9)), 3)}


def held_out(path: Path = TABLE) -> list[dict[str, Any]]:
    """A line for each chip, predicted by what the others say, and one for all."""
    with path.open(encoding="utf-8") as file:
        rows = [found for row in csv.DictReader(file) if (found := expectation(row)) is not None]
    lines: list[dict[str, Any]] = []
    errors: list[float] = []
    for chip in dict.fromkeys(row.chip for row in rows):
        scales = fitted([row for row in rows if row.chip != chip])
        mine = [row for row in rows if row.chip == chip]
        missed = [row.error(scales) for row in mine]
        errors += missed
        lines.append(
            {
                "chip": chip,
                "rows": len(mine),
                "scales": dict(zip(SCALES, np.exp(scales).round(3).tolist(), strict=True)),
                "held_out": quantiles(missed),
                "unfitted": quantiles([row.error(np.zeros(3)) for row in mine]),
                "predicted_over_reported": {
                    row.row: round(float(np.exp(error)), 3) for row, error in zip(mine, missed, strict=True)
                },
                "peers": PEERS[chip],
            }
        )
    return [*lines, {"chip": "all", "rows": len(rows), "held_out": quantiles(errors), "peers": ""}]


def printed(line: dict[str, Any]) -> str:
    """A line as a row of the table in docs/cost.md."""
    ratios = line.get("predicted_over_reported", {}).values()
    reach = f"{min(ratios):.2g} to {max(ratios):.2g}" if len(ratios) > 1 else f"{next(iter(ratios), np.nan):.2g}"
    errors = f"{line['held_out']['median']:.2f}, {line['held_out']['q90']:.2f}"
    return f"| {line['chip']} | {line['rows']} | {reach if ratios else ''} | {errors} | {line['peers']} |"


def main() -> None:
    """Leave each chip out in turn."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("table", nargs="?", type=Path, default=TABLE)
    options.add_argument("--rows", action="store_true", help="print the rows of the table in docs/cost.md instead")
    asked = options.parse_args()
    lines = held_out(asked.table)
    if asked.rows:
        print("\n".join(map(printed, lines)))
    else:
        report(lines)


if __name__ == "__main__":
    main()
