"""A block that kills its workers: its cases in a child process, so that only the deadly ones fail."""

import contextlib
import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import psutil

from cimstudy.study.blockio import Case
from cimstudy.study.evaluate import Outcome, evaluate
from cimstudy.study.task import Job, Payload, Receipt, finish, own_memory, unpack

POLL = 1.0  # s between a child's looks whether its worker still lives
LOOK = 0.1  # s between a worker's looks at what its child takes
BEGINS, ENDED = "a case begins", "there is no more"  # what comes from a child beside outcomes


def run_isolated(payload: Payload, job: Job) -> Receipt:
    """Evaluate what a block lacks in child processes, and write it."""
    return finish(job, lambda todo: outcomes(payload, job, todo))


def outcomes(payload: Payload, job: Job, todo: Sequence[Case]) -> Iterator[Outcome]:
    """The outcomes of these cases, in their order.

    A child takes them one after the other. A case that breaks a limit fails. One at which the child dies by itself is
    tried again, first in a new child, and fails if that dies too: what came before it is then not to blame.
    """
    left = list(todo)
    limits = Limits(seconds=payload.case_timeout, memory=own_memory())
    while left:
        with child(payload, job, left) as process:
            end = yield from watched(process, limits)
        left = left[end.done :]
        if left and (end.done == 0 or end.blame):
            error = end.blame or death_text(process.returncode, end.peak_memory, limits.memory)
            yield Outcome(error=error, seconds=end.seconds, peak_memory=end.peak_memory)
            left = left[1:]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a case may take. None: no limit."""

    seconds: float | None
    memory: int | None  # bytes


@dataclass(frozen=True, kw_only=True)
class End:
    """How a child ended: how many cases it had done, and what it had taken for the one after."""

    done: int
    seconds: float
    peak_memory: float  # bytes, as far as was seen
    blame: str = ""  # which limit the case broke; "": the child ended by itself


@contextlib.contextmanager
def child(payload: Payload, job: Job, todo: Sequence[Case]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that evaluates these cases. It has ended when the context has."""
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "cimstudy.study.isolated"]
    with subprocess.Popen(  # noqa: S603 - this interpreter and this file
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        with contextlib.suppress(BrokenPipeError):  # it died at once: `received` finds nothing
            pickle.dump((payload, job, tuple(todo), os.getpid()), process.stdin)
            process.stdin.flush()
        yield process


def watched(process: "subprocess.Popen[bytes]", limits: Limits) -> Generator[Outcome, None, End]:
    """The outcomes that a child sends, until it ends, or breaks a limit and is ended."""
    sent: queue.SimpleQueue[Outcome | str] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(process, sent), daemon=True).start()
    done, peak, started, running = 0, 0.0, time.monotonic(), False
    while True:
        try:
            found = sent.get(timeout=LOOK)
        except queue.Empty:
            size, seconds = memory_of(process.pid), time.monotonic() - started
            peak = max(peak, size)
            if blame := broken(limits, seconds if running else 0.0, size):
                process.kill()
                return End(done=done, seconds=seconds, peak_memory=peak, blame=blame)
            continue
        if found == ENDED:
            process.wait()
            return End(done=done, seconds=time.monotonic() - started, peak_memory=peak or math.nan)
        if isinstance(found, Outcome):
            done += 1
            yield found
        peak, started, running = 0.0, time.monotonic(), found == BEGINS


def receive(process: "subprocess.Popen[bytes]", sent: "queue.SimpleQueue[Outcome | str]") -> None:
    """Pass on what a child sends, and the end of it."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    with contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):  # it died, perhaps in the middle of sending
        while True:
            sent.put(pickle.load(process.stdout))  # noqa: S301 - sent by our own child
    sent.put(ENDED)


def memory_of(pid: int) -> float:
    """Bytes that a process holds now; 0 if it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0.0


def broken(limits: Limits, seconds: float, size: float) -> str:
    """What to record of a case that takes more than it may; "" if it does not."""
    if limits.seconds is not None and seconds > limits.seconds:
        return f"CaseTimeout: the case was ended after {limits.seconds:g} s, its time limit\n"
    if limits.memory is not None and size > limits.memory:
        return (
            f"OutOfMemory: the case was ended with {size / 1e9:.3g} GB of memory; its worker may hold "
            f"{limits.memory / 1e9:.3g} GB\n"
        )
    return ""


def death_text(status: int, used: float, limit: int | None) -> str:
    """What to record of a case whose process died. status: as subprocess gives it, a signal's number negated."""
    if status >= 0:
        return f"WorkerDied: the case ended its process with exit status {status}\n"
    text = f"WorkerDied: the process of this case was ended by {signal.Signals(-status).name}"
    if -status != signal.SIGKILL:
        return f"{text}\n"
    held = "" if math.isnan(used) else f"; it held {used / 1e9:.3g} GB or more"
    allowed = "" if limit is None else f", and its worker may hold {limit / 1e9:.3g} GB"
    return f"{text}, most likely because memory ran out{held}{allowed}\n"


def watch(parent: int) -> None:
    """End this process when its worker is gone."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


def send(item: "Outcome | str", results: BinaryIO) -> None:
    """Let the worker know at once."""
    pickle.dump(item, results)
    results.flush()


def main() -> None:
    """In the child: cases come in, outcomes go out; what the workload prints goes to standard error."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    payload, job, todo, parent = pickle.load(sys.stdin.buffer)  # noqa: S301 - sent by our own worker
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    study, resolve = unpack(payload)
    for case in todo:
        row, trial = case
        resolved = resolve(job.points[row])
        send(BEGINS, results)
        send(evaluate(resolved, study.seed, trial), results)


if __name__ == "__main__":
    main()
