"""Enough trials, no more: how many chips a point needs for an interval of a given half-width.

A rule looks at the chips 0 ... n-1 of a point, at n = min, 2 min, 4 min, ... max, and never at which of them finished
first: the decision depends on the data alone, so any runner at any time comes to the same one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import stdtrit

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.metric import Metric
from cimstudy.study import sequences
from cimstudy.study.plan import DONE, PENDING

FIRST_UNBOUNDED = 64  # chips: fewer may not show the tail of a metric that has no bounds
Bounds = tuple[float, float]
Values = NDArray[np.float64]
Rule = Callable[[Values, NDArray[np.bool_]], Values]  # values, which count (..., trials) -> half-width (...)


class Trials(Part):
    """As many chips at each point as the intervals of the means need, between `min` and `max`.

    half_width: what the interval's half-width should be, by metric, in the metric's unit; relative_half_width: the
    same as a share of the mean's magnitude. A point has enough chips when all of them hold; one that reaches `max`
    before is flagged `capped`.

    A metric with bounds (its own, or `bounds` here) gets Student's interval from a variance that includes two
    pseudo-observations, one at each bound: a mode too rare to have been seen then still counts. A metric without gets
    Student's interval, from 64 chips on; its coverage is asymptotic. `rigor="anytime"` takes an empirical-Bernstein
    confidence sequence instead, which holds at all looks together and needs bounds and several times the chips.
    """

    min: int = Field(default=32, ge=2, description="chips at the first look")
    max: int = Field(default=1024, ge=2, description="chips after which a point is given up, and flagged")
    half_width: Mapping[str, float] = Field(default={}, description="of the mean's interval, by metric")
    relative_half_width: Mapping[str, float] = Field(default={}, description="as a share of the mean, by metric")
    bounds: Mapping[str, Bounds] = Field(default={}, description="least and greatest value, by metric")
    confidence: float = Field(default=0.95, gt=0, lt=1)
    rigor: Literal["looks", "anytime"] = "looks"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.max < self.min:
            raise InputError(f"max = {self.max} with min = {self.min}; allowed: min or more")
        if not self.targets:
            raise InputError('half_width names no metric; allowed: one or more, such as {"accuracy": 0.01}')
        for name, width in [*self.half_width.items(), *self.relative_half_width.items()]:
            if not 0 < width < float("inf"):
                raise InputError(f"half_width of {name} = {width}; allowed: above 0")
        for name, (low, high) in self.bounds.items():
            if not -float("inf") < low < high < float("inf"):
                raise InputError(f"bounds of {name} = {low}, {high}; allowed: two numbers, the lower first")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """The metrics that decide."""
        return tuple(dict.fromkeys([*self.half_width, *self.relative_half_width]))

    def looks(self) -> Iterator[int]:
        """The numbers of chips at which to decide."""
        n = self.min
        while n < self.max:
            yield n
            n *= 2
        yield self.max

    def bounds_of(self, name: str, metrics: Mapping[str, Metric]) -> Bounds | None:
        """The bounds of a metric: those given here, or its own."""
        return self.bounds.get(name) or (metrics[name].bounds if name in metrics else None)

    def rule(self, bounds: Bounds | None) -> Rule:
        """The half-width of a metric with these bounds."""
        if bounds is None:
            return lambda values, counts: student(values, counts, self.confidence)
        interval = empirical_bernstein if self.rigor == "anytime" else padded
        return lambda values, counts: interval(values, counts, bounds, self.confidence)

    def check(self, names: Sequence[str], metrics: Mapping[str, Metric]) -> None:
        """Raise InputError if a study with these variables cannot be stopped so."""
        for name in (*self.targets, *self.bounds):
            if name not in names:
                raise InputError(f"trials: unknown metric {name!r}; this study has: {', '.join(names)}")
        for name in self.targets:
            if self.rigor == "anytime" and self.bounds_of(name, metrics) is None:
                raise InputError(
                    f'trials: rigor="anytime" needs bounds of {name}; give them, such as bounds={{"{name}": (0, 1)}}'
                )

    def limits(self, name: str) -> Iterator[tuple[float, float]]:
        """What the half-width of a metric may be: a share of the mean, and a value on top of it."""
        if name in self.half_width:
            yield 0.0, self.half_width[name]
        if name in self.relative_half_width:
            yield self.relative_half_width[name], 0.0

    def satisfied(
        self, values: Mapping[str, Values], done: NDArray[np.bool_], bounds: Mapping[str, Bounds | None]
    ) -> NDArray[np.bool_]:
        """Whether these chips are enough. values: (points, n, ...) by metric; done: (points, n)."""
        enough = np.ones(len(done), np.bool_)
        for name in self.targets:
            flat = np.moveaxis(values[name].reshape(*done.shape, -1), 2, 1)  # (points, elements, n)
            counts = np.broadcast_to(done[:, np.newaxis], flat.shape)
            width, mean = self.rule(bounds.get(name))(flat, counts), means(flat, counts)
            for share, fixed in self.limits(name):
                enough &= (width <= share * np.abs(mean) + fixed).all(-1)
        return enough


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How many chips points need, as far as their results tell, and which have got all there may be in vain."""

    needed: NDArray[np.intp]  # (points,)
    capped: NDArray[np.bool_]  # (points,)


def judge(
    rule: Trials, status: NDArray[np.int8], values: Mapping[str, Values], bounds: Mapping[str, Bounds | None]
) -> Verdict:
    """What points need. status: (points, n), n up to `max`; values: (points, n, ...) by metric.

    A look waits until all its cases are finished; those that failed are left out.
    """
    needed = np.zeros(len(status), np.intp)
    capped = np.zeros(len(status), np.bool_)
    open_rows = np.arange(len(status))
    for n in rule.looks():
        needed[open_rows] = n
        finished = n <= status.shape[1] and (status[open_rows, :n] != PENDING).all(-1)
        open_rows = open_rows[np.broadcast_to(finished, open_rows.shape)]
        if not open_rows.size:
            break
        prefix = {name: array[open_rows, :n] for name, array in values.items()}
        open_rows = open_rows[~rule.satisfied(prefix, status[open_rows, :n] == DONE, bounds)]
    else:
        capped[open_rows] = True
    return Verdict(needed=needed, capped=capped)


def most(trials: int | Trials) -> int:
    """The most chips that a point may get."""
    return trials if isinstance(trials, int) else trials.max


def least(trials: int | Trials) -> int:
    """The chips that every point gets."""
    return trials if isinstance(trials, int) else trials.min


def student(values: Values, counts: NDArray[np.bool_], confidence: float) -> Values:
    """Half-width of Student's interval of the mean; infinite below 64 values. values, counts: (..., n)."""
    n = counts.sum(-1)
    width = quantile(n, confidence) * np.sqrt(squares(values, counts) / np.maximum(n - 1, 1) / np.maximum(n, 1))
    return np.where(n >= FIRST_UNBOUNDED, width, np.inf)


def padded(values: Values, counts: NDArray[np.bool_], bounds: Bounds, confidence: float) -> Values:
    """Half-width of Student's interval with two pseudo-observations, at the bounds, in the variance.

    values, counts: (..., n). As 1/n of the squared range stays in the variance, about
    1.96 sqrt((mean-low)^2 + (high-mean)^2) / half-width chips are the least. Infinite for values beyond the bounds.
    """
    n, mean = counts.sum(-1), means(values, counts)
    spread = squares(values, counts) + (mean - bounds[0]) ** 2 + (bounds[1] - mean) ** 2
    width = quantile(n, confidence) * np.sqrt(spread / (n + 1) / np.maximum(n, 1))
    return np.where((n > 1) & within(values, counts, bounds), width, np.inf)


def empirical_bernstein(values: Values, counts: NDArray[np.bool_], bounds: Bounds, confidence: float) -> Values:
    """Half-width of the empirical-Bernstein confidence sequence after all values, in the order of trials.

    values, counts: (..., n). Infinite for values beyond the bounds, and without values.
    """
    width = sequences.empirical_bernstein(values, counts, bounds, 1 - confidence)[1][..., -1]
    return np.where(within(values, counts, bounds), width, np.inf)


def within(values: Values, counts: NDArray[np.bool_], bounds: Bounds) -> NDArray[np.bool_]:
    """Whether all values lie within the bounds. values, counts: (..., n)."""
    slack = 1e-6 * (bounds[1] - bounds[0])  # a cosine of float32 vectors may be a little above 1
    inside = (values >= bounds[0] - slack) & (values <= bounds[1] + slack)
    return np.asarray((inside | ~counts).all(-1))


def means(values: Values, counts: NDArray[np.bool_]) -> Values:
    """The mean of the values that count; 0 of none. values, counts: (..., n)."""
    return np.asarray(np.where(counts, values, 0.0).sum(-1) / np.maximum(counts.sum(-1), 1))


def squares(values: Values, counts: NDArray[np.bool_]) -> Values:
    """Sum of squares about the mean. values, counts: (..., n)."""
    return np.asarray(np.where(counts, (values - means(values, counts)[..., np.newaxis]) ** 2, 0.0).sum(-1))


def quantile(n: NDArray[np.int_], confidence: float) -> Values:
    """Student's two-sided quantile for n values."""
    return np.asarray(stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2))
