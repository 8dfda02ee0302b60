"""Laws of cells: closed forms, statistics, limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import Boltzmann, elementary_charge

from cimstudy.analog import Key, map_matrix
from cimstudy.analog.cells import Cells, Place, age, error_statistics, hold, read_variance, statistics_at, write
from cimstudy.analog.curves import value_at
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Architecture,
    Crossbar,
    CurveOfTarget,
    Device,
    ExponentialLeak,
    Faults,
    FlickerAbsolute,
    FlickerOfTarget,
    Hardware,
    Logarithm,
    LognormalOfTarget,
    LogTimeShift,
    NormalAbsolute,
    NormalOfRange,
    NormalOfTarget,
    Piecewise,
    Polynomial,
    PolynomialOfTarget,
    Power,
    PowerLaw,
    SaturatingExponential,
    ShotNoise,
    SquareRootWindow,
    Table,
    Tabulated,
    ThermalNoise,
    preset,
)

KEY = Key.root(1, 2)
HERE = Place(0, 0, 0)
R = np.array([0.1, 0.25, 0.5, 0.75, 1.0])
WINDOW = Device(g_min=10e-6, g_max=100e-6)
CURVES = {
    "polynomial": (Polynomial(coefficients=(1.0, 2.0, -3.0)), lambda r: 1 + 2 * r - 3 * r * r),
    "logarithm": (
        Logarithm(slope=-0.1, offset=0.2, low=0.25, high=0.3),
        lambda r: np.clip(0.2 - 0.1 * np.log(r), 0.25, 0.3),
    ),
    "power": (Power(factor=0.1, exponent=-0.5, high=0.2), lambda r: np.minimum(0.1 / np.sqrt(r), 0.2)),
    "saturating": (SaturatingExponential(amplitude=2.0, knee=0.3), lambda r: 2 * (1 - np.exp(-r / 0.3))),
    "table": (Table(r=(0.25, 0.75), values=(1.0, 3.0)), lambda r: np.clip(4 * r, 1, 3)),
    "piecewise": (
        Piecewise(threshold=0.5, below=Polynomial(coefficients=(1.0,)), above=Polynomial(coefficients=(0.0, 1.0))),
        lambda r: np.where(r < 0.5, 1, r),
    ),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_curve_has_its_closed_form(name, dtype):
    curve, form = CURVES[name]
    found = value_at(curve, R.astype(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, form(R), rtol=1e-5)


SIGMA = {
    "of range": (NormalOfRange(std=0.1), lambda r: 0.09 + 0 * r),
    "of target": (NormalOfTarget(std=0.1), lambda r: 0.1 * r),
    "absolute": (NormalAbsolute(std=2e-6), lambda r: 0.02 + 0 * r),
    "polynomial": (PolynomialOfTarget(coefficients=(0.01, 0.02), scale=2.0), lambda r: 0.02 + 0.04 * r),
    "curve": (CurveOfTarget(sigma=CURVES["saturating"][0], scale=0.1), lambda r: 0.2 * (1 - np.exp(-r / 0.3))),
    "window": (SquareRootWindow(gamma=3.0, std=0.1), lambda r: 0.3 * np.sqrt((r - 0.1) * 0.9)),
}


@pytest.mark.parametrize("name", SIGMA)
def test_a_normal_law_writes_its_sigma(name):
    """One draw of 1 moves a cell by one sigma, in either precision."""
    law, sigma = SIGMA[name]
    device = WINDOW.replace("programming", law)
    np.testing.assert_allclose(write(R, device, np.ones(5)) - R, sigma(R), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(error_statistics(law, R, device)[1], sigma(R), rtol=1e-6, atol=1e-9)
    single = write(R.astype(np.float32), device, np.ones(5, np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single - R, sigma(R), rtol=1e-4, atol=1e-6)


def test_a_systematic_error_shifts_and_small_targets_can_be_exact():
    law = CurveOfTarget(
        sigma=Polynomial(coefficients=(0.1,)), shift=Polynomial(coefficients=(0.0, -0.5)), exact_below=0.2
    )
    found = write(R, WINDOW.replace("programming", law), np.ones(5))
    np.testing.assert_allclose(found, [0.1, *(0.5 * R[1:] + 0.1)])


def test_the_lognormal_law_keeps_the_median_and_spreads_the_logarithm():
    device = WINDOW.replace("programming", LognormalOfTarget(std=0.2, std_at_g_min=0.5))
    wanted = np.repeat([[0.1], [1.0]], 40_000, axis=1)
    logarithm = np.log(hold(wanted, device, KEY, HERE).now / wanted)
    for found, std in zip(logarithm, (0.5, 0.2), strict=True):
        assert abs(found.mean()) < 5 * std / math.sqrt(found.size)
        assert abs(found.std() / std - 1) < 5 / math.sqrt(2 * found.size)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_power_law_falls_for_ever_and_begins_at_one(one, two):
    device = Device(drift=PowerLaw(t0=20.0, exponent=0.05, exponent_std=0.01))
    early, late = (age(R, R, device, time, np.full(5, -2.0)) for time in sorted((one, two)))
    assert (late <= early).all()
    np.testing.assert_allclose(early, R * ((min(one, two) + 20) / 20) ** -0.03, rtol=1e-9)


def test_drift_follows_the_target_and_its_sign_is_folded():
    device = Device(drift=PowerLaw(t0=1.0, exponent=Polynomial(coefficients=(0.0, 0.1)), exponent_std=0.05, scale=2.0))
    found = age(np.ones(5), R, device, math.e - 1, np.full(5, -3.0))
    np.testing.assert_allclose(found, np.exp(-2 * np.abs(0.1 * R - 0.15)))


def test_statistics_in_time_go_in_straight_lines_and_stay():
    level = lambda value: Polynomial(coefficients=(value,))  # noqa: E731 - a number as a curve
    law = Tabulated(
        times=(10.0, 20.0), sigma=(level(0.2), level(0.4)), shift=(level(0.1), level(-0.1)), interpolation="time"
    )
    device = Device(programming=NormalOfRange(std=0.1), drift=law)
    expected = {
        0.0: (0, 0.1),
        5.0: (0.05, 0.15),
        10.0: (0.1, 0.2),
        15.0: (0.0, 0.3),
        20.0: (-0.1, 0.4),
        1e9: (-0.1, 0.4),
    }
    for time, (shift, sigma) in expected.items():
        mean, found = statistics_at(law, R, device, time)
        np.testing.assert_allclose(mean, R + shift, atol=1e-12)
        np.testing.assert_allclose(found, sigma)
    logarithmic = law.replace("interpolation", "log_time")
    np.testing.assert_allclose(statistics_at(logarithmic, R, device, 10.0)[1], 0.2)
    half = 10 * math.expm1((math.log(2) + math.log(3)) / 2)
    np.testing.assert_allclose(statistics_at(logarithmic, R, device, half)[1], 0.3)


def test_a_cell_keeps_its_draw_while_its_statistics_change():
    """Paired in time: the rank of a cell among its like does not change."""
    device = preset("rram-neurram")
    wanted = np.full((1, 1000), 0.5)
    early, late = (hold(wanted, device, KEY, HERE, time).now.ravel() for time in (0.0, 86400.0))
    np.testing.assert_array_equal(np.argsort(early), np.argsort(late))


def test_the_log_time_shift_begins_at_one_second():
    device = Device(g_max=1e-4, drift=LogTimeShift(shift=-1e-6, spread=4e-6, spread_slope=2e-6))
    np.testing.assert_allclose(age(R, R, device, 0.5, np.ones(5)), R + 0.04)
    np.testing.assert_allclose(age(R, R, device, math.e, np.ones(5)), R - 0.01 + 0.06)


def test_a_leak_is_exponential_and_faster_when_hot():
    device = Device(drift=ExponentialLeak(tau=2.0, activation_energy=0.5))
    np.testing.assert_allclose(age(R, R, device, 2.0, None), R / math.e)
    hot = device.replace("temperature", 350.0)
    faster = math.exp(0.5 * elementary_charge / Boltzmann * (1 / 350 - 1 / 300))
    np.testing.assert_allclose(age(R, R, hot, 2.0, None), R * math.exp(-1 / faster))


@pytest.mark.parametrize("drift", [PowerLaw(t0=1.0, exponent=0.1), LogTimeShift(shift=1e-6, spread=1e-6)])
def test_at_time_zero_nothing_has_drifted(drift):
    device = Device(programming=NormalOfRange(std=0.1), drift=drift)
    cells = hold(R[None], device, KEY, HERE, 0.0)
    np.testing.assert_array_equal(cells.now, cells.written)
    assert (hold(R[None], device, KEY, HERE, 100.0).now != cells.written).any()


NOISE = {
    "1/f": (
        FlickerOfTarget(relative=Polynomial(coefficients=(0.0, 0.1)), t_read=1e-6, t0=10.0, scale=2.0),
        lambda now, written: 0.2 * written * now * math.sqrt(math.log((5 + 10 + 1e-6) / 2e-6)),
    ),
    "1/f, absolute": (
        FlickerAbsolute(std=3e-8, t_read=1e-6),
        lambda now, _: 3e-4 * np.log10(100 * now) * math.sqrt(math.log((5 + 1e-6) / 2e-6)),
    ),
    "shot": (
        ShotNoise(bandwidth=1e7, read_voltage=0.2),
        lambda now, _: np.sqrt(2 * elementary_charge * now * 1e-4 * 1e7 / 0.2) / 1e-4,
    ),
    "thermal": (
        ThermalNoise(bandwidth=1e7, read_voltage=0.2),
        lambda now, _: np.sqrt(4 * Boltzmann * 400 * now * 1e-4 * 1e7) / 0.2 / 1e-4,
    ),
    "of target": (NormalOfTarget(std=0.1), lambda now, _: 0.1 * now),
    "curve": (CurveOfTarget(sigma=Polynomial(coefficients=(0.1, 0.2))), lambda now, _: 0.1 + 0.2 * now),
}


@pytest.mark.parametrize("name", NOISE)
def test_read_noise_has_its_closed_form(name):
    law, sigma = NOISE[name]
    device = Device(g_min=1e-5, g_max=1e-4, read_noise=law, temperature=400.0)
    cells = Cells(now=R, written=R[::-1].copy())
    np.testing.assert_allclose(np.sqrt(read_variance(cells, device, 5.0)), sigma(R, R[::-1]), rtol=1e-9)


def test_faults_are_as_many_as_stated_and_hold_for_ever():
    device = Device(
        g_min=0.0, g_max=1e-5, drift=PowerLaw(t0=1.0, exponent=0.1), faults=Faults(stuck_on=0.02, stuck_off=0.1)
    )
    wanted = np.full((400, 500), 0.5)
    early, late = (hold(wanted, device, KEY, HERE, time).now for time in (0.0, 1e6))
    for value, share in ((1.0, 0.02), (0.0, 0.1)):
        assert abs((early == value).mean() - share) < 5 * math.sqrt(share * (1 - share) / wanted.size)
        np.testing.assert_array_equal(early == value, late == value)
    more = hold(wanted, device.replace("faults.stuck_on", 0.05), KEY, HERE).now
    assert (more[early == 1] == 1).all()  # the same cells fail first


@given(st.integers(2, 300), st.floats(0, 0.9))
def test_levels_are_as_many_as_stated_from_end_to_end(levels, lowest):
    device = Device(g_min=lowest, g_max=1.0, levels=levels)
    wanted = np.linspace(lowest, 1, 4 * levels + 1)[None]
    held = np.unique(np.round(hold(wanted, device, KEY, HERE).now, 9))
    np.testing.assert_allclose(held, np.linspace(lowest, 1, levels), atol=1e-8)


def test_the_time_is_a_parameter_of_the_chip():
    w, x = np.random.default_rng(0).standard_normal((60, 20)), np.ones(60)
    hardware = Hardware(device=Device(drift=PowerLaw(t0=1.0, exponent=0.1)), crossbar=Crossbar(adc=None, dac=None))
    mapped = map_matrix(w, hardware, dtype=np.float64)
    fresh, old = (mapped.program(0, time=time).matmul(x) for time in (0.0, math.e**10 - 1))
    np.testing.assert_allclose(old, fresh / math.e)
    with pytest.raises(InputError, match=r"time = -1; allowed: seconds since programming, 0 or more"):
        mapped.program(0, time=-1)


def drifting(compensation, **fields):
    """A matrix whose columns drift, at time 0 and 1e6 s, and inputs."""
    rng = np.random.default_rng(0)
    device = Device(drift=PowerLaw(t0=1.0, **fields))
    architecture = Architecture(drift_compensation=compensation)
    crossbar = Crossbar(columns=100, adc=None, dac=None)
    hardware = Hardware(device=device, crossbar=crossbar, architecture=architecture)
    mapped = map_matrix(rng.standard_normal((60, 1000)), hardware, dtype=np.float64)
    return [mapped.program(0, time=time) for time in (0.0, 1e6)], rng.standard_normal((5, 60))


@pytest.mark.parametrize("compensation", ["global", "per_column"])
def test_compensation_undoes_a_drift_that_all_cells_share(compensation):
    (fresh, old), x = drifting(compensation, exponent=0.1)
    np.testing.assert_allclose(old.matmul(x), fresh.matmul(x), rtol=1e-9)


@pytest.mark.parametrize(("compensation", "columns"), [("global", 100), ("per_column", 1)])
def test_compensation_keeps_the_magnitudes_of_what_shares_a_factor(compensation, columns):
    """Some cells drift more than others: the sum over an array, or over a column, is as it was."""
    (fresh, old), x = drifting(compensation, exponent=0.1, exponent_std=0.05)
    sums = lambda weights: np.abs(weights).sum(axis=0)[:700].reshape(-1, columns).sum(axis=1)  # noqa: E731
    np.testing.assert_allclose(sums(old.weights * old.compensation), sums(fresh.weights))
    assert len(np.unique(old.compensation[:700])) == 700 // columns
    np.testing.assert_allclose(old.matmul(x), x @ (old.weights * old.compensation))


def test_without_drift_nothing_is_compensated():
    (fresh, old), x = drifting("global", exponent=0.0)
    np.testing.assert_array_equal(old.matmul(x), fresh.matmul(x))
    zeros = map_matrix(np.zeros((4, 3)), fresh.layout.hardware).program(0, time=10.0)
    np.testing.assert_array_equal(zeros.matmul(np.ones(4)), 0)


def test_calibrated_ranges_know_nothing_of_errors():
    w, x = np.random.default_rng(0).standard_normal((60, 20)), np.random.default_rng(1).standard_normal((30, 60))
    crossbar = Crossbar(adc=Adc(range="calibrated"))
    found = [
        map_matrix(w, Hardware(device=device, crossbar=crossbar), calibration=x).ranges.adc
        for device in (Device(), Device(faults=Faults(stuck_on=0.5), drift=PowerLaw(t0=1.0, exponent=1.0)))
    ]
    np.testing.assert_array_equal(*found)


REFUSED = [
    (lambda: Device(programming=NormalOfRange(std=0.1, exact=True)), "programming.exact is of read noise"),
    (lambda: Faults(stuck_on=0.6, stuck_off=0.6), "are more than all cells"),
    (lambda: Table(r=(0.5, 0.5), values=(1.0, 2.0)), "the places of a table must ascend"),
    (lambda: Table(r=(0.5,), values=(1.0, 2.0)), "a value for each place, got 1 and 2"),
    (lambda: Logarithm(slope=1, offset=0, low=2, high=1), "need low <= high"),
    (lambda: Tabulated(times=(2.0, 1.0), sigma=(CURVES["table"][0],) * 2), "times must ascend"),
    (lambda: Tabulated(times=(2.0,), sigma=(CURVES["table"][0],) * 2), "sigma has 2 curves for 1 times"),
    (
        lambda: Device(
            programming=LognormalOfTarget(std=0.1), drift=Tabulated(times=(1.0,), sigma=(CURVES["table"][0],))
        ),
        "goes on from a normal programming error",
    ),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_impossible_laws_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_sonos_has_the_published_shift_and_spread():
    device = preset("sonos-40nm")
    currents = np.array([100.0, 800.0, 1600.0])
    for days, shifts in ((1, (1.735, -3.827, -11.532)), (5, (4.118, -15.173, -40.698))):
        mean, sigma = statistics_at(device.drift, currents / 1600, device, 86400.0 * days)
        np.testing.assert_allclose(mean * 1600 - currents, shifts, atol=2e-3)
    assert sigma[2] * 1600 == pytest.approx(34.56, abs=0.01)
    assert read_variance(Cells(now=np.ones(1), written=np.ones(1)), device)[0] ** 0.5 * 1600 == pytest.approx(
        12.57, abs=5e-3
    )


def test_cmo_and_milo_and_afm_have_the_published_spread():
    published = {
        "rram-cmo-hfox": ([10, 50, 80], [0.01150, 0.05425, 0.08631], 1e-6),
        "rram-cmo-hfox-2percent": ([10, 50, 80], [0.1241, 0.5757, 0.9144], 1e-6),
        "rram-milo": ([50, 137.5, 225], [4.327, 3.530, 2.733], 1e-6),
        "pcm-afm": ([45, 90, 135, 180], [7.823, 8.435, 9.891, 19.198], 25e-6 / 180),
    }
    for name, (values, sigma, unit) in published.items():
        device = preset(name)
        found = error_statistics(device.programming, np.array(values) * unit / device.g_max, device)[1]
        np.testing.assert_allclose(found * device.g_max / unit, sigma, rtol=1e-3)
