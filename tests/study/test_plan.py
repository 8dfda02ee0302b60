import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.study.plan import DONE, FAILED, PENDING, Plan, block_shape, check_block, unfinished

sizes = st.integers(1, 40)


@st.composite
def plans_and_wishes(draw):
    plan = Plan(points=draw(sizes), trials=draw(sizes), block=(draw(st.integers(1, 12)), draw(st.integers(1, 12))))
    seed = draw(st.integers(0, 2**32))
    wanted = np.random.default_rng(seed).random((plan.points, plan.trials)) < draw(st.floats(0, 1))
    return plan, wanted


@given(plans_and_wishes(), st.integers(0, 2**32))
def test_blocks_are_whole_chunks_that_cover_each_wanted_case_once(plan_and_wanted, order):
    plan, wanted = plan_and_wanted
    covered = np.zeros(wanted.shape, int)
    for block in plan.blocks(wanted, order):
        covered[block.region] += 1
        assert wanted[block.region].any()
        for (start, stop), size, end in zip((block.rows, block.trials), plan.block, wanted.shape, strict=True):
            assert start % size == 0
            assert stop == min(start + size, end)
    assert covered.max(initial=0) <= 1
    assert (covered[wanted] == 1).all()


@given(plans_and_wishes(), st.integers(0, 2**32))
def test_every_point_gets_its_first_trials_before_any_gets_more(plan_and_wanted, order):
    plan, wanted = plan_and_wanted
    starts = [block.trials[0] for block in plan.blocks(wanted, order)]
    assert starts == sorted(starts)


@given(plans_and_wishes(), st.integers(0, 2**32))
def test_the_order_of_work_changes_no_block(plan_and_wanted, order):
    plan, wanted = plan_and_wanted
    assert set(plan.blocks(wanted, order)) == set(plan.blocks(wanted, 0))


def test_two_runners_walk_the_blocks_in_different_orders():
    plan, wanted = Plan(points=50, trials=1, block=(1, 1)), np.ones((50, 1), bool)
    assert list(plan.blocks(wanted, 1)) != list(plan.blocks(wanted, 2))


studies = {
    "points": st.integers(1, 10**6),
    "trials": st.integers(1, 3000),
    "seconds_per_case": st.floats(1e-5, 3600),
    "workers": st.integers(1, 1000),
}


@given(**studies)
def test_blocks_hold_up_to_32_trials_and_their_sizes_are_even(points, trials, seconds_per_case, workers):
    height, width = block_shape(points, trials, seconds_per_case=seconds_per_case, workers=workers)
    for total, size, most in ((points, height, points), (trials, width, min(trials, 32))):
        assert 1 <= size <= most
        count = -(-total // size)
        assert count * size - total < count  # the last one lacks at most one of each of the others


@given(**studies)
def test_no_block_of_several_cases_takes_more_than_a_minute(points, trials, seconds_per_case, workers):
    height, width = block_shape(points, trials, seconds_per_case=seconds_per_case, workers=workers)
    cases = height * min(width, trials)
    assert cases == 1 or cases * seconds_per_case <= 60


@given(**studies)
def test_a_short_study_still_has_six_blocks_for_each_worker(points, trials, seconds_per_case, workers):
    height, width = block_shape(points, trials, seconds_per_case=seconds_per_case, workers=workers)
    blocks = len(Plan(points=points, trials=trials, block=(height, width)))
    cases, work = points * trials, points * trials * seconds_per_case
    assert (
        blocks >= 6 * workers
        or height * min(width, trials) == 1
        or height * min(width, trials) * seconds_per_case <= 0.02
    )
    assert blocks <= cases
    assert work > 0


@pytest.mark.parametrize(
    ("work", "workers", "seconds"),
    [(12, 2, 1), (400, 2, 5), (4000, 2, 20), (10**6, 10, 60)],
)
def test_a_block_takes_a_hundredth_of_the_work_within_5_and_60_seconds_or_a_sixth_of_a_short_study(
    work, workers, seconds
):
    cases = 10**5
    height, width = block_shape(cases, 1, seconds_per_case=work / cases, workers=workers)
    assert 0.85 * seconds < height * width * work / cases < 1.02 * seconds  # even sizes take a little off


@given(st.lists(st.sampled_from([PENDING, DONE, FAILED]), min_size=1, max_size=9), st.booleans())
def test_done_cases_are_never_unfinished_and_pending_ones_always(states, retry_failed):
    found = unfinished(np.array(states, np.int8), retry_failed=retry_failed)
    expected = {PENDING: True, DONE: False, FAILED: retry_failed}
    assert found.tolist() == [expected[state] for state in states]


@pytest.mark.parametrize("block", [(0, 1), (1, -1), (1.5, 2), (1, 2, 3)])
def test_a_block_of_no_cases_is_refused(block):
    with pytest.raises(InputError, match=r"block = .*; allowed: \(points, trials\), each 1 or more"):
        check_block(block)


def test_the_blocks_of_a_grown_store_keep_the_old_ones():
    old, new = Plan(points=7, trials=5, block=(3, 2)), Plan(points=9, trials=8, block=(3, 2))
    whole = [block for block in old.blocks(np.ones((7, 5), bool)) if block.shape == (3, 2)]
    assert set(whole) <= set(new.blocks(np.ones((9, 8), bool)))
    assert len(whole) == len(list(itertools.product(range(2), range(2))))
