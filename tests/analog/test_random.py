import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cimstudy.analog import Key, normals
from cimstudy.analog.random import philox, words_to_normals
from cimstudy.errors import InputError

KEY = Key.root(1, 2).of("a matrix", "programming")


def test_philox_gives_the_published_answers():
    """Known-answer vectors of Random123 (Salmon et al. 2011)."""
    zero = philox(np.uint32(0), np.uint32(0), np.zeros(4, np.uint32))
    assert [f"{word:08x}" for word in zero] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    ones = np.full(4, 0xFFFFFFFF, np.uint32)
    answer = philox(np.uint32(0xFFFFFFFF), np.uint32(0xFFFFFFFF), ones)
    assert [f"{word:08x}" for word in answer] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]


def test_words_become_the_normal_quantile_of_their_uniform():
    words = np.random.default_rng(0).integers(0, 2**32, 102_400, dtype=np.uint32)
    z = np.empty(len(words), np.float32)
    words_to_normals(words, np.empty_like(z), z)
    tail = ((words & 0x7FFFFFFF).astype(float) + 0.5) * 2.0**-32
    exact = np.where(words >> 31, -1, 1) * stats.norm.isf(tail)
    np.testing.assert_allclose(z, exact, rtol=2e-6, atol=1e-6)


def test_normals_are_standard():
    z = normals(KEY, (2000, 1000)).astype(float)
    count = z.size
    assert abs(z.mean()) < 5 / math.sqrt(count)
    assert abs(z.std() - 1) < 5 / math.sqrt(2 * count)
    assert abs(stats.skew(z.ravel())) < 5 * math.sqrt(6 / count)
    assert abs(stats.kurtosis(z.ravel())) < 5 * math.sqrt(24 / count)
    assert stats.kstest(z.ravel()[:200_000], "norm").pvalue > 1e-6
    assert np.abs(z).max() < 6.4


@given(
    rows=st.integers(1, 40), columns=st.integers(1, 300), first=st.integers(0, 2**33), plane=st.integers(0, 2**32 - 1)
)
def test_a_draw_depends_on_its_place_alone(rows, columns, first, plane):
    whole = normals(KEY, (rows + 3, columns + 70), plane=plane, first_row=first)
    part = normals(KEY, (rows, columns), plane=plane, first_row=first + 2)
    np.testing.assert_array_equal(part, whole[2 : rows + 2, :columns])


@pytest.mark.parametrize(
    "other",
    [Key.root(1, 3), Key.root(2, 2), Key.root(2, 1), Key.root(1, 2).of("b"), Key.root(1, 2).of("a", "b")],
)
def test_streams_of_different_names_are_unrelated(other):
    ours, theirs = normals(Key.root(1, 2), (300, 300)), normals(other, (300, 300))
    assert abs(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) < 5 / math.sqrt(ours.size)


def test_neighbouring_draws_and_planes_are_unrelated():
    z = normals(KEY, (500, 512))
    bound = 5 / math.sqrt(z.size)
    for shift in (1, 16, 64):
        assert abs((z[:, shift:] * z[:, :-shift]).mean()) < bound * 1.1
    assert abs((z[1:] * z[:-1]).mean()) < bound * 1.1
    assert abs((z * normals(KEY, (500, 512), plane=1)).mean()) < bound


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(InputError, match=f"seed = {seed}: allowed are whole numbers from 0 to 4294967295"):
        Key.root(seed)
