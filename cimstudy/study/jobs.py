"""Keeping the jobs of a batch system up: Dask submits them once, and one that ends would leave its place empty."""

import asyncio
import contextlib
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
from distributed import Status

from cimstudy.errors import InputError
from cimstudy.study.batch import Batch
from cimstudy.study.stop import ClusterLostError

# Dask forgets lost workers after a while, by name, and would cancel the job that has got the name since.
SETTINGS = {"distributed.deploy.lost-worker-timeout": "1000 days"}

LOOK = 15.0  # s between looks at the workers, and at the queue if a job has none
HOPELESS = 6  # rounds of jobs that end before they have a worker; each doubles the time between looks

OUT_OF_REACH = (RuntimeError, ValueError, OSError)  # what asking a batch system raises when it does not answer well


class Jobs:
    """The jobs of a cluster. Those that end are replaced, once any job has had a worker."""

    def __init__(self, cluster: Any, batch: Batch) -> None:
        self._cluster, self._batch = cluster, batch
        self._started: set[str] = set()  # names of the jobs that have had a worker
        self._fruitless: list[str] = []  # numbers of those that ended without one, since the last that had one
        self._any_worker = self._ever_worker = False

    async def submit(self) -> None:
        """Bring the jobs up to their number. Raises what `OUT_OF_REACH` says."""
        while len(self._cluster.worker_spec) < self._batch.jobs:
            self._cluster.worker_spec.update(self._cluster.new_worker_spec())
        await self._cluster

    async def keep(self) -> None:
        """Replace jobs that end, until there is no hope; close the scheduler then."""
        while not self.trouble():
            await asyncio.sleep(LOOK * 2 ** self._rounds())
            with contextlib.suppress(*OUT_OF_REACH):
                await self.look()
        if self._ever_worker:  # or else the run still waits for the first
            await self._cluster.scheduler.close(reason="no job brings a worker")
            self._cluster.shutdown_scheduler = False  # it is; the cluster would look for it for a minute

    async def look(self) -> None:
        """Find the jobs that have ended, and submit others in their place."""
        specs, jobs = self._cluster.worker_spec, self._cluster.workers
        present = {worker.name for worker in self._cluster.scheduler.workers.values()}
        up = {name for name, spec in specs.items() if present & workers_of(name, spec)}
        if up - self._started:
            self._fruitless = []
        self._started |= up
        self._any_worker, self._ever_worker = bool(up), self._ever_worker or bool(up)
        waiting = {name: job.job_id for name, job in jobs.items() if name not in up}
        if not waiting:
            return
        queued = await numbers(self._batch.listing)
        ended = {name: number for name, number in waiting.items() if number not in queued}
        self._fruitless += [number for name, number in ended.items() if number and name not in self._started]
        self._started -= ended.keys()  # names are given again
        if ended:
            await self._cluster.scale_down(ended)
        if self._ever_worker and not self.trouble():
            await self.submit()

    def trouble(self) -> str | None:
        """Why no worker is to be expected, in one line; None as long as one is."""
        hopeless = self._rounds() >= HOPELESS if self._ever_worker else not self._cluster.worker_spec
        if self._any_worker or not self._fruitless or not hopeless:
            return None
        return f"jobs end before a worker comes from them; {last_words(self._batch.folder, self._fruitless[-1])}"

    def _rounds(self) -> int:
        return min(len(self._fruitless) // self._batch.jobs, HOPELESS)


@contextlib.contextmanager
def kept_up(cluster: Any, batch: Batch) -> Iterator[Callable[[], str | None]]:
    """Submit the jobs, and others for those that end. Gives `Jobs.trouble`.

    Raises InputError if the batch system refuses them, ClusterLostError if they no longer bring workers.
    """
    jobs = Jobs(cluster, batch)
    with dask.config.set(SETTINGS), closing(cluster):
        try:
            cluster.sync(jobs.submit)
        except OUT_OF_REACH as error:
            reason = " ".join(str(error).rpartition("stderr:")[2].split())
            raise InputError(f"{batch.submit} refused the job: {reason}") from None
        keeping = asyncio.run_coroutine_threadsafe(jobs.keep(), cluster.loop.asyncio_loop)
        try:
            yield jobs.trouble
        except ClusterLostError as error:
            raise ClusterLostError(jobs.trouble() or str(error)) from error
        finally:
            keeping.cancel()


@contextlib.contextmanager
def closing(cluster: Any) -> Iterator[None]:
    """Jobs that are left have the status that Dask wants of what it closes, which dask-jobqueue does not set."""
    try:
        yield
    finally:
        for job in cluster.workers.values():
            job.status = Status.closing


def workers_of(name: str, spec: Mapping[str, Any]) -> set[str]:
    """The names of a job's workers."""
    return {f"{name}{suffix}" for suffix in spec.get("group", [""])}


async def numbers(listing: Sequence[str]) -> set[str]:
    """The numbers of the user's jobs that wait or run. Raises RuntimeError if the batch system does not say."""
    process = await asyncio.create_subprocess_exec(*listing, stdout=PIPE, stderr=DEVNULL)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{listing[0]} fails")
    return set(re.findall(r"^\s*(\d+)", output.decode(), re.MULTILINE))


def last_words(folder: Path, number: str) -> str:
    """Where a job has written to, and its last line there."""
    files = (file for file in sorted(folder.glob(f"*{number}*")) if number in re.findall(r"\d+", file.name))
    for file in filter(Path.is_file, files):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        words = [" ".join(line.split()) for line in lines if line.strip()]
        if words:
            return f"job {number} wrote to {file}: {words[-1]}"
    return f"job {number} left no word in {folder}"
