"""Functions that Numba compiles and keeps on disk."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: `numba.njit` without the lock of the interpreter, whose machine code is that of the sources at hand.

    Machine code contains that of the functions it calls, and constants, which may stand in other files of its room.
    Numba keeps it until the function's own file changes, also when a new version is installed in place of another.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        dispatcher._cache = KeptBySources(function)  # noqa: SLF001 - njit has no option for it
        return dispatcher

    return decorate


class KeptBySources(FunctionCache):
    """Numba's files for a function, found as long as no source in its folder has changed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = (self._impl.locator.get_source_stamp(), digest(Path(function.__code__.co_filename).parent))
        base = self._impl.filename_base
        self._cache_file = IndexDataCacheFile(self._cache_path, base, stamp)  # type: ignore[no-untyped-call]


@cache
def digest(folder: Path) -> str:
    """Of all Python sources in a folder."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        found.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
