"""What a page shows of a study: statistics of all points, or of some evenly chosen if a page cannot hold all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import case_status, metrics, own_dims
from cimstudy.analysis.plots.labels import CONFIDENCE
from cimstudy.analysis.statistics import table

MOST_ROWS = 2000  # of statistics for each metric


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The metrics of a study that have the same axes, at the points that are shown."""

    ds: xr.Dataset  # in memory
    rows: Mapping[str, pd.DataFrame]  # the statistics of each metric
    note: str  # what is left out

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics."""
        return metrics(self.ds)

    @property
    def own_dims(self) -> tuple[str, ...]:
        """The axes of their own that these metrics have."""
        return own_dims(self.ds, self.names[0])


def samples(ds: xr.Dataset) -> list[Sample]:
    """What is shown of a study; metrics with one number a chip come first."""
    names = sorted(metrics(ds), key=lambda name: (len(own_dims(ds, name)), own_dims(ds, name)))
    return [sample(ds, list(group)) for _, group in groupby(names, key=lambda name: own_dims(ds, name))]


def sample(ds: xr.Dataset, names: list[str]) -> Sample:
    """What is shown of metrics that have the same axes."""
    kept = thinned(ds[[*names, "status"]], MOST_ROWS).compute()
    return Sample(ds=kept, rows={name: table(kept, name, CONFIDENCE) for name in names}, note=left_out(ds, kept))


def thinned(ds: xr.Dataset, most: int) -> xr.Dataset:
    """The dataset with at most `most` numbers for each chip and metric: the longest axes keep every so many values.

    First and last value of an axis stay, so its range does.
    """
    sizes = {dim: size for dim, size in ds.sizes.items() if dim != "trial"}
    while math.prod(sizes.values()) > most:
        longest = max(sizes, key=lambda dim: sizes[dim])
        sizes[longest] = sizes[longest] // 2 + 1
    return ds.isel({dim: spread(ds.sizes[dim], kept) for dim, kept in sizes.items() if kept < ds.sizes[dim]})


def spread(size: int, kept: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Places of `kept` of `size` values, the ends among them."""
    return np.linspace(0, size - 1, kept).round().astype(np.intp)


def points(ds: xr.Dataset) -> int:
    """How many points a dataset has."""
    status = case_status(ds)
    return math.prod(size for dim, size in status.sizes.items() if dim != "trial")


def left_out(ds: xr.Dataset, shown: xr.Dataset) -> str:
    """What to say of points, and of values along metrics' own axes, that are not shown; nothing if all are."""
    notes = [] if points(ds) == points(shown) else [f"{points(shown)} of {points(ds)} points"]
    own = [dim for dim in shown.sizes if dim not in case_status(shown).dims]
    notes += [f"{shown.sizes[dim]} of {ds.sizes[dim]} along {dim}" for dim in own if shown.sizes[dim] < ds.sizes[dim]]
    return f"Shown are {' and '.join(notes)}, evenly chosen; cimstudy show lists all." if notes else ""
