"""Every coding and converter against a plain chain in double precision, and the collapse of what is linear."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cimstudy.analog import Key, map_matrix, program_matrix, row_tiles
from cimstudy.analog.kernels import FEW
from cimstudy.hardware import (
    Adc,
    Crossbar,
    Dac,
    Device,
    Differential,
    Hardware,
    Inl,
    Mismatch,
    NormalOfRange,
    NormalOfTarget,
    Offset,
)

FULL_INPUT = 2.0
SIGNS = (1, -1)


def plain(w, x, hardware, converters=None):
    """The whole chain of error-free cells: one array, slice, pulse and cell at a time. converters : as programmed."""
    crossbar = hardware.crossbar
    coding, adc = crossbar.weights, crossbar.adc
    axis = 0 if coding.scale == "column" else None
    full = np.percentile(np.abs(w), coding.percentile, axis=axis, keepdims=True)
    sets, top, zero = levels_of(np.clip(w / full, -1, 1), coding)
    full_input = FULL_INPUT if crossbar.dac else np.abs(x).max(axis=1, keepdims=True)
    pulses, pulse_weights, steps, codes = pulses_of(x / full_input, crossbar.dac)
    shift, total = 0, 0.0
    for index, bits in enumerate(coding.widths or [0]):
        digit_steps = 2**bits - 1 if bits else 1
        digits = [(levels >> shift & digit_steps) / digit_steps if bits else levels for levels in sets]
        held = [array_of(digit, coding, hardware.device) for digit in digits]
        if coding.kind == "offset":
            held.append(array_of(zero_digit(coding, shift, digit_steps), coding, hardware.device) + 0 * held[0])
        unit = digit_steps * 2**shift / (span_of(hardware.device) * sum(coding.cells))
        for tile, rows in enumerate(row_tiles(len(w), crossbar.rows, crossbar.split)):
            currents = [[pulse[:, rows] @ g[rows] for pulse in pulses] for g in held]  # by line and pulse
            drawn = None if converters is None else converters[tile, index]
            total = total + unit * read(currents, crossbar, adc_range(adc, index), pulse_weights, steps, drawn)
        shift += bits
    if coding.kind == "offset" and coding.subtraction == "digital":
        empty = hardware.device.g_min / hardware.device.g_max / span_of(hardware.device)
        significances = sum(
            (2**bits - 1) * 2 ** sum(coding.widths[:index]) for index, bits in enumerate(coding.widths or [])
        )
        total -= (empty * (significances or 1) + zero) * codes.sum(axis=1, keepdims=True)
    scale = full / top * (2 if coding.kind == "offset" and coding.bits is None else 1)
    return total * scale * full_input / (crossbar.dac.top if crossbar.dac else 1)


def levels_of(w, coding):
    """Sets of levels (positive polarity first), the full level, and the level of zero. w : in [-1, 1]."""
    top = 2 ** (coding.bits - 1) - 1 if coding.bits else 1
    rounded = (lambda v: np.rint(v).astype(int)) if coding.bits else (lambda v: v)
    if coding.kind == "offset":
        zero = top + 1 if coding.bits else 0.5
        return [rounded(w * top + zero if coding.bits else (w + 1) / 2)], top, zero
    if coding.sides == "two":
        return [rounded((1 + w) / 2 * top), rounded((1 - w) / 2 * top)], top, 0
    level = rounded(w * top)
    return [np.maximum(level, 0), np.maximum(-level, 0)], top, 0


def zero_digit(coding, shift, digit_steps):
    return ((2 ** (coding.bits - 1)) >> shift & digit_steps) / digit_steps if coding.bits else 0.5


def span_of(device):
    return 1 - device.g_min / device.g_max


def array_of(fraction, coding, device):
    """Conductances of the cells that hold a digit together, weighed by their significance."""
    total, below = sum(coding.cells), 0.0
    g = 0.0
    for factor in coding.cells:
        own = fraction if coding.fill == "even" else np.clip((fraction * total - below) / factor, 0, 1)
        g, below = g + factor * (device.g_min / device.g_max + span_of(device) * own), below + factor
    return g


def pulses_of(x, dac):
    """Pulses as fractions of a full one, levels per digit of each, the largest digit, and the signed levels."""
    if dac is None:
        return [x], [1], 1, x
    codes = np.rint(np.clip(x, -1 if dac.signed else 0, 1) * dac.top).astype(int)
    bits = dac.serial_bits or dac.magnitude_bits
    steps = 2**bits - 1
    digits = [np.sign(codes) * (np.abs(codes) >> (c * bits) & steps) / steps for c in range(dac.cycles)]
    return digits, [2 ** (c * bits) for c in range(dac.cycles)], steps, codes


def adc_range(adc, index):
    return None if adc is None else adc.range[index] if isinstance(adc.range, tuple) else adc.range


def read(currents, crossbar, full, pulse_weights, steps, drawn):
    """Digital sum over pulses, in cell units times input levels, of one array and slice. currents : by line, pulse."""
    coding, adc, limit = crossbar.weights, crossbar.adc, crossbar.current_limit
    if limit is not None:
        currents = [[np.clip(current, -limit, limit) for current in line] for line in currents]
    if coding.subtraction == "current":
        currents = [[plus - minus for plus, minus in zip(*currents, strict=True)]]
    elif coding.kind == "offset" and coding.subtraction == "digital":
        currents = currents[:1]
    weights = [steps * weight for weight in pulse_weights]
    if adc is not None and not adc.per_pulse:
        top = crossbar.dac.top if crossbar.dac else 1
        together = [sum(w / top * current for w, current in zip(weights, line, strict=True)) for line in currents]
        currents, weights = [[line] for line in together], [top]
    total = 0.0
    for line, (sign, pulses) in enumerate(zip(SIGNS, currents, strict=False)):
        mismatch = None if drawn is None else drawn[line]
        total += sign * sum(w * code(current, adc, full, mismatch) for w, current in zip(weights, pulses, strict=True))
    return total


def code(current, adc, full, mismatch):
    """What a converter makes of currents, in their unit."""
    if adc is None:
        return current
    gain, offset = (1.0, 0.0) if mismatch is None else mismatch
    bottom = -1.0 if adc.signed else 0.0
    v = np.clip(gain * current / full + offset, bottom, 1)
    if adc.inl:
        p = v if adc.signed else 2 * v - 1
        v = v + adc.inl.bow_of_range * (1 - p**2) + adc.inl.s_shape_of_range * 1.5 * math.sqrt(3) * (p - p**3)
    return np.rint(np.clip(v, bottom, 1) * adc.top) / adc.top * full


def widths_for(draw, level_bits):
    """Slices that hold so many bits: one width for all, or one each."""
    if draw(st.booleans()):
        return draw(st.none() | st.integers(1, level_bits))
    widths = []
    while sum(widths) < level_bits:
        widths.append(draw(st.integers(1, 5)))
    return tuple(widths)


@st.composite
def codings(draw):
    bits = draw(st.none() | st.integers(2, 10))
    kind = draw(st.sampled_from([Differential, Offset]))
    level_bits = 0 if bits is None else bits - (kind is Differential)
    common = {
        "bits": bits,
        "slice_bits": None if bits is None else widths_for(draw, level_bits),
        "scale": draw(st.sampled_from(["matrix", "column"])),
        "percentile": draw(st.sampled_from([100.0, 80.0])),
        "cells": draw(st.sampled_from([(1.0,), (1.0,), (1.0, 1.0), (3.0, 1.0)])),
        "fill": draw(st.sampled_from(["in_order", "even"])),
    }
    if kind is Offset:
        return Offset(**common, subtraction=draw(st.sampled_from(["digital", "reference_column"])))
    sides, subtraction = draw(st.sampled_from(["one", "two"])), draw(st.sampled_from(["current", "digital"]))
    return Differential(**common, sides=sides, subtraction=subtraction)


@st.composite
def dacs(draw):
    signed = draw(st.booleans())
    bits = draw(st.integers(1 + signed, 10))
    serial = draw(st.none() | st.integers(1, bits - signed))
    return Dac(bits=bits, signed=signed, serial_bits=serial, range=FULL_INPUT)


@st.composite
def crossbars(draw):
    coding, dac, rows = draw(codings()), draw(st.none() | dacs()), draw(st.integers(1, 80))
    positive = dac is not None and not dac.signed and (coding.kind == "offset" or coding.subtraction == "digital")
    # No current lies in the middle between two codes of these ranges.
    one = rows * sum(coding.cells) * draw(st.sampled_from([0.7312457, 0.2718281]))
    full = one if draw(st.booleans()) else tuple(one / (1.377 + index) for index in range(coding.slices))
    adc = Adc(
        bits=draw(st.integers(2, 12)),
        range=full,
        signed=not positive or draw(st.booleans()),
        per_pulse=draw(st.booleans()),
        inl=draw(st.none() | st.just(Inl(bow_of_range=0.03, s_shape_of_range=-0.02))),
        mismatch=draw(st.none() | st.just(Mismatch(gain_std=0.05, offset_std_of_range=0.02))),
    )
    return Crossbar(
        rows=rows,
        columns=draw(st.integers(1, 40)),
        split=draw(st.sampled_from(["even", "maximal"])),
        weights=coding,
        dac=dac,
        adc=draw(st.none() | st.just(adc)),
        current_limit=draw(st.none() | st.just(rows * 0.3331)),
    )


@settings(deadline=None, max_examples=300)
@given(
    crossbars(),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(1, 60),
    st.integers(1, 30),
    st.sampled_from([1, 4, FEW + 1]),
    st.integers(0, 2**32 - 1),
)
def test_the_product_is_that_of_its_parts(crossbar, g_min, n_in, n_out, batch, seed):
    rng = np.random.default_rng(seed)
    w, x = rng.standard_normal((n_in, n_out)), rng.standard_normal((batch, n_in))
    hardware = Hardware(device=Device(g_min=g_min, g_max=1.0), crossbar=crossbar)
    matrix = program_matrix(w, hardware, 0, dtype=np.float64)
    if matrix.reference is not None and matrix.converters is not None:
        arrays = row_tiles(n_out, crossbar.columns, crossbar.split)
        of_columns = np.concatenate([np.full(tile.stop - tile.start, i) for i, tile in enumerate(arrays)])
        reference = matrix.reference.converters[..., of_columns]
        drawn = np.concatenate([matrix.converters, reference], axis=2)
    else:
        drawn = matrix.converters
    expected = plain(w, x, hardware, drawn)
    scale = np.abs(plain(w, x, hardware.replace("crossbar.weights.percentile", 100.0), drawn)).max()
    np.testing.assert_allclose(matrix.matmul(x), expected, rtol=0, atol=1e-9 * max(1, scale))


def long_way(w, hardware, x):
    """The product without the short cut."""
    with patch("cimstudy.analog.mapping.collapses", return_value=False):
        matrix = program_matrix(w, hardware, 3)
        return matrix.matmul(x)


@settings(deadline=None, max_examples=60)
@given(crossbars(), st.booleans(), st.integers(1, 60), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_without_converters_the_short_cut_changes_nothing(crossbar, erroneous, n_in, n_out, seed):
    linear = crossbar.replace("adc", None).replace("current_limit", None)
    device = Device(g_min=0.1, g_max=1.0, programming=NormalOfTarget(std=0.05) if erroneous else None)
    hardware = Hardware(device=device, crossbar=linear)
    rng = np.random.default_rng(seed)
    w, x = rng.standard_normal((n_in, n_out)), rng.standard_normal((4, n_in))
    matrix = program_matrix(w, hardware, 3)
    assert matrix.layout.collapsed
    assert_same_to_rounding(matrix.matmul(x), long_way(w, hardware, x), w, x)


def assert_same_to_rounding(short, long, w, x):
    """Equal to what single precision leaves of the largest terms: those of full inputs, full weights and offsets."""
    largest = np.abs(w).max() * np.abs(x).max() * len(w)
    np.testing.assert_allclose(short, long, rtol=0, atol=3e-6 * largest)


@st.composite
def granular(draw):
    """A crossbar whose converters may or may not have a code for every current."""
    coding = draw(codings().filter(lambda coding: coding.bits is not None and coding.bits <= 6))
    dac, adc_range = draw(dacs().filter(lambda dac: dac.bits <= 6)), draw(st.sampled_from(["granular", "full"]))
    adc = Adc(bits=draw(st.integers(4, 16)), range=adc_range, per_pulse=draw(st.booleans()))
    rows = draw(st.integers(1, 40))
    return Crossbar(rows=rows, weights=coding, dac=dac, adc=adc, current_limit=draw(st.sampled_from([None, 2.0, 1e3])))


@settings(deadline=None, max_examples=120)
@given(granular(), st.sampled_from([0.0, 0.1]), st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_with_a_code_for_every_current_the_short_cut_changes_nothing(crossbar, g_min, n_in, n_out, seed):
    hardware = Hardware(device=Device(g_min=g_min, g_max=1.0), crossbar=crossbar)
    rng = np.random.default_rng(seed)
    w, x = rng.standard_normal((n_in, n_out)), rng.standard_normal((4, n_in))
    matrix = program_matrix(w, hardware, 3)
    if matrix.layout.collapsed:
        event("collapsed")
        assert_same_to_rounding(matrix.matmul(x), long_way(w, hardware, x), w, x)


ENOUGH = Crossbar(rows=16, weights=Differential(bits=4), dac=Dac(bits=4), adc=Adc(bits=11, range="granular"))
SHORT_CUTS = [
    ("adc", None, True),
    ("adc.bits", 10, False),  # 16 rows, 7 levels of a cell, 7 of an input: 784 codes are needed, 511 there
    ("adc.bits", 12, True),
    ("adc.range", "full", False),
    ("adc.range", 1023 / 49, True),
    ("adc.range", 1023 / 98, False),  # resolves, but clips
    ("adc.range", 1000 / 49, False),
    ("adc.noise_std_of_range", 0.01, False),
    ("adc.inl", Inl(bow_of_range=0.01), False),
    ("adc.mismatch", Mismatch(gain_std=0.01), False),
    ("dac", None, False),
    ("current_limit", 14.0, True),  # 40 rows in three arrays, the tallest of 14
    ("current_limit", 13.9, False),
]


@pytest.mark.parametrize(("path", "value", "collapsed"), SHORT_CUTS)
def test_the_short_cut_is_taken_where_nothing_clips_or_rounds(path, value, collapsed):
    crossbar = ENOUGH if path != "dac" else ENOUGH.replace("adc.range", 20.0)
    w = np.random.default_rng(0).standard_normal((40, 5))
    mapped = map_matrix(w, Hardware(crossbar=crossbar.replace(path, value)))
    assert mapped.collapsed is collapsed
    noisy = mapped.on(mapped.hardware.replace("device.programming", NormalOfRange(std=0.01)))
    assert noisy.collapsed is (path == "adc")


QUIET = Crossbar(rows=50, dac=Dac(range=FULL_INPUT), adc=Adc(bits=16, range=100.0))


def test_converters_of_a_chip_differ_as_stated_and_stay():
    """Zero inputs show the offsets, a full input the gains: one draw for each array and column."""
    crossbar = QUIET.replace("adc.mismatch", Mismatch(gain_std=0.03, offset_std_of_range=0.01))
    w = np.ones((100, 4000))
    matrix = program_matrix(w, Hardware(crossbar=crossbar), Key.root(1), dtype=np.float64)
    offsets = matrix.matmul(np.zeros((1, 100)))[0]
    one_array = np.concatenate([np.full(50, FULL_INPUT), np.zeros(50)])[None]
    gains = (matrix.matmul(one_array)[0] - offsets) / (FULL_INPUT * 50)
    spread = 0.01 * 100 * FULL_INPUT * math.sqrt(2)  # of the offsets of two arrays
    assert abs(offsets.mean()) < 5 * spread / math.sqrt(4000)
    assert abs(offsets.std() / spread - 1) < 5 / math.sqrt(2 * 4000)
    assert abs(gains.mean() - 1) < 5 * 0.03 / math.sqrt(4000)
    assert abs(gains.std() / 0.03 - 1) < 5 / math.sqrt(2 * 4000)
    again = program_matrix(w, Hardware(crossbar=crossbar), Key.root(1), dtype=np.float64)
    np.testing.assert_array_equal(again.matmul(one_array), matrix.matmul(one_array))
    other = program_matrix(w, Hardware(crossbar=crossbar), Key.root(1, 1), dtype=np.float64)
    assert (other.matmul(one_array) != matrix.matmul(one_array)).mean() > 0.9


@pytest.mark.parametrize("coding", [Differential(), Differential(subtraction="digital"), Differential(slice_bits=4)])
def test_converter_noise_is_fresh_and_of_the_stated_spread(coding):
    crossbar = QUIET.replace("weights", coding).replace("adc.noise_std_of_range", 0.002)
    w, x = np.random.default_rng(0).standard_normal((100, 8)), np.random.default_rng(1).standard_normal((1, 100))
    y = program_matrix(w, Hardware(crossbar=crossbar), 0, dtype=np.float64).matmul(np.repeat(x, 5000, axis=0))
    quiet = program_matrix(w, Hardware(crossbar=crossbar.replace("adc.noise_std_of_range", None)), 0, dtype=np.float64)
    significances = [1.0] if coding.slice_bits is None else [15 / 127, 15 * 16 / 127]
    conversions = 2 * (2 if coding.subtraction == "digital" else 1)  # of two arrays
    unit = np.abs(w).max() * FULL_INPUT * 0.002 * 100
    spread = unit * math.sqrt(conversions * sum(s**2 for s in significances))
    assert (np.abs(y.mean(axis=0) - quiet.matmul(x)[0]) < 5 * spread / math.sqrt(5000) + 1e-3 * spread).all()
    assert (np.abs(y.std(axis=0) / spread - 1) < 5 / math.sqrt(2 * 5000)).all()
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 5 / math.sqrt(5000)


def test_a_reference_columns_errors_are_shared_by_the_columns_of_its_array():
    device = Device(g_min=0.5, g_max=1.0, programming=NormalOfRange(std=0.02))
    coding = Offset(bits=None, subtraction="reference_column")
    hardware = Hardware(device=device, crossbar=Crossbar(columns=10, weights=coding, dac=None, adc=None))
    w = np.random.default_rng(0).uniform(-1, 1, (500, 20))
    errors = program_matrix(w, hardware, 0, dtype=np.float64).weights - w
    correlation = np.corrcoef(errors.T)
    same = np.kron(np.eye(2), np.ones((10, 10))) - np.eye(20)
    error = 5 / math.sqrt(500)
    assert np.abs(correlation[same == 1] - 0.5).max() < error
    assert np.abs(correlation[(same == 0) & (np.eye(20) == 0)]).max() < error


@pytest.mark.parametrize("subtraction", ["current", "digital"])
def test_cells_in_parallel_average_their_errors(subtraction):
    device = Device(g_min=0.5, g_max=1.0, programming=NormalOfRange(std=0.02))
    w = np.random.default_rng(0).uniform(-1, 1, (300, 100))
    spreads = []
    for cells in [(1.0,), (1.0,) * 4]:
        coding = Differential(bits=None, cells=cells, fill="even", subtraction=subtraction)
        crossbar = Crossbar(weights=coding, dac=None, adc=None)
        held = program_matrix(w, Hardware(device=device, crossbar=crossbar), 0, dtype=np.float64).weights
        spreads.append((held - w).std())
    assert abs(spreads[0] / spreads[1] - 2) < 2 * 5 / math.sqrt(w.size)


def ideally_held(w, coding):
    hardware = Hardware(crossbar=Crossbar(weights=coding, dac=None, adc=None))
    return program_matrix(w, hardware, 0, dtype=np.float64).weights


def test_weights_are_clipped_at_their_percentile():
    w = np.random.default_rng(0).standard_normal((400, 30))
    held = ideally_held(w, Differential(bits=None, percentile=90))
    full = np.percentile(np.abs(w), 90)
    np.testing.assert_allclose(held, np.clip(w, -full, full), atol=1e-12)


def test_a_scale_for_each_column_rounds_each_to_its_own_levels():
    w = np.random.default_rng(0).standard_normal((60, 5)) * [1e-3, 1, 10, 0, 1e4]
    held = ideally_held(w, Differential(scale="column"))
    assert (np.abs(held - w).max(axis=0) <= np.abs(w).max(axis=0) / 127 / 2 * (1 + 1e-9)).all()


@given(st.integers(1, 3000), st.integers(1, 700))
def test_a_maximal_split_fills_all_arrays_but_the_last(length, most):
    heights = [tile.stop - tile.start for tile in row_tiles(length, most, "maximal")]
    assert sum(heights) == length
    assert set(heights[:-1]) <= {most}
    assert 1 <= heights[-1] <= most
