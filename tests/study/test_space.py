import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.hardware import Device, NormalOfRange
from cimstudy.study import Axis, Grid

plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
values = st.lists(st.one_of(plain_values, st.tuples(plain_values, plain_values)), min_size=1, max_size=5, unique_by=str)
paths = st.lists(st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,3}", fullmatch=True), max_size=4, unique=True)


@st.composite
def grids(draw):
    return Grid([Axis(path, draw(values), name=f"axis_{place}") for place, path in enumerate(draw(paths))])


@given(grids())
def test_a_grid_survives_json(grid):
    text = json.dumps(grid.model_dump(mode="json"))
    assert Grid(**json.loads(text)) == grid


@given(grids())
def test_a_grid_yields_every_combination_once(grid):
    points = list(grid.points())
    assert len(points) == len(grid) == math.prod(len(axis.values) for axis in grid.axes)
    assert len({repr(point) for point in points}) == len(points)
    assert all(list(point) == [axis.path for axis in grid.axes] for point in points)
    assert all(point[axis.path] in axis.values for point in points for axis in grid.axes)


def test_a_grid_without_axes_is_one_point():
    assert list(Grid().points()) == [{}]


def test_the_last_axis_is_the_fastest():
    grid = Grid({"device.g_max": [1e-6, 2e-6], "crossbar.adc.bits": [5, 6]})
    assert [tuple(point.values()) for point in grid.points()] == [(1e-6, 5), (1e-6, 6), (2e-6, 5), (2e-6, 6)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("device", "device"),
        ("workload.time", "workload_time"),
        ("device.programming.std", "programming_std"),
        ("crossbar.adc.bits", "adc_bits"),
    ],
)
def test_a_dimension_is_named_by_the_last_two_parts_of_its_path(path, name):
    assert Axis(path, [1]).dimension == name


def test_a_name_of_its_own_names_the_dimension():
    assert Axis("device.programming.std", [1], name="sigma").dimension == "sigma"


def test_arrays_and_numpy_scalars_are_values():
    assert Axis("a.b", np.array([0.0, 0.5])).values == (0.0, 0.5)
    assert [type(value) for value in Axis("a.b", [np.int64(3), np.float64(0.5), np.bool_(True)]).values] == [
        int,
        float,
        bool,
    ]


def test_whole_parts_are_values_and_survive_json():
    axis = Axis("device", [Device(name="a", programming=NormalOfRange(std=0.1)), "pcm-joshi"])
    assert Axis(**json.loads(axis.model_dump_json())) == axis


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axis("a.b", []), "axis a.b has no values; allowed: one or more"),
        (lambda: Axis("a.b", [1, 2, 1]), "axis a.b has the value 1 twice; allowed: each value once"),
        (lambda: Axis("a.b", 3), "axis a.b: values are 3; allowed: a list of values"),
        (lambda: Axis("a.b", "xy"), "axis a.b: values are 'xy'; allowed: a list"),
        (lambda: Axis("a.b", [{1, 2}]), r"axis a.b: \{1, 2\} is a set; allowed: numbers, text"),
        (lambda: Axis("a.b", [math.nan]), "axis a.b: nan is not a finite number"),
        (lambda: Axis("a b", [1]), "'a b' is no dotted path"),
        (lambda: Axis("a.b", [1], name="trial"), "axis a.b cannot be named 'trial'; allowed: letters"),
        (lambda: Axis("a.b", [1], name="two words"), "axis a.b cannot be named 'two words'; allowed: letters"),
        (
            lambda: Grid({"a.b.c": [1], "x.b.c": [1]}),
            r"axes a.b.c and x.b.c are both named b_c; name one of them: Axis\(",
        ),
        (
            lambda: Grid([Axis("a.b", [1]), Axis("a.b", [2])]),
            "a.b is varied by 2 axes; allowed: one axis for each path",
        ),
        (lambda: Grid("a.b"), "axes are 'a.b'; allowed: {path: values} or a list of Axis"),
    ],
)
def test_bad_axes_are_refused_with_what_is_allowed(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
