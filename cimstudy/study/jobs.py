"""Keeping the jobs of a batch system up: Dask submits them once, and one that ends would leave its place empty."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import dask
from distributed import Status

from cimstudy.errors import InputError
from cimstudy.study.deployment import Batch, Deployment

# Dask forgets lost workers after a while, by name, and would cancel the job that has got the name since.
SETTINGS = {"distributed.deploy.lost-worker-timeout": "1000 days"}

LOOK = 2.0  # s between looks at the workers
PATIENCE = 3  # looks in a row without any of a job's workers before the job is given up: a worker may reconnect


@contextlib.contextmanager
def topped_up(cluster: Any, deployment: Deployment) -> Iterator[None]:
    """Submit the jobs, and others for those that end. Raises InputError if the batch system refuses them."""
    if not isinstance(deployment, Batch):
        yield
        return
    with dask.config.set(SETTINGS):
        try:
            cluster.sync(submit, cluster, deployment.jobs)
        except RuntimeError as error:
            for job in cluster.workers.values():
                job.status = Status.failed  # which the cluster wants of all jobs that are left when it closes
            reason = " ".join(str(error).rpartition("stderr:")[2].split())
            raise InputError(f"{deployment.submit} refused the job: {reason}") from None
        watch = asyncio.run_coroutine_threadsafe(replace_ended(cluster, deployment.jobs), cluster.loop.asyncio_loop)
        try:
            yield
        finally:
            watch.cancel()


async def submit(cluster: Any, jobs: int) -> None:
    """Ask for so many jobs. Raises what submitting one of them raises."""
    cluster.scale(jobs)
    await cluster


async def replace_ended(cluster: Any, jobs: int) -> None:
    """Submit a job for each that ends, for as long as the cluster lives."""
    missing: dict[str, int] = {}
    while True:
        await asyncio.sleep(LOOK)
        groups = {name: workers_of(name, spec) for name, spec in cluster.worker_spec.items()}
        missing = missed(missing, groups, {worker.name for worker in cluster.scheduler.workers.values()})
        ended = [name for name, looks in missing.items() if looks >= PATIENCE]
        missing = {name: looks for name, looks in missing.items() if name not in ended}  # names are given again
        with contextlib.suppress(RuntimeError):  # a batch system may be out of reach for a while
            if ended:
                await cluster.scale_down(ended)
            if len(cluster.workers) < jobs:
                await submit(cluster, jobs)


def workers_of(name: str, spec: Mapping[str, Any]) -> set[str]:
    """The names of a job's workers."""
    return {f"{name}{suffix}" for suffix in spec.get("group", [""])}


def missed(before: Mapping[str, int], groups: Mapping[str, Collection[str]], present: Iterable[str]) -> dict[str, int]:
    """For how many looks each job that has had workers has none. A job that waits in the queue is not in it."""
    present = set(present)
    looks = {name: 0 if present & set(group) else before.get(name, -1) + 1 for name, group in groups.items()}
    started = {name for name, group in groups.items() if present & set(group)} | before.keys()
    return {name: number for name, number in looks.items() if name in started}
