"""The knee: the cheapest point that loses no more than is allowed."""

import numpy as np
import xarray as xr

from cimstudy.analysis.dataset import check_plain, described, reference_of
from cimstudy.analysis.pareto import DIRECTIONS, direction
from cimstudy.analysis.statistics import summarised
from cimstudy.errors import InputError


def knee(  # noqa: PLR0913 - two metrics, and what is allowed of one
    ds: xr.Dataset,
    metric: str,
    cost: str,
    loss: float,
    *,
    better: str | None = None,
    confidence: float = 0.95,
) -> xr.Dataset:
    """The point of least mean `cost` whose `metric` is within `loss` of the best there is, given the chips.

    The best is what the digital run measured, or else the best point's mean. A point is within the loss if the worse
    end of the interval of its mean is: one lucky chip does not make a knee. Of points that cost the same, the better.
    better : of the metric, "lower" or "higher", where the workload does not say so. The cost is better lower.
    Returns that point, with its coordinates: the metric's mean, ci_low and ci_high; cost and loss, the means of each;
    n and missing.

    Raises InputError for unknown metrics and directions, a negative loss, and where no point loses so little.
    """
    if not loss >= 0:
        raise InputError(f"loss {loss!r}: allowed are 0 or more, in the units of {metric}")
    for name in (metric, cost):
        check_plain(ds, name)
    sign = DIRECTIONS[direction(ds, metric, better)]
    quality = summarised(ds, metric, confidence).compute()
    price = summarised(ds, cost, confidence)["mean"].transpose(*quality["mean"].dims).compute()
    costs = (sign * quality["mean"]).to_numpy().ravel()
    if np.isnan(costs).all():
        raise InputError(f"{metric}: no chip has a result yet, so there is no knee")
    reference = reference_of(ds[metric].attrs)
    best = np.nanmin(costs) if reference is None else sign * reference
    worst = (sign * quality["ci_high" if sign > 0 else "ci_low"]).to_numpy().ravel()
    prices = np.where(worst - best <= loss, price.to_numpy().ravel(), np.nan)
    if np.isnan(prices).all():
        raise InputError(none_within(metric, loss, worst - best))
    place = np.lexsort((costs, prices))[0]
    where = dict(zip(price.dims, np.unravel_index(place, price.shape), strict=True))
    attrs = {"long_name": metric} | ds[metric].attrs
    found = {
        name: quality[name].assign_attrs(long_name=f"{name} of {attrs['long_name']}")
        for name in ("mean", "ci_low", "ci_high")
    }
    found["loss"] = described(sign * (quality["mean"] - sign * best), attrs, "loss of {}")
    found["cost"] = price
    return xr.Dataset(found | {name: quality[name] for name in ("n", "missing")}).isel(where)


def none_within(metric: str, loss: float, losses: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
    """What to say where no point loses so little."""
    if np.isnan(losses).all():
        return f"{metric}: no point has an interval yet; need two chips or more at a point"
    return f"no point is surely within {loss:g} of {metric}'s best; the closest is within {np.nanmin(losses):.4g}"
