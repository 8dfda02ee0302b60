"""Odd shapes, huge and tiny numbers, odd types: everything works, or is refused in one line before work starts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimstudy.analog import Key, map_matrix, program_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Crossbar,
    Dac,
    Device,
    Differential,
    Faults,
    Hardware,
    Inl,
    Mismatch,
    NormalOfRange,
    NormalOfTarget,
    Offset,
    PowerLaw,
    Wires,
)

RNG = np.random.default_rng(8)
EVERY_ERROR = Device(
    g_min=1e-6,
    levels=33,
    programming=NormalOfTarget(std=0.05),
    drift=PowerLaw(t0=1.0, exponent=0.05, exponent_std=0.02),
    read_noise=NormalOfTarget(std=0.02),
    faults=Faults(stuck_on=0.01, stuck_off=0.01),
)
EVERY_CONVERTER = Adc(
    range="full",
    mismatch=Mismatch(gain_std=0.02, offset_std_of_range=0.01),
    inl=Inl(bow_of_range=0.01),
    noise_std_of_range=0.003,
)
CROSSBARS = {
    "sliced": Crossbar(rows=64, weights=Differential(slice_bits=2), adc=EVERY_CONVERTER),
    "digital": Crossbar(rows=64, weights=Differential(sides="two", subtraction="digital"), adc=EVERY_CONVERTER),
    "reference column": Crossbar(
        rows=64, columns=50, weights=Offset(subtraction="reference_column"), adc=EVERY_CONVERTER
    ),
    "limited, bit-serial": Crossbar(rows=64, current_limit=9.0, dac=Dac(bits=4, serial_bits=1), adc=EVERY_CONVERTER),
    "wires": Crossbar(rows=64, columns=50, wires=Wires(row_resistance=2, column_resistance=3), adc=EVERY_CONVERTER),
    "collapsed": Crossbar(weights=Differential(scale="column", percentile=99), adc=None),
    "unrounded": Crossbar(weights=Differential(bits=None), dac=None, adc=None),
}
by_crossbar = pytest.mark.parametrize("crossbar", CROSSBARS.values(), ids=CROSSBARS)


@by_crossbar
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (129, 3)])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_every_shape_works_with_every_effect(crossbar, shape, scale):
    w = scale * RNG.standard_normal(shape)
    matrix = program_matrix(w, Hardware(device=EVERY_ERROR, crossbar=crossbar), 3, time=100.0)
    for batch in [(), (0,), (1,), (2, 3)]:
        for inputs in (np.zeros((*batch, shape[0])), RNG.standard_normal((*batch, shape[0]))):
            y = matrix.matmul(inputs)
            assert y.shape == (*batch, shape[1])
            assert np.isfinite(y).all()


@by_crossbar
def test_results_do_not_depend_on_how_a_batch_is_cut(crossbar):
    """Bit for bit. Without converters BLAS may add up a narrower batch in another order, and does so for one vector."""
    w, x = RNG.standard_normal((129, 70)), RNG.standard_normal((300, 129))
    matrix = program_matrix(w, Hardware(device=EVERY_ERROR, crossbar=crossbar), 3, time=100.0)
    whole = matrix.matmul(x)
    atol = 0 if crossbar.adc is not None else 1e-6 * np.abs(whole).max()
    for step in (2, 7, 128):
        pieces = [matrix.matmul(x[first : first + step], first_vector=first) for first in range(0, 300, step)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=atol)
    alone = np.concatenate([matrix.matmul(x[i : i + 1], first_vector=i) for i in range(40)])
    assert (np.abs(alone - whole[:40]) > atol).mean() < 0.01  # currents at the edge between two codes
    again = program_matrix(w, Hardware(device=EVERY_ERROR, crossbar=crossbar), 3, time=100.0).matmul(x)
    np.testing.assert_array_equal(again, whole)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(list(CROSSBARS.values())), st.integers(-80, 80), st.integers(-110, 25))
def test_powers_of_two_come_out_as_they_went_in(crossbar, weight_power, input_power):
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((70, 9), dtype=np.float32), rng.standard_normal((4, 70), dtype=np.float32)
    hardware = Hardware(device=EVERY_ERROR, crossbar=crossbar)
    y = program_matrix(w, hardware, 3).matmul(x)
    scaled = program_matrix(w * np.float32(2.0**weight_power), hardware, 3).matmul(x * np.float32(2.0**input_power))
    if -120 < weight_power + input_power < 110:  # else some are no normal numbers
        np.testing.assert_array_equal(scaled, y * np.float32(2.0 ** (weight_power + input_power)))


@pytest.mark.parametrize("dac", [Dac(), None])
@pytest.mark.parametrize(
    ("dtype", "x"), [(np.float32, 1e-38), (np.float32, 1e-44), (np.float64, 5e-324), (np.float32, 3e38)]
)
def test_inputs_at_the_ends_of_the_arithmetic_are_scaled(dtype, x, dac):
    w, inputs = np.full((2, 1), 0.25), np.array([[x, 0], [x, x], [-x, x]])
    y = program_matrix(w, Hardware(crossbar=Crossbar(adc=None, dac=dac)), 0, dtype=dtype).matmul(inputs)
    least = float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(y, inputs @ w, rtol=1e-6, atol=128 * least)  # a level is known to the least number


def test_no_bit_of_a_vector_depends_on_whether_others_are_scaled():
    matrix = program_matrix(RNG.standard_normal((70, 30)), Hardware(crossbar=Crossbar(adc=None, dac=None)), 0)
    x = RNG.standard_normal((3, 70)).astype(np.float32)
    near, far = matrix.matmul(x), matrix.matmul(x * np.float32([[1], [2.0**-120], [2.0**90]]))
    np.testing.assert_array_equal(far[0], near[0])
    np.testing.assert_array_equal(far[2], near[2] * 2.0**90)
    np.testing.assert_array_equal(matrix.matmul(x[:0]), near[:0])


def test_as_many_slices_as_bits_hold_what_one_cell_holds():
    w, x = RNG.standard_normal((40, 6)), RNG.standard_normal((5, 40))
    found = []
    for slice_bits in (None, 1, (1, 2) * 5):
        crossbar = Crossbar(weights=Differential(bits=16, slice_bits=slice_bits), dac=Dac(bits=16), adc=None)
        found.append(program_matrix(w, Hardware(crossbar=crossbar), 0, dtype=np.float64).matmul(x))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-12)


def test_converters_of_one_bit_see_signs_alone():
    crossbar = Crossbar(rows=3, weights=Differential(bits=2), dac=Dac(bits=1, signed=False), adc=Adc(bits=16, range=3))
    w, x = np.array([[1.0, -0.6], [0.4, 0.2], [0.7, -1.0]]), np.array([[1.0, 0.4, 0.6], [-1.0, 0.2, 0.6]])
    y = program_matrix(w, Hardware(crossbar=crossbar), 0).matmul(x)
    np.testing.assert_allclose(y, [[2, -2], [1, -1]], rtol=1e-3)  # 0.2 and 0.4 are off; so are negative inputs


BATCH = np.ones((2, 4))
CALIBRATED = Crossbar(adc=Adc(range="calibrated"))
REFUSED = [
    (lambda: map_matrix(np.ones((2, 2)) * 1j, Hardware()), "weights are of type complex128; allowed: real numbers"),
    (lambda: map_matrix(np.array([["a"]]), Hardware()), "weights are of type <U1; allowed: real numbers"),
    (lambda: map_matrix([[1e300]], Hardware(crossbar=CROSSBARS["unrounded"])), r"weights reach 1e\+300; allowed in f"),
    (lambda: map_matrix([[1e-40]], Hardware(crossbar=CROSSBARS["unrounded"])), "weights reach 1e-40; allowed in float"),
    (lambda: map_matrix(np.ones((4, 2)), Hardware(), dtype=np.float16), "dtype = .*float16.*; allowed: float32, fl"),
    (lambda: map_matrix(np.ones((8, 2)), Hardware(crossbar=CALIBRATED), calibration=BATCH), r"batch of shape \(2, 4\)"),
    (lambda: map_matrix(np.ones((4, 2)), Hardware(crossbar=CALIBRATED), calibration=BATCH * np.inf), "not finite"),
    (lambda: map_matrix(np.ones((4, 2)), Hardware(crossbar=CALIBRATED), calibration=BATCH[:0]), "is empty"),
    (lambda: Key.root(1.5), "seed = 1.5: allowed are whole numbers"),
    (lambda: Adc(range=1e300), "should be less than or equal to 1"),
    (
        lambda: program_matrix([[1.0]], Hardware(crossbar=CROSSBARS["unrounded"]), 0).matmul([[1j]]),
        "inputs are of type",
    ),
    (lambda: program_matrix([[1.0]], Hardware(crossbar=CROSSBARS["unrounded"]), 0, time=np.nan), "time = nan; allowed"),
    (lambda: Device(programming=NormalOfRange(std=-1)), "std: should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("work", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_cannot_work_is_refused_in_one_line(work, message):
    with pytest.raises(InputError, match=message) as refused:
        work()
    assert "\n" not in str(refused.value)
