"""Locks between tasks: one byte of a file beside the store for its definition, one for each block.

Who holds a block's lock evaluates and writes it; others find it busy. The system drops the locks of a process that
ends, however it ends. A store behind a URL, or a file system without locks, has them within a process only: there,
one runner at a time.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from functools import cache

DEFINITION = 0  # the byte for creating and extending a store
PILOT = 2**62  # the byte for timing a case before there is a store; blocks have the bytes between
POLL = 0.05  # s between tries

_held: set[tuple[str, int]] = set()  # by this process; file locks do not tell its threads apart
_guard = threading.Lock()


@contextlib.contextmanager
def locked(store: str, byte: int = DEFINITION, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock on `byte`. Yields False, without it, if another has it and `wait` is false."""
    while not acquire(store, byte):
        if not wait:
            yield False
            return
        time.sleep(POLL)
    try:
        yield True
    finally:
        release(store, byte)


def acquire(store: str, byte: int) -> bool:
    """Take the lock on `byte` if it is free. Returns whether it was."""
    with _guard:
        if (store, byte) in _held:
            return False
        try:
            operate(store, byte, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False  # another process has it; any other error: there are no locks here
        _held.add((store, byte))
        return True


def release(store: str, byte: int) -> None:
    """Give the lock on `byte` back."""
    with _guard, contextlib.suppress(OSError):
        _held.discard((store, byte))
        operate(store, byte, fcntl.LOCK_UN)


def operate(store: str, byte: int, operation: int) -> None:
    """Lock or unlock a byte of the store's lock file. Raises OSError."""
    if "://" in store:
        return
    if not os.fstat(opened(store)).st_nlink:  # deleted along with its store; a new store has a new file
        opened.cache_clear()
    fcntl.lockf(opened(store), operation, 1, byte)


@cache
def opened(store: str) -> int:
    """The lock file, opened once and never closed: closing it would drop all locks that the process has on it."""
    return os.open(f"{store.rstrip('/')}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
