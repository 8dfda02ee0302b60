"""The end of a run: the last blocks are evaluated in shares."""

from threading import Thread

import numpy as np
import pytest

from cimstudy.study.lock import locked
from cimstudy.study.plan import DONE, FAILED

WHOLE = (6, 4)  # all cases of the logged study in one block


@pytest.fixture
def run(two_workers, tmp_path):
    def running(study, **options):
        study = study.replace("workload.sleep", 0.1)  # so that sharing is worth it
        return study.run(tmp_path / "s.zarr", cluster=two_workers, progress=False, **options)

    return running


def processes(log):
    return {line.split()[5] for line in log.lines()}


def test_the_last_block_keeps_all_workers_busy_and_each_case_is_evaluated_once(run, study, log):
    ds = run(study, block=WHOLE)
    assert len(processes(log)) == 2
    assert set(log.cases().values()) == {1}
    assert (ds.status == DONE).all()


@pytest.mark.slow
def test_a_share_that_kills_its_workers_leaves_the_other_cases_untouched(run, study, log):
    ds = run(study.replace("workload.exits", ((6, 3),)), block=WHOLE)
    expected = np.where((ds.adc_bits == 6) & (ds.trial == 3), FAILED, DONE)
    assert (ds.status == expected).all()
    assert "exit status 3" in str(ds.error.sel(programming_std=0.1, adc_bits=6, trial=3).values)
    again = {case for case, count in log.cases().items() if count > 1}
    assert again <= {case for case in log.cases() if case[0] in {"6", "7"} or case[1] == "0.1"}


@pytest.mark.slow
def test_a_failed_case_of_a_share_is_tried_again_on_request(run, study, log, tmp_path):
    study = study.replace("workload.raises", ((7, 2),)).replace("workload.once", str(tmp_path / "well"))
    assert int((run(study, block=WHOLE).status == FAILED).sum()) == 2
    (tmp_path / "well").touch()
    assert (run(study, retry_failed=True).status == DONE).all()
    assert sorted(log.cases().values()) == [1] * 22 + [2] * 2


def test_a_block_that_another_runner_is_at_is_left_to_it(run, study, tmp_path):
    """The byte of block (0, 0) is 1: while it is taken, the run waits for it rather than evaluate shares."""
    run(study.replace("trials", 1), block=WHOLE)
    with locked(str(tmp_path / "s.zarr"), 1) as mine:
        assert mine
        thread = Thread(target=lambda: run(study))
        thread.start()
        thread.join(3)
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()
