"""Functions as hardware computes them: published errors, closed bounds, exact limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.hardware.nonlinear import Lookup, Ranges
from cimstudy.transformer.elementwise import ACTIVATIONS, gelu
from cimstudy.transformer.nonlinear import (
    POLYNOMIALS,
    asymptote,
    exact_activation,
    exp_polynomial,
    gelu_polynomial,
    integer_root,
    looked_up,
    memory_of,
    rounded,
    table_of,
)

BELOW = np.linspace(-20, 0, 200_001, dtype=np.float32)


def test_the_polynomial_of_exp_has_the_published_values():
    """Largest error 1.91e-3; 0.90662 and 0.60472 at -0.1 and -0.5 (Kim et al. 2021, computed from the coefficients)."""
    assert np.abs(exp_polynomial(BELOW) - np.exp(BELOW)).max() == pytest.approx(1.91e-3, rel=5e-3)
    np.testing.assert_allclose(exp_polynomial(np.float32([-0.1, -0.5])), [0.90662, 0.60472], atol=1e-5)
    assert exp_polynomial(np.float32([-np.inf]))[0] == pytest.approx(2**-30)


def test_the_polynomial_of_gelu_has_the_published_values():
    """Largest error 1.82e-2; erf 0.5349 and 0.8292 at 0.5 and 1."""
    x = np.linspace(-6, 6, 100_001, dtype=np.float32)
    assert np.abs(gelu_polynomial(x) - gelu(x)).max() == pytest.approx(1.82e-2, rel=5e-3)
    y = np.float32([0.5, 1]) * np.float32(2**0.5)
    np.testing.assert_allclose(2 * gelu_polynomial(y) / y - 1, [0.5349, 0.8292], atol=1e-4)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_are_near_their_functions(name):
    x = np.linspace(-8, 8, 10_001, dtype=np.float32)
    bound = {"gelu": 0.0183, "gelu_tanh": 0.0187, "silu": 8 * 1.91e-3, "relu": 0.0, "tanh": 2 * 1.91e-3}[name]
    assert np.abs(POLYNOMIALS[name](x) - ACTIVATIONS[name](x)).max() <= bound + 1e-6


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=20))
def test_the_root_of_an_integer_is_rounded_down(numbers):
    assert integer_root(np.array(numbers)).tolist() == [math.isqrt(number) for number in numbers]


@given(st.integers(2, 3000), st.sampled_from([0, 1]))
def test_a_table_is_as_near_as_its_entries_are_dense(entries, interpolation):
    """Within half a step times the slope, or an eighth of its square times the curvature; exp has both at most 1."""
    held = table_of(np.exp, Lookup(entries=entries), -4.0, 0.0)
    x = np.linspace(-4, 0, 1001, dtype=np.float32)
    step = 4 / (entries - 1)
    bound = step**2 / 8 if interpolation else step / 2
    assert np.abs(looked_up(x, held, -4.0, 0.0, interpolation) - np.exp(x)).max() <= bound + 2e-6


@given(st.integers(1, 16))
def test_entries_are_rounded_to_their_bits(bits):
    fine, coarse = (table_of(np.exp, Lookup(entries=500, entry_bits=b), -4.0, 0.0) for b in (None, bits))
    assert np.abs(fine - coarse).max() <= 0.5 / (2**bits - 1) + 1e-7
    assert len(np.unique(coarse)) <= 2**bits


@given(st.integers(1, 12), st.sampled_from(["gray", "binary"]))
def test_a_memory_of_ranges_holds_the_function_in_its_bits(bits, code):
    """Half a code from it, and the width of the grid on which ranges are laid."""
    memory = memory_of(np.tanh, Ranges(bits=bits, code=code), -3.0, 3.0)
    x = np.linspace(-3, 3, 5001, dtype=np.float32)
    assert np.abs(memory(x) - np.tanh(x)).max() <= math.tanh(3) / (2**bits - 1) + 6 / 2**14
    assert len(np.unique(memory(x))) == 2**bits or bits > 8


def test_a_gray_code_bears_errors_of_bounds_better():
    """A bound that is off by less than a code's width changes a Gray code by one, a binary code by up to half."""
    x = np.linspace(-1, 1, 20_001, dtype=np.float32)
    worst = {}
    for code in ("gray", "binary"):
        memory = memory_of(lambda x: x, Ranges(bits=6, code=code), -1.0, 1.0)
        errors = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 64)) * 2 / 63
        worst[code] = np.abs(memory.moved(errors.astype(np.float32))(x) - memory(x)).max() * 63 / 2
    assert worst["gray"] <= 1 + 1e-5
    assert worst["binary"] > 8


@given(st.integers(1, 16), st.floats(0.01, 100), st.booleans())
def test_rounding_is_to_the_nearest_level_and_only_once(bits, full, signed):
    x = np.linspace(-full if signed else 0, full, 301, dtype=np.float32)
    y = rounded(x, bits, full, signed=signed)
    top = 2 ** (bits - 1) - 1 if signed and bits > 1 else 2**bits - 1
    assert np.abs(y - x).max() <= full * (0.5 / top + 1e-6)
    np.testing.assert_array_equal(rounded(y, bits, full, signed=signed), y)
    assert rounded(np.float32([3 * full]), bits, full, signed=signed)[0] == pytest.approx(full)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_tend_to_their_asymptotes(name):
    x = np.float32([-30, 30])
    np.testing.assert_allclose(asymptote(name, x), ACTIVATIONS[name](x), atol=1e-6)
    x = np.linspace(-8, 8, 101)
    np.testing.assert_allclose(exact_activation(name)(x), ACTIVATIONS[name](x.astype(np.float32)), atol=1e-6)
