import functools
import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Crossbar, Device, Hardware, NormalOfRange, Override, preset
from cimstudy.study import Axis, Grid, Study


def nothing(hardware, *, seed, trial):
    return {"x": 0.0}


@dataclass(frozen=True)
class Scaled:
    """A workload that is a dataclass."""

    scale: float = 1.0

    def __call__(self, hardware, *, seed, trial):
        return {"x": self.scale * trial}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file's workloads, under the name by which a study's JSON finds them."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys.modules["test_study"])


def study_of(axes=(), **changes):
    return Study(name="s", workload=nothing, space=Grid(axes), **changes)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(2, 16), min_size=1, max_size=4, unique=True),
    st.integers(1, 10**6),
    st.integers(0, 2**32 - 1),
    st.text(min_size=1).filter(lambda text: "\n" not in text),
)
def test_a_study_survives_json(stds, bits, trials, seed, name):
    axes = [
        Axis("device.programming", [NormalOfRange(std=std) for std in stds], name="law"),
        Axis("crossbar.adc.bits", bits),
    ]
    study = Study(name=name, workload=Scaled(0.5), space=Grid(axes), trials=trials, seed=seed)
    again = Study.from_json(study.to_json())
    assert again == study
    assert again.hash() == study.hash()


def test_any_change_of_a_study_changes_its_hash():
    study = study_of({"crossbar.adc.bits": [5, 6]}, trials=3, seed=1)
    changes = {
        "name": "other",
        "workload": Scaled(),
        "hardware.crossbar.rows": 64,
        "space": Grid({"crossbar.adc.bits": [5, 7]}),
        "trials": 4,
        "seed": 2,
    }
    hashes = {study.replace(path, value).hash() for path, value in changes.items()} | {study.hash()}
    assert len(hashes) == len(changes) + 1


def test_a_points_hardware_is_the_base_with_the_points_values():
    study = study_of({"device.g_max": [1e-6], "crossbar.adc.bits": [5]})
    (point,) = study.space.points()
    assert study.point_hardware(point) == Hardware().replace("device.g_max", 1e-6).replace("crossbar.adc.bits", 5)


def test_a_whole_part_is_set_before_its_fields_whatever_the_order_of_axes():
    axes = {"device.g_max": [1e-6], "device": ["pcm-joshi", Device(name="mine")]}
    for space in (Grid(axes), Grid(dict(reversed(axes.items())))):
        hardware = [study_of(space.axes).point_hardware(point) for point in space.points()]
        assert {part.device.g_max for part in hardware} == {1e-6}
        assert {part.device.name for part in hardware} == {"pcm-joshi", "mine"}


def test_values_that_are_valid_only_together_are_set_together():
    base = Hardware(crossbar=Crossbar(adc=Adc(range=(1.0,))))
    point = {"crossbar.weights.slice_bits": 4, "crossbar.adc.range": (1.0, 2.0)}
    hardware = study_of({path: [value] for path, value in point.items()}, hardware=base).point_hardware(point)
    assert hardware.crossbar.weights.slices == len(hardware.crossbar.adc.range) == 2


def test_equal_points_have_one_identity_however_they_are_written():
    by_name = study_of({"device": ["pcm-joshi"]}).resolve_all()
    by_value = study_of({"device": [preset("pcm-joshi")]}).resolve_all()
    as_base = study_of(hardware=Hardware(device="pcm-joshi")).resolve_all()
    assert by_name[0].identity == by_value[0].identity == as_base[0].identity
    assert study_of().resolve_all()[0].identity != as_base[0].identity


def test_fields_of_the_workload_are_axes(logged_study):
    study = logged_study.replace("space", Grid({"workload.time": [0.0, 2.5]}))
    assert [resolved.workload.time for resolved in study.resolve_all()] == [0.0, 2.5]
    assert {resolved.hardware for resolved in study.resolve_all()} == {study.hardware}


def test_overrides_are_axes_whole_and_within():
    base = Hardware().override("*.k", name="keys", device="rram-neurram").override("head", engine="sram-cim")
    axes = {"overrides.keys.engine": ["crossbar", "digital"], "overrides.keys.device.g_max": [1e-5, 2e-5]}
    study = study_of(
        {**axes, "overrides.head": [Override(name="head", pattern="head"), base.overrides[1]]}, hardware=base
    )
    found = study.resolve_all()
    assert len({resolved.identity for resolved in found}) == 8
    assert found[-1].hardware == base.replace("overrides.keys.engine", "digital").replace(
        "overrides.keys.device.g_max", 2e-5
    )
    assert found[0].hardware.engine("head") == "crossbar"
    whole = study_of({"overrides": [(), base.overrides]})
    assert [resolved.hardware for resolved in whole.resolve_all()] == [Hardware(), base]


def test_an_override_that_is_not_there_is_no_axis():
    with pytest.raises(InputError, match=r"overrides.keys.engine: 'keys' is unknown; there are: none"):
        study_of({"overrides.keys.engine": ["digital"]}).resolve_all()


def test_all_bad_points_are_named_in_one_line_each_message_once():
    study = study_of({"crossbar.adc.bits": [5, 99, 100], "device.g_max": [1e-6, 2e-6, -1.0]})
    with pytest.raises(InputError) as caught:
        study.resolve_all()
    text = str(caught.value)
    assert text.count("\n") == 0
    assert text.count("crossbar.adc.bits = 99: should be less than or equal to 16") == 1
    assert text.count("crossbar.adc.bits = 100: should be less than or equal to 16") == 1
    assert text.count("device.g_max = -1.0: should be greater than 0") == 1
    assert text.startswith("7 of 9 points cannot be: ")
    assert "should be greater than 0 (3 points)" in text


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"device.nope": [1]}, "device.nope: 'nope' is unknown; Device has: name, technology"),
        ({"device": ["nope"]}, "device = 'nope': unknown preset 'nope'; known: "),
        ({"device.programming.std": [0.1]}, "programming is None here and has no fields; first give it a"),
        ({"crossbar.adc.bits": [5, 5.0001]}, "crossbar.adc.bits = 5.0001: should be a valid integer"),
        (
            {"device.name": ["ideal", "x"], "device": [Device(name="y"), Device()]},
            "points 0 and 1 of the space are the same",
        ),
    ],
)
def test_bad_points_are_refused_with_what_is_allowed(axes, message):
    with pytest.raises(InputError, match=message):
        study_of(axes).resolve_all()


def test_the_workloads_own_check_is_asked_at_every_point(logged_study):
    study = logged_study.replace("workload.refuses", 6)
    with pytest.raises(
        InputError, match=r"^2 of 6 points cannot be: crossbar\.adc\.bits = 6: not with this workload \(2 points\)$"
    ):
        study.resolve_all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: study_of({"nope.x": [1]}),
            "axis nope.x: unknown; an axis starts with device, crossbar, architecture, overrides or workload",
        ),
        (lambda: study_of({"workload": [1]}), "axis workload: unknown; an axis starts with"),
        (
            lambda: study_of({"workload.time": [1]}),
            r"axis workload.time: the workload .*:nothing is no Part and has no field 'time'",
        ),
        (lambda: study_of(trials=0), "trials: should be greater than or equal to 1"),
        (lambda: study_of(seed=2**32), "seed: should be less than 4294967296"),
        (lambda: study_of(hardware="nope"), "hardware: "),
        (
            lambda: Study(name="s", workload=Scaled),
            "the workload is the class Scaled; allowed: an instance of it, or a function",
        ),
        (lambda: Study(name="s", workload=3), r"the workload is 3; allowed: a callable workload\(hardware"),
        (
            lambda: Study(name="s", workload=lambda h, seed, trial: {}),
            "has no name to be found by; define it at the top level",
        ),
        (
            lambda: Study(name="s", workload=functools.partial(nothing)),
            "has no name of its own; allowed: a function, or",
        ),
        (lambda: Study(name="s", workload=Scaled().__call__), "has no name of its own; allowed: a function, or"),
        (lambda: Study(name="s", workload=Scaled(np.ones(2))), "Scaled cannot be written as JSON"),
        (lambda: Study(name="", workload=nothing), "name: "),
        (lambda: Study.from_json("[1, 2]"), "this is not a study's JSON"),
        (lambda: Study.from_json('{"name": "x"}'), "this is not a study's JSON"),
        (
            lambda: Study.from_json(json.dumps({"name": "x", "workload": {"type": "no_such_file:w"}})),
            "no_such_file:w cannot be imported .*; load the file that defines it first",
        ),
    ],
)
def test_bad_studies_are_refused_with_what_is_allowed(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
