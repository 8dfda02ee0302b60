import numpy as np
import pytest

from cimstudy.analysis import plots
from cimstudy.analysis.plots.converter import CONVERTERS, STEPS
from cimstudy.hardware import Adc, Inl, Mismatch, OutputNoise, Transitions

pytest.importorskip("matplotlib")


def drawn(adc):
    """Codes and deviations, (codes, converters), and the noise."""
    deviation, noise = plots.converter(adc, "adc").axes
    lines = [line.get_ydata() for line in deviation.lines]
    return deviation.lines[0].get_xdata(), np.array(lines).T, noise.lines[0].get_ydata()


@pytest.mark.parametrize("signed", [True, False])
def test_a_perfect_converter_is_even_and_quiet(signed):
    codes, deviations, noise = drawn(Adc(bits=5, signed=signed))
    assert list(codes) == list(range(-14, 16) if signed else range(1, 32))
    assert (np.abs(deviations) <= 1 / STEPS).all()
    assert (noise == 0).all()


def test_measured_transitions_are_drawn_where_they_are():
    levels = tuple(np.sort(np.random.default_rng(0).uniform(-1, 1, 30)))
    codes, deviations, _ = drawn(Adc(bits=5, transitions=Transitions(first_code=-14, levels=levels)))
    expected = np.array(levels) * 15 - (codes - 0.5)
    assert (np.abs(deviations[:, 0] - expected) <= 1 / STEPS).all()


def test_nonlinearity_and_mismatch_show():
    codes, deviations, _ = drawn(Adc(bits=8, inl=Inl(bow_of_range=0.02)))
    middle = deviations[codes == 0, 0]
    assert abs(middle + 0.02 * 127) < 0.1  # a code too high begins too early
    _, deviations, _ = drawn(Adc(bits=8, mismatch=Mismatch(offset_std_of_range=0.01)))
    assert deviations.shape[1] == CONVERTERS
    assert 0.3 < np.nanmean(deviations, axis=0).std() / 1.27 < 2


def test_the_noise_is_that_of_the_table():
    table = OutputNoise(codes=(-15.0, 15.0), sigmas=(0.0, 3.0))
    codes, _, noise = drawn(Adc(bits=5, output_noise=table))
    np.testing.assert_allclose(noise, (codes + 15) / 10)
    np.testing.assert_allclose(drawn(Adc(bits=5, noise_std_of_range=0.1))[2], 1.5)
