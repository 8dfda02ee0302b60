"""Softmax, norms and activations cost what their kind takes on their engine, as counted step by step elsewhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import Element, Point
from test_scalar import COUNTS, NAMES, REALS

from cimstudy.cost import CHOICES, Work, cost, model_shape
from cimstudy.cost.coefficients import event
from cimstudy.cost.counts import ranges_of
from cimstudy.cost.design import completed, groups
from cimstudy.cost.events import events_of
from cimstudy.cost.nonlinear import NAMES as UNITS
from cimstudy.cost.nonlinear import unit_of

GPT, WORK = model_shape("GPT-2"), Work(prefill=64, decode=16)
ENGINES = CHOICES["architecture.placement.softmax"].allowed
KINDS = [(name, kind) for name in UNITS for kind in CHOICES[f"architecture.{name}.kind"].allowed]


def placed(name, engine, kind, **more):
    return {
        f"architecture.placement.{name}": engine,
        f"architecture.{name}.kind": kind,
        **{f"architecture.{name}.{what}": value for what, value in more.items()},
    }


def unit(name, design):
    (group,) = groups(completed(design))
    return unit_of(name, group, events_of(group))


own = {path for path in COUNTS | REALS | NAMES if any(f".{name}" in path for name in UNITS)}
units = st.fixed_dictionaries(
    {}, optional={path: (COUNTS | REALS | NAMES)[path] for path in [*own, "crossbar.rows", "crossbar.columns"]}
)


@settings(max_examples=200)
@given(st.sampled_from(UNITS), units)
def test_an_element_takes_what_its_steps_do(name, design):
    found, expected = unit(name, design), Element(Point(GPT, design), name)
    assert sum(found.energies.values()) == pytest.approx(expected.energy(), rel=1e-9)
    assert found.time == pytest.approx(expected.time(), rel=1e-9)
    assert found.area == pytest.approx(expected.area(), rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_engine_has_a_cost_of_its_own(name, kind):
    energies = [float(np.sum(list(unit(name, placed(name, engine, kind)).energies.values()))) for engine in ENGINES]
    for one, other in itertools.combinations(range(len(ENGINES)), 2):
        alike = kind == "range-cam" and {ENGINES[one], ENGINES[other]} == {"crossbar", "cam"}
        assert (energies[one] == energies[other]) == alike, (ENGINES[one], ENGINES[other])
    assert min(energies) > 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "kind"), [pair for pair in KINDS if pair[1] in {"table", "exp-log", "range-cam"}])
def test_finer_functions_never_cost_less(engine, name, kind):
    steps = {
        "entries": 2.0 ** np.arange(1, 14),
        "entry_bits": np.arange(1.0, 33),
        "interpolation": np.array([0.0, 1.0]),
        "bits": np.arange(1.0, 13),
        "input_bits": np.arange(1.0, 33),
    }
    for what, values in steps.items():
        found = cost(GPT, WORK, placed(name, engine, kind, **{what: values}))
        assert found["valid"].all()
        for quantity in ("energy_prefill", "energy_per_token", "area", "time_per_token"):
            assert np.all(np.diff(found[quantity]) >= -1e-12 * found[quantity][1:]), (what, quantity)


@pytest.mark.parametrize(("gray", "code"), [(True, lambda value: value ^ (value >> 1)), (False, lambda value: value)])
def test_ranges_are_the_runs_of_ones_of_a_counter(gray, code):
    for bits in range(1, 9):
        codes = [0, *map(code, range(2**bits))]
        rises = sum((after & ~before).bit_count() for before, after in itertools.pairwise(codes))
        assert ranges_of(bits, gray=gray) == rises


def test_ranges_of_two_numbers_are_those_of_the_products_of_four_bits():
    def ranges(bit, x):
        lit = [((x * y) ^ (x * y >> 1)) >> bit & 1 for y in range(16)]
        edges = np.flatnonzero(np.diff([0, *lit, 0]))
        return set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    rows = [ranges(bit, x) - (ranges(bit, x - 1) if x else set()) for bit in range(8) for x in range(16)]
    assert sum(map(len, rows)) == event("range_product", "ranges")


def test_circuits_between_converters_take_a_pulse_and_a_conversion():
    whole, bare = (
        unit("softmax", placed("softmax", "crossbar", "exact") | {"crossbar.conversions_per_weight": lines})
        for lines in (2, 0)
    )
    (group,) = groups(completed({}))
    events = events_of(group)
    assert whole.energies["adc"] == events.conversion
    assert whole.energies["dac"] == events.pulse
    assert bare.energies["adc"] == bare.energies["dac"] == 0
    assert whole.energies["mac"] == bare.energies["mac"] > 0


def test_units_do_not_know_of_other_points():
    """In company of other kinds, engines and bits: the same bits of results as alone."""
    rng = np.random.default_rng(0)
    n = 60
    design = {
        "architecture.chips.node": rng.uniform(7e-9, 65e-9, n),
        **{
            path: rng.choice(CHOICES[path].allowed, n)
            for name in UNITS
            for path in (f"architecture.placement.{name}", f"architecture.{name}.kind")
        },
        **{f"architecture.{name}.input_bits": rng.integers(2, 16, n) for name in UNITS},
        "architecture.softmax.entries": rng.integers(2, 512, n),
    }
    whole = cost(GPT, WORK, design)
    for place in range(0, n, 7):
        alone = cost(GPT, WORK, {path: values[place] for path, values in design.items()})
        for name, values in alone.values.items():
            np.testing.assert_array_equal(whole[name][place], values[0])
