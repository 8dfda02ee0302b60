"""Lines along an axis that is known beforehand: the layers of a network, and the time since programming."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cimstudy.analysis.dataset import metrics, own_dims, swept
from cimstudy.analysis.plots.labels import is_time, long_name
from cimstudy.analysis.plots.line import line
from cimstudy.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86400.0, 365.25 * 86400.0  # s
TIMES = {
    "1 µs": 1e-6,
    "1 ms": 1e-3,
    "1 s": 1.0,
    "1 min": MINUTE,
    "1 h": HOUR,
    "1 d": DAY,
    "1 mo": YEAR / 12,
    "1 y": YEAR,
    "10 y": 10 * YEAR,
}


def layers(
    ds: xr.Dataset,
    metric: str,
    hue: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """A metric that has a value for each layer, along the layers.

    `hue` defaults to the metric's other axis, such as the operator, or else to the first axis of the study that varies.
    All else as in `line`. Raises InputError for a metric without layers, naming those that have them.
    """
    own = own_dims(ds, metric)
    if "layer" not in own:
        known = [name for name in metrics(ds) if "layer" in own_dims(ds, name)]
        raise InputError(f"{metric} has no axis `layer`; metrics that have one: {', '.join(known) or 'none'}")
    others = [name for name in own if name != "layer"]
    return line(ds, metric, "layer", hue or next(iter(others), None), ax, select)


def drift(
    ds: xr.Dataset,
    metric: str,
    hue: str | None = None,
    ax: "Axes | None" = None,
    select: Mapping[str, Any] | None = None,
) -> "Axes":
    """A metric over the time since programming, with ticks at times that people know.

    All as in `line`. Raises InputError for a study without an axis of time.
    """
    time = time_axis(ds)
    ax = line(ds, metric, time, hue, ax, select)
    if ax.get_xscale() != "linear":
        name_times(ax, ds[time])
        ax.set_xlabel(long_name(ds, time))
    return ax


def time_axis(ds: xr.Dataset) -> str:
    """The axis that holds times. Raises InputError if there is none."""
    for name in swept(ds):
        if is_time(ds[name]):
            return name
    raise InputError(
        f"drift needs an axis of time, such as workload.time; this study has: {', '.join(swept(ds)) or 'none'}"
    )


def name_times(ax: "Axes", times: xr.DataArray) -> None:
    """Ticks along a log axis of seconds, at those times that lie in view; a zero keeps its own."""
    low, high = ax.get_xlim()
    low = max(low, float(times.where(times > 0).min()))  # left of it the scale is linear
    seen = {name: time for name, time in TIMES.items() if low <= time <= high}
    seen = ({"0": 0.0} if (times == 0).any() else {}) | seen
    ax.set_xticks(np.array([*seen.values()]), [*seen])
    ax.minorticks_off()
