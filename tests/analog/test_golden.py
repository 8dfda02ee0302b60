"""The crossbar core against outputs of CrossSim 3.2.0 (tests/data/crossbar)."""

import math
from pathlib import Path

import numpy as np
import pytest

from cimstudy.analog import Key, map_matrix, program_matrix
from cimstudy.hardware import Crossbar, Device, Hardware, NormalOfRange, NormalOfTarget, PolynomialOfTarget, preset

DATA = Path(__file__).parents[1] / "data" / "crossbar"
ON_OFF_10 = Device(g_min=1e-4, g_max=1e-3)
DAC = {"bits": 8, "range": 1.0}
BIT_SERIAL = DAC | {"serial_bits": 1}
SLICE_RANGES = (6.017329, 6.017329, 6.017329, 3.0086645)

OFFSET_RANGES = (12.034658, 12.034658, 12.034658, 6.017329)
GRANULAR = 128 / 3  # CrossSim's granular step is 1/3 * 128/127 for 2-bit slices, its range 127 steps

EXACT = {
    "g01": {"dac": DAC, "adc": None},
    "g02": {"dac": DAC, "adc": {"bits": 8, "range": 4.029137}},
    "g03": {"dac": DAC, "adc": {"bits": 8, "range": 4.029137}, "weights": {"sides": "two"}},
    "g05": {"dac": DAC, "adc": {"bits": 8, "range": 12.034658}, "weights": {"kind": "offset"}},
    "g06": {
        "dac": DAC,
        "adc": {"bits": 8, "range": 12.034658},
        "weights": {"kind": "offset", "subtraction": "reference_column"},
    },
    "g07": {"dac": DAC, "adc": None, "weights": {"slice_bits": 2}},
    "g08": {"dac": DAC, "adc": {"bits": 8, "range": SLICE_RANGES}, "weights": {"slice_bits": 2}},
    "g09": {"dac": BIT_SERIAL, "adc": {"bits": 8, "range": SLICE_RANGES}, "weights": {"slice_bits": 2}},
    "g10": {
        "dac": BIT_SERIAL,
        "adc": {"bits": 8, "range": SLICE_RANGES, "per_pulse": False},
        "weights": {"slice_bits": 2},
    },
    "g11": {
        "dac": BIT_SERIAL,
        "adc": {"bits": 8, "range": OFFSET_RANGES},
        "weights": {"kind": "offset", "slice_bits": 2},
    },
    "g15": {"dac": DAC | {"range": 2.0}, "adc": {"bits": 8, "range": 2.0310931}, "current_limit": 1.5},
    "g16": {"dac": BIT_SERIAL, "adc": {"bits": 8, "range": GRANULAR}, "weights": {"slice_bits": 2}},
    "g17": {"dac": DAC, "adc": {"bits": 10, "range": 100.0}},
    "g20": {"dac": BIT_SERIAL, "adc": {"bits": 8, "range": 6.017329}, "rows": 256},
}
# CrossSim divides unsliced offset weights by the conductance span where their own span, 254/255 of it, is meant.
GAIN_ERROR = {"g05": 254 / 255, "g06": 254 / 255}


def load(name):
    """A golden file, with the inputs of the first file of its shape where it has none of its own."""
    golden = dict(np.load(DATA / f"{name}.npz"))
    first = "s01" if name[0] == "s" else "g01" if golden["Y"].shape == (48, 9) else "g08"
    return {key: value for key, value in np.load(DATA / f"{first}.npz").items() if key in "WX"} | golden


@pytest.mark.parametrize("name", EXACT)
def test_outputs_equal_those_of_crosssim(name):
    golden = load(name)
    hardware = Hardware(device=ON_OFF_10, crossbar=Crossbar(**EXACT[name]))
    matrix = program_matrix(golden["W"].T, hardware, 0, dtype=np.float64)
    y = matrix.matmul(golden["X"].T).T * GAIN_ERROR.get(name, 1.0)
    np.testing.assert_allclose(y, golden["Y"], rtol=0, atol=1e-6 * np.abs(golden["Y"]).max())


@pytest.mark.parametrize("name", ["g08", "g09"])
def test_single_precision_differs_from_double_by_few_conversions(name):
    golden = load(name)
    hardware = Hardware(device=ON_OFF_10, crossbar=Crossbar(**EXACT[name]))
    y = program_matrix(golden["W"].T, hardware, 0).matmul(golden["X"].T).T
    assert y.dtype == np.float32
    # Rounding moves a code only where a current lies within 1e-6 of the middle between two codes.
    differing = np.abs(y - golden["Y"]) > 1e-5 * np.abs(golden["Y"]).max()
    assert differing.mean() < 1e-2


ON_OFF_100 = Device(g_min=1e-6, g_max=1e-4)
WIRED = {
    "p01": (ON_OFF_100, {"wires": {"row_resistance": 1.0, "column_resistance": 2.0}}),
    "p02": (ON_OFF_100, {"wires": {"row_resistance": 1.0, "column_resistance": 2.0, "interleaved": True}}),
    "p06": (
        Device(g_min=1e-5, g_max=1e-4),
        {
            "weights": {"kind": "offset"},
            "adc": {"bits": 8, "range": 12.034658},
            "wires": {"row_resistance": 0.5, "column_resistance": 0.5, "column_terminal_resistance": 3.0},
        },
    ),
    "p07": (ON_OFF_100, {"wires": {"row_resistance": 0.5, "column_resistance": 0.5}}),
}
GAIN_ERROR["p06"] = GAIN_ERROR["g05"]


@pytest.mark.parametrize("name", WIRED)
def test_outputs_with_wires_equal_those_of_crosssim(name):
    golden = load(name)
    device, crossbar = WIRED[name]
    hardware = Hardware(device=device, crossbar=Crossbar(**{"dac": DAC, "adc": None} | crossbar))
    matrix = program_matrix(golden["W"].T, hardware, 0, dtype=np.float64)
    y = matrix.matmul(golden["X"].T).T * GAIN_ERROR.get(name, 1.0)
    np.testing.assert_allclose(y, golden["Y"], rtol=0, atol=1e-5 * np.abs(golden["Y"]).max())


def of_range(name, g_min, g_max):
    """A preset's programming error, sigma over conductance in siemens, for cells of another range."""
    known = preset(name)
    scaled = (c * (g_max / known.g_max) ** (power - 1) for power, c in enumerate(known.programming.coefficients))
    return Device(g_min=g_min, g_max=g_max, programming=PolynomialOfTarget(coefficients=tuple(scaled)))


STATISTICS = {
    # CrossSim's errors are fractions of g_max, ours of g_max - g_min.
    "s01": (ON_OFF_10.replace("programming", NormalOfRange(std=0.02 / 0.9)), {}),
    "s02": (ON_OFF_10.replace("programming", NormalOfTarget(std=0.05)), {}),
    "s04": (Device(g_min=0.0, g_max=1e-3, programming=NormalOfTarget(std=0.05)), {"weights": {"slice_bits": 2}}),
    "s05": (ON_OFF_10.replace("programming", NormalOfRange(std=0.02 / 0.9)), {"weights": {"kind": "offset"}}),
    "s07": (ON_OFF_10.replace("read_noise", NormalOfRange(std=0.02 / 0.9)), {}),
    "s08": (ON_OFF_10.replace("read_noise", NormalOfTarget(std=0.05)), {}),
    "s09": (ON_OFF_10.replace("read_noise", NormalOfTarget(std=0.05)), {"dac": BIT_SERIAL}),
    "s12": (of_range("rram-neurram-alt", 1e-6, 39e-6), {}),
    "s13": (of_range("pcm-joshi", 0.25e-6, 25e-6), {}),
}
CHIPS = 400


def output_errors(name):
    """Errors of the outputs of 400 chips or 400 reads, (chips, batch, out), and the golden file."""
    golden = load(name)
    device, crossbar = STATISTICS[name]
    mapped = map_matrix(
        golden["W"].T, Hardware(device=device, crossbar=Crossbar(**{"dac": DAC, "adc": None} | crossbar)), dtype=float
    )
    perfect = mapped.on(mapped.hardware.replace("device", device.without_errors())).program(0)
    x = golden["X"].T
    if device.read_noise is None:
        found = [mapped.program(Key.root(7, trial)).matmul(x) for trial in range(CHIPS)]
    else:
        chip = mapped.program(Key.root(7))
        found = [chip.matmul(x, first_vector=number * len(x)) for number in range(CHIPS)]
    return (np.array(found) - perfect.matmul(x)) * (254 / 255 if name == "s05" else 1), golden


@pytest.mark.parametrize("name", STATISTICS)
def test_errors_have_the_mean_and_spread_of_crosssim(name):
    errors, golden = output_errors(name)
    mean, std = errors.mean(axis=0).T, errors.std(axis=0, ddof=1).T
    # Both sides are estimates from 400 chips: the standard error of a difference is sqrt(2) times that of one.
    # All outputs of one chip share its cells, so averages over outputs count each weight column once.
    outputs = std.shape[0]
    mean_z = (mean - golden["mean"]) / (golden["std"] * math.sqrt(2 / CHIPS))
    assert np.abs(mean_z).max() < 5
    spread_z = (std - golden["std"]) / (golden["std"] * math.sqrt(2 / (2 * CHIPS)))
    assert np.abs(spread_z).max() < 5
    ratio = np.sqrt((std**2).sum() / (golden["std"] ** 2).sum())
    assert abs(ratio - 1) < 5 / math.sqrt(CHIPS * outputs)
