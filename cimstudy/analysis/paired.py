"""Comparisons over common chips: chip k is the same chip at every point, so points differ by what they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis import chips, intervals
from cimstudy.analysis.dataset import check_confidence, counts, described, over_chips
from cimstudy.analysis.pareto import DIRECTIONS, direction
from cimstudy.analysis.partners import Baseline, paired
from cimstudy.errors import InputError
from cimstudy.study import sequences
from cimstudy.study.stopping import within

DIFFERENCES = {
    "difference": "mean difference of {} from the baseline, over common chips",
    "std": "standard deviation of the difference of {} over chips",
    "ci_low": "lower end of the interval of the mean difference of {}",
    "ci_high": "upper end of the interval of the mean difference of {}",
}
CLAIMS = {
    "difference": "mean difference of {} from the baseline, over common chips",
    "low": "lower end of the anytime-valid interval of the mean difference of {}",
    "high": "upper end of the anytime-valid interval of the mean difference of {}",
    "detectable": "difference of {} that so many chips could tell from none",
}
VERDICTS = np.array(["undecided", "equivalent", "better", "worse"])


def compare(ds: xr.Dataset, metric: str, to: Baseline, confidence: float = 0.95) -> xr.Dataset:
    """How a metric differs from its value at a baseline, over the chips that both points have.

    to : the baseline's values on some axes, such as {"adc_bits": 8}: each point is compared with the one that differs
    from it in those axes alone. Along `point`, {"point": 3} is one point for all. "digital": what the digital run gave.
    Variables: difference (point minus baseline), std of it over chips, ci_low and ci_high (Student's t), correlation
    of the two over chips (the variance of a difference is 1 - correlation of that over chips of their own); n common
    chips, and missing. Lazy where `ds` is.

    Raises InputError for unknown metrics, axes and values.
    """
    check_confidence(confidence)
    pair = paired(ds, metric, to)
    arrays, attrs = (pair.values, pair.base, pair.both), attributes(pair.values, metric)
    found = over_chips(differences, (*DIFFERENCES, "correlation"), *arrays, confidence=confidence)
    labelled = {name: described(found[name], attrs, meaning) for name, meaning in DIFFERENCES.items()}
    labelled["correlation"] = found["correlation"].assign_attrs(long_name="correlation over common chips", units="1")
    return xr.Dataset(
        labelled | counts(ds, pair.both), attrs={"metric": metric, "confidence": confidence, "to": written_out(to)}
    )


def claim(  # noqa: PLR0913 - a claim is made of these
    ds: xr.Dataset,
    metric: str,
    to: Baseline,
    *,
    margin: float = 0.0,
    bounds: tuple[float, float] | None = None,
    better: str | None = None,
    confidence: float = 0.95,
) -> xr.Dataset:
    """Whether each point is better than a baseline, worse, equivalent within a margin, or undecided.

    to, n and missing : as in `compare`. The intervals low to high of the mean difference hold for all points and all
    numbers of chips together (Bonferroni's correction over the points; confidence sequences over chips), so one may
    look, add chips and look again.
    bounds : of the metric, such as (0, 1) for a share, where the workload does not say so: with them the intervals hold
    for any law (empirical Bernstein), else for normal differences (t sequence).
    margin : in the metric's units; a point whose interval lies within it on both sides is equivalent.
    better : "lower" or "higher", where the workload does not say so.
    Variables: verdict; difference; low, high; detectable: half the interval's width; n and missing. Lazy where `ds` is.

    Raises InputError for unknown metrics, axes, values and directions, a negative margin, or results beyond the bounds.
    """
    check_confidence(confidence)
    if not margin >= 0:
        raise InputError(f"margin {margin!r}: allowed are 0 or more, in the units of {metric}")
    sign = DIRECTIONS[direction(ds, metric, better)]
    pair = paired(ds, metric, to)
    limits = checked_bounds(metric, pair.values.attrs.get("bounds") if bounds is None else bounds)
    settings = {"alpha": (1 - confidence) / max(pair.comparisons, 1), "bounds": limits}
    found = over_chips(sequential, tuple(CLAIMS), pair.values, pair.base, pair.both, **settings)
    verdict = xr.apply_ufunc(
        judged,
        found["low"],
        found["high"],
        kwargs={"sign": sign, "margin": margin},
        dask="parallelized",
        output_dtypes=[VERDICTS.dtype],
    )
    attrs = attributes(pair.values, metric)
    labelled = {name: described(found[name], attrs, meaning) for name, meaning in CLAIMS.items()}
    known = {"metric": metric, "to": written_out(to), "margin": margin, "confidence": confidence}
    method = {"interval": "t" if limits is None else "empirical Bernstein", "comparisons": pair.comparisons}
    return xr.Dataset({"verdict": verdict} | labelled | counts(ds, pair.both), attrs=known | method)


def differences(
    values: NDArray[Any], base: NDArray[Any], both: NDArray[np.bool_], *, confidence: float
) -> NDArray[np.float64]:
    """Mean, spread, interval and correlation of paired values. (..., trials).  Returns (..., 5)."""
    values, base, both = np.broadcast_arrays(values, base, both)
    n = both.sum(-1)
    mean, std = moments(difference(values, base), both)
    low, high = intervals.of_mean(mean, std, n, confidence)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_values, of_base = moments(values, both)[1], moments(base, both)[1]
        correlation = (of_values**2 + of_base**2 - std**2) / (2 * of_values * of_base)
    return np.stack([mean, std, low, high, np.clip(correlation, -1, 1)], axis=-1)


def sequential(
    values: NDArray[Any],
    base: NDArray[Any],
    both: NDArray[np.bool_],
    *,
    alpha: float,
    bounds: tuple[float, float] | None,
) -> NDArray[np.float64]:
    """Mean difference, ends of its anytime-valid interval and half its width. (..., trials).  Returns (..., 4)."""
    values, base, both = np.broadcast_arrays(values, base, both)
    away = difference(values, base)
    if bounds is None:
        low, high = sequences.ends(*sequences.students(away, both, alpha))
    else:
        if not (within(values, both, bounds) & within(base, both, bounds)).all():
            given = f"{bounds[0]:g} to {bounds[1]:g}"
            raise InputError(f"some results lie beyond the bounds {given}; allowed: bounds of all")
        reach = (bounds[0] - bounds[1], bounds[1] - bounds[0])
        low, high = sequences.ends(*sequences.empirical_bernstein(away, both, reach, alpha), reach)
    mean = moments(away, both)[0]
    unknown = ~np.isfinite(mean)
    with np.errstate(invalid="ignore"):
        half = np.where(unknown, np.inf, (high - low) / 2)
    return np.stack([mean, np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high), half], axis=-1)


def difference(values: NDArray[Any], base: NDArray[Any]) -> NDArray[np.float64]:
    """Values minus those of the baseline; NaN between equal infinities."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.subtract(values, base, dtype=float)
    return found


def moments(values: NDArray[Any], done: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation over chips; exact for equal ones."""
    median = chips.interpolated(chips.ranked(values, done), done.sum(-1), 0.5)
    return chips.moments(values, done, median)


def judged(low: NDArray[np.float64], high: NDArray[np.float64], *, sign: float, margin: float) -> NDArray[np.str_]:
    """The verdict on each interval of a difference. sign : 1 where lower is better, -1 where higher is."""
    worst, best = (high, low) if sign > 0 else (-low, -high)  # as costs: negative is better
    within = (low >= -margin) & (high <= margin)
    code = np.select([within, worst < 0, best > 0], [1, 2, 3], 0)
    found: NDArray[np.str_] = VERDICTS[code]
    return found


def checked_bounds(metric: str, bounds: Sequence[float] | None) -> tuple[float, float] | None:
    """The bounds, if any. Raises InputError unless they are two finite numbers in order."""
    if bounds is None:
        return None
    if len(bounds) != 2 or not -np.inf < bounds[0] < bounds[1] < np.inf:
        raise InputError(f"bounds of {metric} are {bounds!r}; allowed: its smallest and its largest value, or None")
    return float(bounds[0]), float(bounds[1])


def attributes(values: xr.DataArray, metric: str) -> dict[str, Any]:
    """What differences keep of a metric's attributes: not what the digital run measured."""
    return {"long_name": metric} | {str(key): value for key, value in values.attrs.items() if key != "reference"}


def written_out(to: Baseline) -> str:
    """A baseline in words."""
    return to if isinstance(to, str) else ", ".join(f"{name}={value}" for name, value in to.items())
