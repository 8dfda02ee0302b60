"""Where a study runs: processes of this machine, the scheduler at an address, a Dask client, or what a file says."""

import contextlib
import logging
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import dask
from dask.system import CPU_COUNT
from distributed import CancelledError, Client, Future, LocalCluster
from distributed.comm.core import CommClosedError

from cimstudy.errors import InputError
from cimstudy.study.batch import Batch
from cimstudy.study.daskconfig import SETTINGS, THREADS
from cimstudy.study.deployment import PATIENCE, Remote
from cimstudy.study.jobs import kept_up
from cimstudy.study.machines import Local
from cimstudy.study.opening import Opened, held_back
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
    elif isinstance(cluster, Local):
        with local(cluster.workers, **cluster.options()) as client:
            yield client
    elif isinstance(cluster, Remote):
        with deployed(cluster) as client:
            yield client
    elif isinstance(cluster, Client):
        await_worker(cluster, overdue(scheduler_of(cluster)))
        yield cluster
    elif isinstance(cluster, str):
        with at_address(cluster) as client:
            await_worker(client, overdue(scheduler_of(client)))
            yield client
    else:
        raise InputError(f"cluster = {cluster!r}; allowed: None, a scheduler's address, a cluster file, a Dask client")


def awaited(cluster: Any) -> str:
    """What `connect` does until it gives a client, in words."""
    if isinstance(cluster, Remote):
        return f"waiting for a worker from {cluster.awaited}"
    return "starting workers" if cluster is None or isinstance(cluster, Local) else "waiting for a worker"


def await_worker(client: Client, trouble: Callable[[], str | None]) -> None:
    """Wait for the first worker. Raises InputError once `trouble` says that none is to be expected."""
    while not threads(client):
        reason = trouble()
        if reason is not None:
            raise InputError(reason)
        time.sleep(0.5)


def overdue(source: str) -> Callable[[], str | None]:
    """What to say once workers should have come from there."""
    end = time.monotonic() + PATIENCE
    return lambda: f"no worker came in {PATIENCE:g} s from {source}" if time.monotonic() > end else None


def scheduler_of(client: Client) -> str:
    """Which it is, and how it gets workers."""
    address = client.scheduler.address  # type: ignore[union-attr]
    return f"the scheduler at {address}; allowed: one with workers (`dask worker {address} --nthreads 1`)"


@contextlib.contextmanager
def deployed(deployment: Remote) -> Iterator[Client]:
    """A client of the cluster that a file describes, which is started here. It has a worker."""
    with (
        quiet(logging.getLogger("distributed")),
        dask.config.set(SETTINGS),  # for what a scheduler or worker that starts later reads
        deployment.start() as cluster,
        arrivals(cluster, deployment) as trouble,
        Opened(cluster, set_as_default=False) as client,
    ):
        await_worker(client, trouble)
        yield client


def arrivals(cluster: Any, deployment: Remote) -> contextlib.AbstractContextManager[Callable[[], str | None]]:
    """See to it that workers come. Gives what says why none is to be expected."""
    if isinstance(deployment, Batch):
        return kept_up(cluster, deployment)
    return contextlib.nullcontext(overdue(deployment.awaited))


@contextlib.contextmanager
def local(workers: int | None, **options: Any) -> Iterator[Client]:
    """Worker processes of one thread each, on the loopback interface. They end when this process does."""
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers}; allowed: 1 or more")
    with (
        one_thread(),
        quiet(logging.getLogger("distributed")),
        started(workers or CPU_COUNT, **options) as cluster,
        Opened(cluster, set_as_default=False) as client,
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


@contextlib.contextmanager
def started(workers: int, **options: Any) -> Iterator[LocalCluster]:
    """The worker processes. An interrupt waits the second until they are up and can be ended."""
    with contextlib.ExitStack() as stack:
        with held_back():
            cluster = stack.enter_context(start(workers, **options))
        yield cluster


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
        client = Opened(address, timeout="30s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"cluster {address!r} does not answer ({error}); "
            "allowed: the address of a Dask scheduler, or a file such as slurm.yaml"
        ) from None
    with quiet(logging.getLogger("distributed")), client:
        yield client


def slots(client: Client) -> int:
    """How many tasks the cluster can work on at once, at present; 1 if there is no worker."""
    return max(1, threads(client))


def capacity(client: Client) -> int:
    """How many tasks the cluster can work on at once when all workers that were asked for have come."""
    return max(slots(client), len(getattr(client.cluster, "plan", ())))


def threads(client: Client) -> int:
    """Of all workers together. Raises ClusterLostError if the scheduler does not answer."""
    try:
        return sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ClusterLostError(LOST) from error


def check_threads(client: Client) -> None:
    """Raise InputError if a worker has several threads: cases can then not be timed, one by one, and ended."""
    most = max(client.nthreads().values(), default=1)  # type: ignore[no-untyped-call]
    if most > 1:
        raise InputError(f"case_timeout with workers of {most} threads; allowed: workers of one thread each")


def submitted(client: Client, name: str, task: Callable[..., T], *arguments: Any) -> "Future[T]":
    """A task on its way. Dask learns how long tasks of a name take, and spreads them accordingly."""
    key = f"{name}-{uuid.uuid4().hex}"
    return client.submit(task, *arguments, key=key, pure=False, retries=0)


def result_of(future: "Future[T]") -> T:
    """A task's result; the scheduler then forgets the task. Raises what the task raised, and KilledWorker."""
    try:
        result: T = future.result()
    except (CancelledError, CommClosedError) as error:  # the scheduler went before, or while it was asked
        raise ClusterLostError(LOST) from error
    finally:
        future.release()  # type: ignore[no-untyped-call]
    return result
