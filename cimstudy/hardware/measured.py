"""Measurements of one's own chips, from CSV files whose first line names the columns, in any order.

| what | columns |
| --- | --- |
| cells | `level`, `mean`, `sigma` in S, optionally `time` in s since programming; all times have the same levels |
| noise of an output converter | `code`, `sigma` in codes |
| transitions of an output converter | `code`, `level`: the fraction of its range at which it begins to give the code |

`sigma` of cells is the spread among them, device-to-device; that of a converter is fresh at every conversion.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cimstudy.errors import InputError


@dataclass(frozen=True, order=True)
class Row:
    """Statistics of the cells that were meant to hold one level, at one time. SI units."""

    time: float
    level: float
    mean: float
    sigma: float


def read_statistics(path: str) -> dict[str, Any]:
    """The fields of a Device of which a CSV file holds the statistics; its lowest and highest level are its range.

    The first time is that of the programming error, later ones are tabulated drift. Raises InputError naming the
    file and the line.
    """
    rows = sorted(Row(**{"time": 0.0} | row) for row in read_columns(path, ("level", "mean", "sigma"), ("time",)))
    tables = [list(same) for _, same in groupby(rows, key=lambda row: row.time)]
    check_tables(path, tables)
    g_min, g_max = tables[0][0].level, tables[0][-1].level
    first, later = tables[0], [table for table in tables if table[0].time > 0]
    fields: dict[str, Any] = {
        "technology": "measured",
        "g_min": g_min,
        "g_max": g_max,
        "programming": {"kind": "curve_of_target", "sigma": sigma_of(first, g_max), "shift": shift_of(first, g_max)},
    }
    if len(tables) > 1:
        fields["drift"] = {
            "kind": "tabulated",
            "times": tuple(table[0].time for table in later),
            "sigma": tuple(sigma_of(table, g_max) for table in later),
            "shift": tuple(shift_of(table, g_max) for table in later),
        }
    return fields


def read_output_noise(path: str) -> dict[str, Any]:
    """The fields of an OutputNoise. Raises InputError naming the file and the line."""
    rows = sorted(read_columns(path, ("code", "sigma")), key=lambda row: row["code"])
    return {name + "s": tuple(row[name] for row in rows) for name in ("code", "sigma")}


def read_transitions(path: str) -> dict[str, Any]:
    """The fields of Transitions. Raises InputError naming the file and the line."""
    rows = sorted(read_columns(path, ("code", "level")), key=lambda row: row["code"])
    if not rows:
        raise InputError(f"{path}: no transitions; allowed: one for each code but the lowest")
    first = rows[0]["code"]
    for place, row in enumerate(rows):
        if row["code"] != first + place:
            raise InputError(f"{path}: the codes are not whole numbers in a row: {row['code']:g} at place {place + 1}")
    return {"first_code": int(first), "levels": tuple(row["level"] for row in rows)}


def read_columns(path: str, required: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, float]]:
    """The rows of a file, as finite numbers by column; only `mean`, `code` and `level` may be below 0."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            known = {*required, *optional}
            if not set(required) <= set(header) <= known or len(set(header)) < len(header):
                extra = f", and perhaps {', '.join(optional)}" if optional else ""
                raise InputError(
                    f"{path}: columns are {', '.join(header) or 'none'}; allowed: {', '.join(required)}{extra}"
                )
            return [numbers(f"{path}, line {reader.line_num}", values) for values in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def numbers(place: str, values: dict[str, str]) -> dict[str, float]:
    """One row as numbers."""
    try:
        row = {name: float(text) for name, text in values.items()}
    except (TypeError, ValueError):
        raise InputError(f"{place}: {', '.join(map(str, values.values()))}; allowed: a number a column") from None
    if not all(map(math.isfinite, row.values())) or min(row.get("sigma", 0.0), row.get("time", 0.0)) < 0:
        raise InputError(f"{place}: {', '.join(values.values())}; allowed: finite, sigma and time not below 0")
    return row


def check_tables(path: str, tables: Sequence[Sequence[Row]]) -> None:
    """Raise InputError unless each time has the same two or more levels, none below 0 and each once."""
    levels = [[row.level for row in table] for table in tables]
    if not levels or len(levels[0]) < 2:
        raise InputError(f"{path}: {len(levels[0]) if levels else 0} levels; allowed: two or more")
    for table, found in zip(tables, levels, strict=True):
        if found != levels[0]:
            raise InputError(f"{path}: the levels at time {table[0].time:g} s are not those at {tables[0][0].time:g} s")
        if len(set(found)) < len(found) or found[0] < 0:
            raise InputError(f"{path}: a level is below 0 or given twice at time {table[0].time:g} s")


def sigma_of(table: Sequence[Row], g_max: float) -> dict[str, Any]:
    """The spread as a curve of the level."""
    return curve(table, [row.sigma / g_max for row in table], g_max)


def shift_of(table: Sequence[Row], g_max: float) -> dict[str, Any]:
    """The mean error as a curve of the level."""
    return curve(table, [(row.mean - row.level) / g_max for row in table], g_max)


def curve(table: Sequence[Row], values: Sequence[float], g_max: float) -> dict[str, Any]:
    """Values at the levels, with straight lines between them."""
    return {"kind": "table", "r": tuple(row.level / g_max for row in table), "values": tuple(values)}
