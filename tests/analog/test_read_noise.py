"""Noise drawn once per converter input, and for every cell: one distribution."""

import math

import numpy as np
import pytest
from scipy import stats

from cimstudy.analog import COLUMNS_TOGETHER, find_ranges, map_columns, map_matrix
from cimstudy.analog.ranges import Listed
from cimstudy.hardware import (
    Adc,
    Crossbar,
    Dac,
    Device,
    Differential,
    FlickerOfTarget,
    Hardware,
    NormalOfRange,
    NormalOfTarget,
    Offset,
    Polynomial,
)

RNG = np.random.default_rng(5)
W, X = RNG.standard_normal((70, 3)), RNG.standard_normal(70)
READS = 2000
SLICED = Differential(bits=7, slice_bits=3)
FLICKER = FlickerOfTarget(relative=Polynomial(coefficients=(0.01, 0.01)), t_read=1e-6, t0=10.0)
CROSSBARS = {
    "collapsed": Crossbar(rows=40, weights=SLICED, adc=None),
    "converted": Crossbar(rows=40, weights=SLICED, adc=Adc(bits=16, range="full")),
    "bit-serial": Crossbar(rows=40, weights=SLICED, dac=Dac(bits=4, serial_bits=1), adc=Adc(bits=16, range="full")),
    "accumulated": Crossbar(
        rows=40, weights=SLICED, dac=Dac(bits=4, serial_bits=1), adc=Adc(bits=16, range="full", per_pulse=False)
    ),
    "subtracted in digital": Crossbar(
        rows=40, weights=Differential(bits=4, subtraction="digital"), adc=Adc(bits=16, range="full")
    ),
    "offset": Crossbar(rows=40, weights=Offset(bits=4), adc=Adc(bits=16, range="full")),
}


def reads(crossbar, law, *, exact):
    """What many reads of one vector give, (READS, 3)."""
    device = Device(g_min=1e-6, g_max=1e-5, programming=NormalOfRange(std=0.02), read_noise=law.replace("exact", exact))
    mapped = map_matrix(W, Hardware(device=device, crossbar=crossbar), dtype=np.float64)
    return mapped.program(1, time=100.0).matmul(np.broadcast_to(X, (READS, len(X))))


@pytest.mark.parametrize("crossbar", CROSSBARS.values(), ids=CROSSBARS)
@pytest.mark.parametrize("law", [NormalOfRange(std=0.02), NormalOfTarget(std=0.05), FLICKER], ids=lambda law: law.kind)
def test_a_draw_per_converter_input_and_a_draw_per_cell_have_one_distribution(crossbar, law):
    together, by_cell = reads(crossbar, law, exact=False), reads(crossbar, law, exact=True)
    std = together.std(axis=0)
    assert (np.abs(by_cell.mean(axis=0) - together.mean(axis=0)) < 5 * std * math.sqrt(2 / READS)).all()
    assert (np.abs(by_cell.std(axis=0) / std - 1) < 5 / math.sqrt(READS)).all()
    for one, two in zip(together.T, by_cell.T, strict=True):
        assert stats.ks_2samp(one, two).pvalue > 1e-6
    correlation = np.corrcoef(by_cell.T)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < 5 / math.sqrt(READS)).all()


def test_exact_noise_follows_the_vector_and_the_place_in_the_matrix():
    n_out = COLUMNS_TOGETHER + 20
    w, x = RNG.standard_normal((50, n_out)), RNG.standard_normal((6, 50))
    device = Device(g_min=1e-6, g_max=1e-5, read_noise=NormalOfTarget(std=0.05, exact=True))
    hardware = Hardware(device=device, crossbar=Crossbar(rows=30, adc=Adc(range="full")))
    whole = map_matrix(w, hardware).program(2).matmul(x)
    later = map_matrix(w, hardware).program(2).matmul(x[3:], first_vector=3)
    np.testing.assert_array_equal(later, whole[3:])
    ranges = find_ranges(Listed((w,)), hardware)
    part = map_columns(w[:, COLUMNS_TOGETHER:], hardware, ranges, first_column=COLUMNS_TOGETHER)
    np.testing.assert_array_equal(part.program(2).matmul(x), whole[:, COLUMNS_TOGETHER:])
