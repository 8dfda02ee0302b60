"""How busy arrays are, against digits counted by hand."""

import numpy as np
import pytest

from cimstudy.analog import map_matrix
from cimstudy.analog.activity import mean_level, mean_square_drive
from cimstudy.hardware import Adc, Crossbar, Dac, Differential, Hardware, Offset


def mapped(w, weights, dac=None):
    dac = dac or Dac(bits=8)
    return map_matrix(w, Hardware(crossbar=Crossbar(weights=weights, dac=dac, adc=Adc(range="full"))))


W = np.array([[1.0, -0.5], [0.25, 0.0]], np.float32)  # levels 127, -64, 32, 0 of 7 bits and a sign


def test_levels_of_a_pair_one_of_which_is_empty():
    assert mean_level(mapped(W, Differential(bits=8))) == pytest.approx((127 + 64 + 32 + 0) / 127 / 4 / 2)


def test_levels_of_slices():
    digits = [3, 3, 3, 1, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0]  # of 2 bits, the lowest first
    expected = np.mean(digits) / 3  # the highest slice, of one bit, is in cells of two like the others
    assert mean_level(mapped(W, Differential(bits=8, slice_bits=2))) == pytest.approx(expected / 2)


def test_levels_above_an_offset():
    assert mean_level(mapped(W, Offset(bits=8))) == pytest.approx((255 + 64 + 160 + 128) / 4 / 255)


def test_drives_of_whole_inputs_and_of_bits():
    x = np.array([[1.0, 0.5]], np.float32)  # levels 127 and 64
    whole = mapped(W, Differential(bits=8))
    assert mean_square_drive(whole, x) == pytest.approx((1 + (64 / 127) ** 2) / 2)
    serial = mapped(W, Differential(bits=8), Dac(bits=8, serial_bits=1))
    assert mean_square_drive(serial, x) == pytest.approx((7 + 1) / 14)
