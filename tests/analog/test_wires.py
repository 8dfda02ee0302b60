"""Wires: the effective matrix against a sparse nodal solve, closed forms; the expansion and its error."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from cimstudy.analog import program_matrix, row_tiles
from cimstudy.analog.wires import effective_matrix, line_shares, segments, series_matrix, source_line_currents
from cimstudy.hardware import Adc, Crossbar, Dac, Device, Differential, Hardware, NormalOfTarget, Offset, Wires


def nodal_matrix(g, row_segments, column_segments):
    """Currents into the virtual grounds for one volt at each row in turn, by the conductance matrix of all nodes."""
    rows, columns = g.shape
    row_nodes = np.arange(rows * columns).reshape(rows, columns)
    column_nodes = row_nodes + rows * columns
    ground = 2 * rows * columns
    row_wires = np.pad(row_nodes, ((0, 0), (1, 0)), constant_values=ground)
    column_wires = np.pad(column_nodes, ((0, 1), (0, 0)), constant_values=ground)
    ends = [
        (row_nodes, column_nodes, g),
        (row_wires[:, :-1], row_nodes, np.broadcast_to(1 / row_segments, g.shape)),
        (column_nodes, column_wires[1:], np.broadcast_to(1 / column_segments[:, None], g.shape)),
    ]
    one, two, conductance = (np.concatenate([np.ravel(end[part]) for end in ends]) for part in range(3))
    matrix = csc_matrix(
        (
            np.concatenate([conductance, conductance, -conductance, -conductance]),
            (np.concatenate([one, two, one, two]), np.concatenate([one, two, two, one])),
        ),
        shape=(ground + 1, ground + 1),
    )[:-1, :-1]
    sources = np.zeros((ground, rows))
    sources[row_nodes[:, 0], np.arange(rows)] = 1 / row_segments[0]
    return splu(matrix.tocsc()).solve(sources)[column_nodes[-1]].T / column_segments[-1]


def nodal_source_lines(inputs, g, supply_segments, column_segments):
    """Currents into the virtual grounds for one vector of inputs, each in series with the cells of its row."""
    rows, columns = g.shape
    currents = np.zeros(columns)
    for column in range(columns):
        closed = np.where(inputs != 0, g[:, column], 0)
        matrix = np.zeros((2 * rows, 2 * rows))  # nodes of the source line, then of the column
        for j in range(rows):
            matrix[j, j] += 1 / supply_segments[j]
            if j:
                matrix[j - 1, j - 1] += 1 / supply_segments[j]
                matrix[j - 1, j] = matrix[j, j - 1] = -1 / supply_segments[j]
            node = rows + j
            matrix[node, node] += 1 / column_segments[j]
            if j + 1 < rows:
                matrix[node + 1, node + 1] += 1 / column_segments[j]
                matrix[node, node + 1] = matrix[node + 1, node] = -1 / column_segments[j]
            matrix[j, j] += closed[j]
            matrix[node, node] += closed[j]
            matrix[j, node] = matrix[node, j] = -closed[j]
        driven = closed * inputs
        currents[column] = np.linalg.solve(matrix, np.concatenate([-driven, driven]))[-1] / column_segments[-1]
    return currents


resistance = st.floats(1e-7, 1e-1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), resistance, resistance, resistance, st.integers(0, 2**32 - 1))
def test_the_effective_matrix_is_that_of_all_nodes(rows, columns, row, column, terminal, seed):
    g = np.random.default_rng(seed).uniform(0, 1, (rows, columns)) ** 3
    lines = segments(columns, row, terminal), segments(rows, column, 2 * terminal)[::-1]
    expected = nodal_matrix(g, *lines)
    found = effective_matrix(g, *lines)
    assert np.abs(found - expected).max() <= 1e-9 * expected.sum(axis=0).max()


def test_a_large_array_is_accurate_to_a_millionth_of_a_column_current():
    rng = np.random.default_rng(1)
    g = np.where(rng.random((128, 128)) < 0.4, 0.01, rng.uniform(0.01, 1, (128, 128)))
    v = rng.uniform(0, 1, (5, 128))
    lines = segments(128, 1e-4, 3e-4), segments(128, 2e-4, 1e-3)[::-1]
    expected = v @ nodal_matrix(g, *lines)
    assert (expected < 0.7 * v @ g).any()  # the wires take a good part
    for dtype in (np.float32, np.float64):
        found = v @ effective_matrix(g.astype(dtype), *lines)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_each_array_of_a_batch_is_reduced_as_it_is_alone():
    g = np.random.default_rng(2).uniform(0, 1, (2, 3, 20, 13))
    lines = segments(13, 1e-3, 0), segments(20, 1e-3, 0)[::-1]
    for method in (effective_matrix, series_matrix, line_shares):
        together, swapped = method(g, *lines), method(g.swapaxes(0, 1), *lines)
        for i, j in np.ndindex(2, 3):
            alone = method(g[i, j], *lines)
            np.testing.assert_array_equal(together[i, j], alone)
            np.testing.assert_array_equal(swapped[j, i], alone)


@pytest.mark.parametrize("method", [effective_matrix, series_matrix])
def test_ideal_wires_change_nothing(method):
    g = np.random.default_rng(3).uniform(0, 1, (30, 21))
    np.testing.assert_allclose(method(g, np.zeros(21), np.zeros(30)), g, rtol=1e-13)


@pytest.mark.parametrize("method", [effective_matrix, series_matrix])
def test_one_cell_is_in_series_with_its_wires(method):
    found = method(np.array([[0.5]]), segments(1, 0.1, 0.2), segments(1, 0.3, 0.4))
    # With both lines the expansion is off by the fourth order of wire over cell resistance.
    np.testing.assert_allclose(found, 1 / (1 / 0.5 + 1.0), rtol=1e-12 if method is effective_matrix else 0.5**4)


@pytest.mark.parametrize("method", [effective_matrix, series_matrix])
def test_the_drop_along_a_uniform_line_meets_its_closed_form(method):
    # n equal cells, one segment before each: 2 cosh(k) = 2 + r g, and the line is open beyond its last cell.
    n, r, g = 50, 2e-3, 0.8
    k = math.acosh(1 + r * g / 2)
    voltages = np.cosh((n - np.arange(1, n + 1) + 0.5) * k) / math.cosh((n + 0.5) * k)
    assert voltages[-1] < 0.3
    one_row = method(np.full((1, n), g), segments(n, r, 0), np.zeros(1))
    np.testing.assert_allclose(one_row[0], g * voltages, rtol=1e-12)
    one_column = method(np.full((n, 1), g), np.zeros(1), segments(n, r, 0)[::-1])
    np.testing.assert_allclose(one_column[::-1, 0], g * voltages, rtol=1e-12)


@pytest.mark.parametrize("rows_take", [True, False])
def test_the_expansion_is_exact_when_only_one_kind_of_line_has_resistance(rows_take):
    g = np.random.default_rng(4).uniform(0, 1, (40, 24))
    lines = segments(24, 1e-2 * rows_take, 0), segments(40, 1e-2 * (not rows_take), 0)[::-1]
    np.testing.assert_allclose(series_matrix(g, *lines), effective_matrix(g, *lines), rtol=1e-11)


def test_what_the_expansion_leaves_out_is_of_fourth_order():
    g = np.random.default_rng(5).uniform(0, 1, (48, 64))
    errors = []
    for r in (2e-5, 4e-5, 8e-5):
        lines = segments(64, r, r), segments(48, r, r)[::-1]
        exact = effective_matrix(g, *lines)
        errors.append(np.abs(series_matrix(g, *lines) - exact).max() / exact.max())
    assert errors[-1] < 1e-4
    orders = np.diff(np.log2(errors))
    assert (orders > 3.6).all()
    assert (orders < 4.1).all()


@pytest.mark.parametrize(("r", "drop", "error"), [(2e-5, 0.03, 3e-7), (7e-5, 0.1, 4e-5), (2.2e-4, 0.25, 1.5e-3)])
def test_the_expansion_has_the_documented_error(r, drop, error):
    """docs/physics.md: the largest error of a column current, for arrays that lose `drop` of their current to wires."""
    rng = np.random.default_rng(6)
    g = 0.01 + 0.99 * np.clip(np.abs(rng.standard_normal((128, 128))) / 3, 0, 1) * (rng.random((128, 128)) < 0.5)
    lines = segments(128, r, 0), segments(128, r, 0)[::-1]
    exact = effective_matrix(g, *lines)
    assert abs(1 - exact.sum() / g.sum() - drop) < 0.1 * drop
    found = series_matrix(g, *lines).sum(axis=0)
    assert np.abs(found / exact.sum(axis=0) - 1).max() < error


WIRES = Wires(row_resistance=2.0, column_resistance=3.0, row_terminal_resistance=40.0, column_terminal_resistance=25.0)
SMALL = Crossbar(rows=16, columns=12, weights=Differential(bits=8, slice_bits=3), dac=None, adc=None)


def wired_weights(w, interleaved):
    """The weights that remain of `w`, one array of SMALL after the other, each solved as a network of all its nodes."""
    levels = np.rint(w / np.abs(w).max() * 127).astype(int)
    g_max, found = 1e-4, np.zeros(w.shape)
    across = np.array([2.0 + 40.0] + [2.0] * 11) * g_max
    for rows in row_tiles(len(w), 16):
        for columns in row_tiles(w.shape[1], 12):
            for index in range(3):
                digit = np.sign(levels) * (np.abs(levels) >> 3 * index & 7) / 7
                plus, minus = (0.01 + 0.99 * np.maximum(sign * digit[rows, columns], 0) for sign in (1, -1))
                n, m = plus.shape
                down = np.array([3.0] * (n - 1) + [3.0 + 25.0]) * g_max
                if interleaved:
                    both, down = np.stack([plus, minus], axis=1).reshape(2 * n, m), np.repeat(down, 2)
                    down[::2] = 1e-8  # of no length between the two cells of a pair
                    array = nodal_matrix(both, across[:m], down)
                    difference = array[::2] - array[1::2]
                else:
                    difference = nodal_matrix(plus, across[:m], down) - nodal_matrix(minus, across[:m], down)
                found[rows, columns] += difference / 0.99 * 7 * 8**index
    return found * np.abs(w).max() / 127


@pytest.mark.parametrize("interleaved", [False, True])
def test_slices_tiles_and_pairs_have_the_wires_of_their_own_arrays(interleaved):
    w = np.random.default_rng(7).standard_normal((40, 31))
    wiring = WIRES.replace("interleaved", interleaved)
    hardware = Hardware(device=Device(g_min=1e-6, g_max=1e-4), crossbar=SMALL.replace("wires", wiring))
    expected = wired_weights(w, interleaved)
    assert np.abs(expected - w).max() > 0.05
    found = program_matrix(w, hardware, 0, dtype=np.float64)
    np.testing.assert_allclose(found.weights, expected, rtol=0, atol=1e-6)
    converted = program_matrix(w, hardware.replace("crossbar.adc", Adc(range="full")), 0, dtype=np.float64)
    np.testing.assert_allclose(converted.weights, expected, rtol=0, atol=1e-6)


def test_wires_act_on_the_conductances_that_a_chip_has():
    device = Device(g_min=1e-6, g_max=1e-4, programming=NormalOfTarget(std=0.1))
    w = np.random.default_rng(8).standard_normal((16, 12))
    hardware = Hardware(device=device, crossbar=SMALL.replace("weights", Differential(bits=None)))
    bare = program_matrix(w, hardware, 3, dtype=np.float64).weights
    ideal = program_matrix(w, hardware.replace("crossbar.wires", Wires()), 3, dtype=np.float64).weights
    np.testing.assert_allclose(ideal, bare, rtol=1e-12)
    wired = program_matrix(w, hardware.replace("crossbar.wires", WIRES), 3, dtype=np.float64).weights
    assert 0.01 < np.abs(wired - bare).max() / np.abs(bare).max() < 0.2


def test_read_noise_reaches_the_converter_less_what_the_wires_take():
    device = Device(g_min=1e-6, g_max=1e-4, read_noise=NormalOfTarget(std=0.05))
    crossbar = SMALL.replace("weights", Differential(bits=None)).replace("wires", WIRES)
    w = np.abs(np.random.default_rng(9).standard_normal((16, 12)))
    matrix = program_matrix(w, Hardware(device=device, crossbar=crossbar), 0, dtype=np.float64)
    lines = segments(12, 2e-4, 4e-3), segments(16, 3e-4, 2.5e-3)[::-1]
    plus, minus = 0.01 + 0.99 * w / w.max(), np.full(w.shape, 0.01)
    x = np.random.default_rng(10).choice([-1.0, 1.0], 16)
    exact, step = np.zeros(12), 1e-4  # by the change of each column's current with each cell's conductance
    for cells in (plus, minus):
        for place in np.ndindex(*cells.shape):
            changed = cells.copy()
            changed[place] += step
            slope = x @ (effective_matrix(changed, *lines) - effective_matrix(cells, *lines)) / step
            exact += (0.05 * cells[place] * slope) ** 2
    found = np.square(x) @ matrix.variances[0, 0] * (0.99 / w.max()) ** 2
    bare = np.square(x) @ (0.05**2 * (plus**2 + minus**2))
    assert (exact < 0.95 * bare).all()
    np.testing.assert_allclose(found, exact, rtol=0.02)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), resistance, resistance, resistance, st.integers(0, 2**32 - 1))
def test_source_lines_carry_the_currents_of_all_their_nodes(rows, supply, column, terminal, seed):
    rng = np.random.default_rng(seed)
    g, inputs = rng.uniform(0, 1, (rows, 3)), rng.choice([-1.0, 0.0, 1.0], (4, rows))
    lines = segments(rows, supply, terminal), segments(rows, column, 2 * terminal)[::-1]
    found = source_line_currents(inputs, g, *lines)
    expected = [nodal_source_lines(each, g, *lines) for each in inputs]
    assert np.abs(found - expected).max() <= 1e-9 * g.sum(axis=0).max()


@pytest.mark.parametrize("adc", [None, Adc(bits=16, range="full"), Adc(bits=16, range="full", per_pulse=False)])
@pytest.mark.parametrize("coding", [Differential(bits=6, slice_bits=3), Offset(bits=6)])
def test_bit_serial_inputs_meet_the_wires_of_the_cells_they_connect(coding, adc):
    rng = np.random.default_rng(11)
    w, x = rng.standard_normal((20, 7)), np.rint(rng.uniform(-7, 7, (3, 20)))
    wiring = WIRES.replace("feed", "source_lines")
    crossbar = Crossbar(rows=12, weights=coding, dac=Dac(bits=4, serial_bits=1, range=7.0), adc=adc, wires=wiring)
    matrix = program_matrix(w, Hardware(device=Device(g_min=1e-6, g_max=1e-4), crossbar=crossbar), 0, dtype=np.float64)
    lines = segments(10, 2e-4, 4e-3), segments(10, 3e-4, 2.5e-3)[::-1]
    bits, levels = coding.widths[0], np.rint(w / np.abs(w).max() * 31).astype(int)
    offset = 32 if isinstance(coding, Offset) else 0
    expected = np.zeros((3, 7))
    for rows in row_tiles(20, 12):
        for index in range(coding.slices):
            digits = (np.abs(levels[rows] + offset) >> bits * index & 2**bits - 1) / (2**bits - 1)
            for sign in (1, -1)[: 1 if offset else 2]:
                g = 0.01 + 0.99 * digits * (sign * (levels[rows] + offset) > 0)
                for cycle in range(3):
                    pulse = np.sign(x[:, rows]) * (np.abs(x[:, rows]).astype(int) >> cycle & 1)
                    currents = np.array([nodal_source_lines(each, g, *lines) for each in pulse])
                    currents -= 0.01 * pulse.sum(axis=1, keepdims=True)
                    expected += sign * currents / 0.99 * (2**bits - 1) * 2 ** (bits * index) * 2**cycle
    expected -= offset * x.sum(axis=1, keepdims=True)
    expected *= np.abs(w).max() / 31
    assert np.abs(expected - x @ w).max() > 0.5
    rounding = 0 if adc is None else 2e-3
    np.testing.assert_allclose(matrix.matmul(x), expected, rtol=0, atol=1e-9 + rounding * np.abs(expected).max())
