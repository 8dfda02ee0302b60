import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.metric import Metric
from cimstudy.study.evaluate import Outcome, failure_text, matched
from cimstudy.study.layout import columns, coordinate
from cimstudy.study.pilot import rounds


@given(st.integers(1, 50), st.integers(1, 5), st.integers(1, 4))
def test_the_pilot_tries_existing_cases_each_once_and_warm_ones_where_there_are_two(points, trials, workers):
    pairs = [pair for tried in rounds(points, trials, workers) for pair in tried]
    assert all(0 <= point < points and 0 <= trial < trials for pair in pairs for point, trial in pair)
    assert all(len(set(pair)) == len(pair) == min(2, points * trials) for pair in pairs)
    assert pairs[0][0] == (0, 0)
    first = next(rounds(points, trials, workers))
    assert len(first) <= workers
    cases = [case for pair in first for case in pair]
    assert len(set(cases)) == len(cases)


def sample(**values):
    return Outcome(values={name: np.asarray(value, float) for name, value in values.items()})


def test_undeclared_metrics_have_the_names_and_shapes_of_a_first_case():
    (a, b) = columns(sample(a=1, b=[1, 2]), {}, {})
    assert (a.name, a.shape, a.dims) == ("a", (), ())
    assert (b.name, b.shape, b.dims) == ("b", (2,), ("b_0",))


@pytest.mark.parametrize(
    ("outcome", "metrics", "message"),
    [
        (sample(a=1), {"b": Metric(long_name="b")}, "the workload returned a; it declares the metrics b"),
        (
            sample(a=[1]),
            {"a": Metric(long_name="a")},
            r"metric a has the shape \(1,\); it declares the dimensions \(\)",
        ),
        (
            sample(a=[1], b=[1, 2]),
            {"a": Metric(long_name="a", dims=("layer",)), "b": Metric(long_name="b", dims=("layer",))},
            "dimension layer is 1 long in a, 2 in b; allowed: one length",
        ),
        (sample(status=1), {}, "a metric cannot be named 'status'; taken: capped, duration, error"),
        (sample(), {}, "the workload returned no metrics; allowed: one or more, by name"),
        (None, {"a": Metric(long_name="a", dims=("layer",))}, "the metrics' shapes are unknown"),
    ],
)
def test_metrics_that_cannot_be_stored_are_refused(outcome, metrics, message):
    with pytest.raises(InputError, match=message):
        columns(outcome, metrics, {})


def test_scalar_metrics_that_are_declared_need_no_case():
    (column,) = columns(None, {"a": Metric(long_name="a", better="higher")}, {"a": 2})
    assert column.attributes == {"units": "1", "long_name": "a", "better": "higher", "reference": 2.0}


def test_a_failures_first_line_is_its_type_and_whole_message():
    text = failure_text(OSError("one\n\n  two"))
    assert text.startswith("OSError: one; two\n")
    assert matched(Outcome(error=text), {"a": ()}).error == text


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True, False], "b"), ([1, 2], "i"), ([1, 2.5], "f"), (["a", "b"], "O"), ([None, 1], "O"), ([True, 1], "O")],
)
def test_a_coordinate_has_the_kind_that_holds_all_its_values(values, kind):
    found = coordinate(values)
    assert found.dtype.kind == kind
    if kind != "O":
        assert found.tolist() == values
    else:
        assert found.tolist() == [str(value) for value in values]
