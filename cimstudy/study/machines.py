"""Worker processes of this machine, and of machines that SSH reaches."""

import contextlib
import json
import logging
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import Field
from typing_extensions import override

from cimstudy.errors import InputError
from cimstudy.study.daskconfig import SETTINGS
from cimstudy.study.deployment import ABANDONED, Deployment, MemoryOrShare, Remote, Seconds, Text, dumped, found

ANSWER = {"connect_timeout": 60}  # s for a machine to answer


class Local(Deployment):
    """Worker processes of this machine (`distributed.LocalCluster`)."""

    workers: int | None = Field(default=None, ge=1)  # None: one for each core
    memory_limit: MemoryOrShare = "auto"  # of each worker
    local_directory: Text | None = None

    def options(self) -> dict[str, Any]:
        """For LocalCluster, beside the number of workers."""
        return self.model_dump(exclude={"workers"})

    @override
    def show(self) -> str:
        workers = self.workers or "one for each core"
        return dumped({"LocalCluster": {"workers": workers, "threads_per_worker": 1, **self.options()}})

    @property
    @override
    def size(self) -> int | None:
        return self.workers


class Ssh(Remote):
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
    memory_limit: MemoryOrShare = "auto"
    death_timeout: Seconds = 60  # a worker that finds no scheduler ends

    def options(self) -> dict[str, Any]:
        """For SSHCluster."""
        names = {"port", "username", "client_keys", "known_hosts"}
        both = self.model_dump(include={"interface"}, exclude_none=True)
        each = self.model_dump(include={"local_directory", "memory_limit", "death_timeout"}, exclude_none=True)
        return {
            "hosts": list(self.hosts),
            "connect_options": self.model_dump(mode="json", include=names, exclude_none=True) | ANSWER,
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

    @property
    @override
    def size(self) -> int:
        return self.workers * len(self.hosts[1:])

    @property
    @override
    def awaited(self) -> str:
        return f"{', '.join(self.hosts[1:])}, over SSH"

    @override
    def start(self) -> Any:
        found("asyncssh", "cluster", "connect")
        from distributed import SSHCluster  # noqa: PLC0415 - the rest of this file needs no cluster

        with heard("distributed.deploy.ssh") as lines:
            try:
                return SSHCluster(**self.options())
            except Exception as error:  # asyncssh's, the system's, or Dask's own
                reason = "; ".join([str(error) or type(error).__name__, *lines[-1:]])
                raise InputError(f"the cluster on {', '.join(self.hosts)} did not start: {reason}") from error


@contextlib.contextmanager
def heard(name: str) -> Iterator[list[str]]:
    """What a logger says meanwhile; nobody else hears it."""
    logger, lines = logging.getLogger(name), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
