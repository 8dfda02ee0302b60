"""Opening what an interrupt (Ctrl-C) must not leave half open."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from distributed import Client


class Opened(Client):
    """A client that is closed if it is interrupted while it connects.

    One that is left half open is closed when it is collected: at exit, when nothing runs that could close it, which
    then waits for minutes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        except BaseException:
            with contextlib.suppress(AttributeError):  # it failed before there was anything to close
                self.close()  # type: ignore[no-untyped-call]
            raise


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """An interrupt takes effect at the end of the block; a second one does so at once."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append((number, frame))
        signal.signal(signal.SIGINT, handler)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])
