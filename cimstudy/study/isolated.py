"""A block that kills its workers: its cases in a child process, so that only the deadly ones fail."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from cimstudy.study.blockio import Case
from cimstudy.study.evaluate import Outcome, evaluate
from cimstudy.study.task import Job, Payload, Receipt, finish, unpack

POLL = 1.0  # s between a child's looks whether its worker still lives


def run_isolated(payload: Payload, job: Job) -> Receipt:
    """Evaluate what a block lacks in child processes, and write it."""
    return finish(job, lambda todo: outcomes(payload, job, todo))


def outcomes(payload: Payload, job: Job, todo: Sequence[Case]) -> Iterator[Outcome]:
    """The outcomes of these cases, in their order.

    A child takes them one after the other. The case at which it dies is tried again, first in a new child, and fails
    if that dies too: what came before it is then not to blame.
    """
    left = list(todo)
    while left:
        done = 0
        with child(payload, job, left) as process:
            for outcome in received(process):
                done += 1
                yield outcome
        left = left[done:]
        if left and done == 0:
            yield Outcome(error=death_text(process.returncode))
            left = left[1:]


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


def received(process: "subprocess.Popen[bytes]") -> Iterator[Outcome]:
    """The outcomes that a child sends, until it ends."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    with contextlib.suppress(EOFError, pickle.UnpicklingError):  # it died, perhaps in the middle of sending
        while True:
            yield pickle.load(process.stdout)  # noqa: S301 - sent by our own child


def death_text(status: int) -> str:
    """What to record of a case whose process died. status: as subprocess gives it, a signal's number negated."""
    if status >= 0:
        return f"WorkerDied: the case ended its process with exit status {status}\n"
    likely = "; most likely out of memory" if -status == signal.SIGKILL else ""
    return f"WorkerDied: the process of this case was ended by {signal.Signals(-status).name}{likely}\n"


def watch(parent: int) -> None:
    """End this process when its worker is gone."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


def main() -> None:
    """In the child: cases come in, outcomes go out; what the workload prints goes to standard error."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    payload, job, todo, parent = pickle.load(sys.stdin.buffer)  # noqa: S301 - sent by our own worker
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    study, resolve = unpack(payload)
    for case in todo:
        row, trial = case
        outcome = job.known.get(case) or evaluate(resolve(job.points[row]), study.seed, trial)
        pickle.dump(outcome, results)
        results.flush()


if __name__ == "__main__":
    main()
