"""Pareto fronts: the points that no other beats in every metric, and how sure the chips are of it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from cimstudy.analysis import chips
from cimstudy.analysis.dataset import (
    at_places,
    cases,
    check_plain,
    counts,
    described,
    one_chunk,
    over_chips,
    result,
    validity,
)
from cimstudy.analysis.tidy import plain_metrics
from cimstudy.errors import InputError

DIRECTIONS = {"lower": 1.0, "higher": -1.0}  # which is better: the sign that makes a cost of it
MOST_RIVALS = 64  # points of the front against which all points are held first
TOGETHER = 2**23  # numbers that are worked on at once
HUGE = 1e300  # stands in for infinite results, which weighted sums cannot hold

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What some points' chips cost: the less, the better.

    values : (points, metrics, trials).  done : (points, trials).
    """

    values: Floats
    done: NDArray[np.bool_]

    def __getitem__(self, rows: Any) -> "Costs":
        return Costs(values=self.values[rows], done=self.done[rows])

    def __len__(self) -> int:
        return len(self.values)

    def means(self, weights: Floats) -> Floats:
        """Means over chips in resamples, NaN where none of its chips was drawn. weights : (resamples, trials).

        Returns (points, metrics, resamples). Sums are taken about one of the chips, so what is equal on all chips has
        exactly that mean in all resamples.
        """
        done = self.done[:, None, :]
        values = np.clip(self.values, -HUGE, HUGE)
        one = np.where(done, values, -HUGE).max(-1, keepdims=True)
        drawn = self.done @ weights.T
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found: Floats = one + (np.where(done, values - one, 0.0) @ weights.T) / drawn[:, None, :]
        return found


def pareto(
    ds: xr.Dataset, metrics: Sequence[str] | Mapping[str, str | None], *, resamples: int = 1000, seed: int = 0
) -> xr.Dataset:
    """Which points no other beats in every metric, and how probable that is given the chips.

    metrics : two or more; `{name: "lower" or "higher"}` says which is better, a name alone leaves it to the workload.
    A point is on the front if no other is at least as good in all mean metrics and better in one. Its probability is
    the share of paired bootstrap resamples of the chips, the same chips at every point, in which it is there (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993); NaN without results. Chips of which the dataset says that a
    metric is not valid do not count.
    Variables: the mean of each metric; front; probability; n and missing. The same seed gives the same resamples.
    Reads a lazy `ds` block by block; what is returned is in memory.

    Raises InputError for unknown metrics or directions, or for metrics with axes of their own.
    """
    named = directed(ds, metrics)
    pairs = [cases(ds, name) for name in named]
    done = pairs[0][1]
    for flag in validity(ds, named):
        done &= one_chunk(ds[flag]) == 1
    costs = [
        values.transpose(*done.dims) * DIRECTIONS[better]
        for (values, _), better in zip(pairs, named.values(), strict=True)
    ]
    means = xr.Dataset(over_chips(means_of, list(named), done, *costs) | counts(ds, done)).compute()
    flat = np.stack([means[name].to_numpy().ravel() for name in named], axis=-1)
    front = nondominated(flat)
    probability = probabilities(done, costs, front, resampled(done.sizes["trial"], resamples, seed))
    probability[np.isnan(flat).any(-1)] = np.nan
    found = {
        name: described(means[name] * DIRECTIONS[better], {"long_name": name} | ds[name].attrs, "mean of {}")
        for name, better in named.items()
    }
    like = means["n"]
    found["front"] = like.copy(data=front.reshape(like.shape)).assign_attrs(long_name="on the Pareto front")
    found["probability"] = like.copy(data=probability.reshape(like.shape)).assign_attrs(
        long_name="probability of being on the Pareto front"
    )
    return xr.Dataset(found | {name: means[name] for name in ("n", "missing")}, attrs={"metrics": list(named)})


def directed(ds: xr.Dataset, metrics: Sequence[str] | Mapping[str, str | None]) -> dict[str, str]:
    """Name -> "lower" or "higher". Raises InputError unless there are two or more such metrics."""
    listed = [metrics] if isinstance(metrics, str) else metrics
    given = dict(listed) if isinstance(listed, Mapping) else dict.fromkeys(listed)
    if len(given) < 2:
        raise InputError(f"a front needs two metrics or more, got {', '.join(given) or 'none'}")
    for name in given:
        check_plain(ds, name)
    return {name: direction(ds, name, better) for name, better in given.items()}


def rivals(ds: xr.Dataset, metric: str) -> list[str]:
    """The other metrics of one number a chip of which it is known which side is better; those in other units first."""
    known = [name for name in plain_metrics(ds) if ds[name].attrs.get("better") in DIRECTIONS and name != metric]
    return sorted(known, key=lambda name: ds[name].attrs.get("units") == ds[metric].attrs.get("units"))


def direction(ds: xr.Dataset, metric: str, better: str | None = None) -> str:
    """Which side of a metric is better: the one given, or the workload's. Raises InputError where neither says so."""
    found = better or result(ds, metric).attrs.get("better")
    if found not in DIRECTIONS:
        given = "not known" if found is None else repr(found)
        raise InputError(f'which {metric} is better is {given}; allowed: {{{metric!r}: "lower"}} or "higher"')
    return str(found)


def nondominated(costs: Floats) -> NDArray[np.bool_]:
    """Which rows no other row beats: none is as low in all columns and lower in one. Rows with NaN are beaten.

    costs : (points, metrics), two metrics or more (Kung, Luccio and Preparata, Journal of the ACM 22, 469, 1975).
    """
    front = np.zeros(len(costs), bool)
    known = np.flatnonzero(~np.isnan(costs).any(-1))
    if known.size:
        front[known] = (front_of_two if costs.shape[1] == 2 else front_of_many)(costs[known])
    return front


def front_of_two(costs: Floats) -> NDArray[np.bool_]:
    """`nondominated` of two metrics: the lowest second cost of each first, where no lower first has as low a one."""
    order = np.lexsort((costs[:, 1], costs[:, 0]))
    first, second = costs[order].T
    fresh = np.append(True, first[1:] != first[:-1])
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))  # of the rows with this first cost
    lowest_before = np.minimum.accumulate(second)[start - 1]
    front = np.zeros(len(order), bool)
    front[order] = (second == second[start]) & ((start == 0) | (second < lowest_before))
    return front


def front_of_many(costs: Floats) -> NDArray[np.bool_]:
    """`nondominated` of any metrics: rows in the order of the sum of their ranks, which none after them beats."""
    front = np.zeros(len(costs), bool)
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in costs.T], axis=-1)
    left = np.argsort(ranks.sum(-1), kind="stable")
    ranks = ranks[left]
    while left.size:
        front[left[(ranks == ranks[0]).all(-1)]] = True
        kept = ~(ranks >= ranks[0]).all(-1)
        left, ranks = left[kept], ranks[kept]
    return front


def means_of(done: NDArray[np.bool_], *costs: Floats) -> Floats:
    """Means over the chips that are done, one for each array of costs. done, costs : (..., trials)."""
    columns = []
    for values in costs:
        median = chips.interpolated(chips.ranked(values, done), done.sum(-1), 0.5)
        columns.append(chips.moments(values, done, median)[0])
    return np.stack(columns, axis=-1)


def resampled(trials: int, resamples: int, seed: int) -> Floats:
    """How often each chip is drawn in each resample: (resamples, trials). Raises InputError for less than one."""
    if resamples < 1:
        raise InputError(f"resamples = {resamples}; allowed: 1 or more")
    return np.random.default_rng(seed).multinomial(trials, np.full(trials, 1 / trials), resamples).astype(float)


def probabilities(
    done: xr.DataArray, costs: Sequence[xr.DataArray], front: NDArray[np.bool_], weights: Floats
) -> Floats:
    """The share of resamples in which each point is on the front. Returns (points,).

    Most points are beaten by one of the front in all resamples: they are found block by block, and left out without
    changing any front, for what they beat is beaten by their rival, too.
    """
    chosen = np.flatnonzero(front)
    places = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), MOST_RIVALS)).astype(int)]
    rivals = gathered(done, costs, places)
    hopeless = over_chips(hopeless_of, ["hopeless"], done, *costs, rivals=rivals, weights=weights)["hopeless"]
    left = np.flatnonzero(hopeless.to_numpy().ravel() == 0)
    found = np.zeros(front.size)
    found[left] = shares_on_front(gathered(done, costs, left), weights)
    return found


def gathered(done: xr.DataArray, costs: Sequence[xr.DataArray], places: NDArray[np.intp]) -> Costs:
    """The costs of some points, by their places."""
    values = np.stack([at_places(cost, places) for cost in costs], axis=1)
    return Costs(values=values, done=at_places(done, places))


def hopeless_of(done: NDArray[np.bool_], *costs: Floats, rivals: Costs, weights: Floats) -> Floats:
    """Which points one of the rivals beats in every resample. done, costs : (..., trials).  Returns (..., 1)."""
    trials = done.shape[-1]
    values = np.stack([np.broadcast_to(cost, done.shape).reshape(-1, trials) for cost in costs], axis=1)
    points = Costs(values=values, done=done.reshape(-1, trials))
    step = max(1, TOGETHER // (len(costs) * max(trials, len(rivals), 1)))
    parts = [always_beaten(points[start : start + step], rivals, weights) for start in range(0, len(points), step)]
    return np.concatenate(parts).astype(float).reshape(*done.shape[:-1], 1)


def always_beaten(points: Costs, rivals: Costs, weights: Floats) -> NDArray[np.bool_]:
    """Which points the rival that looks strongest beats in every resample: at once if it does so on every chip."""
    if not len(rivals):
        return np.zeros(len(points), bool)
    against = rivals[strongest(points, rivals)]
    together = points.done.all(-1) & against.done.all(-1)
    found = together & beaten(points.values, against.values)
    rest = np.flatnonzero(~found)
    step = max(1, TOGETHER // (points.values.shape[1] * len(weights)))
    for start in range(0, rest.size, step):
        rows = rest[start : start + step]
        found[rows] = beaten(points[rows].means(weights), against[rows].means(weights))
    return found


def strongest(points: Costs, rivals: Costs) -> NDArray[np.intp]:
    """For each point, the rival that is better by most standard deviations in the metric where it is so by least."""
    every = np.ones((1, points.done.shape[-1]))
    mine, theirs = points.means(every)[..., 0], rivals.means(every)[..., 0]
    away = np.where(rivals.done[:, None, :], (rivals.values - theirs[..., None]) ** 2, np.nan)
    spread = np.nanmean(away, axis=(0, 2))
    lead = mine[:, None, :] - theirs  # (points, rivals, metrics)
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = np.where(lead >= 0, np.inf, -np.inf)  # of what does not vary from chip to chip
        scaled = np.where(spread > 0, lead / np.sqrt(spread), sure)
    found: NDArray[np.intp] = np.nan_to_num(scaled.min(-1), nan=-np.inf).argmax(-1)
    return found


def beaten(mine: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Whether theirs are as low everywhere, and lower throughout one metric. (points, metrics, draws) -> (points,)."""
    lead = mine - theirs
    throughout = np.count_nonzero(lead > 0, axis=2) == lead.shape[2]
    found: NDArray[np.bool_] = np.all(lead >= 0, axis=(1, 2)) & np.any(throughout, axis=1)
    return found


def shares_on_front(points: Costs, weights: Floats) -> Floats:
    """The share of resamples in which each point is on the front of these. Returns (points,)."""
    step = max(1, TOGETHER // max(points.values.size, 1))

    def times(start: int) -> Floats:
        means = points.means(weights[start : start + step])
        fronts = [nondominated(means[..., number]) for number in range(means.shape[-1])]
        return np.asarray(np.sum(fronts, axis=0), float)

    with ThreadPoolExecutor(CPU_COUNT) as pool:
        parts = list(pool.map(times, range(0, len(weights), step)))
    found: Floats = np.sum(parts, axis=0) / len(weights)
    return found
