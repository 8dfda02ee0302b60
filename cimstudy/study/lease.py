"""Locks in an object store: an object that one process alone can create, and renews for as long as it lives.

Every step is a put on a condition, create-only or only in place of a known version, so of two that try one succeeds. A
lease whose holder was a process of this machine that is gone, or that has not been renewed for LIFETIME by the clock
of the one who looks, is anybody's. Its former holder has given it up long before, by its own clock.
"""

import json
import os
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from cimstudy.errors import InputError
from cimstudy.study.remote import bucket, explained
from cimstudy.study.stop import StoreLostError

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion

LIFETIME = 120.0  # s without renewal after which a lease is anybody's
RENEWAL = 20.0  # s between renewals
MARGIN = 60.0  # s before the end in which a holder starts no write: longer than a request and its retries

_seen: dict[tuple[str, str], tuple[str, float]] = {}  # what a lease of another said, and since when


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A lease as the store has it."""

    text: str
    version: "UpdateVersion"


class Lease:
    """A lock that this process holds until it is given back."""

    def __init__(self, folder: str, name: str, *, token: str, version: "UpdateVersion", since: float) -> None:
        self._place, self._token, self._version, self._since = (folder, name), token, version, since
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True, name=f"lease {name}")
        self._renewing.start()

    def is_held(self) -> bool:
        """Whether no other process can have taken it, and none will while a block is written."""
        return time.monotonic() - self._since < LIFETIME - MARGIN

    def give_back(self) -> None:
        """Let others have it."""
        self._over.set()
        self._renewing.join()
        if self.is_held():  # else it may be another's
            with explained(self._place[0]):
                obstore.delete(bucket(self._place[0]), self._place[1])

    def _renew(self) -> None:
        turn = 0
        while not self._over.wait(RENEWAL):
            turn, asked = turn + 1, time.monotonic()
            try:
                version = write(*self._place, label(self._token, turn), self._version)
            except (InputError, StoreLostError):
                continue  # `is_held` tells when this has gone on for too long
            if version is None:  # another has it
                self._since = float("-inf")
                return
            self._version, self._since = version, asked


def take(folder: str, name: str) -> Lease | None:
    """The lease called `name` among those under the URL `folder`; None if another process has it.

    Raises InputError if the object store cannot have leases.
    """
    check_conditions(folder)
    token, since = uuid.uuid4().hex, time.monotonic()
    version = write(folder, name, label(token, 0), None)
    if version is None:
        found = read(folder, name)
        if found is None or not is_abandoned(folder, name, found.text):
            return None
        since = time.monotonic()
        version = write(folder, name, label(token, 0), found.version)
    return None if version is None else Lease(folder, name, token=token, version=version, since=since)


def others(folder: str, name: str, *, whole: str) -> bool:
    """Whether leases of others rule out the one called `name`, which is held: for `whole` any, for the rest `whole`.

    Each looks after it has its own, so of two that rule each other out at least one finds the other.
    """
    if name != whole:
        return is_taken(folder, whole)
    with explained(folder):
        found = [entry["path"] for page in obstore.list(bucket(folder)) for entry in page]
    return any(is_taken(folder, other) for other in found if other.isdecimal())


def is_taken(folder: str, name: str) -> bool:
    """Whether a process that may live has a lease."""
    found = read(folder, name)
    return found is not None and not is_abandoned(folder, name, found.text)


@cache
def check_conditions(folder: str) -> None:
    """Raise InputError if the object store does not heed conditions: all who share a store would hold every lease."""
    name = f"probe-{uuid.uuid4().hex}"
    heeded = write(folder, name, "1", None) is not None and write(folder, name, "2", None) is None
    with explained(folder):
        obstore.delete(bucket(folder), name)
    if not heeded:
        raise InputError(f"{folder}: this object store does not heed If-None-Match; allowed: one with conditional puts")


def write(folder: str, name: str, text: str, replaced: "UpdateVersion | None") -> "UpdateVersion | None":
    """Put an object in place of the version `replaced`, or of none. Returns its version; None if another was there."""
    with explained(folder):
        try:
            done = obstore.put(bucket(folder), name, text.encode(), mode=replaced or "create")
        except (AlreadyExistsError, PreconditionError):
            found = read(folder, name)  # our own text, if an answer was lost and the put sent again
            return found.version if found is not None and found.text == text else None
        return version_of(done)


def read(folder: str, name: str) -> Stored | None:
    """A lease as it is now; None if there is none."""
    with explained(folder):
        try:
            found = obstore.get(bucket(folder), name)
        except FileNotFoundError:
            return None
        return Stored(text=bytes(found.bytes()).decode(), version=version_of(found.meta))


def version_of(known: "PutResult | ObjectMeta") -> "UpdateVersion":
    """By what a service tells the versions of an object apart."""
    kinds: UpdateVersion = {}
    if known["e_tag"] is not None:
        kinds["e_tag"] = known["e_tag"]
    if known["version"] is not None:
        kinds["version"] = known["version"]
    return kinds


def label(token: str, turn: int) -> str:
    """What a lease says: whose it is, and how often it was renewed."""
    return json.dumps({"token": token, "turn": turn, "machine": this_machine(), "process": os.getpid()})


def is_abandoned(folder: str, name: str, text: str) -> bool:
    """Whether the holder of a lease is gone, as far as this process can tell."""
    holder = json.loads(text)
    if holder["machine"] == this_machine() and not is_alive(holder["process"]):
        return True
    said, since = _seen.get((folder, name), ("", 0.0))
    if said != text:
        _seen[folder, name] = (text, time.monotonic())
        return False
    return time.monotonic() - since > LIFETIME


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives, or another that has its number now."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def this_machine() -> str:
    """The present start of this machine, and the space of process numbers that a container has of its own."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return uuid.uuid4().hex  # no other process is on it
