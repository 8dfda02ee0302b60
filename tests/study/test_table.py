import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.study.table import PointsByRow, first_equal, stacked, table_of, times

values = st.one_of(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.text(max_size=2), st.none())
points = st.dictionaries(st.sampled_from(["a", "a.b", "c"]), values, max_size=3)
lists = st.lists(points, max_size=12)


def shown(found):
    """Points with the kinds of their values: 1, 1.0 and True are three values."""
    return [{path: (type(value), value) for path, value in point.items()} for point in found]


@given(lists)
def test_a_table_gives_back_its_points(found):
    table = table_of(found)
    assert shown(table.points()) == shown(found)
    assert shown(table.point(row) for row in range(len(table))) == shown(found)


@given(lists, st.data())
def test_taken_points_are_those_points(found, data):
    rows = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=8)) if found else []
    part = table_of(found).take(np.array(rows, np.intp))
    assert shown(part.points()) == shown(found[row] for row in rows)
    assert all(len(column.values) <= max(len(rows), 1) for column in part.columns.values())


@given(lists, lists)
def test_stacked_tables_have_the_points_of_all(one, other):
    assert shown(stacked([table_of(one), table_of(other)]).points()) == shown(one + other)


@given(lists, st.lists(st.fixed_dictionaries({"d": values}), max_size=4))
def test_a_product_of_tables_has_every_pair(one, other):
    expected = [first | second for first in one for second in other]
    assert shown(times(table_of(one), table_of(other)).points()) == shown(expected)


@given(lists)
def test_distinct_points_are_the_first_of_their_kind(found):
    all_shown = shown(found)
    kept = [point for row, point in enumerate(all_shown) if point not in all_shown[:row]]
    assert shown(table_of(found).distinct().points()) == kept


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20))
def test_the_first_equal_row_is_the_first_that_is_equal(rows):
    keys = [np.array([row[place] for row in rows], np.intp) for place in range(2)]
    assert first_equal(keys, len(rows)).tolist() == [rows.index(row) for row in rows]


@given(lists, st.randoms(use_true_random=False), st.integers(0, 20), st.integers(0, 20))
def test_points_by_row_are_found_by_row(found, random, start, stop):
    rows = random.sample(range(20), len(found))
    by_row = PointsByRow(np.array(rows, np.intp), table_of(found))
    expected = {row: point for row, point in zip(rows, found, strict=True) if start <= row < stop}
    part = pickle.loads(pickle.dumps(by_row.between(start, stop)))  # noqa: S301 - our own
    assert list(part) == sorted(expected)
    assert {row: shown([part[row]]) for row in part} == {row: shown([point]) for row, point in expected.items()}
    with pytest.raises(KeyError):
        by_row[20]
