"""Jobs of a batch system, through dask-jobqueue."""

import os
import pwd
import shlex
import shutil
import signal
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import override

from cimstudy.errors import InputError
from cimstudy.study.daskconfig import environment
from cimstudy.study.deployment import Memory, Remote, Seconds, Text, found

MARGIN = 300  # s before the walltime at which workers leave by themselves


class Batch(Remote):
    """Jobs of a batch system, each with one worker on each of its cores; the scheduler is in the client's process."""

    class_name: ClassVar[str]
    submit: ClassVar[str]

    jobs: int = Field(ge=1)  # kept running: one that ends is replaced
    cores: int = Field(default=1, ge=1)  # of each job
    memory: Memory  # of each job
    walltime: str = Field(pattern=r"^\d{1,3}:\d\d:\d\d$", description="hours:minutes:seconds")
    lifetime: Seconds | None = None  # after which a worker leaves; None: five minutes before the walltime
    lifetime_stagger: Seconds = 240  # added to it or taken away, at random, so that workers do not all leave at once
    death_timeout: Seconds = 300  # a worker without a scheduler ends
    queue: Text | None = None
    account: Text | None = None
    interface: Text | None = None  # network interface by which the client and the nodes reach each other
    local_directory: Text | None = None  # scratch of workers
    log_directory: Text | None = None
    python: Text | None = None  # on the nodes; None: the client's
    job_extra_directives: tuple[Text, ...] = ()
    job_script_prologue: tuple[Text, ...] = ()  # shell lines before the worker starts

    @model_validator(mode="after")
    def _workers_leave_before_the_walltime(self) -> Self:
        walltime = seconds(self.walltime)
        if not self.lifetime_stagger < self.lifetime_seconds < walltime - self.lifetime_stagger:
            raise InputError(
                f"walltime {self.walltime}: workers leave {self.lifetime_seconds} ± {self.lifetime_stagger} s after "
                f"they start; allowed: within 0 to {walltime} s (lifetime, lifetime_stagger)"
            )
        return self

    @property
    @abstractmethod
    def listing(self) -> tuple[str, ...]:
        """The command that lists the user's jobs that wait or run, a line for each that begins with its number."""

    @property
    def folder(self) -> Path:
        """Where jobs write to: SLURM and PBS take the one they are submitted from."""
        return Path(self.log_directory or ".").absolute()

    @property
    def lifetime_seconds(self) -> int:
        """After which a worker leaves, on average."""
        return seconds(self.walltime) - MARGIN if self.lifetime is None else self.lifetime

    def options(self) -> dict[str, Any]:
        """For the class of dask-jobqueue."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in environment().items()]
        own = {"jobs", "lifetime", "lifetime_stagger", "job_extra_directives", "job_script_prologue"}
        stay = ["--lifetime", f"{self.lifetime_seconds}s", "--lifetime-stagger", f"{self.lifetime_stagger}s"]
        return self.model_dump(exclude=own, exclude_none=True) | {
            "processes": self.cores,
            "worker_extra_args": stay,
            "job_extra_directives": list(self.job_extra_directives),
            "job_script_prologue": [*exports, *self.job_script_prologue],
            "job_name": "cimstudy",
        }

    @property
    @override
    def size(self) -> int:
        return self.jobs * self.cores

    @property
    @override
    def awaited(self) -> str:
        return f"jobs (`{shlex.join(self.listing)}` lists them; they write to {self.folder})"

    @override
    def show(self) -> str:
        job_class = jobqueue(self.class_name).job_cls
        script: str = job_class(scheduler="tcp://SCHEDULER:PORT", name="cimstudy-0", **self.options()).job_script()
        return f"# {self.jobs} jobs, each submitted by `{self.submit}` with\n{script}"

    @override
    def start(self) -> Any:
        cluster_class = jobqueue(self.class_name)
        if shutil.which(self.submit) is None:
            raise InputError(f"{self.submit} is not on this machine; allowed: a machine from which jobs are submitted")
        try:
            return cluster_class(**self.options(), scheduler_options={"dashboard_address": ":0"})  # on any free port
        except (RuntimeError, ValueError, OSError) as error:  # such as an interface that there is not
            raise InputError(f"the scheduler did not start: {error}") from None


class Slurm(Batch):
    """`dask_jobqueue.SLURMCluster`."""

    class_name = "SLURMCluster"
    submit = "sbatch"

    walltime: str = Field(pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$", description="[days-]hours:minutes:seconds")

    @property
    @override
    def listing(self) -> tuple[str, ...]:
        return ("squeue", "--me", "--noheader", "--format=%A")


class Pbs(Batch):
    """`dask_jobqueue.PBSCluster`."""

    class_name = "PBSCluster"
    submit = "qsub"

    resource_spec: Text | None = None  # None: select=1 with the cores and memory

    @property
    @override
    def listing(self) -> tuple[str, ...]:
        return ("qstat", "-u", pwd.getpwuid(os.geteuid()).pw_name)


def jobqueue(name: str) -> Any:
    """A class of dask-jobqueue. Importing that would make Ctrl-C end this process without a word, with status 0."""
    before = signal.getsignal(signal.SIGINT)
    try:
        return found("dask_jobqueue", "cluster", name)
    finally:
        signal.signal(signal.SIGINT, before)


def seconds(walltime: str) -> int:
    """Of `[days-]hours:minutes:seconds`."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, rest = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + rest
