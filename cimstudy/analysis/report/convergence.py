"""Whether the chips have been enough: how the interval of a mean shrinks with their number."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import at_points, swept
from cimstudy.analysis.plots.labels import CONFIDENCE, long_name
from cimstudy.analysis.report.data import numbers, units
from cimstudy.analysis.report.sample import Sample
from cimstudy.analysis.selection import written
from cimstudy.analysis.statistics import summary
from cimstudy.analysis.tables import in_units
from cimstudy.analysis.tables import number as printed

MOST_STEPS = 16  # numbers of chips at which a running mean is drawn
ACCURACY = 0.01  # of the mean: the table says how many chips it takes
HEADER = ("metric", "least certain at", "chips", "mean", "± there", "± in the middle", "chips for ± 1 % there")


def convergence(shown: Sample) -> dict[str, Any]:
    """For each metric with one number a chip: the running mean and its interval, at two typical points."""
    found, ds = {}, shown.ds
    for name, rows in shown.rows.items():
        places = typical(rows)
        if places:
            found[name] = {"name": long_name(ds, name), "units": units(ds, name), "points": running(ds, name, places)}
    return found


def typical(rows: pd.DataFrame) -> list[int]:
    """The rows with the widest and with the middle interval; none where no row has one."""
    half = ((rows["ci_high"] - rows["ci_low"]) / 2).dropna().sort_values(kind="stable")
    return [int(half.index[-1]), int(half.index[(len(half) - 1) // 2])] if len(half) else []


def running(ds: xr.Dataset, name: str, places: list[int]) -> list[dict[str, Any]]:
    """The mean of the first chips of some points, and its interval, for growing numbers of chips."""
    picked = at_points(ds[[name, "status"]], np.array(places), ds["status"])
    steps = np.unique(np.geomspace(2, max(2, ds.sizes["trial"]), MOST_STEPS).round().astype(int))
    found = [summary(picked.isel(trial=slice(step)), name, CONFIDENCE) for step in steps.tolist()]
    columns = {
        short: np.stack([each[long].to_numpy() for each in found])
        for short, long in {"n": "n", "mean": "mean", "low": "ci_low", "high": "ci_high"}.items()
    }
    return [
        {"name": title} | {short: numbers(column[:, i]) for short, column in columns.items()}
        for i, title in enumerate(titles(ds, picked))
    ]


def titles(ds: xr.Dataset, picked: xr.Dataset) -> Iterator[str]:
    """What each of these points is."""
    for row, kind in zip(
        range(picked.sizes["place"]), ("the least certain point", "the point in the middle"), strict=True
    ):
        values = {name: picked[name][row].item() for name in swept(ds)}
        where = ", ".join(f"{long_name(ds, name)} = {written(value)}" for name, value in values.items())
        yield f"{kind}: {where}" if where else kind


def rows_of(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """The table of it: a row for each metric."""
    for each in found.values():
        (n, mean, half), (_, _, middle) = (last(point) for point in each["points"])
        place = each["points"][0]["name"].partition(": ")[2] or "-"
        needed = "-" if mean == 0 else f"{max(2, np.ceil(n * (half / (ACCURACY * abs(mean))) ** 2)):.0f}"
        yield [
            each["name"] + in_units(each["units"] or "1", 0),
            place,
            f"{n:.0f}",
            *map(printed, (mean, half, middle)),
            needed,
        ]


def last(point: dict[str, Any]) -> tuple[float, float, float]:
    """The number of all chips of a point, their mean, and half of its interval."""
    n, mean, low, high = (point[name][-1] for name in ("n", "mean", "low", "high"))
    return n, mean, (high - low) / 2
