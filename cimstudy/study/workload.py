"""What a study evaluates: any callable of a hardware, a seed and a trial that returns named metrics."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware
from cimstudy.metric import Metric

Result = Mapping[str, float | NDArray[np.floating[Any]]]


class Workload(Protocol):
    """One case: the metrics of chip `trial` of this hardware.

    Equal arguments give equal results, in every process. A workload may also have
    `metrics: Mapping[str, Metric]` (what it returns; without it, names and shapes are taken from a first case),
    `coordinates: Mapping[str, Sequence]` (labels along the metrics' own dimensions),
    `reference() -> Mapping[str, float]` (the digital run's metrics),
    `checksums() -> Mapping[str, str]` (of its model and data),
    `sources() -> Mapping[str, Any]` (of its coefficients, as JSON: kept in the store's attributes),
    `check(hardware) -> None` (raises InputError for hardware it cannot run, before any work starts), and
    `evaluate(hardware, *, seed, trials) -> Mapping[str, NDArray]`: the metrics of many cases at once, each with the
    axes points, trials, and the metric's `dims`, bit for bit those of single cases. `hardware` has for each part of a
    Hardware, by name, the distinct ones and which of them every point has, (points,).
    """

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> Result:
        """The metrics of one case: a float each, or an array with one axis for each of the metric's `dims`."""
        ...


def check_workload(workload: Any) -> None:
    """Raise InputError if this cannot be a workload."""
    if isinstance(workload, type):
        raise InputError(f"the workload is the class {workload.__name__}; allowed: an instance of it, or a function")
    if not callable(workload):
        raise InputError(f"the workload is {workload!r}; allowed: a callable workload(hardware, *, seed, trial)")


def metrics_of(workload: Any) -> Mapping[str, Metric]:
    """The metrics that a workload declares; none if it declares none."""
    return getattr(workload, "metrics", {})


def coordinates_of(workload: Any) -> Mapping[str, Sequence[Any]]:
    """The labels along the metrics' own dimensions; none if the workload declares none."""
    return getattr(workload, "coordinates", {})


def has_evaluate(workload: Any) -> bool:
    """Whether a workload evaluates many cases at once."""
    return getattr(workload, "evaluate", None) is not None


def has_reference(workload: Any) -> bool:
    """Whether a workload knows the metrics of a digital run."""
    return getattr(workload, "reference", None) is not None


def checksums_of(workload: Any) -> dict[str, str]:
    """The checksums of a workload's model and data; none if it has none."""
    return dict(workload.checksums()) if hasattr(workload, "checksums") else {}


def sources_of(workload: Any) -> dict[str, Any]:
    """The sources of a workload's coefficients; none if it names none."""
    return dict(workload.sources()) if hasattr(workload, "sources") else {}
