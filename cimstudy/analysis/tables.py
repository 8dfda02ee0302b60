"""A result as text and as plain values: what the command line prints of each point."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from cimstudy.analysis.dataset import own_dims, reference_of, swept
from cimstudy.analysis.selection import written
from cimstudy.analysis.statistics import table

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


def text_table(ds: xr.Dataset, metric: str, most: int | None = None) -> TextTable:
    """A row for each point, at most `most`: the axes, the mean, its interval, the worst chip, the chips counted."""
    found, attrs = table(ds, metric, CONFIDENCE), ds[metric].attrs
    names = [*swept(ds), *own_dims(ds, metric)]
    power = thousands(found["mean"].abs().max())
    shown = found.iloc[:most].to_dict("records")
    rows = [[*(written(row[name]) for name in names), *numbers(row, 10.0**power)] for row in shown]
    reference, hidden = reference_of(attrs), len(found) - len(rows)
    notes = [] if reference is None else [f"digital: {number(reference / 10.0**power)}"]
    notes += [f"and {hidden} more points"] if hidden else []
    return TextTable(
        title=f"{attrs.get('long_name', metric)}{in_units(str(attrs.get('units', '1')), power)}",
        header=[*names, "mean", f"{100 * CONFIDENCE:g} % interval", "worst chip", "chips"],
        rows=rows,
        caption="; ".join(notes),
    )


def document(ds: xr.Dataset, metric: str) -> dict[str, Any]:
    """Every statistic at every point as plain values; None where a number is not finite, which JSON cannot say."""
    rows = table(ds, metric, CONFIDENCE).to_dict("records")
    attrs = {name: ds[metric].attrs.get(name) for name in ("units", "long_name", "better", "reference")}
    points = [{str(name): finite(value) for name, value in row.items()} for row in rows]
    return {"study": ds.attrs.get("name"), "metric": metric, **attrs, "confidence": CONFIDENCE, "points": points}


def numbers(row: Mapping[Any, Any], one: float) -> list[str]:
    """The statistics of a point as they are printed, in multiples of `one`."""
    mean, low, high, worst = (number(row[name] / one) for name in ("mean", "ci_low", "ci_high", "worst"))
    chips = f"{row['n']}" if row["missing"] == 0 else f"{row['n']} of {row['n'] + row['missing']}"
    return [mean, "-" if low == "-" else f"{low} to {high}", worst, chips]


def thousands(largest: float) -> int:
    """The power of ten, a multiple of 3, in which numbers up to this one are printed: 0 for those of everyday size."""
    if not math.isfinite(largest) or largest == 0 or 1e-2 <= largest < 1e5:
        return 0
    return 3 * math.floor(math.log10(largest) / 3)


def in_units(unit: str, power: int) -> str:
    """`(1e-6 J)`, and nothing for plain numbers."""
    parts = ([f"1e{power}"] if power else []) + ([] if unit in {"1", ""} else [unit])
    return f" ({' '.join(parts)})" if parts else ""


def number(value: float) -> str:
    """Five digits, so that columns line up; a dash for no number."""
    return "-" if math.isnan(value) else f"{value:#.5g}".rstrip(".")


def finite(value: Any) -> Any:
    """The value, or None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
