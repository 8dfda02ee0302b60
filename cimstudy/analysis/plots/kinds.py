"""The kinds of plot by name, for whoever asks in words."""

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import xarray as xr

from cimstudy.analysis.dataset import first_metric, metrics, own_dims
from cimstudy.analysis.plots.along import drift, layers
from cimstudy.analysis.plots.breakdown import breakdown
from cimstudy.analysis.plots.heatmap import heatmap
from cimstudy.analysis.plots.line import line
from cimstudy.analysis.plots.pareto import pareto
from cimstudy.analysis.plots.tornado import tornado
from cimstudy.analysis.plots.yield_curve import yield_curve
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS: dict[str, Callable[..., "Axes"]] = {
    "line": line,
    "heatmap": heatmap,
    "layers": layers,
    "drift": drift,
    "breakdown": breakdown,
    "pareto": pareto,
    "yield_curve": yield_curve,
    "tornado": tornado,
}


def of_kind(kind: str, arguments: Iterable[str]) -> Callable[..., "Axes"]:
    """The plot of this kind. Raises InputError for an unknown one, and for arguments that it does not take."""
    if kind not in KINDS:
        raise InputError(f"unknown kind of plot {kind!r}; allowed: {', '.join(KINDS)}")
    known = [name for name in inspect.signature(KINDS[kind]).parameters if name not in {"ds", "ax"}]
    for name in arguments:
        if name not in known:
            raise InputError(f"a plot of kind {kind} takes no {name}; it takes: {', '.join(known)}")
    return KINDS[kind]


def default_metric(ds: xr.Dataset, kind: str) -> str:
    """The first result that a plot of this kind can show, or else the first."""
    own = {name: own_dims(ds, name) for name in metrics(ds)}
    fit = {
        "layers": [name for name, dims in own.items() if "layer" in dims],
        "breakdown": sorted(
            (name for name, dims in own.items() if dims), key=lambda name: "component" not in own[name]
        ),
    }
    return next(iter(fit.get(kind, ())), None) or first_metric(ds)
