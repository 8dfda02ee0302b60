"""How much memory this process may fill, and has filled."""

import contextlib
import os
import resource
import sys
from dataclasses import dataclass
from functools import lru_cache

_limit: int | None = None


def set_limit(size: int | None) -> None:
    """Set the bytes that this process may fill; None: what the machine has. A worker of a cluster has its share."""
    global _limit  # noqa: PLW0603 - one process has one limit
    _limit = size


def limit() -> int:
    """Bytes that this process may fill."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return physical if _limit is None else min(_limit, physical)


def restart_peak() -> None:
    """Let `peak` count from now on, where the system can."""
    if page_faults() == _quiet.faults:
        return
    with contextlib.suppress(OSError):
        os.pwrite(opened("clear_refs", os.getpid()), b"5", 0)
    _quiet.held = high_water()
    _quiet.faults = page_faults()


def peak() -> int:
    """The most bytes that this process has held at once: since `restart_peak`, or else since it started."""
    return _quiet.held if page_faults() == _quiet.faults else high_water()


@dataclass
class Quiet:
    """What was held when the peak was restarted, and how often memory had been asked for by then.

    Memory grows by faults of pages, and asking for their number takes less than the peak: without one it is as it was.
    """

    held: int = 0
    faults: int = -1


_quiet = Quiet()


def page_faults() -> int:
    """How often this process has touched a page that it did not have."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_minflt + used.ru_majflt


def high_water() -> int:
    """The peak as the system counts it, bytes."""
    try:
        text = os.pread(opened("status", os.getpid()), 4096, 0)
    except OSError:  # no /proc here
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(text.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024


@lru_cache(maxsize=2)
def opened(name: str, pid: int) -> int:  # noqa: ARG001 - a child of a fork has files of its own
    """A file of this process's in /proc, opened once. Raises OSError if there is none."""
    return os.open(f"/proc/self/{name}", os.O_WRONLY if name == "clear_refs" else os.O_RDONLY)
