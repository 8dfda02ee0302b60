"""Modules that workers cannot import: study files, sent to them as text and imported under the same names.

Pickling functions by value would not do: a module-level `functools.cache` cannot be pickled so, and every task would
start with empty caches.
"""

import contextlib
import hashlib
import importlib.abc
import inspect
import io
import linecache
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Source:
    """The text of a module that workers cannot import, and the file it came from."""

    file: str
    text: str


shipped: dict[str, Source] = {}  # by module name: what was loaded by path in this process


class Shipped(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules from `shipped` texts."""

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Where the module comes from, if it is one of these."""
        source = shipped.get(fullname)
        if source is None:
            return None
        spec = ModuleSpec(fullname, self, origin=source.file)
        spec.has_location = True  # gives the module its __file__
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's text."""
        file, text = shipped[module.__name__].file, shipped[module.__name__].text
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for tracebacks
        exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102 - that is what a study file is for


def install(sources: Mapping[str, Source]) -> None:
    """Make these modules importable here, from these texts."""
    if not any(isinstance(finder, Shipped) for finder in sys.meta_path):
        sys.meta_path.insert(0, Shipped())
    for name, source in sources.items():
        if shipped.get(name) != source:
            shipped[name] = source
            sys.modules.pop(name, None)


def code_of(thing: Any) -> dict[str, str]:
    """`{"code": digest}` of a workload that a study file or script defines; nothing for what is installed.

    Its own text counts, without comments and spacing: results of two versions of it do not belong in one store.
    """
    own = thing if hasattr(thing, "__qualname__") else type(thing)
    if own.__module__ not in shipped and own.__module__ != "__main__":
        return {}
    with contextlib.suppress(OSError, TypeError):  # a notebook or a console may not keep the text
        return {"code": hashlib.sha256(plain_code(inspect.getsource(own)).encode()).hexdigest()[:32]}
    return {}


def plain_code(text: str) -> str:
    """Python text without comments and spacing."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return " ".join(token.string.strip() or str(token.type) for token in tokens if token.type not in layout)
