"""A device's laws in one figure: the spread of its cells, how they age, and what one level looks like."""

from typing import TYPE_CHECKING

import numpy as np

from cimstudy.analog import Key, normals
from cimstudy.analog.cells import Array, Cells, Place, hold, read_variance
from cimstudy.analysis.plots.along import DAY, TIMES
from cimstudy.analysis.plots.figure import OKABE_ITO, STYLE, matplotlib, style
from cimstudy.errors import InputError
from cimstudy.hardware import Device, ExponentialLeak, LogTimeShift, PowerLaw, Tabulated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS = 20_000  # at each conductance: a spread is known to half a per cent
KEY = Key.root(0)
MICRO = 1e6


def device(found: Device, level: float | None = None) -> "Figure":
    """Sigma over conductance, drift over time, and the histogram of one programmed level.

    level : S, the target of the histogram; None: the middle of the range.  Raises InputError for one out of range.
    """
    middle = (found.g_min + found.g_max) / 2
    chosen = middle if level is None else level
    if not found.g_min <= chosen <= found.g_max:
        raise InputError(f"level = {chosen:g} S; allowed for {found.name}: {found.g_min:g} to {found.g_max:g} S")
    matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import

    with style(STYLE):
        figure = Figure(figsize=(9.5, 2.8), layout="constrained")
        spread, ageing, histogram = figure.subplots(1, 3)
        figure.suptitle(found.name, fontsize=8)
        draw_spread(spread, found)
        draw_ageing(ageing, found)
        draw_histogram(histogram, found, chosen)
        for ax in (spread, ageing, histogram):
            ax.tick_params(which="both", labelsize=7)
    return figure


def cells_at(found: Device, targets: Array, time: float) -> Cells:
    """Cells at each target, fractions of g_max, at a time: (targets, CELLS)."""
    return hold(np.repeat(targets[:, None], CELLS, axis=1), found, KEY, Place(0, 0, 0), time)


def targets_of(found: Device, count: int) -> Array:
    """Targets over the range, fractions of g_max; those of its levels, if it has few."""
    lowest = found.g_min / found.g_max
    return np.linspace(lowest, 1, count if found.levels is None else min(found.levels, count))


def late(found: Device) -> tuple[float, str]:
    """A time at which the drift of a device shows, s, and its name."""
    if isinstance(found.drift, ExponentialLeak):
        return found.drift.tau, f"{found.drift.tau:g} s"
    return DAY, "1 day"


def draw_spread(ax: "Axes", found: Device) -> None:
    """Standard deviations among cells, and of reading one, over the target."""
    targets = targets_of(found, 41)
    unit = found.g_max * MICRO
    fresh = cells_at(found, targets, 0.0)
    ax.plot(targets * unit, spread(fresh.now) * unit, color=OKABE_ITO[0], label="device-to-device, as written")
    if found.drift is not None:
        time, name = late(found)
        aged = cells_at(found, targets, time)
        ax.plot(targets * unit, spread(aged.now) * unit, color=OKABE_ITO[1], label=f"device-to-device, {name}")
    noise = np.sqrt(read_variance(fresh, found).mean(axis=1))
    ax.plot(targets * unit, noise * unit, color=OKABE_ITO[2], linestyle="--", label="cycle-to-cycle, of a read")
    ax.set(xlabel="target conductance (µS)", ylabel="standard deviation (µS)")
    ax.set_ylim(0, 1.5 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper left")


def spread(held: Array) -> Array:
    """Standard deviation of the cells of each target, exactly 0 where they are all alike. held : (targets, cells)."""
    found: Array = (held - held[:, :1]).std(axis=1)
    return found


def draw_ageing(ax: "Axes", found: Device) -> None:
    """Median and middle two thirds of the cells of some targets, over the time since programming."""
    times = times_of(found)
    unit = found.g_max * MICRO
    targets = targets_of(found, 5)[1:]
    held = [cells_at(found, targets, time).now for time in times]
    quantiles = np.quantile(held, (1 / 6, 1 / 2, 5 / 6), axis=2) * unit
    for index, (low, middle, high) in enumerate(quantiles.transpose(2, 0, 1)):
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        ax.plot(times, middle, color=colour)
        ax.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.set(xscale="log", xlabel="time since programming", ylabel="conductance (µS)", ylim=(0, None))
    ax.set_title("median and middle two thirds of cells")
    shown = {name: time for name, time in TIMES.items() if times[0] <= time <= times[-1]}
    ax.set_xticks(list(shown.values()), list(shown))
    ax.minorticks_off()


def times_of(found: Device) -> Array:
    """Times over which a device ages, s."""
    match found.drift:
        case ExponentialLeak(tau=tau):
            return np.geomspace(tau / 1e3, 3 * tau, 40)
        case Tabulated(times=times):
            return np.geomspace(min(1.0, times[0]), 2 * times[-1], 40)
        case PowerLaw() | LogTimeShift() | None:
            return np.geomspace(1.0, 365 * DAY, 40)


def draw_histogram(ax: "Axes", found: Device, level: float) -> None:
    """Cells that were to hold one level: as written, and as one read finds them at once and later."""
    unit = found.g_max * MICRO
    target = np.array([level / found.g_max])
    written = cells_at(found, target, 0.0)
    time, name = late(found)
    shown = {"as written": written.now, "as read at once": as_read(found, written, 0.0)}
    if found.drift is not None:
        shown[f"as read after {name}"] = as_read(found, cells_at(found, target, time), time)
    everything = np.concatenate([values.ravel() for values in shown.values()]) * unit
    low, high = np.quantile(everything, (0.0005, 0.9995))
    margin = 0.05 * (high - low) or 0.05 * unit
    bins = np.linspace(low - margin, high + margin, 61).tolist()
    for colour, (label, values) in zip((OKABE_ITO[0], OKABE_ITO[2], OKABE_ITO[1]), shown.items(), strict=False):
        ax.hist(values.ravel() * unit, bins, histtype="step", color=colour, label=label, linewidth=1.2)
    ax.axvline(level * MICRO, color="0.5", linewidth=0.8, linestyle=":")
    ax.set(
        xlabel="conductance (µS)", ylabel=f"cells of {CELLS:,}", title=f"cells that were to hold {level * MICRO:.3g} µS"
    )
    ax.margins(y=0.3)
    ax.legend()


def as_read(found: Device, cells: Cells, time: float) -> Array:
    """What one read of each cell gives."""
    z = normals(KEY.of("read noise"), (cells.now.shape[0], cells.now.shape[1]))
    read: Array = cells.now + np.sqrt(read_variance(cells, found, time)) * z
    return read
