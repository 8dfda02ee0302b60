import numpy as np
import pytest

from cimstudy.analysis import plots
from cimstudy.analysis.plots.device import CELLS
from cimstudy.errors import InputError
from cimstudy.hardware import Device, ExponentialLeak, NormalOfRange, NormalOfTarget, presets

pytest.importorskip("matplotlib")


def test_the_spread_is_that_of_the_laws():
    device = Device(programming=NormalOfTarget(std=0.05), read_noise=NormalOfRange(std=0.02))
    written, read = plots.device(device).axes[0].lines
    target, sigma = written.get_data()
    np.testing.assert_allclose(sigma, 0.05 * target, rtol=5 / np.sqrt(2 * CELLS))
    np.testing.assert_allclose(read.get_ydata(), 0.02 * 25, rtol=0.1)


def test_the_ageing_is_that_of_the_law_from_the_first_tick_on():
    ax = plots.device(Device(drift=ExponentialLeak(tau=5e-3))).axes[1]
    time, conductance = ax.lines[-1].get_data()
    np.testing.assert_allclose(conductance, 25 * np.exp(-time / 5e-3), rtol=1e-6)


def test_the_histogram_holds_all_cells_of_the_level():
    figure = plots.device(Device(programming=NormalOfRange(std=0.01)), 5e-6)
    outline = figure.axes[2].patches[0].get_xy()
    heights, edges = outline[1:-1:2, 1], outline[1:-1:2, 0]
    assert heights.sum() > 0.99 * CELLS
    assert abs(np.average(edges, weights=heights) - 5) < 0.05
    assert figure.axes[2].get_title() == "cells that were to hold 5 µS"


def test_a_level_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"level = 1 S; allowed for ideal: 0 to 2\.5e-05 S"):
        plots.device(Device(), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in presets() if entry.kind == "device"])
def test_every_device_can_be_drawn(name, tmp_path):
    device = next(entry for entry in presets() if entry.name == name).build()
    assert plots.save(plots.device(device), tmp_path / "device.png").stat().st_size > 10_000
