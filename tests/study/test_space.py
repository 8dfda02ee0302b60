import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from cimstudy.errors import InputError
from cimstudy.hardware import Device, NormalOfRange
from cimstudy.study import Axis, Grid, LatinHypercube, Points, Product, Range, Sobol, Sum, Zip
from cimstudy.study.space import space_of

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


BITS = {"crossbar.adc.bits": [5, 6, 7]}
STDS = {"device.programming.std": (0.0, 0.1)}
EVERY_KIND = [
    Grid(BITS),
    Zip({"a.b": [1, 1, 2], "a.c": [Device(name="x"), "pcm-joshi", None]}),
    Points([{"a.b": 1, "a.c": "x"}, {"a.c": "y", "a.b": 1}]),
    LatinHypercube(STDS | {"device.g_max": (1e-6, 1e-4, "log"), "crossbar.rows": (1, 9, "integer")}, n=5, seed=3),
    Sobol([Range("a.b", 0, 1, name="share"), Axis("device", ["pcm-joshi", "ideal"])], n=8, seed=3),
    Grid(BITS) * Sobol(STDS, n=4),
    Grid(BITS) + Grid({"a.b": [1, 2]}) + Sobol(STDS, n=4),
]


@pytest.mark.parametrize("space", EVERY_KIND, ids=lambda space: space.kind)
def test_every_space_survives_json_and_knows_its_points(space):
    again = space_of(json.loads(space.model_dump_json()))
    assert again == space
    points = list(space.points())
    assert points == list(again.points())
    assert len(points) == len(space)
    assert list(space.names()) == list(dict.fromkeys(path for point in points for path in point))
    assert all(isinstance(value, int | float | str | Device | None) for point in points for value in point.values())


def rows(space):
    return [tuple(point.values()) for point in space.points()]


def test_a_zip_goes_through_its_axes_side_by_side():
    assert rows(Zip({"a.b": [1, 1, 2], "a.c": [5, 6, 5]})) == [(1, 5), (1, 6), (2, 5)]


def test_points_come_from_mappings_frames_and_files(tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("device.g_max,device,crossbar.adc.bits\n1e-6,pcm-joshi,5\n2e-6,ideal,6\n")
    frame = pd.read_csv(file)
    expected = [
        {"device.g_max": 1e-6, "device": "pcm-joshi", "crossbar.adc.bits": 5},
        {"device.g_max": 2e-6, "device": "ideal", "crossbar.adc.bits": 6},
    ]
    for given_points in (expected, iter(expected), frame, file, str(file)):
        assert list(Points(given_points).points()) == expected
    assert Points(frame) == Points(file) == Points(expected)
    assert Points(frame, names={"device": "cell"}).names()["device"] == "cell"


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_a_latin_hypercube_has_one_point_in_each_part_of_each_axis(n, seed, dims):
    paths = [f"a.x{number}" for number in range(dims)]
    space = LatinHypercube(dict.fromkeys(paths, (0.0, 1.0)), n=n, seed=seed)
    for path in paths:
        assert sorted(math.floor(point[path] * n) for point in space.points()) == list(range(n))


@given(st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_the_first_n_of_2n_sobol_points_are_the_n_points(power, seed):
    axes = {"a.b": (0.0, 1.0), "a.c": (1.0, 100.0, "log"), "a.d": (0, 9, "integer"), "a.e": ["x", "y", "z"]}
    fewer, more = (rows(Sobol(axes, n=2**exponent, seed=seed)) for exponent in (power, power + 1))
    assert more[: len(fewer)] == fewer


def test_sobol_points_are_the_scrambled_sequence_of_scipy():
    expected = qmc.Sobol(2, rng=np.random.default_rng(5)).random_base2(6)
    assert rows(Sobol({"a.b": (0.0, 1.0), "a.c": (0.0, 1.0)}, n=64, seed=5)) == [
        tuple(row) for row in expected.tolist()
    ]


@given(st.integers(-5, 5), st.integers(1, 6), st.integers(0, 100))
def test_integers_of_a_range_and_values_of_a_list_come_equally_often(low, span, seed):
    count = 1 << (4 + span)
    axes = {"a.b": (low, low + span, "integer"), "a.c": list(range(span + 1))}
    space = Sobol(axes, n=count, seed=seed)
    for path, first in (("a.b", low), ("a.c", 0)):
        found = [point[path] for point in space.points()]
        assert {type(value) for value in found} == {int}
        shares = np.bincount(np.array(found) - first, minlength=span + 1) / count
        assert np.all(np.abs(shares - 1 / (span + 1)) <= 2 / count)  # of a net in base 2 in one dimension


def test_a_log_range_spreads_evenly_over_the_orders_of_magnitude():
    space = Sobol({"a.b": (1e-6, 1e-2, "log")}, n=1024, seed=1)
    decades = np.floor(np.log10([point["a.b"] for point in space.points()]))
    assert np.bincount((decades + 6).astype(int)).tolist() == [256] * 4
    halves = LatinHypercube({"a.b": (1, 100, "log", "integer")}, n=99)
    assert {type(point["a.b"]) for point in halves.points()} == {int}
    assert all(1 <= point["a.b"] <= 100 for point in halves.points())


def test_a_product_of_grids_is_a_grid():
    assert Grid(BITS) * Grid({"a.b": [1]}) == Grid(BITS | {"a.b": [1]})


def test_a_product_has_every_point_of_one_with_every_point_of_the_other():
    space = Grid(BITS) * Zip({"a.b": [1, 2], "a.c": [3, 4]}) * Grid({"a.d": [0, 1]})
    assert isinstance(space, Product)
    assert len(space.terms) == 3
    assert rows(space) == [(bits, b, c, d) for bits in (5, 6, 7) for b, c in ((1, 3), (2, 4)) for d in (0, 1)]


def test_a_sum_has_each_point_once_and_leaves_what_a_term_lacks():
    space = Grid(BITS) + Grid({"crossbar.adc.bits": [7, 8]}) + Grid({"a.b": [7]})
    assert isinstance(space, Sum)
    assert list(space.points()) == [{"crossbar.adc.bits": bits} for bits in (5, 6, 7, 8)] + [{"a.b": 7}]


def test_equal_numbers_of_two_kinds_are_two_values():
    space = Grid({"a.b": [1, 2]}) + Grid({"a.b": [1.0, True]})
    assert [(type(value), value) for (value,) in rows(space)] == [(int, 1), (int, 2), (float, 1.0), (bool, True)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Zip({"a.b": [1], "a.c": [1, 2]}), "differ in length: a.b has 1, a.c has 2; allowed: the same number"),
        (lambda: Sobol(STDS, n=100), r"n = 100; allowed: powers of two, such as 64 or 128"),
        (lambda: Sobol(STDS, n=0), "n: should be greater than or equal to 1"),
        (lambda: Sobol({}, n=4), "axes: "),
        (lambda: Sobol({"a.b": (1,)}, n=4), r"axis a.b is \(1,\); allowed: \(low, high\), with"),
        (lambda: Sobol({"a.b": (1, 2, "cubic")}, n=4), r"axis a.b is \(1, 2, 'cubic'\); allowed: \(low, high\)"),
        (lambda: Sobol({"a.b": (2, 1)}, n=4), "range a.b from 2 to 1; allowed: low < high"),
        (lambda: Sobol({"a.b": (0, 1, "log")}, n=4), "range a.b from 0 to 1; allowed on a log scale: 0 < low"),
        (
            lambda: Sobol({"a.b": (0, 1.5, "integer")}, n=4),
            "range a.b from 0 to 1.5; allowed for integers: bounds that",
        ),
        (lambda: Sobol({"a.b": ("x", 1)}, n=4), "low: should be a valid number"),
        (lambda: Sobol({"a.b": [1, 1]}, n=4), "axis a.b has the value 1 twice"),
        (lambda: Points([]), "there are no points; allowed: one or more"),
        (lambda: Points(3), r"points are 3; allowed: a list of \{path: value\}, a DataFrame, or"),
        (lambda: Points([{"a.b": 1}, {"a.c": 1}]), "point 1 and point 0 differ in a.b; allowed: the same paths"),
        (lambda: Points([1]), "point 0 is 1; allowed: {path: value}"),
        (lambda: Points([{"a.b": 1}], names={"a.c": "x"}), "names: 'a.c' is no path of these points; they give: a.b"),
        (lambda: Points("nowhere.csv"), "nowhere.csv cannot be read .*; allowed: a CSV file whose header names paths"),
        (lambda: Points(pd.DataFrame({"a.b": [1.0, None]})), "axis a.b: nan is not a finite number"),
        (lambda: Grid(BITS) * Sobol({"crossbar.adc.bits": [5]}, n=2), "crossbar.adc.bits is varied by 2 axes"),
        (
            lambda: Grid(BITS) + Grid([Axis("crossbar.adc.bits", [5], name="resolution")]),
            "axis crossbar.adc.bits is named adc_bits in one term, resolution in another; allowed: one name",
        ),
        (lambda: Grid({"x.b.c": [1]}) + Grid({"y.b.c": [1]}), "axes x.b.c and y.b.c are both named b_c"),
    ],
)
def test_bad_spaces_are_refused_with_what_is_allowed(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axis("a.b", []), "axis a.b has no values; allowed: one or more"),
        (lambda: Grid({"a.b": [1, 2, 1]}), "axis a.b has the value 1 twice; allowed: each value once"),
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
