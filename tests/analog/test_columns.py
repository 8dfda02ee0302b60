"""Some columns of a matrix have the cells and results of the whole matrix, bit for bit."""

import numpy as np
import pytest

from cimstudy.analog import COLUMNS_TOGETHER, Key, Listed, find_ranges, map_columns, map_matrix
from cimstudy.hardware import (
    Adc,
    Architecture,
    Crossbar,
    Dac,
    Device,
    Differential,
    Hardware,
    Mismatch,
    NormalOfRange,
    NormalOfTarget,
    Offset,
    PowerLaw,
    Wires,
)

ERRONEOUS = Device(programming=NormalOfTarget(std=0.05))
NOISY = ERRONEOUS.replace("read_noise", NormalOfTarget(std=0.02))
CONSTANT = ERRONEOUS.replace("read_noise", NormalOfRange(std=0.02))
SLICED = Crossbar(weights=Differential(slice_bits=2))
HARDWARE = {
    "sliced": Hardware(device=ERRONEOUS, crossbar=SLICED),
    "read noise": Hardware(device=NOISY, crossbar=SLICED),
    "constant read noise, bit-serial": Hardware(device=CONSTANT, crossbar=SLICED.replace("dac", Dac(serial_bits=1))),
    "collapsed, read noise": Hardware(device=NOISY, crossbar=SLICED.replace("adc", None)),
    "drift, compensated for each array": Hardware(
        device=ERRONEOUS.replace("drift", PowerLaw(t0=1.0, exponent=0.1, exponent_std=0.05)),
        crossbar=SLICED.replace("columns", 100),
        architecture=Architecture(drift_compensation="global"),
    ),
    "wires": Hardware(
        device=NOISY,
        crossbar=SLICED.replace("split", "maximal").replace(
            "wires", Wires(row_resistance=5, column_resistance=5, method="series")
        ),
    ),
    "calibrated inputs, full outputs": Hardware(
        device=ERRONEOUS, crossbar=SLICED.replace("dac", Dac(range="calibrated")).replace("adc", Adc(range="full"))
    ),
    "reference columns, a scale for each": Hardware(
        device=NOISY,
        crossbar=Crossbar(
            columns=100, weights=Offset(subtraction="reference_column", scale="column", percentile=99), split="maximal"
        ),
    ),
    "collapsed, reference columns": Hardware(
        device=NOISY, crossbar=Crossbar(columns=100, weights=Offset(subtraction="reference_column"), adc=None)
    ),
    "imperfect converters, after a limit": Hardware(
        device=ERRONEOUS,
        crossbar=SLICED.replace("current_limit", 20.0).replace(
            "adc", Adc(mismatch=Mismatch(gain_std=0.02, offset_std_of_range=0.01), noise_std_of_range=0.01)
        ),
    ),
    "two conversions": Hardware(
        device=NOISY, crossbar=Crossbar(weights=Differential(subtraction="digital", percentile=99.5))
    ),
}


@pytest.mark.parametrize("hardware", HARDWARE.values(), ids=HARDWARE.keys())
@pytest.mark.parametrize("batch", [1, 300])
def test_parts_are_the_whole(hardware, batch):
    rng = np.random.default_rng(0)
    n_out = 2 * COLUMNS_TOGETHER + 130
    w = rng.standard_normal((200, n_out), dtype=np.float32)
    x, calibration = (rng.standard_normal((n, 200), dtype=np.float32) for n in (batch, 40))
    key = Key.root(1, 2).of("matrix")
    whole = map_matrix(w, hardware, calibration=calibration).program(key, time=1e5)
    parts = [w[:, : 2 * COLUMNS_TOGETHER], w[:, 2 * COLUMNS_TOGETHER :]]
    ranges = find_ranges(Listed(tuple(parts)), hardware, calibration=calibration)
    np.testing.assert_array_equal(ranges.adc, whole.layout.ranges.adc)
    found = []
    for first, part in zip((0, 2 * COLUMNS_TOGETHER), parts, strict=True):
        matrix = map_columns(part, hardware, ranges, first_column=first).program(key, time=1e5)
        np.testing.assert_array_equal(matrix.planes, whole.planes[..., first : first + part.shape[1]])
        found.append(matrix.matmul(x, first_vector=7))
    np.testing.assert_array_equal(np.hstack(found), whole.matmul(x, first_vector=7))
