"""Cluster files: what they may say, and what would be submitted."""

import shlex
from pathlib import Path

import dask.config
import pytest
import yaml

from cimstudy.errors import InputError
from cimstudy.study import read_deployment
from cimstudy.study.daskconfig import SETTINGS, environment
from cimstudy.study.deployment import KINDS, seconds
from cimstudy.study.jobs import missed

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


def test_no_submission_from_a_machine_without_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="qsub is not on this machine"):
        edited(tmp_path, "pbs").start()


def test_a_study_runs_on_a_local_file(study, two_workers, tmp_path):
    file = tmp_path / "local.yaml"
    file.write_text("kind: local\nworkers: 1\n")
    ds = study.run(tmp_path / "file.zarr", cluster=file, progress=False)
    assert ds.identical(study.run(tmp_path / "file.zarr", cluster=two_workers, progress=False))


def test_walltimes():
    assert seconds("04:00:00") == 14400
    assert seconds("2-00:00:01") == 172801


def test_a_job_is_missed_only_after_it_has_had_workers():
    groups = {"a": {"a-0", "a-1"}, "b": {"b-0", "b-1"}}
    assert missed({}, groups, []) == {}
    seen = missed({}, groups, ["a-1"])
    assert seen == {"a": 0}
    once = missed(seen, groups, [])
    assert once == {"a": 1}
    assert missed(once, groups, ["a-0"]) == {"a": 0}
    assert missed(once, {"b": groups["b"]}, []) == {}
