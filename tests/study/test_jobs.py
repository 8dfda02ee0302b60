"""Jobs that end, wait, or never bring a worker, on a batch system whose commands start processes of this machine."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from distributed import Client

from cimstudy.errors import InputError
from cimstudy.study import ClusterLostError, jobs, read_deployment
from cimstudy.study.cluster import capacity, slots

STUDY_FILE = Path(__file__).with_name("logged.py")
PBS_FILE = Path(__file__).parents[2] / "cluster" / "pbs.yaml"

# A job's number is that of its process. Queue "nowhere" is refused; jobs of queue "held" wait for a file.
QSUB = r"""#!/bin/sh
if grep -q -e '-q nowhere' "$1"; then echo "qsub: Unknown queue" >&2; exit 170; fi
cp "$1" "{folder}/$$.sh"
setsid sh -c '
    exec >"{folder}/cimstudy.o$$" 2>&1
    while grep -q -e "-q held" "$0" && ! test -e "{folder}/release"; do sleep 0.1; done
    . "$0"' "{folder}/$$.sh" &
echo $! >>"{folder}/numbers"
echo "$!.server"
"""
QDEL = r"""#!/bin/sh
kill -TERM "-$1"
"""
QSTAT = r"""#!/bin/sh
test "$1" = -u || exit 1
for number in $(cat "{folder}/numbers"); do
    case $(cut -d " " -f 3 "/proc/$number/stat" 2>/dev/null) in "" | Z) ;; *) echo "$number.serv* user" ;; esac
done
"""


class Batch:
    """A batch system in a folder."""

    def __init__(self, folder):
        self.folder = folder
        for name, script in (("qsub", QSUB), ("qdel", QDEL), ("qstat", QSTAT)):
            (folder / name).write_text(script.replace("{folder}", str(folder)))
            (folder / name).chmod(stat.S_IRWXU)

    def file(self, **changes):
        """`cluster/pbs.yaml` with changes."""
        values = yaml.safe_load(PBS_FILE.read_text()) | {"interface": "lo", "log_directory": str(self.folder)}
        file = self.folder / "pbs.yaml"
        file.write_text(yaml.safe_dump(values | {"python": sys.executable} | changes))
        return file

    def numbers(self):
        """Of all jobs that were ever submitted."""
        file = self.folder / "numbers"
        return [int(number) for number in file.read_text().split()] if file.exists() else []

    def alive(self):
        """Those that still wait or run."""
        listed = subprocess.run([self.folder / "qstat", "-u", "me"], capture_output=True, text=True, check=False)
        return listed.stdout.splitlines()


@pytest.fixture
def batch(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "LOOK", 0.5)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    system = Batch(tmp_path)
    yield system
    until(lambda: not system.alive())


def until(condition):
    """Wait for a condition, two minutes at most."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def once(condition, action):
    """A thread that acts when the condition holds."""

    def act():
        until(condition)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@contextlib.contextmanager
def client(folder, cluster_file):
    """The command, in a process of its own."""
    options = ["--store", "s.zarr", "--cluster", str(cluster_file)]
    run = [sys.executable, "-m", "cimstudy", "run", str(STUDY_FILE), *options]
    process = subprocess.Popen(run, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def values(ds):
    return [ds[name].values for name in ("loss", "by_layer", "status")]


@pytest.mark.slow
def test_a_job_that_ends_is_replaced(batch, study, two_workers, tmp_path, log):
    longer = study.replace("workload.sleep", 0.2).replace("trials", 16)
    killer = once(lambda: len(log.lines()) > 12, lambda: os.killpg(batch.numbers()[0], signal.SIGTERM))
    ds = longer.run(tmp_path / "pbs.zarr", cluster=batch.file(), block=(1, 4), progress=False)
    killer.join()
    assert len(batch.numbers()) == 3
    local = study.replace("trials", 16).run(tmp_path / "s.zarr", cluster=two_workers, block=(1, 4), progress=False)
    for found, expected in zip(values(ds), values(local), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.slow
def test_a_job_that_waits_is_left_alone(batch, study, tmp_path, monkeypatch):
    looks = []
    look = jobs.Jobs.look

    async def counted(self):
        await look(self)
        looks.append(len(batch.numbers()))

    monkeypatch.setattr(jobs.Jobs, "look", counted)
    release = once(lambda: len(looks) > 3, (batch.folder / "release").touch)
    study.run(tmp_path / "s.zarr", cluster=batch.file(jobs=1, cores=2, queue="held"), progress=False)
    release.join()
    assert set(looks) == {1}


@pytest.mark.slow
def test_an_interrupted_wait_takes_its_jobs_back(batch, tmp_path):
    with client(tmp_path, batch.file(queue="held")) as process:
        until(lambda: len(batch.alive()) == 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("cimstudy: interrupted; to go on: cimstudy run")


@pytest.mark.slow
def test_jobs_end_when_their_client_was_killed(batch, tmp_path):
    with client(tmp_path, batch.file(jobs=1)) as process:
        until((tmp_path / "s.zarr").exists)
        assert batch.alive()
        process.kill()


def test_jobs_that_end_before_their_workers_come_are_one_line(batch, study, tmp_path):
    with pytest.raises(
        InputError, match=r"jobs end before a worker comes .*; job \d+ wrote to .*/cimstudy.o\d+: .*not f"
    ) as raised:
        study.run(tmp_path / "s.zarr", cluster=batch.file(python="/no/python"), progress=False)
    assert "\n" not in str(raised.value)
    assert len(batch.numbers()) == 2
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.slow
def test_jobs_that_no_longer_bring_workers_end_the_run(batch, study, tmp_path, monkeypatch, log):
    monkeypatch.setattr(jobs, "HOPELESS", 2)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(stat.S_IRWXU)

    def leave():
        python.unlink()
        os.killpg(batch.numbers()[0], signal.SIGTERM)

    killer = once(lambda: len(log.lines()) > 12, leave)
    longer = study.replace("workload.sleep", 0.2).replace("trials", 64)
    with pytest.raises(ClusterLostError, match=r"jobs end before a worker comes from them; job \d+ wrote"):
        longer.run(tmp_path / "s.zarr", cluster=batch.file(jobs=1, cores=2, python=str(python)), progress=False)
    killer.join()
    assert len(batch.numbers()) >= 3  # and some for the clusters that the run takes in place of the lost one


def test_last_words_are_those_of_this_job(tmp_path):
    assert jobs.last_words(tmp_path, "7") == f"job 7 left no word in {tmp_path}"
    (tmp_path / "a7").mkdir()
    (tmp_path / "cimstudy-17.err").write_text("another job")
    (tmp_path / "cimstudy-7.err").write_text(" \n")
    (tmp_path / "cimstudy-7.out").write_text("first\n  no   python\n\n")
    assert jobs.last_words(tmp_path, "7") == f"job 7 wrote to {tmp_path}/cimstudy-7.out: no python"


def test_blocks_are_sized_for_all_workers_that_will_come(batch):
    deployment = read_deployment(batch.file(jobs=3, cores=2, queue="held"))
    with deployment.start() as started, jobs.kept_up(started, deployment), Client(started) as client:
        assert (slots(client), capacity(client)) == (1, 6)


def test_a_refused_job_is_one_line(batch, study, tmp_path):
    with pytest.raises(InputError, match="qsub refused the job: qsub: Unknown queue") as raised:
        study.run(tmp_path / "s.zarr", cluster=batch.file(queue="nowhere"), progress=False)
    assert "\n" not in str(raised.value)
