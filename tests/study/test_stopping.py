"""The stopping rules: closed forms, coverage, and runs that ask for no chip more than they need."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cimstudy.analysis import summary
from cimstudy.errors import InputError
from cimstudy.study import Grid, Study, Trials, open_results, store_status
from cimstudy.study.plan import DONE, FAILED, PENDING
from cimstudy.study.stopping import empirical_bernstein, judge, padded, student

UNIT = {"m": (0.0, 1.0)}
FREE = {"m": None}


def judged(rule, values, bounds, status=None):
    values = np.asarray(values, float)
    status = np.full(values.shape[:2], DONE, np.int8) if status is None else np.asarray(status, np.int8)
    return judge(rule, status, {"m": values}, bounds)


@given(st.integers(64, 200), st.integers(0, 5))
def test_without_bounds_the_half_width_is_students(n, seed):
    values = np.random.default_rng(seed).normal(3, 2, n)
    low, high = stats.t.interval(0.9, n - 1, values.mean(), stats.sem(values))
    assert student(values, np.ones(n, bool), 0.9) == pytest.approx((high - low) / 2)


def test_fewer_than_64_chips_are_never_enough_without_bounds():
    values = np.ones((1, 128))
    assert judged(Trials(half_width={"m": 0.1}), values, FREE).needed == 64
    assert judged(Trials(half_width={"m": 0.02}), values * 0.5, UNIT).needed == 128  # the least: 1.96 sqrt(0.5) / 0.02


def test_two_pseudo_observations_widen_the_interval_by_their_closed_form():
    values = np.array([0.2, 0.4, 0.9])
    mean = values.mean()
    variance = (((values - mean) ** 2).sum() + mean**2 + (1 - mean) ** 2) / 4
    expected = stats.t.ppf(0.975, 2) * np.sqrt(variance / 3)
    assert padded(values, np.ones(3, bool), (0, 1), 0.95) == pytest.approx(expected)


def test_bounds_and_values_scale_together():
    rng = np.random.default_rng(2)
    values, counts = rng.random((4, 50)), rng.random((4, 50)) < 0.9
    for rule in (padded, empirical_bernstein):
        assert rule(10 * values - 3, counts, (-3, 7), 0.95) == pytest.approx(10 * rule(values, counts, (0, 1), 0.95))


def test_values_beyond_the_declared_bounds_are_never_enough():
    for rule in (padded, empirical_bernstein):
        assert rule(np.array([0.5, 1.5]), np.ones(2, bool), (0, 1), 0.95) == np.inf


@given(st.lists(st.sampled_from([PENDING, DONE, FAILED]), min_size=40, max_size=40), st.integers(0, 3))
def test_a_look_waits_for_its_prefix_and_sees_nothing_beyond_it(states, seed):
    values = np.random.default_rng(seed).random((1, 40)) * 0.1
    status = np.array([states], np.int8)
    rule = Trials(min=4, max=40, half_width={"m": 0.2}, bounds={"m": (0, 1)})
    found = judged(rule, values, UNIT, status)
    needed = int(found.needed[0])
    for later in (PENDING, DONE, FAILED):  # what lies beyond the look decides nothing
        changed = status.copy()
        changed[:, needed:] = later
        assert judged(rule, values, UNIT, changed).needed[0] == needed
    if PENDING in status[0, :4]:
        assert needed == 4
    assert needed in {4, 8, 16, 32, 40}


def test_failed_cases_are_left_out_and_a_nan_result_is_never_enough():
    values = np.full((2, 64), 0.5)
    values[0, 3], values[1, 3] = np.nan, np.nan
    status = np.full((2, 64), DONE)
    status[0, 3] = FAILED
    found = judged(Trials(max=64, half_width={"m": 0.3}), values, UNIT, status)
    assert found.needed.tolist() == [32, 64]
    assert found.capped.tolist() == [False, True]


def test_every_element_of_a_metric_and_every_metric_has_to_be_known_well_enough():
    rng = np.random.default_rng(0)
    wide, narrow = rng.random((1, 64)), np.full((1, 64), 0.5)
    both = np.stack([wide, narrow], axis=-1)
    rule = Trials(max=64, half_width={"m": 0.12}, confidence=0.99)
    assert judged(rule, narrow, UNIT).needed == 32
    assert judged(rule, both, UNIT).needed == 64
    pair = Trials(max=64, half_width={"m": 0.12, "n": 0.12}, confidence=0.99)
    found = judge(pair, np.ones((1, 64), np.int8), {"m": narrow, "n": wide}, {"m": (0, 1), "n": (0, 1)})
    assert found.needed == 64


def populations(rng, repetitions, chips):
    """Values, true mean, bounds and rule of the three populations of the reference."""
    normal = rng.normal(0.8, 0.03, (repetitions, chips))
    yield "normal", normal, 0.8, (0.0, 1.0), {"half_width": {"m": 0.005}}
    collapsed = np.where(
        rng.random(normal.shape) < 0.04, rng.uniform(0.1, 0.4, normal.shape), rng.normal(0.8, 0.03, normal.shape)
    )
    yield "collapse", collapsed, 0.96 * 0.8 + 0.04 * 0.25, (0.0, 1.0), {"half_width": {"m": 0.015}}
    lognormal = rng.lognormal(0, 0.3, normal.shape)
    yield "lognormal", lognormal, np.exp(0.045), None, {"relative_half_width": {"m": 0.03}}


@pytest.mark.slow
@pytest.mark.parametrize("rigor", ["looks", "anytime"])
def test_intervals_at_the_stop_cover_the_mean_as_often_as_they_say(rigor):
    """94 to 95 % for the default rules, as in 1,500 to 2,000 repetitions elsewhere; never less than 95 % anytime."""
    rng = np.random.default_rng(11)
    for name, values, mean, bounds, target in populations(rng, 2000, 4096 if rigor == "anytime" else 1024):
        if rigor == "anytime" and bounds is None:
            continue
        rule = Trials(rigor=rigor, max=values.shape[1], **target)
        found = judged(rule, values, {"m": bounds})
        covered = []
        for n in np.unique(found.needed):
            rows = values[found.needed == n, :n]
            width = rule.rule(bounds)(rows, np.ones(rows.shape, bool))
            covered += (abs(rows.mean(-1) - mean) <= width).tolist()
        least = 0.95 if rigor == "anytime" else 0.94
        error = 5 * np.sqrt(least * (1 - least) / 2000)
        assert np.mean(covered) > least - error, name
        assert not found.capped.any(), name
        if rigor == "looks":
            assert 300 < found.needed.mean() < 600, name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "half_width names no metric; allowed: one or more"),
        ({"half_width": {"m": 0}}, "half_width of m = 0.0; allowed: above 0"),
        ({"half_width": {"m": 1}, "min": 64, "max": 32}, "max = 32 with min = 64; allowed: min or more"),
        ({"half_width": {"m": 1}, "bounds": {"m": (1, 0)}}, "bounds of m = 1.0, 0.0; allowed: two numbers"),
        ({"half_width": {"m": 1}, "rigor": "none"}, "rigor"),
    ],
)
def test_rules_that_make_no_sense_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Trials(**values)


def test_a_rule_about_an_unknown_metric_is_refused_before_any_work(study):
    with pytest.raises(InputError, match="unknown metric 'accuracy'; this study has: loss, by_layer"):
        study.replace("trials", Trials(half_width={"accuracy": 0.1}))
    with pytest.raises(InputError, match="needs bounds of loss"):
        study.replace("trials", Trials(half_width={"loss": 0.1}, rigor="anytime"))


def test_a_study_with_a_rule_is_a_value_like_any_other(study):
    ruled = study.replace("trials", Trials(half_width={"loss": 0.1}))
    again = Study.from_json(ruled.to_json())
    assert again == ruled
    assert again.hash() == ruled.hash() != study.hash()
    assert json.loads(ruled.to_json())["trials"]["max"] == 1024


RULE = Trials(min=4, max=32, half_width={"loss": 0.2}, bounds={"loss": (-0.5, 3)})


@pytest.fixture
def ruled(study):
    return study.replace("space", Grid({"device.programming.std": [0.0, 1.0]})).replace("trials", RULE)


def expected(study):
    """What each point needs and whether that is all there may be, from all values there could be."""
    losses = np.array(
        [
            [study.workload.replace("log", "")(point.hardware, seed=7, trial=t)["loss"] for t in range(32)]
            for point in study.resolve_all()
        ]
    )
    return judge(RULE, np.ones(losses.shape, np.int8), {"loss": losses}, {"loss": (-0.5, 3)})


@pytest.mark.parametrize("block", [(1, 4), (2, 3), None])
def test_a_run_computes_what_the_rule_asks_for_and_no_case_more(ruled, log, tmp_path, two_workers, block):
    rule = RULE.replace("half_width", {"loss": 0.4})
    ds = ruled.replace("trials", rule).run(tmp_path / "s.zarr", cluster=two_workers, block=block, progress=False)
    losses = ds.loss.values
    found = judge(rule, ds.status.values.astype(np.int8), {"loss": losses}, {"loss": (-0.5, 3)})
    assert ds.needed.values.tolist() == found.needed.tolist()
    assert ds.capped.values.tolist() == found.capped.tolist()
    assert (ds.status.values == DONE).sum(-1).tolist() == found.needed.tolist()
    assert set(log.cases().values()) == {1}
    assert len(log.cases()) == found.needed.sum()


def test_a_stricter_rule_later_goes_on_from_what_is_there(ruled, log, tmp_path, two_workers):
    store = tmp_path / "s.zarr"
    ruled.replace("trials", RULE.replace("half_width", {"loss": 1.5})).run(store, cluster=two_workers, progress=False)
    first = len(log.cases())
    ds = ruled.run(store, cluster=two_workers, progress=False)
    whole = expected(ruled)
    assert ds.needed.values.tolist() == whole.needed.tolist()
    assert ds.capped.values.tolist() == whole.capped.tolist()
    assert set(log.cases().values()) == {1}
    assert first < len(log.cases()) == whole.needed.sum()
    status = store_status(store)
    assert (status.done, status.pending, status.cases) == (whole.needed.sum(), 0, whole.needed.sum())
    assert status.capped == whole.capped.sum()


def test_one_look_more_is_made_for_a_point_only_when_its_prefix_is_finished(ruled, tmp_path, two_workers):
    store = tmp_path / "s.zarr"
    before = ruled.dry_run(store, workers=1)
    assert (before.cases, before.trials, before.most_trials) == (8, 4, 32)
    failing = ruled.replace("workload.raises", ((8, 2),))
    failing.run(store, cluster=two_workers, progress=False)
    ds = open_results(store)
    done, failed = (ds.status.values == DONE).sum(-1), (ds.status.values == FAILED).sum(-1)
    assert failed.tolist() == [1, 1]
    assert (done + failed).tolist() == ds.needed.values.tolist()


def test_chips_that_the_rule_does_not_ask_for_are_not_missing(ruled, tmp_path, two_workers):
    failing = ruled.replace("trials", RULE.replace("half_width", {"loss": 0.4})).replace("workload.raises", ((8, 2),))
    found = summary(failing.run(tmp_path / "s.zarr", cluster=two_workers, progress=False), "loss")
    assert found.missing.values.tolist() == [1, 1]
