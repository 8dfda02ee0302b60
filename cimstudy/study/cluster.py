"""Where a study runs: processes of this machine, the scheduler at an address, a Dask client, or what a file says."""

import contextlib
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import dask
from dask.system import CPU_COUNT
from distributed import CancelledError, Client, Future, LocalCluster
from distributed.comm.core import CommClosedError

from cimstudy.errors import InputError
from cimstudy.study.daskconfig import SETTINGS, THREADS
from cimstudy.study.deployment import Deployment, Local, is_file, read_deployment
from cimstudy.study.jobs import topped_up
from cimstudy.study.stop import ClusterLostError

T = TypeVar("T")

LOST = "the Dask scheduler is gone; run again to go on from what the store holds"
GUARD = "a script that runs a study has to do so under `if __name__ == '__main__':`, since its workers import it"


@contextlib.contextmanager
def connect(cluster: Any, workers: int | None) -> Iterator[Client]:
    """A Dask client for `cluster`; what is started here is closed at the end, however it ends."""
    if cluster is None:
        with local(workers) as client:
            yield client
    elif workers is not None:
        raise InputError(
            f"workers = {workers} with a cluster; allowed: workers for worker processes on this machine only"
        )
    elif isinstance(cluster, Client):
        yield cluster
    elif is_file(cluster):
        with deployed(read_deployment(Path(cluster))) as client:
            yield client
    elif isinstance(cluster, str):
        with at_address(cluster) as client:
            yield client
    else:
        raise InputError(f"cluster = {cluster!r}; allowed: None, a scheduler's address, a cluster file, a Dask client")


@contextlib.contextmanager
def deployed(deployment: Deployment) -> Iterator[Client]:
    """A client of the cluster that a file describes, which is started here. Jobs that end are replaced."""
    if isinstance(deployment, Local):
        with local(deployment.workers, **deployment.options()) as client:
            yield client
        return
    with (
        quiet(logging.getLogger("distributed")),
        dask.config.set(SETTINGS),  # for what a scheduler or worker that starts later reads
        deployment.start() as cluster,
        topped_up(cluster, deployment),
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


@contextlib.contextmanager
def local(workers: int | None, **options: Any) -> Iterator[Client]:
    """Worker processes of one thread each, on the loopback interface. They end when this process does."""
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers}; allowed: 1 or more")
    with (
        one_thread(),
        quiet(logging.getLogger("distributed")),
        start(workers or CPU_COUNT, **options) as cluster,
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        try:
            yield client
        except BaseException:
            abandon(cluster)
            raise


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for linear algebra in processes started from here, whatever the environment asks for.

    A worker has one core, and the last bits of a product depend on the number of threads. Libraries read these
    variables when they are loaded, so this process is not affected.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Only critical messages: deaths of workers are recorded as failures of cases."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def abandon(cluster: LocalCluster) -> None:
    """End worker processes in the middle of their blocks, which closing the cluster would wait for."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            os.kill(nanny.pid, signal.SIGKILL)


def start(workers: int, **options: Any) -> LocalCluster:
    """The worker processes. Raises InputError if they do not start, as when each begins to run the calling script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(GUARD)
    try:
        with dask.config.set(SETTINGS):  # which the cluster keeps
            return LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                **options,
            )
    except RuntimeError as error:
        raise InputError(f"worker processes did not start ({error}); {GUARD}") from error


@contextlib.contextmanager
def at_address(address: str) -> Iterator[Client]:
    """A client of a running scheduler. Raises InputError if none answers."""
    try:
        client = Client(address, timeout="30s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"cluster {address!r} does not answer ({error}); "
            "allowed: the address of a Dask scheduler, or a file such as slurm.yaml"
        ) from None
    with quiet(logging.getLogger("distributed")), client:
        yield client


def slots(client: Client) -> int:
    """How many tasks the cluster can work on at once, at present."""
    try:
        return max(1, sum(client.nthreads().values()))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ClusterLostError(LOST) from error


def result_of(future: "Future[T]") -> T:
    """A task's result; the scheduler then forgets the task. Raises what the task raised, and KilledWorker."""
    try:
        result: T = future.result()
    except (CancelledError, CommClosedError) as error:  # the scheduler went before, or while it was asked
        raise ClusterLostError(LOST) from error
    finally:
        future.release()  # type: ignore[no-untyped-call]
    return result
