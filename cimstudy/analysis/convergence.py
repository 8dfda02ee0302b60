"""How far a study that is running has come: how wide its intervals are now."""

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis.dataset import cases, first_metric
from cimstudy.analysis.intervals import of_mean
from cimstudy.study.stopping import Trials, means, squares
from cimstudy.study.verdict import bounds_of, trials_of


@dataclass(frozen=True, kw_only=True)
class HalfWidths:
    """The half-widths of a metric's intervals, over the points that have one."""

    points: int
    low: float
    high: float
    narrow: int  # points whose intervals are as narrow as asked for
    wanted: float | None  # what the study asks for; None: nothing, or a share of the mean


def half_widths(ds: xr.Dataset) -> dict[str, HalfWidths]:
    """The half-widths now, of the metrics that the study's stopping rule watches, or else of its first.

    They are those of the rule, or else of Student's interval at 95 %.
    """
    rule = trials_of(json.loads(ds.attrs["study"]))
    names = rule.targets if isinstance(rule, Trials) else (first_metric(ds),)
    return {name: half_widths_of(ds, name, rule) for name in names}


def half_widths_of(ds: xr.Dataset, name: str, rule: int | Trials) -> HalfWidths:
    """The half-widths of one metric."""
    values, done = (array.transpose(..., "trial") for array in xr.broadcast(*cases(ds, name)))
    found, wanted = widths(values.to_numpy(), done.to_numpy(), rule, values), None
    if isinstance(rule, Trials):
        wanted = rule.half_width.get(name)
    known = found[np.isfinite(found)]
    return HalfWidths(
        points=known.size,
        low=float(known.min(initial=np.inf)),
        high=float(known.max(initial=0.0)),
        narrow=0 if wanted is None else int(np.count_nonzero(known <= wanted)),
        wanted=wanted,
    )


def widths(
    values: NDArray[np.float64], done: NDArray[np.bool_], rule: int | Trials, metric: xr.DataArray
) -> NDArray[np.float64]:
    """The half-width at each point. values, done: (..., trials)."""
    if isinstance(rule, Trials):
        return rule.rule(bounds_of(rule, str(metric.name), metric.attrs))(values, done)
    n = done.sum(-1)
    std = np.sqrt(squares(values, done) / np.maximum(n - 1, 1))
    low, high = of_mean(means(values, done), std, n, 0.95)
    return np.asarray((high - low) / 2)
