"""A metric's description: what a workload returns, for every room that stores, tabulates or draws it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What one named result of a workload means.

    A case returns a float for it, or an array with one axis for each name in `dims`.
    """

    long_name: str
    units: str = "1"
    dims: tuple[str, ...] = ()  # beyond point and trial, such as "layer"
    better: str | None = None  # "lower" or "higher": which chip is the worst; None: neither
    bounds: tuple[float, float] | None = None  # the least and the greatest value there can be; None: none are known
    valid: str | None = None  # the metric that is 1 where this one can be had, and 0 where it cannot
    flags: tuple[tuple[int, str], ...] = ()  # of a metric that is a sum of codes: what each of them says
