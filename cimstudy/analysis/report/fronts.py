"""Trade-offs: which points no other beats in two metrics or more, and how sure the chips are of it."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from cimstudy.analysis.dataset import at_points, swept
from cimstudy.analysis.pareto import DIRECTIONS, pareto
from cimstudy.analysis.plots.labels import label, long_name
from cimstudy.analysis.report.data import number
from cimstudy.analysis.report.markup import Markup, element, paragraph, section, table
from cimstudy.analysis.report.sample import Sample, points
from cimstudy.analysis.selection import is_category, written
from cimstudy.analysis.tables import number as printed

MOST_METRICS = 6  # whose pairs can be picked
MOST_TOGETHER = 3  # of the table
MOST_ROWS = 40  # of the table
RESAMPLES = 400
POSSIBLE = 0.05  # probability from which a point that is not on the front is worth a row


def traded(shown: Sample) -> list[str]:
    """The metrics of which it is known which side is better; none where there is nothing to trade."""
    found = [name for name in shown.names if shown.ds[name].attrs.get("better") in DIRECTIONS][:MOST_METRICS]
    return found if len(found) > 1 and points(shown.ds) > 1 else []


def fronts(shown: Sample) -> dict[str, list[tuple[int, float | None]]]:
    """For each pair of metrics: the rows on the front of the points shown, with their probability of being there."""
    return {f"{one}|{other}": front(shown.ds, [one, other]) for one, other in combinations(traded(shown), 2)}


def front(ds: xr.Dataset, names: Sequence[str]) -> list[tuple[int, float | None]]:
    """The places of the points on the front, with their probability of being there."""
    found = pareto(ds, names, resamples=RESAMPLES)
    probability = found["probability"].to_numpy().ravel()
    return [(int(place), number(probability[place])) for place in np.flatnonzero(found["front"].to_numpy().ravel())]


def trade_offs(ds: xr.Dataset, shown: Sample, plot: Markup) -> Markup | None:
    """The plot of one metric against another, and the table of the front; nothing where there is nothing to trade."""
    names = together(shown)
    if not names:
        return None
    found = pareto(ds if shown.note else shown.ds, names, resamples=RESAMPLES)
    chance = found["probability"].to_numpy().ravel()
    rows = np.flatnonzero(found["front"].to_numpy().ravel() | (chance >= POSSIBLE))
    rows = rows[np.argsort(-chance[rows], kind="stable")]
    title = " and ".join(f"{ds[name].attrs['better']} {long_name(ds, name)}" for name in names)
    more = f" {len(rows) - MOST_ROWS} more have less." if len(rows) > MOST_ROWS else ""
    text = f"Points that no other beats in {title}, or that have at least {100 * POSSIBLE:g} % probability of it.{more}"
    axes = swept(ds)
    header = [
        *(long_name(ds, axis) for axis in axes),
        *(label(ds, name) for name in names),
        "on the front",
        "probability",
    ]
    columns = {place for place, name in enumerate(axes) if not is_category(ds[name].to_series())}
    numeric = columns | set(range(len(axes), len(axes) + len(names))) | {len(header) - 1}
    return section(
        "Trade-offs",
        plot,
        element("h3", "Pareto front"),
        paragraph(text),
        table(header, front_rows(found, axes, names, rows[:MOST_ROWS]), numeric),
    )


def together(shown: Sample) -> list[str]:
    """The first metric and those in other units, which cost something else; else the first two."""
    names = traded(shown)
    others = [name for name in names if shown.ds[name].attrs.get("units") != shown.ds[names[0]].attrs.get("units")]
    return [*names[:1], *others][:MOST_TOGETHER] if others else names[:2]


def front_rows(found: xr.Dataset, axes: Sequence[str], names: Sequence[str], places: Any) -> Iterator[list[str]]:
    """The rows of the table: where the point is, its means, whether it is on the front and how probably."""
    picked = at_points(found, places, found["n"])
    for row in range(len(places)):
        where = [written(picked[name][row].item()) for name in axes]
        means = [printed(picked[name][row].item()) for name in names]
        on = "yes" if picked["front"][row].item() else "no"
        yield [*where, *means, on, f"{picked['probability'][row].item():.2f}"]
