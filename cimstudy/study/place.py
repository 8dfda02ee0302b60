"""Where stores are: a path of this machine, or the URL of an object store, which obstore reaches."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cimstudy.errors import InputError
from cimstudy.study.files import Files

if TYPE_CHECKING:
    from cimstudy.study.remote import Remote


Version = tuple[int, int] | str | None


def location(store: str | Path) -> str:
    """The store as every process finds it: an absolute path, or a URL. Raises InputError for the whole of a bucket."""
    text = str(store).removeprefix("file://")
    if not is_url(text):
        return str(Path(text).expanduser().absolute())
    if not urlsplit(text).path.strip("/"):
        raise InputError(f"{store} is all of a bucket; allowed: a name in it, such as {text.rstrip('/')}/study.zarr")
    return text.rstrip("/")


def is_url(place: str) -> bool:
    """Whether this is a URL."""
    return "://" in place


def opened(place: str, *, write: bool = False) -> "str | Files | Remote":
    """What zarr and xarray open. Raises InputError for a URL of a kind that is not known."""
    if not is_url(place):
        return Files(place) if write else place
    if importlib.util.find_spec("obstore") is None:
        raise InputError(f"{place} needs the package obstore; to install it: pip install 'cimstudy[s3]'")
    from cimstudy.study.remote import Remote, bucket  # noqa: PLC0415 - obstore is an extra

    return Remote(bucket(place), url=place)


def is_blank(place: str) -> bool:
    """Whether nothing is there. Raises InputError if that cannot be known, as in a bucket that does not exist."""
    if is_url(place):
        opened(place)
        from cimstudy.study.remote import has_objects  # noqa: PLC0415 - obstore is an extra

        return not has_objects(place)
    path = Path(place)
    return not (path.is_file() or (path.is_dir() and any(path.iterdir())))


def version_of(place: str, key: str) -> Version:
    """What is another after a file or object of a store was written anew."""
    if is_url(place):
        opened(place)
        from cimstudy.study.remote import tag_of  # noqa: PLC0415 - obstore is an extra

        return tag_of(place, key)
    found = Path(place, key).stat()
    return found.st_ino, found.st_mtime_ns
