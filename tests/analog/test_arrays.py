"""Products with single arrays, in blocks of registers."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimstudy import analog
from cimstudy.analog import arrays, registers
from cimstudy.hardware import Adc, Crossbar, Dac, Device, Differential, Hardware, NormalOfTarget

SLICED = Crossbar(weights=Differential(bits=8, slice_bits=2), adc=Adc(range="full"))
ERRORS = Device(programming=NormalOfTarget(std=0.05))
NOISE = NormalOfTarget(std=0.02)
KINDS = {
    "d": Hardware(device=ERRORS, crossbar=SLICED),
    "two lines": Hardware(device=ERRORS, crossbar=SLICED.replace("weights.subtraction", "digital")),
    "serial": Hardware(device=ERRORS, crossbar=SLICED.replace("dac", Dac(serial_bits=2))),
    "noise": Hardware(device=ERRORS.replace("read_noise", NOISE), crossbar=SLICED),
    "noise, serial": Hardware(
        device=ERRORS.replace("read_noise", NOISE), crossbar=SLICED.replace("dac", Dac(serial_bits=4))
    ),
}


def some_of(seed, batch, n_in, n_out, dtype):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, n_in)).astype(dtype), rng.standard_normal((n_in, n_out)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 140),
    st.integers(1, 150),
    st.integers(0, 40),
    st.integers(0, 40),
    st.sampled_from([np.float32, np.float64]),
)
def test_products_are_those_of_double_precision(batch, rows, n, first, left, dtype):
    x, cells = some_of(0, batch, rows, left + n + 3, dtype)
    cells = np.concatenate([np.zeros((first, cells.shape[1]), dtype), cells])
    out = np.empty((batch, n), dtype)
    arrays.multiply(x, cells, first, left, out)
    exact = x.astype(float) @ cells[first:, left : left + n].astype(float)
    bound = rows * np.finfo(dtype).eps * (np.abs(x).astype(float) @ np.abs(cells[first:, left : left + n]))
    assert (np.abs(out - exact) <= bound).all()


def test_numbers_of_two_kinds_are_refused():
    x, cells = some_of(0, 20, 30, 40, np.float32)
    with pytest.raises(TypeError, match="allowed: contiguous ones of float64"):
        arrays.multiply(x, cells.astype(np.float64), 0, 0, np.empty((20, 40), np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_vector_has_the_same_outputs_in_any_company(kind, dtype):
    x, w = some_of(1, 130, 300, 101, dtype)
    matrix = analog.program_matrix(w, KINDS[kind], 0, dtype=dtype)
    together = matrix.matmul(x)
    alone = np.stack([matrix.matmul(vector, first_vector=i) for i, vector in enumerate(x)])
    parts = np.concatenate(
        [matrix.matmul(x[:17]), matrix.matmul(x[17:99], first_vector=17), matrix.matmul(x[99:], first_vector=99)]
    )
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, parts)


@pytest.mark.parametrize("kind", ["d", "serial"])
def test_codes_are_those_of_currents_in_double_precision(kind):
    """Of currents that are not within rounding of the edge between two codes."""
    hardware = KINDS[kind].replace("device.programming", None)
    x, w = some_of(2, 40, 256, 33, np.float64)
    single, double = (analog.program_matrix(w, hardware, 0, dtype=dtype) for dtype in (np.float32, np.float64))
    found, exact = single.matmul(x.astype(np.float32)), double.matmul(x)
    equal = np.isclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    assert equal.mean() > 0.98


def test_currents_have_the_same_bits_in_any_company():
    """Converters hide most last bits; currents show all."""
    x, cells = some_of(3, 30, 100, 70, np.float32)
    together, alone = np.empty((2, 30, 70), np.float32)
    arrays.multiply(x, cells, 0, 0, together)
    for vector, out in zip(x, alone, strict=True):
        arrays.multiply(vector[None], cells, 0, 0, out[None])
    np.testing.assert_array_equal(together, alone)


def digests():
    """Of the outputs of every kind of product, and of currents."""
    x, w = some_of(4, 30, 200, 101, np.float32)
    found = {kind: analog.program_matrix(w, hardware, 0).matmul(x) for kind, hardware in KINDS.items()}
    found["currents"] = np.empty((30, 101), np.float32)
    arrays.multiply(x, w, 0, 0, found["currents"])
    return {kind: hashlib.sha256(out.tobytes()).hexdigest() for kind, out in found.items()}


@pytest.mark.slow
def test_processors_with_shorter_words_have_the_same_bits(tmp_path):
    """As in a cluster of machines of several ages."""
    features = llvm.get_host_cpu_features().flatten()
    if "+avx512f" not in features.split(","):
        pytest.skip("this processor has no longer words than others")
    older = re.sub(r"\+(?=avx512|avx10|evex512)", "-", features)
    asks = "import test_arrays as here, json; print(json.dumps([here.registers.BYTES, here.digests()]))"
    found = subprocess.run(
        [sys.executable, "-c", asks],
        cwd=Path(__file__).parent,
        env=os.environ | {"NUMBA_CPU_FEATURES": older, "NUMBA_CPU_NAME": "haswell", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == [32, digests()]
    assert registers.BYTES == 64
