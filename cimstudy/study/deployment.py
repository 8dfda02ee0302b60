"""What a cluster file may say: options of the Dask class that starts such a cluster, checked before it is asked.

Options are called what Dask calls them. Every worker has one process with one thread.
"""

import json
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, model_validator
from typing_extensions import override

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.study.daskconfig import SETTINGS, environment

Seconds = Annotated[int, Field(ge=1, description="s")]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\n]*$")]

MARGIN = 300  # s before the walltime at which workers leave by themselves
ABANDONED = 600  # s without work after which a scheduler that has lost its client ends


class Deployment(Part):
    """A cluster that can be shown and started."""

    def show(self) -> str:
        """What would be submitted or run, as text; nothing is contacted."""
        raise NotImplementedError

    def start(self) -> Any:
        """The cluster, on its way up. Raises InputError if this machine cannot start it."""
        raise NotImplementedError


class Local(Deployment):
    """Worker processes of this machine (`distributed.LocalCluster`)."""

    workers: int | None = Field(default=None, ge=1)  # None: one for each core
    memory_limit: Text = "auto"  # of each worker
    local_directory: Text | None = None

    def options(self) -> dict[str, Any]:
        """For LocalCluster, beside the number of workers."""
        return self.model_dump(exclude={"workers"})

    @override
    def show(self) -> str:
        workers = self.workers or "one for each core"
        return dumped({"LocalCluster": {"workers": workers, "threads_per_worker": 1, **self.options()}})


class Batch(Deployment):
    """Jobs of a batch system, each with one worker on each of its cores; the scheduler is in the client's process."""

    class_name: ClassVar[str]
    submit: ClassVar[str]

    jobs: int = Field(ge=1)  # kept running: one that ends is replaced
    cores: int = Field(default=1, ge=1)  # of each job
    memory: Text  # of each job
    walltime: str = Field(pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$", description="[days-]hours:minutes:seconds")
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

    @override
    def show(self) -> str:
        job_class = found("dask_jobqueue", "cluster", self.class_name).job_cls
        script: str = job_class(scheduler="tcp://SCHEDULER:PORT", name="cimstudy-0", **self.options()).job_script()
        return f"# {self.jobs} jobs, each submitted by `{self.submit}` with\n{script}"

    @override
    def start(self) -> Any:
        cluster_class = found("dask_jobqueue", "cluster", self.class_name)
        if shutil.which(self.submit) is None:
            raise InputError(f"{self.submit} is not on this machine; allowed: a machine from which jobs are submitted")
        return cluster_class(**self.options())


class Slurm(Batch):
    """`dask_jobqueue.SLURMCluster`."""

    class_name = "SLURMCluster"
    submit = "sbatch"


class Pbs(Batch):
    """`dask_jobqueue.PBSCluster`."""

    class_name = "PBSCluster"
    submit = "qsub"

    resource_spec: Text | None = None  # None: select=1 with the cores and memory


class Ssh(Deployment):
    """Machines that are reached by SSH (`distributed.SSHCluster`); the scheduler is on the first."""

    hosts: tuple[Text, ...] = Field(min_length=2)  # the scheduler's, then the workers'; one may be named twice
    workers: int = Field(default=1, ge=1)  # on each
    port: int = Field(default=22, ge=1, lt=2**16)
    username: Text | None = None
    client_keys: tuple[Text, ...] | None = None  # files; None: those of the SSH agent and ~/.ssh
    known_hosts: Text | None = None  # a file; None: ~/.ssh/known_hosts
    remote_python: Text | None = None  # None: the client's
    interface: Text | None = None
    local_directory: Text | None = None
    memory_limit: Text = "auto"

    def options(self) -> dict[str, Any]:
        """For SSHCluster."""
        names = {"port", "username", "client_keys", "known_hosts"}
        both = self.model_dump(include={"interface"}, exclude_none=True)
        each = self.model_dump(include={"local_directory", "memory_limit"}, exclude_none=True)
        return {
            "hosts": list(self.hosts),
            "connect_options": self.model_dump(mode="json", include=names, exclude_none=True),
            "scheduler_options": both | {"port": 0, "dashboard_address": ":0", "idle_timeout": f"{ABANDONED}s"},
            "worker_options": both | each | {"n_workers": self.workers, "nthreads": 1},
            "remote_python": self.remote_python,
        }

    @override
    def show(self) -> str:
        options = self.options()
        python, user = self.remote_python or sys.executable, f"{self.username}@" if self.username else ""
        worker = {key: value for key, value in options["worker_options"].items() if key != "n_workers"}
        specs: list[tuple[str, Any]] = [("", {"cls": "distributed.Scheduler", "opts": options["scheduler_options"]})]
        nannies = {place: {"cls": "distributed.Nanny", "opts": worker} for place in range(self.workers)}
        specs += [("tcp://SCHEDULER:PORT ", nannies)] * (len(self.hosts) - 1)
        settings = "".join(f"# {name}: {value}\n" for name, value in SETTINGS.items())
        return settings + "".join(
            f"ssh -p {self.port} {user}{host} {python} -m distributed.cli.dask_spec {scheduler}"
            f"--spec {shlex.quote(json.dumps(spec))}\n"
            for host, (scheduler, spec) in zip(self.hosts, specs, strict=True)
        )

    @override
    def start(self) -> Any:
        found("asyncssh", "cluster", "connect")
        from distributed import SSHCluster  # noqa: PLC0415 - the rest of this file needs no cluster

        try:
            return SSHCluster(**self.options())
        except Exception as error:  # asyncssh's, the system's, or Dask's own
            reason = str(error) or type(error).__name__
            raise InputError(f"the cluster on {', '.join(self.hosts)} did not start: {reason}") from error


class Kubernetes(Deployment):
    """Pods of the Dask operator (`dask_kubernetes.operator.KubeCluster`), which replaces those that end."""

    image: Text  # holds the same cimstudy and Dask as the client
    workers: int = Field(ge=1)
    name: str = Field(default="cimstudy", pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    namespace: Text | None = None
    cpu: Text = "1"
    memory: Text
    death_timeout: Seconds = 300
    env: dict[str, str] = Field(default={})

    def spec(self) -> dict[str, Any]:
        """The manifest of the operator's resource."""
        make_cluster_spec = found("dask_kubernetes.operator", "kubernetes", "make_cluster_spec")
        resources = {"cpu": self.cpu, "memory": self.memory}
        manifest: dict[str, Any] = make_cluster_spec(
            name=self.name,
            image=self.image,
            n_workers=self.workers,
            resources={"requests": resources, "limits": resources},
            env=environment() | self.env,
            worker_command=f"dask worker --nthreads 1 --death-timeout {self.death_timeout}",
            idle_timeout=ABANDONED,
        )
        return manifest

    @override
    def show(self) -> str:
        return dumped(self.spec())

    @override
    def start(self) -> Any:
        cluster_class = found("dask_kubernetes.operator", "kubernetes", "KubeCluster")
        try:
            return cluster_class(custom_cluster_spec=self.spec(), namespace=self.namespace, quiet=True)
        except Exception as error:  # of one of the three libraries below
            raise InputError(f"the cluster {self.name} did not start: {error or type(error).__name__}") from error


KINDS: dict[str, type[Deployment]] = {
    "local": Local,
    "slurm": Slurm,
    "pbs": Pbs,
    "ssh": Ssh,
    "kubernetes": Kubernetes,
}


def is_file(cluster: Any) -> bool:
    """Whether this names a cluster file, rather than a scheduler."""
    return isinstance(cluster, Path) or (isinstance(cluster, str) and cluster.endswith((".yaml", ".yml")))


def read_deployment(path: Path) -> Deployment:
    """The cluster that a file describes. Raises InputError, naming the file, what is wrong and what is allowed."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such cluster file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    kind = values.pop("kind", None) if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{path}: kind = {kind!r}; allowed: {', '.join(KINDS)}")
    try:
        return KINDS[kind](**{str(name): value for name, value in values.items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def found(module: str, extra: Literal["cluster", "kubernetes"], name: str) -> Any:
    """An object of an optional package. Raises InputError, naming the extra, if that is not installed."""
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; allowed: pip install 'cimstudy[{extra}]'") from None


def dumped(values: Any) -> str:
    """As YAML."""
    text: str = yaml.safe_dump(values, sort_keys=False)
    return text


def seconds(walltime: str) -> int:
    """Of `[days-]hours:minutes:seconds`."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, rest = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + rest
