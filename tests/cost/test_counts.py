"""Sums over a growing context are what a loop gives."""

import math

from hypothesis import given
from hypothesis import strategies as st

from cimstudy.cost.counts import seen, sum_of_larger, tiles_seen

tokens, windows = st.integers(0, 60), st.one_of(st.none(), st.integers(1, 40))


@given(tokens, windows)
def test_tokens_in_sight(n, window):
    assert seen(n, window) == sum(min(c, window or n) for c in range(1, n + 1))


@given(tokens, windows, st.integers(1, 9))
def test_blocks_in_sight(n, window, size):
    assert tiles_seen(n, window, size) == sum(math.ceil(min(c, window or n) / size) for c in range(1, n + 1))


numbers = st.floats(0, 50).map(lambda x: round(x, 2))


@given(numbers, st.tuples(numbers, numbers), tokens, tokens)
def test_sums_of_the_larger_of_a_level_and_a_rising_line(floor, line, low, more):
    expected = sum(max(floor, line[0] * c + line[1]) for c in range(low + 1, low + more + 1))
    assert math.isclose(sum_of_larger(floor, line, (low, low + more)), expected, rel_tol=1e-12, abs_tol=1e-12)
