"""Verification of stores that are whole, damaged, and changed by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cimstudy.errors import InputError
from cimstudy.study import Defect, store_status, verify
from cimstudy.study.verification import spread


@pytest.fixture
def store(study, two_workers, tmp_path):
    """A finished store in blocks of two points and two trials, of which two cases have failed."""
    place = tmp_path / "s.zarr"
    study.replace("workload.raises", ((6, 2),)).run(place, cluster=two_workers, block=(2, 2), progress=False)
    return place


@pytest.fixture
def defects(store, two_workers):
    def found(sample=30):
        return [str(defect) for defect in verify(store, sample=sample, cluster=two_workers).defects]

    return found


def test_a_sound_store_has_no_defects_and_its_cases_come_out_again(store, two_workers, log):
    before = len(log.lines())
    found = verify(store, sample=10, cluster=two_workers)
    assert (found.name, found.blocks, found.done, found.recomputed) == ("logged", 6, 22, 10)
    assert (found.defects, found.elsewhere, found.leftovers) == ((), (), ())
    assert len(log.lines()) - before == 10
    assert store_status(store).done == 22


def test_a_sample_of_none_needs_neither_workers_nor_workload(store, log):
    group = zarr.open_group(store)
    group.attrs["study"] = json.dumps({"workload": {"type": "gone:Workload"}})
    before = len(log.lines())
    assert verify(store, sample=0).recomputed == 0
    assert len(log.lines()) == before
    with pytest.raises(InputError, match=r"cannot be computed again: .*\(cimstudy verify --study FILE\)"):
        verify(store)


def test_a_result_that_differs_in_its_last_bit_is_found(store, defects):
    loss = zarr.open_array(store / "loss")
    loss[4, 3] = np.nextafter(loss[4, 3], 9.0)
    layers = zarr.open_array(store / "by_layer")
    layers[0, 1, 2] += 1e-9
    first, second = defects()
    assert first.startswith("programming_std=0.0, adc_bits=5, trial 1: by_layer[2] is 2.2000000")
    assert second.startswith("programming_std=0.1, adc_bits=6, trial 3: loss is ")


@pytest.mark.parametrize("name", ["loss", "by_layer", "status", "error"])
def test_a_chunk_that_is_cut_off_is_found_without_computing(store, defects, name):
    chunk = next(path for path in sorted((store / name / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    (defect,) = defects(sample=0)
    assert defect.startswith("points ")
    assert f": {name} cannot be read (" in defect


def test_a_metric_whose_chunk_is_lost_is_found_by_computing_it_again(store, defects):
    (store / "loss/c/0/0").unlink()
    found = defects(sample=1)
    assert found == ["programming_std=0.0, adc_bits=5, trial 0: loss is nan, computed again 1.45"]


def test_a_result_that_is_rightly_not_finite_is_no_defect(study, two_workers, tmp_path):
    infinite = study.replace("workload.infinite", True)
    infinite.run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    assert verify(tmp_path / "s.zarr", sample=4, cluster=two_workers).defects == ()


def test_bookkeeping_that_contradicts_itself_is_found(store, defects):
    for path in (store / "duration/c/0/0", store / "error/c/0/1"):
        path.unlink()
    status = zarr.open_array(store / "status")
    status[4, 0] = 7
    assert defects(sample=0) == [
        "points 0 to 1, trials 0 to 1: 4 cases have no duration, but are done",
        "points 0 to 1, trials 2 to 3: 1 cases have no error, but have failed",
        "points 4 to 5, trials 0 to 1: 1 cases have an unknown status",
    ]


def test_a_done_case_that_fails_when_computed_again_is_found(store, defects):
    status, error = zarr.open_array(store / "status"), zarr.open_array(store / "error")
    status[1, 2], error[1, 2] = 1, ""
    found = defects()
    assert (
        "programming_std=0.0, adc_bits=6, trial 2: is done, but fails when computed again: ValueError: bits 6; and"
        in found[0]
    )


def test_an_extension_that_broke_off_is_found(store, defects):
    zarr.open_array(store / "loss").resize((6, 5))
    assert defects(sample=0)[0] == (
        "definition: a change of shape or chunks was broken off; running the study again ends it"
    )


def test_other_data_are_refused_and_another_machine_is_told(store, two_workers, monkeypatch):
    monkeypatch.setattr("cimstudy.study.verification.machine", lambda: {"cpu": "another"})
    found = verify(store, sample=0)
    assert any(text.startswith("machine.cpu is ") and text.endswith(", another here") for text in found.elsewhere)
    zarr.open_group(store, use_consolidated=False).attrs["checksums"] = {"data": "v0"}
    zarr.consolidate_metadata(str(store))
    with pytest.raises(InputError, match=r"cannot be computed again: checksums\.data is v0 there, v1 here"):
        verify(store, cluster=two_workers)


def test_what_a_killed_writer_left_is_told_and_is_no_defect(store):
    left = Path(store) / "loss/c/0/0.abc.partial"
    left.write_bytes(b"half")
    found = verify(store, sample=0)
    assert (found.leftovers, found.defects) == ((str(left),), ())


def test_a_negative_sample_is_refused(store):
    with pytest.raises(InputError, match=r"sample = -1; allowed: 0 or more"):
        verify(store, sample=-1)


def test_a_defect_is_one_line():
    assert str(Defect(where="trial 1", what="is wrong")) == "trial 1: is wrong"


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 5))), st.integers(0, 50), st.integers(0, 3))
def test_a_sample_is_of_chosen_cases_once_each_and_of_as_many_points_as_can_be(chosen, most, seed):
    found = spread(chosen, most, seed)
    assert len(found) == len(set(found)) == min(most, chosen.sum())
    assert all(chosen[case] for case in found)
    assert len({row for row, _ in found}) == min(most, chosen.any(axis=1).sum())
    assert found == spread(chosen, most, seed)
