"""Wires: the effective matrix against a sparse nodal solve, closed forms and CrossSim; the expansion and its error."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from cimstudy.analog.wires import effective_matrix, segments, series_matrix

DATA = Path(__file__).parents[1] / "data" / "crossbar"


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
    for method in (effective_matrix, series_matrix):
        together = method(g, *lines)
        for place in np.ndindex(2, 3):
            np.testing.assert_array_equal(together[place], method(g[place], *lines))


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


def rounded_pair(w):
    """Plus and minus conductances over g_max of weights in 7 bits and a sign, on an on/off ratio of 100."""
    levels = np.rint(w / np.abs(w).max() * 127) / 127
    return 0.01 + 0.99 * np.maximum(levels, 0), 0.01 + 0.99 * np.maximum(-levels, 0)


# Wire resistances of CrossSim's files, over that of a cell at g_max: rows and columns.
CROSSSIM = {"p01": (1e-4, 2e-4), "p07": (0.5e-4, 0.5e-4)}


@pytest.mark.parametrize("name", CROSSSIM)
def test_products_equal_those_of_crosssim(name):
    golden = np.load(DATA / f"{name}.npz")
    w, x = golden["W"].T, np.rint(golden["X"].T * 127) / 127
    plus, minus = rounded_pair(w)
    row, column = CROSSSIM[name]
    lines = segments(w.shape[1], row, 0), segments(w.shape[0], column, 0)[::-1]
    y = x @ (effective_matrix(plus, *lines) - effective_matrix(minus, *lines)) * np.abs(w).max() / 0.99
    np.testing.assert_allclose(y.T, golden["Y"], rtol=0, atol=1e-5 * np.abs(golden["Y"]).max())
