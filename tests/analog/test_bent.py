"""Cells that are not ohmic behind wires: the iteration against Kirchhoff's laws, ohmic cells and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from cimstudy.analog import program_matrix, row_tiles
from cimstudy.analog.bent import bent_currents
from cimstudy.analog.wires import effective_matrix, segments
from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, CurrentOfConductance, Dac, Device, Differential, Hardware, Wires

BENT = Device(g_min=1e-5, g_max=1e-4, current=CurrentOfConductance(read_voltage=0.5, quadratic=-0.3, cubic=0.8))
WIRES = Wires(row_resistance=4.0, column_resistance=6.0, column_terminal_resistance=30.0)

resistance = st.floats(1e-6, 1e-2)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 20), st.integers(1, 20), resistance, resistance, st.integers(0, 2**32 - 1))
def test_ohmic_cells_meet_the_effective_matrix(rows, columns, row, column, seed):
    rng = np.random.default_rng(seed)
    g, x = rng.uniform(0, 1, (rows, columns)), rng.uniform(-1, 1, (3, rows))
    lines = segments(columns, row, row), segments(rows, column, column)[::-1]
    found = bent_currents(x, g, np.zeros((2, rows, columns)), *lines)
    np.testing.assert_allclose(found, x @ effective_matrix(g, *lines), rtol=0, atol=1e-7 * g.sum(axis=0).max())


@pytest.mark.parametrize("drive", [1.0, -0.4])
def test_one_cell_meets_the_root_of_its_equation(drive):
    g, quadratic, cubic, wire = 0.7, -0.2, 0.5, 0.6
    left = lambda d: d + wire * (g * d + quadratic * d * abs(d) + cubic * d**3) - drive  # noqa: E731 - an equation
    voltage = brentq(left, -2, 2, xtol=1e-14)
    found = bent_currents(
        np.array([[drive]]), np.array([[g]]), np.array([[[quadratic]], [[cubic]]]), np.array([0.4]), np.array([0.2])
    )
    np.testing.assert_allclose(found, (drive - voltage) / wire, rtol=1e-7)


def test_currents_obey_kirchhoffs_laws_at_every_node():
    """Voltages of all nodes, found by elimination with the slopes fixed, change no more."""
    rng = np.random.default_rng(0)
    g, x = rng.uniform(0.1, 1, (12, 9)), rng.uniform(-1, 1, (4, 12))
    bends = np.stack([-0.2 * g, 0.4 * g])
    lines = segments(9, 5e-3, 0.0), segments(12, 5e-3, 0.0)[::-1]
    found = bent_currents(x, g, bends, *lines)
    for drives, currents in zip(x, found, strict=True):
        chords, last = g, np.zeros(9)
        for _ in range(60):  # each cell as a resistor of what it had in the round before
            array = effective_matrix(chords, *lines)
            voltages = cell_voltages(chords, drives, *lines)
            last = drives @ array
            chords = g + bends[0] * np.abs(voltages) + bends[1] * voltages**2
        assert np.abs(last - drives @ effective_matrix(g, *lines)).max() > 0.02
        np.testing.assert_allclose(currents, last, rtol=0, atol=1e-7)


def cell_voltages(g, drives, row_segments, column_segments):
    """Voltages across ohmic cells, from all nodes at once."""
    rows, columns = g.shape
    along = np.tril(np.ones((columns, columns))) * row_segments @ np.triu(np.ones((columns, columns)))
    down = np.triu(np.ones((rows, rows))) * column_segments @ np.tril(np.ones((rows, rows)))
    drop = np.kron(np.eye(rows), along) + np.kron(down, np.eye(columns))
    matrix = np.eye(g.size) + drop * g.ravel()
    return np.linalg.solve(matrix, np.repeat(drives, columns)).reshape(g.shape)


def test_currents_that_fall_with_the_voltage_are_refused():
    falling = np.stack([np.full((8, 8), -40.0), np.zeros((8, 8))])
    with pytest.raises(InputError, match="no balance of the voltages in an array with wires was found"):
        bent_currents(np.ones((1, 8)), np.full((8, 8), 1.0), falling, np.full(8, 0.5), np.full(8, 0.5))


@pytest.mark.parametrize("serial_bits", [None, 1])
def test_products_go_through_slices_tiles_and_pulses(serial_bits):
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((14, 11)), np.rint(rng.uniform(-7, 7, (3, 14)))
    crossbar = Crossbar(
        rows=8,
        columns=6,
        weights=Differential(bits=5, slice_bits=2),
        dac=Dac(bits=4, range=7.0, serial_bits=serial_bits),
        adc=None,
        wires=WIRES,
    )
    found = program_matrix(w, Hardware(device=BENT, crossbar=crossbar), 0, dtype=np.float64).matmul(x)
    levels = np.rint(w / np.abs(w).max() * 15).astype(int)
    down = segments(7, 6e-4, 3e-3)[::-1]
    expected = np.zeros((3, 11))
    pulses = (
        [(x, 7, 1)]
        if serial_bits is None
        else [(np.sign(x) * (np.abs(x).astype(int) >> c & 1), 1, 2**c) for c in range(3)]
    )
    for drives, steps, weight in pulses:
        for rows in row_tiles(14, 8):
            for columns in row_tiles(11, 6):
                across = segments(columns.stop - columns.start, 4e-4, 0)
                for index in range(2):
                    digits = np.sign(levels) * (np.abs(levels) >> 2 * index & 3) / 3
                    for sign in (1, -1):
                        g = 0.1 + 0.9 * np.maximum(sign * digits[rows, columns], 0)
                        bends = np.stack([-0.15 * g, 0.2 * g])
                        currents = bent_currents(drives[:, rows] / steps, g, bends, across, down)
                        expected[:, columns] += sign * steps * weight * 3 * 4**index / 0.9 * currents
    np.testing.assert_allclose(found, expected * np.abs(w).max() / 15, rtol=0, atol=1e-6)


def test_wires_without_resistance_leave_bent_currents_as_they_are():
    w, x = np.random.default_rng(2).standard_normal((2, 10, 10))
    crossbar = Crossbar(rows=8, columns=6, dac=Dac(bits=6, range=3.0), adc=None)
    bare, wired = (
        program_matrix(w, Hardware(device=BENT, crossbar=each), 0, dtype=np.float64).matmul(x)
        for each in (crossbar, crossbar.replace("wires", Wires()))
    )
    np.testing.assert_allclose(wired, bare, rtol=1e-9)
