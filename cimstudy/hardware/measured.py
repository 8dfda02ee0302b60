"""Measured statistics of cells as a device: a CSV file of what cells hold that were meant to hold some levels.

The columns are `level`, `mean` and `sigma` in siemens, in any order, and optionally `time`, seconds since programming.
`sigma` is the spread among cells: device-to-device variation. All times have the same levels.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cimstudy.errors import InputError

REQUIRED = ("level", "mean", "sigma")
ALLOWED = (*REQUIRED, "time")


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
    rows = sorted(read_rows(path))
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


def read_rows(path: str) -> list[Row]:
    """The rows of the file, each checked by itself."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            if not set(REQUIRED) <= set(header) <= set(ALLOWED) or len(set(header)) < len(header):
                raise InputError(
                    f"{path}: columns are {', '.join(header) or 'none'}; allowed: level, mean, sigma, each in S, "
                    "and time in s"
                )
            return [checked(path, reader.line_num, values) for values in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def checked(path: str, line: int, values: dict[str, str]) -> Row:
    """One row as numbers."""
    try:
        row = Row(**{name: float(values.get(name) or ("0" if name == "time" else "")) for name in ALLOWED})
    except (TypeError, ValueError):
        raise InputError(f"{path}, line {line}: {', '.join(map(str, values.values()))}; allowed: numbers") from None
    if (
        not all(map(math.isfinite, (row.level, row.mean, row.sigma, row.time)))
        or min(row.level, row.sigma, row.time) < 0
    ):
        raise InputError(f"{path}, line {line}: level, sigma and time must be finite and not below 0, mean finite")
    return row


def check_tables(path: str, tables: Sequence[Sequence[Row]]) -> None:
    """Raise InputError unless each time has the same two or more levels, each once."""
    levels = [[row.level for row in table] for table in tables]
    if not levels or len(levels[0]) < 2:
        raise InputError(f"{path}: {len(levels[0]) if levels else 0} levels; allowed: two or more")
    for table, found in zip(tables, levels, strict=True):
        if found != levels[0]:
            raise InputError(f"{path}: the levels at time {table[0].time:g} s are not those at {tables[0][0].time:g} s")
        if len(set(found)) < len(found):
            raise InputError(f"{path}: a level is given twice at time {table[0].time:g} s")


def sigma_of(table: Sequence[Row], g_max: float) -> dict[str, Any]:
    """The spread as a curve of the level."""
    return curve(table, [row.sigma / g_max for row in table], g_max)


def shift_of(table: Sequence[Row], g_max: float) -> dict[str, Any]:
    """The mean error as a curve of the level."""
    return curve(table, [(row.mean - row.level) / g_max for row in table], g_max)


def curve(table: Sequence[Row], values: Sequence[float], g_max: float) -> dict[str, Any]:
    """Values at the levels, with straight lines between them."""
    return {"kind": "table", "r": tuple(row.level / g_max for row in table), "values": tuple(values)}
