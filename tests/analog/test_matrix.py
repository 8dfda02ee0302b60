"""Laws of the analog product: limits, closed forms, a plain reference, statistics of errors and noise."""

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.analog import COLUMNS_TOGETHER, Key, map_matrix, program_matrix, row_tiles
from cimstudy.analog.kernels import FEW
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Crossbar,
    Dac,
    Device,
    Differential,
    Hardware,
    NormalOfRange,
    NormalOfTarget,
    Offset,
    PolynomialOfTarget,
)

RNG = np.random.default_rng(11)
W = RNG.standard_normal((200, 70)).astype(np.float32)
X = RNG.standard_normal((9, 200)).astype(np.float32)
SLICED = Differential(bits=8, slice_bits=2)


def test_without_effects_it_is_the_digital_product():
    hardware = Hardware(crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None))
    np.testing.assert_allclose(program_matrix(W, hardware, 0).matmul(X), X @ W, rtol=0, atol=1e-5 * np.abs(X @ W).max())


@pytest.mark.parametrize("serial_bits", [None, 1, 3])
@pytest.mark.parametrize("slice_bits", [None, 1, 4])
def test_many_bits_meet_the_digital_product(serial_bits, slice_bits):
    crossbar = Crossbar(
        weights=Differential(bits=16, slice_bits=slice_bits),
        dac=Dac(bits=16, serial_bits=serial_bits),
        adc=Adc(bits=16, range="full"),
    )
    y = program_matrix(W.astype(float), Hardware(crossbar=crossbar), 0, dtype=np.float64).matmul(X.astype(float))
    # The coarsest step is the converter's: half of 100 rows / 2**15 in each of 2 tiles, weighed by slices and pulses.
    assert np.abs(y - X @ W).max() < 2e-2 * np.abs(X @ W).max()


@pytest.mark.parametrize("serial_bits", [None, 1, 2])
@pytest.mark.parametrize("slice_bits", [None, 1, 3])
def test_a_converter_that_cannot_round_gives_the_collapsed_product(slice_bits, serial_bits):
    """Slices, tiles and pulses are linear: an output converter with a level for every current changes nothing."""
    rng = np.random.default_rng(3)
    w, x = rng.integers(-7, 8, (12, 5)).astype(float), rng.integers(-7, 8, (6, 12)).astype(float)
    w[0, 0], x[:, 0] = 7, 7  # largest values: levels are the numbers themselves
    crossbar = Crossbar(
        rows=4,
        weights=Differential(bits=4, slice_bits=slice_bits),
        dac=Dac(bits=4, serial_bits=serial_bits, range=7.0),
        adc=None,
    )
    collapsed = program_matrix(w, Hardware(crossbar=crossbar), 0, dtype=np.float64)
    cells, pulses = 2 ** crossbar.weights.widths[0] - 1, 2 ** (serial_bits or 3) - 1
    span = 2**15 - 1  # a range at which a code is one digit times one digit
    converted = program_matrix(
        w,
        Hardware(crossbar=crossbar.replace("adc", Adc(bits=16, range=span / (cells * pulses)))),
        0,
        dtype=np.float64,
    )
    np.testing.assert_allclose(collapsed.matmul(x), x @ w, atol=1e-9)
    np.testing.assert_allclose(converted.matmul(x), x @ w, atol=1e-9)


@given(st.integers(1, 5000), st.integers(1, 700))
def test_tiles_are_as_few_and_as_even_as_can_be(n_in, rows):
    tiles = row_tiles(n_in, rows)
    heights = [tile.stop - tile.start for tile in tiles]
    assert sum(heights) == n_in
    assert len(tiles) == math.ceil(n_in / rows)
    assert max(heights) <= rows
    assert max(heights) - min(heights) <= 1
    assert all(one.stop == two.start for one, two in pairwise(tiles))


LAWS = {
    "of range": (NormalOfRange(std=0.03), lambda g: 0.03 * 0.75 + 0 * g),
    "of target": (NormalOfTarget(std=0.04), lambda g: 0.04 * g),
    "polynomial": (PolynomialOfTarget(coefficients=(0.01, 0.05, -0.03)), lambda g: 0.01 + 0.05 * g - 0.03 * g * g),
}


@pytest.mark.parametrize("name", LAWS)
def test_programming_error_has_the_stated_spread(name):
    law, sigma = LAWS[name]
    device = Device(g_min=0.25, g_max=1.0, programming=law)
    levels = np.repeat([-3.0, -1.0, 0.0, 2.0, 3.0], 40_000).reshape(5, -1)
    hardware = Hardware(device=device, crossbar=Crossbar(weights=Differential(bits=3), dac=None, adc=None))
    held = program_matrix(levels, hardware, 5, dtype=np.float64).weights
    for level, found in zip(levels[:, 0], held, strict=True):
        error = (found - level) * 0.75 / 3  # in fractions of g_max
        plus, minus = 0.25 + 0.75 * max(level, 0) / 3, 0.25 + 0.75 * max(-level, 0) / 3
        std = math.hypot(sigma(plus), sigma(minus))
        assert abs(error.mean()) < 5 * std / math.sqrt(error.size)
        assert abs(error.std() / std - 1) < 5 / math.sqrt(2 * error.size)


def test_a_conductance_is_never_negative():
    device = Device(g_min=0.0, g_max=1.0, programming=NormalOfRange(std=0.5))
    hardware = Hardware(device=device, crossbar=Crossbar(weights=Differential(bits=2), dac=None, adc=None))
    zeros = np.zeros((300, 300))
    zeros[0, 0] = 1  # sets the scale
    held = program_matrix(zeros, hardware, 5, dtype=np.float64).weights[1:]
    # Each cell of a zero weight is max(N(0, 0.5), 0), of mean 0.5 / sqrt(2 pi): the difference has variance
    # 2 (0.25 / 2 - 0.25 / (2 pi)).
    std = math.sqrt(2 * 0.25 * (0.5 - 0.5 / math.pi))
    assert abs(held.std() / std - 1) < 5 * math.sqrt(1.5 / held.size)


@pytest.mark.parametrize("law", [NormalOfRange(std=0.02), NormalOfTarget(std=0.05)])
@pytest.mark.parametrize("serial_bits", [None, 1])
@pytest.mark.parametrize("adc", [None, Adc(bits=16, range="full")])
def test_read_noise_has_the_variance_of_its_cells(law, serial_bits, adc):
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((96, 20)), rng.standard_normal(96)
    device = Device(g_min=0.1, g_max=1.0, read_noise=law)
    crossbar = Crossbar(rows=50, weights=SLICED, dac=Dac(bits=6, serial_bits=serial_bits), adc=adc)
    matrix = program_matrix(w, Hardware(device=device, crossbar=crossbar), 3, dtype=np.float64)
    y = matrix.matmul(np.broadcast_to(x, (6000, 96)))
    quiet = program_matrix(w, Hardware(device=Device(g_min=0.1, g_max=1.0), crossbar=crossbar), 3, dtype=np.float64)
    variance = read_variance(w, x, crossbar, law)
    spread = np.sqrt(variance)
    assert (np.abs((y - quiet.matmul(x)).mean(axis=0)) < 5 * spread / math.sqrt(6000) + 2e-3).all()
    assert (np.abs(y.std(axis=0) / spread - 1) < 5 / math.sqrt(2 * 6000)).all()
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 5 / math.sqrt(6000)


def read_variance(w, x, crossbar, law):
    """Variance of each output, summed over cells, slices and pulses one by one: (n_out,)."""
    levels = np.rint(w / np.abs(w).max() * 127).astype(int)
    top = 2 ** (crossbar.dac.bits - 1) - 1
    codes = np.rint(np.abs(x) / np.abs(x).max() * top).astype(int)
    bits = crossbar.dac.serial_bits or crossbar.dac.bits - 1
    total = np.zeros(w.shape[1])
    for s in range(4):
        digit = ((np.abs(levels) >> (2 * s)) & 3) / 3
        sigma = [0.9 * law.std * np.ones_like(digit)] * 2
        if law.kind == "normal_of_target":
            sigma = [law.std * (0.1 + 0.9 * digit), law.std * 0.1 * np.ones_like(digit)]
        cells = (sigma[0] ** 2 + sigma[1] ** 2) * (3 * 4**s) ** 2
        for c in range(crossbar.dac.cycles):
            pulse = ((codes >> (c * bits)) & (2**bits - 1)) * 2 ** (c * bits)
            total += (pulse[:, None] ** 2 * cells).sum(axis=0)
    return total * (np.abs(w).max() / 127 / 0.9 * np.abs(x).max() / top) ** 2


def test_read_noise_follows_the_number_of_the_vector():
    hardware = Hardware(device=Device(read_noise=NormalOfRange(std=0.05)), crossbar=Crossbar(adc=Adc(range="full")))
    matrix = program_matrix(W, hardware, 3)
    whole = matrix.matmul(X)
    np.testing.assert_array_equal(np.concatenate([matrix.matmul(X[:4]), matrix.matmul(X[4:], first_vector=4)]), whole)
    assert (matrix.matmul(X, first_vector=100) != whole).mean() > 0.5


def test_chips_differ_and_repeat():
    mapped = map_matrix(W, Hardware(device="pcm-nandakumar", crossbar=Crossbar(adc=None)))
    one, again, other = (mapped.program(Key.root(0, trial)).weights for trial in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.99


def test_the_same_cells_are_met_whatever_the_tiles_slices_and_errors():
    """Common random numbers: draws are keyed by slice, sign, row and column, not by how the matrix is cut."""
    errors = []
    for rows, std in [(128, 0.02), (64, 0.04)]:
        device = Device(g_min=0.5, g_max=1.0, programming=NormalOfRange(std=std))
        crossbar = Crossbar(rows=rows, weights=SLICED, dac=None, adc=None)
        held = program_matrix(W, Hardware(device=device, crossbar=crossbar), 9, dtype=np.float64).weights
        perfect = program_matrix(
            W, Hardware(device=Device(g_min=0.5, g_max=1.0), crossbar=crossbar), 9, dtype=np.float64
        ).weights
        errors.append((held - perfect) / std)
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-6 * np.abs(errors[0]).max())


def test_calibrated_ranges_cover_the_stated_share_of_currents():
    x = np.random.default_rng(0).standard_normal((400, 200)).astype(np.float32)
    crossbar = Crossbar(dac=Dac(range="calibrated", percentile=99), adc=Adc(range="calibrated", percentile=90))
    mapped = map_matrix(W, Hardware(crossbar=crossbar), calibration=x)
    assert abs((np.abs(x) > mapped.ranges.inputs).mean() - 0.01) < 1e-3
    levels = np.rint(np.clip(x / mapped.ranges.inputs, -1, 1) * 127) / 127
    held = np.rint(W / np.abs(W).max() * 127) / 127
    currents = np.concatenate([levels[:, tile] @ held[tile] for tile in row_tiles(200, 128)])
    assert abs((np.abs(currents) > mapped.ranges.adc[0]).mean() - 0.1) < 1e-3


def test_programming_and_multiplying_take_little_more_than_the_conductances():
    n = 1024
    w, x = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32), np.ones((64, n), np.float32)
    device = Device(programming=NormalOfTarget(std=0.05))
    hardware = Hardware(device=device, crossbar=Crossbar(weights=SLICED, adc=Adc(range="full")))
    program_matrix(w[:64, :64], hardware, 0).matmul(x[:, :64])  # compiles
    tracemalloc.start()
    try:
        matrix = program_matrix(w, hardware, 0)
        matrix.matmul(x)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * matrix.planes.nbytes
    finally:
        tracemalloc.stop()


def test_no_vector_depends_on_the_batch():
    matrix = program_matrix(W, Hardware(device="rram-neurram", crossbar=Crossbar(adc=Adc(range="full"))), 0)
    whole = matrix.matmul(X)
    np.testing.assert_allclose(matrix.matmul(X[3], first_vector=3), whole[3], rtol=0, atol=np.abs(whole).max() / 100)


@pytest.mark.parametrize("few", [1, 3])
@pytest.mark.parametrize(
    "crossbar",
    [
        Crossbar(rows=77, weights=SLICED, adc=Adc(range="full")),
        Crossbar(
            rows=64,
            weights=Differential(bits=4, subtraction="digital"),
            dac=Dac(bits=3, serial_bits=1),
            adc=Adc(range="full"),
        ),
        Crossbar(rows=5, weights=Offset(bits=5, slice_bits=3, subtraction="reference_column"), adc=Adc(range=3.0)),
    ],
)
def test_few_vectors_are_multiplied_as_they_are_among_many(crossbar, few):
    rng = np.random.default_rng(8)
    w, x = rng.standard_normal((199, COLUMNS_TOGETHER + 33)), rng.standard_normal((FEW + 1, 199))
    hardware = Hardware(device=Device(programming=NormalOfTarget(std=0.1)), crossbar=crossbar)
    matrix = program_matrix(w, hardware, 0, dtype=np.float64)
    whole = matrix.matmul(x)
    np.testing.assert_allclose(matrix.matmul(x[:few]), whole[:few], rtol=0, atol=1e-12 * np.abs(whole).max())


BAD = [
    (np.zeros((0, 3)), X, "weights have shape \\(0, 3\\)"),
    (np.zeros(3), X, "weights have shape \\(3,\\)"),
    (np.array([[1.0, np.nan], [np.inf, 0.0]]), X, "weights hold 2 NaN or infinite values of 4"),
    (W, X[:, :5], "inputs have shape \\(9, 5\\); allowed: \\(..., 200\\)"),
    (W, np.where(X > 2, np.nan, X), "inputs hold NaN or infinite values"),
    (W, np.where(X > 2, np.inf, X), "inputs hold NaN or infinite values"),
]


@pytest.mark.parametrize(("w", "x", "message"), BAD)
def test_bad_arrays_are_refused(w, x, message):
    with pytest.raises(InputError, match=message):
        program_matrix(w, Hardware(crossbar=Crossbar(adc=Adc(range="full"))), 0).matmul(x)


def test_calibrated_ranges_need_a_batch():
    with pytest.raises(InputError, match=r"crossbar.adc.range = 'calibrated' needs a calibration batch"):
        map_matrix(W, Hardware())
    with pytest.raises(InputError, match=r"the calibration batch of shape \(2, 200\) is empty, not finite"):
        map_matrix(W, Hardware(), calibration=np.full((2, 200), np.nan))


@pytest.mark.parametrize("slice_bits", [None, 2])
def test_a_full_range_covers_every_current_and_no_more(slice_bits):
    device = Device(g_min=0.2, g_max=1.0)
    crossbar = Crossbar(rows=130, weights=Differential(bits=8, slice_bits=slice_bits), adc=Adc(range="full"))
    mapped = map_matrix(W, Hardware(device=device, crossbar=crossbar))
    np.testing.assert_allclose(mapped.ranges.adc, 100 * 0.8, rtol=1e-6)  # 200 inputs in two tiles
    ones = np.ones((200, 1))
    y = program_matrix(ones, Hardware(device=device, crossbar=crossbar), 0).matmul(ones.T)
    np.testing.assert_allclose(y, 200, rtol=1e-6 if slice_bits is None else 2e-2)
