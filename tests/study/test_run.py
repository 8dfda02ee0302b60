"""Runs on real worker processes."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
import xarray as xr

import cimstudy.study
from cimstudy.errors import InputError
from cimstudy.hardware import Device
from cimstudy.study import Axis, Grid, LatinHypercube, Points, Sobol, Zip, load_study, open_results, store_status
from cimstudy.study.cluster import connect
from cimstudy.study.plan import DONE, FAILED, PENDING


@pytest.fixture
def run(two_workers, tmp_path):
    """Run a study in this test's store, or another one of its folder."""

    def running(study, store="s.zarr", **options):
        return study.run(tmp_path / store, cluster=two_workers, progress=False, **options)

    return running


def same_metrics(one, other):
    """Equal in every bit."""
    xr.testing.assert_equal(one[["loss", "by_layer"]].load(), other[["loss", "by_layer"]].load())


def test_results_have_a_dimension_for_each_axis_in_the_studys_order_then_trial(run, study):
    ds = run(study)
    assert ds.loss.dims == ("programming_std", "adc_bits", "trial")
    assert ds.by_layer.dims == ("programming_std", "adc_bits", "trial", "layer")
    assert ds.adc_bits.values.tolist() == [5, 6, 7]
    assert ds.adc_bits.attrs["path"] == "crossbar.adc.bits"
    assert ds.loss.attrs == {"long_name": "mean loss", "units": "nat", "better": "lower", "reference": 1.25}
    assert ds.status.values.tolist() == np.full((2, 3, 4), DONE).tolist()


def test_each_result_is_what_the_workload_returns_for_its_case(run, study):
    ds = run(study)
    for bits in (5, 7):
        hardware = study.point_hardware({"device.programming.std": 0.1, "crossbar.adc.bits": bits})
        for trial in range(4):
            case = ds.sel(programming_std=0.1, adc_bits=bits, trial=trial)
            expected = study.workload(hardware, seed=7, trial=trial)
            assert float(case.loss) == expected["loss"]
            assert case.by_layer.values.tolist() == expected["by_layer"].tolist()


def test_every_case_is_evaluated_once_the_pilots_too(run, study, log):
    run(study)
    assert len(log.cases()) == 24
    assert set(log.cases().values()) == {1}
    run(study)
    assert len(log.lines()) == 24


@pytest.mark.parametrize("block", [(1, 1), (4, 3), (6, 4), (50, 50)])
def test_the_size_of_blocks_changes_no_bit(run, study, block):
    same_metrics(run(study, "a.zarr", block=block), run(study, "b.zarr", block=(2, 2)))


def test_the_number_of_workers_changes_no_bit(run, study, tmp_path):
    alone = study.run(tmp_path / "one.zarr", workers=1, progress=False)
    same_metrics(alone, run(study))


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "block"), [(1, (2, 2)), (2, (1, 4)), (4, (3, 1)), (4, None)])
def test_neither_workers_nor_blocks_nor_order_nor_a_second_run_change_a_bit(run, study, tmp_path, workers, block):
    jittery = study.replace("workload.jitter", 0.1)
    jittery.replace("trials", 3).run(tmp_path / "s.zarr", workers=workers, block=block, progress=False)
    found = jittery.replace("trials", 8).run(tmp_path / "s.zarr", workers=workers, progress=False)
    same_metrics(found, run(study.replace("trials", 8), "other.zarr"))


def test_a_plain_function_is_a_workload_and_its_results_name_the_metrics(run, plain_study):
    ds = run(plain_study)
    assert ds.half.sel(trial=3, adc_bits=5).values.tolist() == [8.5, 8.5]
    assert (ds.bits == ds.adc_bits).all()


def test_a_failing_case_is_recorded_and_its_neighbours_are_untouched(run, study, tmp_path):
    ds = run(study.replace("workload.raises", ((6, 2),)), block=(6, 4))
    whole = run(study, "whole.zarr")
    failed = ds.status == FAILED
    assert failed.sum() == 2
    assert failed.sel(adc_bits=6, trial=2).all()
    assert np.isnan(ds.loss.values[failed.values]).all()
    assert np.array_equal(ds.loss.values[~failed.values], whole.loss.values[~failed.values])
    text = ds.error.sel(adc_bits=6, trial=2).values[0]
    assert text.startswith("ValueError: bits 6; and trial 2 do not get on\nTraceback")
    assert 'raise ValueError(f"bits {bits}' in text
    assert set(ds.error.values[~failed.values]) == {""}
    status = store_status(tmp_path / "s.zarr")
    assert (status.done, status.failed, status.pending, status.cases) == (22, 2, 0, 24)
    assert [failure.trial for failure in status.failures] == [2, 2]
    assert status.failures[1].point == {"programming_std": 0.1, "adc_bits": 6}
    assert status.failures[1].error == "ValueError: bits 6; and trial 2 do not get on"


def test_failed_cases_are_evaluated_again_only_on_request(run, study, log, tmp_path):
    mended = tmp_path / "mended"
    broken = study.replace("workload.raises", ((6, 2), (5, 0))).replace("workload.once", str(mended))
    run(broken, block=(3, 2))
    mended.touch()
    assert (run(broken).status == FAILED).sum() == 4
    assert len(log.lines()) == 24
    ds = run(broken, retry_failed=True)
    assert len(log.lines()) == 28
    assert (ds.status == DONE).all()
    assert set(ds.error.values.ravel()) == {""}
    same_metrics(ds, run(study, "whole.zarr"))


@pytest.mark.slow
def test_a_case_that_ends_its_process_fails_alone(run, study):
    study = study.replace("space", Grid({"crossbar.adc.bits": [5, 6, 7]}))
    ds = run(study.replace("workload.exits", ((6, 2),)), block=(3, 4))
    whole = run(study, "whole.zarr")
    failed = (ds.status == FAILED).values
    assert np.argwhere(failed).tolist() == [[1, 2]]
    assert (ds.status == PENDING).sum() == 0
    assert np.array_equal(ds.loss.values[~failed], whole.loss.values[~failed])
    assert set(ds.error.values[failed]) == {"WorkerDied: the case ended its process with exit status 3\n"}


def test_a_case_that_calls_sys_exit_fails_alone(run, study):
    ds = run(study.replace("workload.leaves", ((7, 3),)))
    assert (ds.status == FAILED).sum() == 2
    assert ds.error.sel(adc_bits=7, trial=3).values[0].startswith("SystemExit: this is enough\n")


def test_a_study_whose_first_cases_fail_goes_on(run, study):
    ds = run(study.replace("workload.raises", ((5, 0), (5, 1), (7, 0), (7, 1))))
    assert (ds.status == FAILED).sum() == 8
    assert (ds.status == DONE).sum() == 16


def test_a_study_of_which_no_case_succeeds_is_refused_with_the_reason(run, study, tmp_path):
    every = tuple((bits, trial) for bits in (5, 6, 7) for trial in range(4))
    with pytest.raises(InputError, match=r"no case could be evaluated.*the first cases failed: ValueError: bits 5"):
        run(study.replace("workload.raises", every))
    assert not (tmp_path / "s.zarr").exists()


def test_a_workload_that_workers_cannot_import_is_refused(run, study, tmp_path, monkeypatch):
    module = types.ModuleType("only_here")
    exec("def stray(hardware, *, seed, trial):\n    return {'x': 0.0}\n", module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(InputError, match=r"^workers cannot load the study \(ModuleNotFoundError: No module named"):
        run(study.replace("workload", module.stray))
    assert not (tmp_path / "s.zarr").exists()


def test_a_workload_that_cannot_be_sent_is_refused(run, study):
    class Unsendable:
        def __call__(self, hardware, *, seed, trial):
            return {"x": 0.0}

        def __reduce__(self):
            raise TypeError("holds a file")

    Unsendable.__qualname__ = "Unsendable"
    with pytest.raises(InputError, match=r"the workload cannot be sent to workers: holds a file; define it in a study"):
        run(study.replace("workload", Unsendable()))


def test_bad_input_that_the_workload_finds_in_a_first_case_stops_the_run(run, study, tmp_path):
    with pytest.raises(InputError, match=r"^trial 0 is not to my taste$"):
        run(study.replace("workload.complains", True))
    assert not (tmp_path / "s.zarr").exists()


def test_more_trials_more_values_and_another_axis_recompute_nothing(run, study, log):
    grown = [
        study,
        study.replace("trials", 7),
        study.replace("trials", 7).replace(
            "space", Grid({"device.programming.std": [0.0, 0.05, 0.1], "crossbar.adc.bits": [5, 6, 7]})
        ),
    ]
    cases = [24, 42, 63]
    for larger, count in zip(grown, cases, strict=True):
        ds = run(larger, block=(4, 2))
        assert len(log.lines()) == count
        assert (ds.status == DONE).all()
    assert ds.programming_std.values.tolist() == [0.0, 0.05, 0.1]
    axes = {"crossbar.adc.bits": [5, 6, 7], "crossbar.dac.bits": [7, 8], "device.programming.std": [0.1, 0.0, 0.05]}
    ds = run(grown[-1].replace("space", Grid(axes)))
    assert len(log.lines()) == 126
    assert set(log.cases().values()) == {1}
    assert ds.loss.dims == ("adc_bits", "dac_bits", "programming_std", "trial")
    assert ds.programming_std.values.tolist() == [0.1, 0.0, 0.05]
    same_metrics(ds, run(grown[-1].replace("space", Grid(axes)), "whole.zarr"))


def test_a_field_of_the_workload_as_a_new_axis_recomputes_nothing(run, study, log):
    run(study)
    ds = run(study.replace("space", Grid([*study.space.axes, Axis("workload.time", [3.0, 0.0])])))
    assert set(log.cases().values()) == {1}
    assert len(log.lines()) == 48
    assert np.array_equal(ds.loss.sel(workload_time=3.0), run(study.replace("workload.time", 3.0), "t.zarr").loss)


def test_a_base_that_differs_only_in_what_an_axis_varies_is_the_same_study(run, study, log):
    stds = study.space.axes[0]
    run(study.replace("space", Grid([stds])).replace("hardware.crossbar.adc.bits", 7))
    six = study.replace("hardware.crossbar.adc.bits", 6)
    ds = run(six.replace("space", Grid([stds, Axis("crossbar.adc.bits", [6, 7])])))
    assert len(log.lines()) == 16
    assert ds.adc_bits.values.tolist() == [6, 7]
    ds = run(six.replace("space", Grid([stds])))
    assert len(log.lines()) == 16
    assert (ds.status == DONE).all()
    assert set(log.cases().values()) == {1}


def test_points_that_are_no_full_grid_stand_along_point(run, study):
    run(study)
    ds = run(study.replace("space", Grid({"crossbar.adc.bits": [5, 8]})))
    assert ds.loss.dims == ("point", "trial")
    assert ds.adc_bits.values.tolist() == [5, 6, 7, 5, 6, 7, 8]
    assert ds.programming_std.values.tolist() == [0.0] * 3 + [0.1] * 4


def test_growing_through_every_kind_of_space_recomputes_nothing(run, study, log):
    def sobol(n):
        return Sobol({"device.programming.std": (0.0, 0.2), "crossbar.adc.bits": (5, 8, "integer")}, n=n, seed=2)

    grid = Grid({"crossbar.adc.bits": [5, 6]})
    cube = LatinHypercube({"device.programming.std": (0.0, 0.2)}, n=3)
    steps = [
        sobol(4),
        sobol(8),
        sobol(8) + grid,
        sobol(8) + grid + Zip({"device.programming.std": [0.1, 0.1], "crossbar.adc.bits": [6, 7]}),
        sobol(8) + cube,
        Points([{"crossbar.adc.bits": 6, "crossbar.dac.bits": 7}, {"crossbar.adc.bits": 6, "crossbar.dac.bits": 8}]),
        grid * sobol(4).replace("axes", [sobol(4).axes[0]]),
    ]
    asked = set()
    for space in steps:
        larger = study.replace("space", space).replace("trials", 2)
        ds = run(larger, block=(3, 2))
        asked |= {point.identity for point in larger.resolve_all()}
        assert ds.loss.dims == ("point", "trial")
        assert ds.sizes["point"] == len(asked)
        assert (ds.status == DONE).all()
        assert len(log.lines()) == 2 * len(asked)
    run(larger.replace("trials", 3))
    assert set(log.cases().values()) == {1}
    hardware = study.hardware.replace("crossbar.adc.bits", 6).replace("crossbar.dac.bits", 7)
    at = ds.isel(point=int(np.flatnonzero((ds.adc_bits == 6) & (ds.dac_bits == 7))[0]), trial=1)
    assert float(at.loss) == study.workload(hardware, seed=7, trial=1)["loss"]


def test_a_latin_hypercube_of_another_size_is_refused_unless_the_old_one_stays(run, study, log):
    def cube(n, seed=0):
        return LatinHypercube({"device.programming.std": (0.0, 0.2)}, n=n, seed=seed)

    study = study.replace("trials", 1)
    run(study.replace("space", cube(3)))
    with pytest.raises(InputError, match=r"a Latin hypercube cannot grow: n is 3 there, 5 here; add one with another"):
        run(study.replace("space", cube(5)))
    run(study.replace("space", cube(3) + cube(5, seed=1)))
    assert len(log.lines()) == 8


def test_a_preset_and_an_axis_inside_it_combine(run, plain_study):
    space = Grid({"device": ["pcm-joshi", "rram-neurram"], "device.g_max": [30e-6, 40e-6]})
    ds = run(plain_study.replace("space", space).replace("trials", 1))
    assert ds.half.dims == ("device", "device_g_max", "trial")
    assert ds.device.values.tolist() == ["pcm-joshi", "rram-neurram"]
    assert ds.device_g_max.values.tolist() == [30e-6, 40e-6]
    assert ds.device_g_max.attrs["units"] == "S"
    ds = run(plain_study.replace("space", space + Zip({"device": ["ideal"], "device.g_max": [50e-6]})))
    assert ds.device.values.tolist()[-1] == "ideal"


def test_a_field_that_some_points_lack_is_missing_there(run, plain_study):
    inside = Grid({"device": [Device(name="noisy", programming={"kind": "normal_of_range", "std": 0.5})]})
    space = Grid({"device": ["ideal"]}) + inside * Grid({"device.programming.std": [0.1, 0.2]})
    for _ in range(2):
        ds = run(plain_study.replace("hardware.device", "ideal").replace("space", space).replace("trials", 1))
        assert ds.device.values.tolist() == ["ideal", "noisy", "noisy"]
        assert np.array_equal(ds.programming_std.values, [np.nan, 0.1, 0.2], equal_nan=True)
    assert (ds.status == DONE).all()


def test_a_preset_in_a_sampled_space_names_its_points(run, plain_study):
    space = Sobol({"device": ["pcm-joshi", "rram-neurram"], "device.g_max": (30e-6, 60e-6)}, n=8)
    ds = run(plain_study.replace("space", space).replace("trials", 1))
    assert sorted(ds.device.values.tolist()) == ["pcm-joshi"] * 4 + ["rram-neurram"] * 4
    assert len(set(ds.device_g_max.values.tolist())) == 8


def test_fewer_points_and_trials_leave_the_rest_alone(run, study, log):
    run(study)
    ds = run(study.replace("space", Grid({"crossbar.adc.bits": [5]})).replace("trials", 2))
    assert len(log.lines()) == 24
    assert ds.sizes["trial"] == 4
    assert (ds.status == DONE).all()


def test_whole_parts_are_axes_named_by_their_presets(run, plain_study):
    ds = run(
        plain_study.replace(
            "space", Grid({"device": ["pcm-joshi", Device(name="mine", g_max=1e-6)], "crossbar.adc.bits": [5, 6]})
        )
    )
    assert ds.device.values.tolist() == ["pcm-joshi", "mine"]
    assert ds.bits.sel(device="mine").values.tolist() == [[5] * 4, [6] * 4]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (("seed", 8), "seed is 7 there, 8 here"),
        (("hardware.device.g_max", 1e-6), "device.g_max is 2.5e-05 there, 1e-06 here"),
        (("workload.sleep", 0.001), "workload.sleep is 0.0 there, 0.001 here"),
        (("workload.data", "v2"), 'checksums.data is "v1" there, "v2" here'),
    ],
)
def test_the_store_of_another_study_is_refused_by_the_difference(run, study, log, change, difference):
    run(study)
    with pytest.raises(InputError, match=f"^the store holds another study: .*{difference}.*; use another store$"):
        run(study.replace(*change))
    assert len(log.lines()) == 24


def test_the_store_of_another_workload_is_refused(run, study, plain_study):
    run(study)
    with pytest.raises(InputError, match='workload is "logged:Logged" there, "logged:half" here'):
        run(plain_study)


def test_another_block_size_for_the_same_store_is_refused(run, study):
    run(study, block=(2, 2))
    with pytest.raises(InputError, match=r"block = \(3, 2\); this store was created with \(2, 2\), and keeps it"):
        run(study, block=(3, 2))


def test_another_name_for_an_axis_of_the_store_is_refused(run, study):
    run(study)
    axes = [Axis("crossbar.adc.bits", [5], name="resolution")]
    with pytest.raises(InputError, match=r"axis crossbar\.adc\.bits is named adc_bits in the store, resolution here"):
        run(study.replace("space", Grid(axes)))


def test_what_is_no_store_is_neither_opened_nor_overwritten(run, study, tmp_path):
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "thesis.tex").touch()
    with pytest.raises(
        InputError, match=r"s\.zarr exists and is not a store of results; allowed: a new path, or a store"
    ):
        run(study)
    for path in (tmp_path / "s.zarr", tmp_path / "nothing.zarr"):
        with pytest.raises(InputError, match=r"is not a store of results; allowed: what study\.run has written"):
            open_results(path)
        with pytest.raises(InputError, match="is not a store of results"):
            store_status(path)
    assert (tmp_path / "s.zarr" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": 3}, "cluster = 3; allowed: None, a scheduler's address, a cluster file, a Dask client"),
        ({"cluster": None, "workers": 0}, "workers = 0; allowed: 1 or more"),
        (
            {"cluster": "tcp://127.0.0.1:1", "workers": 2},
            "workers = 2 with a cluster; allowed: workers for worker processes",
        ),
        ({"block": (0, 1)}, r"block = \(0, 1\); allowed: \(points, trials\), each 1 or more"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(study, tmp_path, log, options, message):
    with pytest.raises(InputError, match=message):
        study.run(tmp_path / "s.zarr", progress=False, **options)
    assert not log.lines()


def test_a_dry_run_counts_what_a_run_does_and_writes_nothing(run, study, log, tmp_path, two_workers):
    store = tmp_path / "s.zarr"
    before = study.dry_run(store, workers=2)
    assert not store.exists()
    assert len(log.lines()) == 2
    assert (before.points, before.trials, before.cases, before.todo, before.done) == (6, 4, 24, 24, 0)
    assert before.bytes == 24 * (8 * 4 + 4 + 4 + 1)
    run(study, block=(2, 4))
    done = study.dry_run(store, workers=2)
    assert (done.todo, done.blocks, done.done, done.seconds) == (0, 0, 24, 0)
    assert done.files == sum(len(files) for _, _, files in os.walk(store))
    more = study.replace("trials", 8).dry_run(store, workers=2)
    assert (more.cases, more.todo, more.blocks) == (48, 24, 3)


PLAIN = """
import sys, warnings
sys.modules["cimstudy"] = None  # as where it is not installed
warnings.simplefilter("error")
import xarray as xr
ds = xr.open_zarr(sys.argv[1])
assert ds.loss.dims == ("point", "trial") and ds.loss.dtype == "float64"
assert ds.loss.attrs["units"] == "nat" and ds.loss.attrs["reference"] == 1.25
assert set(ds.coords) == {"adc_bits", "programming_std", "setting", "trial"}
assert ds.sel(trial=3).isel(point=5).adc_bits == 7
assert ds.status.attrs["flag_meanings"] == "pending done failed"
assert ds.duration.attrs["units"] == "s" and (ds.duration > 0).all()
assert {"study", "study_hash", "seed", "versions", "machine", "checksums"} <= set(ds.attrs)
assert {"created", "name", "cimstudy_version"} <= set(ds.attrs)
assert ds.attrs["versions"]["zarr"] and ds.attrs["machine"]["cpu"] and ds.attrs["checksums"]["data"] == "v1"
print(float(ds.loss.sum()))
"""


def test_plain_xarray_reads_a_store_without_cimstudy_and_without_warnings(run, study, tmp_path):
    ds = run(study.replace("trials", 3))
    ds = run(study)
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "s.zarr")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert float(ended.stdout) == pytest.approx(float(ds.loss.sum()), rel=1e-15)


def test_a_dataset_with_failures_can_be_cut_to_what_meets_a_condition(run, study):
    ds = run(study.replace("workload.raises", ((6, 2),)))
    found = ds.where(ds.adc_bits == 6, drop=True)
    assert found.loss.shape == (2, 1, 4)
    assert [bool(text) for text in found.error.values[0, 0]] == [False, False, True, False]


def test_the_study_in_a_store_is_the_one_that_was_run(run, study):
    ds = run(study)
    assert type(study).from_json(ds.attrs["study"]) == study
    assert ds.attrs["study_hash"] == study.hash()


def test_opening_results_reads_no_metric(run, study):
    ds = run(study)
    assert all(ds[name].chunks is not None for name in ("loss", "by_layer", "status", "error", "duration"))


def test_a_scheduler_is_joined_by_its_address(two_workers, study, tmp_path):
    ds = study.run(tmp_path / "s.zarr", cluster=two_workers.scheduler.address, progress=False)
    assert (ds.status == DONE).all()


def test_workers_compute_with_one_thread_each_whatever_the_environment_says(monkeypatch):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with connect(None, 1) as client:
        assert client.submit(lambda: [os.environ[name] for name in names]).result() == ["1", "1", "1"]
        assert client.dashboard_link.startswith("http://127.0.0.1:")
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_a_study_file_runs_from_its_path(tmp_path, two_workers):
    file = tmp_path / "tiny_study.py"
    file.write_text(
        "from cimstudy.study import Study\n\ndef one(hardware, *, seed, trial):\n    return {'x': 1.0}\n\n"
        "study = Study(name='tiny', workload=one, trials=2)\n"
    )
    ds = load_study(file).run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    assert ds.x.dims == ("trial",)
    assert ds.x.values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("store", ["nope://bucket/s.zarr", "memory://bucket/s.zarr", "logged.py/s.zarr"])
def test_a_place_that_cannot_hold_a_store_is_refused(study, log, request, store):
    place = store if "://" in store else request.path.parent / store
    with pytest.raises(InputError, match=r"cannot be (opened|written) \(.*\); allowed: a path"):
        study.run(place, progress=False)
    assert not log.lines()


def test_a_store_tells_what_filled_it(run, study, monkeypatch):
    run(study)
    assert len(run(study).attrs["history"]) == 1
    monkeypatch.setattr("cimstudy.study.store.machine", lambda: {"cpu": "another"})
    assert len(run(study).attrs["history"]) == 1  # nothing was left to do there
    attributes = run(study.replace("trials", 5)).attrs
    first, second = attributes["history"]
    assert (second["machine"], attributes["machine"]) == ({"cpu": "another"}, first["machine"])
    assert first["study_hash"] == study.hash() != second["study_hash"] == attributes["study_hash"]
    assert attributes["created"] == first["time"]


def test_every_public_name_is_there():
    assert set(cimstudy.study.__all__) == cimstudy.study._FILES.keys()
    assert all(getattr(cimstudy.study, name).__name__ for name in cimstudy.study.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = cimstudy.study.nope
