"""Locks between tasks: one byte of a file beside the store for its definition, one for each block.

Who holds a block's lock evaluates and writes it; others find it busy. The system drops the locks of a process that
ends, however it ends. Beside a store behind a URL there are leases instead, which end when they are not renewed. On a
file system without locks they hold within a process only: there, one runner at a time.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from cimstudy.study.place import is_url, opened

WHOLE = -1  # stands for all bytes
DEFINITION = 0  # the byte for creating and extending a store
PILOT = 2**62  # the byte for timing a case before there is a store; blocks have the bytes between
POLL, POLL_FAR = 0.05, 1.0  # s between tries, of a file and of an object store


class Hold(Protocol):
    """A lock that this process has."""

    def is_held(self) -> bool:
        """Whether it may still write."""
        ...

    def give_back(self) -> None:
        """Let others have it."""
        ...


@dataclass(frozen=True)
class FileHold:
    """A lock on a byte of a file, which cannot be lost."""

    store: str
    byte: int

    def is_held(self) -> bool:
        """Whether it may still write."""
        return True

    def give_back(self) -> None:
        """Let others have it."""
        with contextlib.suppress(OSError):
            operate(self.store, self.byte, fcntl.LOCK_UN)


_held: dict[tuple[str, int], Hold] = {}  # by this process; file locks do not tell its threads apart
_guard = threading.Lock()


@contextlib.contextmanager
def locked(store: str, byte: int = DEFINITION, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock on `byte`. Yields False, without it, if another has it and `wait` is false."""
    while not acquire(store, byte):
        if not wait:
            yield False
            return
        time.sleep(POLL_FAR if is_url(store) else POLL)
    try:
        yield True
    finally:
        release(store, byte)


def is_held(store: str, byte: int) -> bool:
    """Whether this process has the lock on `byte` and may still write: a lease can be lost."""
    with _guard:
        return (store, byte) in _held and _held[store, byte].is_held()


def acquire(store: str, byte: int) -> bool:
    """Take the lock on `byte` if it is free. Returns whether it was."""
    with _guard:
        mine = {other for place, other in _held if place == store}
        if byte in mine or WHOLE in mine or (byte == WHOLE and mine):
            return False
        found = leased(store, byte) if is_url(store) else file_locked(store, byte)
        if found is not None:
            _held[store, byte] = found
        return found is not None


def release(store: str, byte: int) -> None:
    """Give the lock on `byte` back."""
    with _guard:
        _held.pop((store, byte)).give_back()


def leased(store: str, byte: int) -> Hold | None:
    """The lease that stands for a byte of a store behind a URL; None if another process has it."""
    opened(store)  # says so if obstore is not installed
    from cimstudy.study.lease import others, take  # noqa: PLC0415 - obstore is an extra

    lease = take(f"{store}.lock", str(byte))
    if lease is None or not others(f"{store}.lock", str(byte), whole=str(WHOLE)):
        return lease
    lease.give_back()
    return None


def file_locked(store: str, byte: int) -> Hold | None:
    """The lock on a byte; None if another process has it."""
    try:
        operate(store, byte, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return None  # any other error: there are no locks here
    return FileHold(store, byte)


def operate(store: str, byte: int, operation: int) -> None:
    """Lock or unlock a byte of the store's lock file, or all. Raises OSError."""
    if not os.fstat(lock_file(store)).st_nlink:  # deleted along with its store; a new store has a new file
        lock_file.cache_clear()
    first, count = (0, 0) if byte == WHOLE else (byte, 1)  # a count of 0: to the end
    fcntl.lockf(lock_file(store), operation, count, first)


@cache
def lock_file(store: str) -> int:
    """The lock file, opened once and never closed: closing it would drop all locks that the process has on it."""
    return os.open(f"{store.rstrip('/')}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
