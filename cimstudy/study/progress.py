"""Progress of a run, on standard error: a line that is kept up to date in a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

EVERY = 10.0  # s between the lines that go to a file


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run is. Times in seconds since the epoch."""

    name: str
    total: int
    finished: int
    failed: int
    at_start: int  # finished before this run
    started: float
    dashboard: str = ""

    def line(self, now: float) -> str:
        """For people: cases, rate, failures, time left."""
        elapsed = max(now - self.started, 1e-9)
        rate = (self.finished - self.at_start) / elapsed
        parts = [f"{self.finished}/{self.total} cases"]
        if rate > 0:
            parts += [f"{rate:.3g}/s", f"{clock((self.total - self.finished) / rate)} left"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


class Report(Protocol):
    """What a runner tells of its progress."""

    def stage(self, text: str) -> None:
        """Say what is being done before cases are."""
        ...

    def show(self, state: State) -> None:
        """Show how far the run is."""
        ...


class Silent:
    """Says nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def show(self, state: State) -> None:
        """Show nothing."""


class Lines:
    """A line on standard error at the start, every ten seconds and at the end."""

    def __init__(self) -> None:
        self._last = 0.0

    def stage(self, text: str) -> None:
        """Write the text."""
        sys.stderr.write(f"{text}\n")

    def show(self, state: State) -> None:
        """Write a line, unless the last one is fresh."""
        now = time.time()
        if now - self._last < EVERY and state.finished < state.total:
            return
        self._last = now
        sys.stderr.write(f"{state.name}: {state.line(now)}\n")


class Bar:
    """A bar in a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, text="")

    def stage(self, text: str) -> None:
        """Show the text beside the bar."""
        self._progress.update(self._task, description=text, text="")

    def show(self, state: State) -> None:
        """Move the bar."""
        text = f"{state.line(time.time())}  {state.dashboard}"
        self._progress.update(
            self._task, description=state.name, completed=state.finished, total=state.total, text=text
        )


@contextlib.contextmanager
def reporting(*, wanted: bool) -> Iterator[Report]:
    """The report that fits where standard error goes."""
    console = Console(stderr=True)
    if not wanted:
        yield Silent()
    elif not console.is_terminal:
        yield Lines()
    else:
        names = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), names, BarColumn(), TextColumn("{task.fields[text]}", markup=False))
        with Progress(*columns, console=console) as progress:
            yield Bar(progress)


def moved(state: State, cases: int, failed: int, more: int = 0) -> State:
    """The state after more cases. more: cases that have become necessary."""
    return replace(state, finished=state.finished + cases, failed=state.failed + failed, total=state.total + more)


def clock(seconds: float) -> str:
    """h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
