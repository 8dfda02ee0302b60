"""Studies on a real one-node SLURM, whose daemons live on loopback and in one folder, for as long as the tests do."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from cimstudy.errors import InputError
from cimstudy.study import jobs, open_results

DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = [
    name
    for name in (*DAEMONS, "sbatch", "scancel")
    if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None
]
STUDY_FILE = Path(__file__).with_name("logged.py")
SLURM_FILE = Path(__file__).parents[2] / "cluster" / "slurm.yaml"

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: slurm-wlm, munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons start jobs as users, and need root for it"),
]

CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.2)


def answer(*command):
    """What a command of SLURM prints; nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def job_ids():
    return answer("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of this machine; SLURM_CONF points the commands at it."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two jobs of one core need two cores")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    memory = int(0.9 * psutil.virtual_memory().total / 2**20)  # MiB; a node that lacks what is promised takes no jobs
    ports = {"controller": free_port(), "node": free_port()}
    conf.write_text(CONF.format(host=host, folder=folder, cores=os.cpu_count(), memory=memory, **ports))
    files = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "munged.seed",
    }
    commands = {
        "munged": ["--foreground", "--force", *(f"--{option}={folder / name}" for option, name in files.items())],
        "slurmctld": ["-D", "-f", str(conf)],
        "slurmd": ["-D", "-f", str(conf)],
    }
    running = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        patch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
        try:
            for name in DAEMONS:
                log = (folder / f"{name}.out").open("wb")
                running.append(subprocess.Popen([name, *commands[name]], stdout=log, stderr=log))
                if name == "munged":
                    until((folder / "munge.socket").exists, "munged's socket")
            until(lambda: "idle" in answer("sinfo", "--noheader", "--format=%t"), f"an idle node; see {folder}")
            yield folder
            answer("scancel", "--user=root")
            until(lambda: not answer("squeue", "--noheader"), "the end of all jobs")
        finally:
            for daemon in reversed(running):
                daemon.terminate()
            for daemon in running:
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


@pytest.fixture
def cluster_file(slurm, tmp_path, monkeypatch):
    """`cluster/slurm.yaml`, for a cluster on loopback. Jobs that end are found soon."""
    monkeypatch.setattr(jobs, "LOOK", 2.0)

    def write(**changes):
        values = yaml.safe_load(SLURM_FILE.read_text())
        values |= {"interface": "lo", "memory": "1GB", "log_directory": str(slurm / "logs"), "python": sys.executable}
        file = tmp_path / "slurm.yaml"
        file.write_text(yaml.safe_dump(values | changes))
        return file

    return write


def same(found, expected):
    for name in ("loss", "by_layer", "status"):
        np.testing.assert_array_equal(found[name].values, expected[name].values, strict=True)


def test_a_study_survives_a_cancelled_job(slurm, cluster_file, study, two_workers, tmp_path, log):
    longer = study.replace("workload.sleep", 0.4).replace("trials", 16)
    cancelled = []

    def cancel():
        until(lambda: len(log.lines()) > 12 and len(job_ids()) == 2, "two jobs at work", 120)
        cancelled.append(job_ids()[0])
        answer("scancel", cancelled[0])

    killer = threading.Thread(target=cancel)
    killer.start()
    ds = longer.run(tmp_path / "slurm.zarr", cluster=cluster_file(), block=(1, 4), progress=False)
    killer.join(150)
    local = study.replace("trials", 16).run(tmp_path / "l.zarr", cluster=two_workers, block=(1, 4), progress=False)
    assert cancelled
    same(ds, local)
    assert not job_ids()


def test_jobs_that_end_are_replaced(slurm, cluster_file, study, two_workers, tmp_path, log):
    longer = study.replace("workload.sleep", 0.5).replace("trials", 8)
    before = len(list((slurm / "logs").glob("*.out")))
    file = cluster_file(lifetime=15, lifetime_stagger=1, jobs=1)
    ds = longer.run(tmp_path / "slurm.zarr", cluster=file, block=(1, 4), progress=False)
    same(ds, study.replace("trials", 8).run(tmp_path / "l.zarr", cluster=two_workers, block=(1, 4), progress=False))
    submitted = len(list((slurm / "logs").glob("*.out"))) - before
    assert 2 <= submitted <= 20
    ids = {line.split()[-1] for line in log.lines()}
    assert len(ids) >= 2 + 2  # processes: at least two of jobs, besides the two of this machine


def submitted(folder, *options):
    """Submit a job and wait for it. What it printed, unless it failed."""
    command = ["sbatch", "--wait", "--time=10", "--mem=2G", f"--chdir={folder}", "--output=out", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    printed = (folder / "out").read_text() if (folder / "out").exists() else ""
    assert done.returncode == 0, done.stderr + printed
    return printed


def test_the_client_may_be_a_job_of_its_own(slurm, cluster_file, logged_study, two_workers, tmp_path):
    run = [sys.executable, "-m", "cimstudy", "run", str(STUDY_FILE), "--store", "s.zarr", "--cluster"]
    submitted(tmp_path, "--cpus-per-task=1", "--wrap", shlex.join([*run, str(cluster_file(jobs=1))]))
    same(open_results(tmp_path / "s.zarr"), logged_study.run(tmp_path / "local.zarr", cluster=two_workers))


def test_everything_may_be_one_allocation(slurm, logged_study, two_workers, tmp_path):
    readme = (SLURM_FILE.parent / "README.md").read_text()
    shell, python = re.findall(r"```(?:sh|python)\n(.*?)```", readme, re.DOTALL)
    python = python.replace("STUDY.py", str(STUDY_FILE)).replace("/scratch/me/study.zarr", str(tmp_path / "s.zarr"))
    (tmp_path / "allocation.py").write_text(python)
    (tmp_path / "job.sh").write_text(shell.replace("python", sys.executable).replace("66", "3"))
    submitted(tmp_path, "--overcommit", "job.sh")
    same(open_results(tmp_path / "s.zarr"), logged_study.run(tmp_path / "local.zarr", cluster=two_workers))


def test_jobs_that_end_before_their_workers_come_are_one_line(slurm, cluster_file, study, tmp_path):
    with pytest.raises(InputError, match=r"; job \d+ wrote to .*/cimstudy-\d+.err: .*/no/python: No such") as raised:
        study.run(tmp_path / "s.zarr", cluster=cluster_file(python="/no/python"), progress=False)
    assert "\n" not in str(raised.value)


def test_a_refused_job_is_one_line(slurm, cluster_file, study, tmp_path):
    with pytest.raises(InputError, match=r"sbatch refused the job: sbatch: error: invalid partition") as raised:
        study.run(tmp_path / "s.zarr", cluster=cluster_file(queue="nowhere"), progress=False)
    assert "\n" not in str(raised.value)
