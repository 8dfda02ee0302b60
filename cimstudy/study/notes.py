"""What runners tell of themselves: a small file each, beside the store, for whoever watches it.

Nothing depends on these notes. A runner that dies leaves its note behind; one that is old says nothing any more.
"""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cimstudy.errors import InputError
from cimstudy.study.place import is_url, opened
from cimstudy.study.progress import State
from cimstudy.study.stop import StoreLostError

EVERY = 5.0  # s between updates
FRESH = 60.0  # s for which a note is believed; blocks take up to a minute


@dataclass(frozen=True, kw_only=True)
class Note:
    """How far a runner is. Times in seconds since the epoch."""

    host: str
    process: int
    workers: int
    dashboard: str
    finished: int
    at_start: int
    total: int
    started: float
    updated: float

    @property
    def rate(self) -> float:
        """Cases a second."""
        return (self.finished - self.at_start) / max(self.updated - self.started, 1e-9)


class Notebook:
    """The note of one runner, kept up to date."""

    def __init__(self, store: str) -> None:
        self._folder, self._name, self._last = f"{store}.runs", f"{uuid.uuid4().hex}.json", float("-inf")

    def is_due(self) -> bool:
        """Whether the note is old enough to be written anew."""
        return time.monotonic() - self._last > EVERY

    def write(self, state: State, workers: int) -> None:
        """Say how far the run is."""
        self._last = time.monotonic()
        note = Note(
            host=socket.gethostname(),
            process=os.getpid(),
            workers=workers,
            dashboard=state.dashboard,
            finished=state.finished,
            at_start=state.at_start,
            total=state.total,
            started=state.started,
            updated=time.time(),
        )
        with unimportant():
            put(self._folder, self._name, json.dumps(asdict(note)))

    def close(self) -> None:
        """Take the note away."""
        with unimportant():
            remove(self._folder, self._name)


@contextlib.contextmanager
def noting(store: str) -> Iterator[Notebook]:
    """A runner's note, which goes when the runner does."""
    notebook = Notebook(store)
    try:
        yield notebook
    finally:
        notebook.close()


def notes(store: str) -> list[Note]:
    """What runners at work on a store have told lately, the longest at work first."""
    found = [Note(**json.loads(text)) for text in texts(f"{store}.runs")]
    fresh = [note for note in found if time.time() - note.updated < FRESH]
    return sorted(fresh, key=lambda note: note.started)


@contextlib.contextmanager
def unimportant() -> Iterator[None]:
    """Go on if a note cannot be written: the folder may be read-only, the object store busy."""
    with contextlib.suppress(OSError, InputError, StoreLostError):
        yield


def put(folder: str, name: str, text: str) -> None:
    """Write a note, whole."""
    if is_url(folder):
        opened(folder)
        from cimstudy.study.remote import put_text  # noqa: PLC0415 - obstore is an extra

        put_text(folder, name, text)
        return
    Path(folder).mkdir(exist_ok=True)
    part = Path(folder, f"{name}.partial")
    part.write_text(text, "utf-8")
    part.replace(Path(folder, name))


def remove(folder: str, name: str) -> None:
    """Take a note away, and the folder with the last one."""
    if is_url(folder):
        from cimstudy.study.remote import remove_object  # noqa: PLC0415 - obstore is an extra

        remove_object(folder, name)
        return
    Path(folder, name).unlink(missing_ok=True)
    Path(folder).rmdir()


def texts(folder: str) -> Iterator[str]:
    """All notes in a folder."""
    if folder.startswith(("http://", "https://")):
        return  # a web server lists nothing, and no run writes there
    if is_url(folder):
        opened(folder)
        from cimstudy.study.remote import texts_under  # noqa: PLC0415 - obstore is an extra

        yield from texts_under(folder)
        return
    for file in Path(folder).glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # it went meanwhile
            yield file.read_text("utf-8")
