"""How much memory this process may fill, and has filled."""

import contextlib
import os
import resource
import sys
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
    with contextlib.suppress(OSError):
        os.pwrite(opened("clear_refs", os.getpid()), b"5", 0)
    inherited(os.getpid())  # now, as it shows only while the process is small


def peak() -> int:
    """The most bytes that this process has held at once: since `restart_peak`, or else since it started."""
    most = most_resident()
    return most if most > inherited(os.getpid()) else high_water()


def most_resident() -> int:
    """What the system counts as this process's peak, bytes: quickly, but never less than when it was forked."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def high_water() -> int:
    """The peak in this process's own file, bytes, which takes ten times as long; `most_resident` if there is none."""
    try:
        text = os.pread(opened("status", os.getpid()), 4096, 0)
    except OSError:
        return most_resident()
    return int(text.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024


@lru_cache(maxsize=2)
def inherited(pid: int) -> int:  # noqa: ARG001 - a child of a fork inherits anew
    """Bytes below which `most_resident` does not fall: those of the program that started this one; 0 for none."""
    most = most_resident()
    return most if most > high_water() else 0


@lru_cache(maxsize=2)
def opened(name: str, pid: int) -> int:  # noqa: ARG001 - a child of a fork has files of its own
    """A file of this process's in /proc, opened once. Raises OSError if there is none."""
    return os.open(f"/proc/self/{name}", os.O_WRONLY if name == "clear_refs" else os.O_RDONLY)
