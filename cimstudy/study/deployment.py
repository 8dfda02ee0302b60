"""What descriptions of clusters share: options of the Dask class that starts one, checked before it is asked.

Options are called what Dask calls them. Every worker has one process with one thread.
"""

from abc import abstractmethod
from importlib import import_module
from typing import Annotated, Any, Literal

import yaml
from dask.utils import parse_bytes
from pydantic import AfterValidator, Field

from cimstudy.errors import InputError
from cimstudy.hardware import Part


def memory(text: str) -> str:
    """A number of bytes as Dask reads it."""
    try:
        parse_bytes(text)
    except ValueError:
        raise InputError("should be a size such as 2GB") from None
    return text


Seconds = Annotated[int, Field(ge=1, description="s")]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\n]*$")]
Memory = Annotated[str, AfterValidator(memory)]
MemoryOrShare = Annotated[str, AfterValidator(lambda text: text if text == "auto" else memory(text))]

PATIENCE = 600.0  # s for the first worker of what is no queue of jobs
ABANDONED = 600  # s without work after which a scheduler that has lost its client ends


class Deployment(Part):
    """A cluster that a file describes."""

    @abstractmethod
    def show(self) -> str:
        """What would be submitted or run, as text; nothing is contacted."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many workers there will be, each with one core; None: one for each core of this machine."""


class Remote(Deployment):
    """A cluster that is not of this machine alone."""

    @property
    @abstractmethod
    def awaited(self) -> str:
        """What workers come from, and where to look if they do not."""

    @abstractmethod
    def start(self) -> Any:
        """The cluster, on its way up. Raises InputError if it cannot be started from here."""


def found(module: str, extra: Literal["cluster", "kubernetes"], name: str) -> Any:
    """An object of an optional package. Raises InputError, naming the extra, if that is not installed."""
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; allowed: pip install 'cimstudy[{extra}]'") from None


def dumped(values: Any) -> str:
    """As YAML."""
    text: str = yaml.safe_dump(values, sort_keys=False)
    return text
