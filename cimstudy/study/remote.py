"""Object stores: clients with bounded retries, and one clear line for whatever goes wrong there."""

import contextlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore as Bucket
from obstore.store import from_url
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from cimstudy.errors import InputError
from cimstudy.study.stop import StoreLostError

TIMEOUT = timedelta(seconds=20)  # of one request
PATIENCE = timedelta(seconds=20)  # after which a request is not tried again
RETRIES = 8
MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
METADATA_SERVICE = "169.254.169.254"  # where machines of a cloud find credentials, and others wait in vain


class Remote(ObjectStore[Bucket]):
    """zarr's store of objects, whose errors are one line each."""

    def __init__(self, store: Bucket, *, read_only: bool = False, url: str = "") -> None:
        super().__init__(store, read_only=read_only)
        self.url = url

    def with_read_only(self, read_only: bool = False) -> "Remote":
        """The same store, with or without leave to write."""
        return Remote(self.store, read_only=read_only, url=self.url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """An object or a part of it; None if there is none."""
        with explained(self.url):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of objects."""
        with explained(self.url):
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        with explained(self.url):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        with explained(self.url):
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object unless there is one."""
        with explained(self.url):
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        with explained(self.url):
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects under a prefix."""
        with explained(self.url):
            await super().delete_dir(prefix)

    def list(self) -> AsyncGenerator[str, None]:
        """The names of all objects."""
        return self._explained(super().list())

    def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        """The names of all objects under a prefix."""
        return self._explained(super().list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """The names that follow a prefix."""
        return self._explained(super().list_dir(prefix))

    async def _explained(self, names: AsyncIterator[str]) -> AsyncGenerator[str, None]:
        with explained(self.url):
            async for name in names:
                yield name


@lru_cache(maxsize=16)
def bucket(url: str) -> Bucket:
    """The client of an object store, rooted at this URL. Raises InputError for a URL of a kind that is not known.

    Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...).
    """
    plain = url.startswith("http://") or os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    try:
        return from_url(
            url,
            client_options={"allow_http": plain, "timeout": TIMEOUT},
            retry_config={"max_retries": RETRIES, "retry_timeout": PATIENCE},
        )
    except (BaseError, ValueError) as error:
        raise InputError(
            f"{url} cannot be opened ({first_line(error)}); allowed: a path, or a URL of S3 (s3://bucket/name), Google "
            "Cloud (gs://) or Azure (az://)"
        ) from None


def has_objects(url: str) -> bool:
    """Whether anything is under this URL."""
    with explained(url):
        return any(obstore.list(bucket(url), chunk_size=1))


def put_text(url: str, name: str, text: str) -> None:
    """Write an object under this URL."""
    with explained(url):
        obstore.put(bucket(url), name, text.encode())


def remove_object(url: str, name: str) -> None:
    """Delete an object under this URL."""
    with explained(url):
        obstore.delete(bucket(url), name)


def texts_under(url: str) -> Iterator[str]:
    """The texts of all objects under this URL."""
    with explained(url):
        names = [found["path"] for part in obstore.list(bucket(url)) for found in part]
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                yield bytes(obstore.get(bucket(url), name).bytes()).decode()


def tag_of(url: str, key: str) -> str | None:
    """The service's name for the present version of an object."""
    with explained(url):
        return obstore.head(bucket(url), key)["e_tag"]


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Say in one line what an object store answers.

    Raises InputError where there is no bucket or no permission, StoreLostError where the service fails.
    """
    try:
        yield
    except FileNotFoundError as error:  # zarr asks for objects that may be missing elsewhere
        raise missing(url) if MISSING.search(str(error)) else error from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise InputError(
            f"{url}: permission denied ({code_of(error)}); allowed: a place where the credentials of the environment "
            "may list, read, write and delete"
        ) from None
    except BaseError as error:
        raise missing(url) if MISSING.search(str(error)) else lost(url, error) from None


def missing(url: str) -> InputError:
    """What to say of a bucket that is not there."""
    scheme, _, rest = url.partition("://")
    return InputError(f"{url}: there is no bucket {rest.partition('/')[0]}; allowed: one that exists ({scheme})")


def lost(url: str, error: Exception) -> StoreLostError:
    """What to say of a service that gives no answer, or none of use."""
    text = first_line(error)
    hint = "; no credentials are set, such as AWS_ACCESS_KEY_ID" if METADATA_SERVICE in text else ""
    return StoreLostError(f"{url}: the object store fails ({text}){hint}")


def code_of(error: Exception) -> str:
    """The service's own word for an error."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else first_line(error)


def first_line(error: Any) -> str:
    """An error without the structures that obstore appends."""
    return str(error).strip().partition("\n")[0].rstrip()
