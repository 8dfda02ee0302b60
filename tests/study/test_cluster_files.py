"""Cluster files: what they may say, and what would be submitted."""

import shlex
import signal
import sys
import threading
from pathlib import Path

import dask.config
import pytest
import yaml
from distributed import Client, LocalCluster

from cimstudy.errors import InputError
from cimstudy.study import cluster, read_deployment, verify
from cimstudy.study.batch import seconds
from cimstudy.study.clusterfile import KINDS
from cimstudy.study.daskconfig import SETTINGS, environment
from cimstudy.study.pods import within

FOLDER = Path(__file__).parents[2] / "cluster"


def edited(tmp_path, kind, /, **changes):
    values = yaml.safe_load((FOLDER / f"{kind}.yaml").read_text()) | changes
    file = tmp_path / f"{kind}.yaml"
    file.write_text(yaml.safe_dump(values))
    return read_deployment(file)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_file_that_names_each_option(kind):
    file = FOLDER / f"{kind}.yaml"
    read_deployment(file)
    named = {line.lstrip("# ").partition(":")[0] for line in file.read_text().splitlines() if ":" in line}
    assert set(KINDS[kind].model_fields) <= named


def test_the_environment_carries_the_settings():
    assert all(
        dask.config.get(name, config=dask.config.collect_env(environment())) == SETTINGS[name] for name in SETTINGS
    )


def test_slurm_script(tmp_path):
    shown = edited(tmp_path, "slurm", cores=2, queue="long", account="me", interface="lo", local_directory="/scratch")
    lines = shown.show().splitlines()
    for line in ("#SBATCH -p long", "#SBATCH -A me", "#SBATCH -n 1", "#SBATCH --cpus-per-task=2", "#SBATCH --mem=2G"):
        assert line in lines
    assert "#SBATCH -t 04:00:00" in lines
    assert "export OMP_NUM_THREADS=1" in lines
    check_worker(lines[-1], "--nworkers 2", "--local-directory /scratch", "--interface lo")


def test_pbs_script(tmp_path):
    lines = edited(tmp_path, "pbs", queue="long", job_script_prologue=["module load python"]).show().splitlines()
    for line in ("#PBS -q long", "#PBS -l select=1:ncpus=1:mem=1908MB", "#PBS -l walltime=04:00:00"):
        assert line in lines
    assert lines.index("module load python") > lines.index("export NUMBA_NUM_THREADS=1")
    check_worker(lines[-1])


def check_worker(line, *options):
    leaves = ("--nthreads 1", "--death-timeout 300", "--lifetime 14100s", "--lifetime-stagger 240s")
    assert all(option in line for option in (*leaves, *options)), line


def test_kubernetes_manifest(tmp_path):
    manifest = yaml.safe_load(edited(tmp_path, "kubernetes", workers=7, env={"AWS_REGION": "eu"}).show())
    assert manifest["kind"] == "DaskCluster"
    workers = manifest["spec"]["worker"]
    (container,) = workers["spec"]["containers"]
    assert workers["replicas"] == 7
    assert container["args"][:6] == ["dask", "worker", "--nthreads", "1", "--death-timeout", "300"]
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert {entry["name"]: entry["value"] for entry in container["env"]} == environment() | {"AWS_REGION": "eu"}


def test_ssh_commands(tmp_path):
    shown = edited(tmp_path, "ssh", username="me", port=2222, hosts=["a", "b"], workers=3).show()
    scheduler, workers = (shlex.split(line) for line in shown.splitlines() if not line.startswith("#"))
    assert scheduler[:4] == ["ssh", "-p", "2222", "me@a"]
    assert workers[:4] == ["ssh", "-p", "2222", "me@b"]
    assert workers[-1].count("distributed.Nanny") == 3


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("slurm", {"wall": "1:00:00"}, "wall: unknown; Slurm has: jobs, cores"),
        ("slurm", {"jobs": 0}, "jobs: should be greater than or equal to 1 .given 0."),
        ("slurm", {"walltime": 43200}, "walltime: should be a valid string .given 43200."),
        ("slurm", {"walltime": "00:06:00"}, "workers leave 60 ± 240 s after they start; allowed: within 0 to 360 s"),
        ("slurm", {"memory": "2 gigs"}, "memory: should be a size such as 2GB .given '2 gigs'."),
        ("pbs", {"walltime": "2-00:00:00"}, "walltime: "),
        ("slurm", {"resource_spec": "x"}, "resource_spec: unknown"),
        ("ssh", {"hosts": ["one"]}, "hosts: "),
        ("local", {"kind": "lsf"}, "kind = 'lsf'; allowed: local, slurm, pbs, ssh, kubernetes"),
        ("kubernetes", {"name": "My_Cluster"}, "name: "),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, kind, changes, message):
    with pytest.raises(InputError, match=message) as raised:
        edited(tmp_path, kind, **changes)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="there is no such cluster file"):
        read_deployment(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("kind: [")
    with pytest.raises(InputError, match="not YAML") as raised:
        read_deployment(tmp_path / "bad.yaml")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "package"), [("slurm", "dask_jobqueue"), ("kubernetes", "dask_kubernetes.operator"), ("ssh", "asyncssh")]
)
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    deployment = edited(tmp_path, kind)
    with pytest.raises(InputError, match=rf"{package} is not installed; allowed: pip install 'cimstudy\["):
        deployment.start()


def test_submitting_leaves_ctrl_c_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    edited(tmp_path, "slurm").show()
    assert signal.getsignal(signal.SIGINT) is before


def test_no_submission_from_a_machine_without_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="qsub is not on this machine"):
        edited(tmp_path, "pbs").start()


def test_a_study_runs_on_a_local_file(study, two_workers, tmp_path):
    file = tmp_path / "local.yaml"
    file.write_text("kind: local\nworkers: 1\n")
    ds = study.run(tmp_path / "file.zarr", cluster=file, progress=False)
    assert ds.identical(study.run(tmp_path / "file.zarr", cluster=two_workers, progress=False))
    assert verify(tmp_path / "file.zarr", sample=1, cluster=file).recomputed == 1


def test_an_interface_that_there_is_not(tmp_path, monkeypatch):
    (tmp_path / "qsub").touch(mode=0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(InputError, match=r"the scheduler did not start: .*'ib9' is not a valid network interface"):
        edited(tmp_path, "pbs", interface="ib9").start()


def test_a_scheduler_without_workers_is_not_waited_for_without_end(study, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    with LocalCluster(n_workers=0, dashboard_address=None) as idle, Client(idle) as client:
        for given in (client, idle.scheduler_address):
            with pytest.raises(InputError, match=r"no worker came in 1 s from the scheduler at .*; allowed: one with"):
                study.run(tmp_path / "s.zarr", cluster=given, progress=False)


def test_a_bad_file_is_refused_before_the_store_is_touched(study, tmp_path):
    with pytest.raises(InputError, match="there is no such cluster file"):
        study.run(tmp_path / "s.zarr", cluster="none.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "changes", "size"),
    [
        ("local", {}, None),
        ("local", {"workers": 3}, 3),
        ("slurm", {"jobs": 3, "cores": 4}, 12),
        ("ssh", {"hosts": ["a", "b", "c"], "workers": 5}, 10),
        ("kubernetes", {"workers": 7}, 7),
    ],
)
def test_size_is_the_number_of_workers(tmp_path, kind, changes, size):
    assert edited(tmp_path, kind, **changes).size == size


@pytest.mark.slow
def test_a_dry_run_reckons_with_the_workers_of_the_file(plain_study, two_workers, tmp_path):
    plain_study.run(tmp_path / "s.zarr", cluster=two_workers, progress=False)
    more = plain_study.replace("trials", 8)
    one, ten = (tmp_path / name for name in ("one.yaml", "ten.yaml"))
    one.write_text("kind: local\nworkers: 1\n")
    ten.write_text("kind: slurm\njobs: 5\ncores: 2\nmemory: 2GB\nwalltime: '01:00:00'\n")
    alone, together = (more.dry_run(tmp_path / "s.zarr", cluster=file).seconds for file in (one, ten))
    assert alone == pytest.approx(10 * together)


def test_a_call_that_never_returns_is_left_alone():
    never = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.1, never.wait)
    assert within(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)
    never.set()


def test_walltimes():
    assert seconds("04:00:00") == 14400
    assert seconds("2-00:00:01") == 172801
