"""Cells whose current is not proportional to the voltage."""

import numpy as np
import pytest

from cimstudy.analog import program_matrix
from cimstudy.analog.cells import at_full_drive
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Crossbar,
    CurrentAbsolute,
    CurrentOfConductance,
    Dac,
    Device,
    Differential,
    Hardware,
    Offset,
    Wires,
    preset,
)

RNG = np.random.default_rng(4)
W, X = RNG.standard_normal((50, 9)), RNG.standard_normal((12, 50))
CUBIC = CurrentOfConductance(read_voltage=0.5, quadratic=-0.1, cubic=-0.25)
ABSOLUTE = CurrentAbsolute(read_voltage=0.5, quadratic=(-2e-6, 1e-7), cubic=(1e-6, 0.0, 3e-7))
G_MIN, G_MAX = 1e-5, 1e-4
CODINGS = [
    Differential(bits=6),
    Differential(bits=6, slice_bits=2),
    Differential(bits=6, subtraction="digital"),
    Offset(bits=5, subtraction="reference_column"),
]
FINE = Adc(bits=16, range="full")
DACS = {
    "at once": Dac(bits=5),
    "in pulses": Dac(bits=5, serial_bits=2),
    "bit by bit": Dac(bits=5, serial_bits=1),
    "unrounded": None,
}


def current(law, g, v):
    """The law in SI units, for either sign of v."""
    if isinstance(law, CurrentOfConductance):
        return g * (v + law.quadratic * v * abs(v) + law.cubic * v**3)
    n2, n3 = (np.polynomial.polynomial.polyval(np.log10(g), c) for c in (law.quadratic, law.cubic))
    return g * v + n2 * v * abs(v) + n3 * v**3


def reference(law, dac):
    """One pair of cells a weight, pulse by pulse, in SI units."""
    levels = np.rint(W / np.abs(W).max() * 31) / 31
    plus, minus = (G_MIN + (G_MAX - G_MIN) * np.maximum(sign * levels, 0) for sign in (1, -1))
    largest = np.abs(X).max(axis=1, keepdims=True)
    if dac is None:
        pulses, top, weights = [X / largest], 1, [1]
    else:
        codes, bits = np.rint(X / largest * 15).astype(int), dac.serial_bits or 4
        top = 2**bits - 1
        digits = [(np.abs(codes) >> (bits * cycle)) & top for cycle in range(dac.cycles)]
        pulses = [np.sign(codes) * digit / top for digit in digits]
        weights = [2 ** (bits * cycle) for cycle in range(dac.cycles)]
    volts = [pulse[:, :, None] * law.read_voltage for pulse in pulses]
    currents = [(current(law, plus, v) - current(law, minus, v)).sum(axis=1) for v in volts]
    sums = sum(weight * each for weight, each in zip(weights, currents, strict=True))
    scale = top / (15 if dac else 1) * np.abs(W).max() / (G_MAX - G_MIN) / law.read_voltage
    return sums * scale * largest


@pytest.mark.parametrize("law", [CUBIC, ABSOLUTE], ids=lambda law: law.kind)
@pytest.mark.parametrize("dac", DACS.values(), ids=DACS)
@pytest.mark.parametrize("adc", [None, FINE, FINE.replace("per_pulse", False)], ids=["no adc", "adc", "accumulated"])
def test_a_column_sums_the_currents_of_its_cells(law, dac, adc):
    device = Device(g_min=G_MIN, g_max=G_MAX, current=law)
    hardware = Hardware(device=device, crossbar=Crossbar(weights=Differential(bits=6), dac=dac, adc=adc))
    found, expected = program_matrix(W, hardware, 0, dtype=np.float64).matmul(X), reference(law, dac)
    atol = 1e-9 if adc is None else 15 * 50 / 2**15  # half a code for each pulse
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol * np.abs(expected).max())


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding.kind}-{coding.subtraction}-{coding.slices}")
@pytest.mark.parametrize("serial_bits", [1, 2, None])
def test_a_current_that_does_not_bend_is_ohmic(coding, serial_bits):
    crossbar = Crossbar(weights=coding, dac=Dac(bits=5, serial_bits=serial_bits), adc=Adc(bits=9, range="full"))
    straight = CurrentOfConductance(read_voltage=0.5)
    found = [
        program_matrix(W, Hardware(device=Device(g_min=G_MIN, g_max=G_MAX, current=law), crossbar=crossbar), 0).matmul(
            X
        )
        for law in (None, straight)
    ]
    codes = np.abs(found[0]).max() / 500
    np.testing.assert_allclose(*found, atol=codes)  # a current at the edge of a code may take the other one


def test_milo_bends_as_published():
    device = preset("rram-milo")
    g = np.array([62.5e-6, 110e-6, 225e-6])
    np.testing.assert_allclose(
        at_full_drive(g / device.g_max, device) * device.g_max / g, [0.847, 0.966, 0.996], atol=6e-4
    )


def test_currents_that_bend_are_solved_only_behind_driven_rows():
    message = r"not ohmic \(device.current\) have wires only with wires.feed='rows', without wires.interleaved"
    with pytest.raises(InputError, match=message):
        Hardware(device=Device(current=CUBIC), crossbar=Crossbar(wires=Wires(interleaved=True)))
