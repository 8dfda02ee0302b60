"""English text that every Python carries with it: what the bundled model was trained on, and what it is measured on.

The language reference (`pydoc_data.topics`) and the docstrings of the standard library are read from the running
interpreter, so nothing is downloaded and nothing is stored twice. One part of the language reference is held out.
The text follows the Python version: numbers of two versions are close, and equal only within one version.
"""

import ast
import sysconfig
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

from cimstudy.errors import InputError

# Folders under the standard library whose text is not documentation, or not Python's own.
_SKIPPED_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})


@cache
def held_out_text() -> bytes:
    """Language reference that no training has seen, as UTF-8; 60 to 80 kB.  Every paragraph occurs once."""
    return _join(_topic_paragraphs(_is_held_out), seen=set())


def training_text() -> bytes:
    """The rest of the language reference, then the docstrings of the standard library, as UTF-8; about 2 MB.

    Every paragraph occurs once, and none that is in the held-out text.  Takes some ten seconds: it parses the whole
    standard library.
    """
    return b"\n\n".join(training_parts())


@cache
def training_parts() -> tuple[bytes, bytes]:
    """The training text's two parts: language reference (0.3 MB), docstrings (1.7 MB)."""
    seen = {_words(paragraph) for paragraph in _paragraphs(held_out_text().decode())}
    reference = _join(_topic_paragraphs(lambda name: not _is_held_out(name)), seen)
    library = _join((p for docstring in _library_docstrings() for p in _paragraphs(docstring)), seen)
    return reference, library


def load_text(source: str | Path) -> bytes:
    """Text to measure a model on: "bundled" is the held-out text, anything else the path of a file."""
    if source == "bundled":
        return held_out_text()
    path = Path(source)
    if not path.is_file():
        raise InputError(f"no text at {str(source)!r}; allowed: 'bundled', or the path of a file")
    text = path.read_bytes()
    if not text:
        raise InputError(f"the text {str(source)!r} is empty; allowed: a file with at least one byte")
    return text


def _is_held_out(topic: str) -> bool:
    # The name decides, so a topic is on the same side in every Python version. This class of the checksum holds seven
    # topics (the data model among them): 13 % of the reference's bytes in Python 3.11.
    return zlib.crc32(topic.encode()) % 10 == 2


def _topic_paragraphs(chosen: Callable[[str], bool]) -> Iterator[str]:
    for name in sorted(topics):
        if chosen(name):
            yield from _paragraphs(topics[name])


def _library_docstrings() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        if _SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts):
            yield from _docstrings(path.read_bytes())


def _docstrings(source: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # templates, and samples of broken code
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of lines between blank lines, their line breaks and indentation kept."""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line.rstrip())
        elif lines:
            yield "\n".join(lines)
            lines = []


def _words(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _join(paragraphs: Iterable[str], seen: set[str]) -> bytes:
    """Paragraphs whose words are not in `seen`, blank lines between them; adds their words to `seen`."""
    fresh = []
    for paragraph in paragraphs:
        words = _words(paragraph)
        if words not in seen:
            seen.add(words)
            fresh.append(paragraph)
    return "\n\n".join(fresh).encode("utf-8", errors="replace")
