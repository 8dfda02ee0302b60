"""What the plots of the page show, as JSON: statistics of each point, never the results of single chips."""

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import reference_of, swept
from cimstudy.analysis.plots.labels import long_name, unit
from cimstudy.analysis.report.sample import Sample
from cimstudy.analysis.selection import is_category, levels, written

DIGITS = 5
STATISTICS = {"mean": "mean", "low": "ci_low", "high": "ci_high", "worst": "worst"}  # name on the page -> in the table


def payload(value: Any) -> str:
    """A value as JSON that can stand inside a script element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


def statistics(shown: Sample) -> dict[str, Any]:
    """The statistics of metrics with the same axes: for each row its place on each axis, and each metric's numbers."""
    first = shown.rows[shown.names[0]]
    return {
        "axes": {name: axis(shown.ds, name, first[name]) for name in (*swept(shown.ds), *shown.own_dims)},
        "n": numbers(first["n"]),
        "metrics": {name: metric(shown.ds, name, shown.rows[name]) for name in shown.names},
        "note": shown.note,
    }


def axis(ds: xr.Dataset, name: str, column: "pd.Series[Any]") -> dict[str, Any]:
    """An axis: what it is called, its values, and which of them each row has."""
    found = levels(column)
    codes = pd.Categorical(column, categories=found).codes
    values = [written(value) for value in found] if is_category(column) else numbers(found)
    return {"name": long_name(ds, name), "units": units(ds, name), "values": values, "codes": codes.tolist()}


def metric(ds: xr.Dataset, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """A metric: what it is called, and its statistics at each row."""
    attrs = ds[name].attrs
    found = {short: numbers(rows[column]) for short, column in STATISTICS.items()}
    known = {"better": attrs.get("better"), "reference": reference_of(attrs)}
    return {"name": long_name(ds, name), "units": units(ds, name)} | known | found


def units(ds: xr.Dataset, name: str) -> str:
    """The unit that is printed; none for plain numbers."""
    found = unit(ds, name)
    return "" if found == "1" else found


def numbers(values: Any) -> list[float | None]:
    """Numbers with few digits; None where there is none."""
    return [number(value) for value in np.asarray(values, float).tolist()]


def number(value: float) -> float | None:
    """A number with few digits; None where JSON has none."""
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
