"""What a tape repeats is what the calculation does: the same bits at other points, and no more than is needed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scalar import COUNTS, NAMES, REALS, SHAPES, default

from cimstudy.cost import QUANTITIES, Own, Work, cost, model_shape, pieces
from cimstudy.cost.counts import entry, kept_of_share
from cimstudy.cost.kernels import FUNCTIONS
from cimstudy.cost.recording import OtherWay, Recording
from cimstudy.cost.tape import tape_of

GPT, WORK = model_shape("GPT-2"), Work(prefill=20, decode=6)
HARD = np.array([0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 1e-310, 7.0])


def taped(calculation, *inputs):
    """The tape of a calculation of one result."""
    recording = Recording(inputs)
    return tape_of(recording, {"result": calculation(*recording.inputs)})


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_compiled_functions_round_as_those_of_numpy(function):
    first, second = (
        values.ravel() for values in np.meshgrid(HARD, np.append(HARD, np.random.default_rng(0).random(992)))
    )
    inputs = (first, second)[: function.nin]
    with np.errstate(all="ignore"):
        found = taped(function, *(np.ones_like(values) for values in inputs)).repeat(inputs)["result"]
        np.testing.assert_array_equal(found, function(*inputs))


@pytest.mark.parametrize(
    "calculation",
    [
        lambda x, y: np.where(x > 3, x, y) * (y <= 2) + np.isnan(x / y),
        lambda x, y: x**0.5 + 2.0**y - np.log(x) * np.exp(-y),
        lambda x, y: np.clip(x, 2, y) + np.interp(y, [0.0, 4.0], [1.0, 9.0]) + entry(np.arange(9.0), x),
        lambda x, y: kept_of_share(0.3, x, 2) + (x + y) * np.array([2.0]) / (x + y),
        lambda x, y: ~(x < y) | (x == 3),
        lambda x, y: x,
        lambda x, y: 5.0,
    ],
)
def test_other_points_take_the_same_functions(calculation):
    x, y = np.array([1.0, 2.0, 3.0, 7.0]), np.array([0.5, 4.0, 3.0, 2.0])
    tape = taped(calculation, x[::-1], y)
    np.testing.assert_array_equal(tape.repeat([x, y])["result"], calculation(x, y))
    np.testing.assert_array_equal(tape.repeat([y + 1, x])["result"], calculation(y + 1, x))


def test_a_step_is_done_once_and_only_if_something_needs_it():
    recording = Recording([np.ones(3)])
    (x,) = recording.inputs
    twice = x * 2.0
    assert x * 2.0 is twice
    assert x * -0.0 is not x * 0.0
    assert [step.function for step in recording.steps([twice + x])] == [np.multiply, np.add]


def test_points_that_go_another_way_are_told():
    tape = taped(lambda x: x * 2 if np.any(x > 2) else x, np.array([1.0, 3.0]))
    np.testing.assert_array_equal(tape.repeat([np.array([4.0, 0.0])])["result"], [8.0, 0.0])
    with pytest.raises(OtherWay):
        tape.repeat([np.array([1.0, 2.0])])


def test_what_would_not_be_recorded_is_refused():
    (x,) = Recording([np.ones(3)]).inputs
    with pytest.raises(TypeError, match="a recorded array is not an array"):
        np.asarray(x)
    with pytest.raises(TypeError, match=r"neither true nor false; np\.any and np\.all look into it"):
        max(x, 1.0)
    for refused in (np.unique, np.cumsum, np.add.reduce, float, list):
        with pytest.raises(TypeError):
            refused(x)


numbers = st.fixed_dictionaries({}, optional=COUNTS | REALS)
names = st.fixed_dictionaries({}, optional=NAMES)


@settings(max_examples=40)
@given(st.sampled_from(SHAPES), names, st.lists(numbers, min_size=4, max_size=4))
def test_totals_from_a_tape_have_the_bits_of_the_calculation(shape, choices, points):
    """Points of one way, and of others: the third and fourth may go another one than the first two."""
    paths = sorted(set().union(*points))
    together = {path: np.array([point.get(path, default(path, point)) for point in points]) for path in paths}
    order = [0, 1, 1, 0, 2, 3]
    design = {path: values[order] for path, values in together.items()}
    whole = cost(shape, WORK, design | choices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "EVALUATED", 2)
        patch.setattr(pieces, "REPEATED", 2)
        cut = cost(shape, WORK, design | choices)
    for name in QUANTITIES:
        np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)


def test_many_points_that_differ_in_choices_alone(monkeypatch):
    design = {"architecture.kv.location": np.array(["hbm", "buffer", "hbm"])}
    whole = cost(GPT, WORK, design)
    monkeypatch.setattr(pieces, "EVALUATED", 1)
    for cut in (cost(GPT, WORK, design), cost(GPT, WORK, design, breakdown=True)):
        for name in QUANTITIES:
            np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)


def test_many_points_are_repeated_and_not_evaluated(monkeypatch):
    rng, n = np.random.default_rng(0), 500
    design = {
        "crossbar.adc.bits": rng.uniform(4, 12, n),
        "crossbar.rows": rng.integers(16, 512, n),
        "architecture.kv.location": rng.choice(["hbm", "buffer"], n),
        "overrides": (Own(pattern="layers.0-3.*", parts={"device": {"device.g_min": 0.0, "device.g_max": 1e-4}}),),
    }
    whole, evaluate, evaluated = cost(GPT, WORK, design), pieces.evaluate, []

    def counting(shape, group, *, breakdown):
        evaluated.append(group.points)
        return evaluate(shape, group, breakdown=breakdown)

    monkeypatch.setattr(pieces, "EVALUATED", 20)
    monkeypatch.setattr(pieces, "REPEATED", 20)
    monkeypatch.setattr(pieces, "evaluate", counting)
    cut = cost(GPT, WORK, design)
    assert evaluated == [20, 20]  # one of each location
    for name in QUANTITIES:
        np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)
