"""What commands share: their arguments, how values are read, exit statuses."""

import json
import re
from typing import Annotated, Any

import typer

from cimstudy.errors import InputError

DONE, FAILED, BAD_INPUT, BROKEN_OFF, INTERRUPTED = 0, 1, 2, 3, 130  # exit statuses

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="the store of results: a path or a URL")]
ClusterOption = Annotated[
    str | None,
    typer.Option(help="a scheduler's address, or a file such as slurm.yaml; default: workers on this machine"),
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="worker processes on this machine; default: one a core")]
MetricOption = Annotated[str | None, typer.Option(help="the result to look at; default: the first")]
JsonOption = Annotated[bool, typer.Option("--json", help="print all as JSON; null where there is no number")]


def assignment(text: str) -> tuple[str, Any]:
    """`path=value`, the value read as JSON, or else as it stands."""
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise InputError(f"{text!r}: need NAME=VALUE, such as crossbar.adc.bits=6")
    try:
        return path, json.loads(value)
    except json.JSONDecodeError:
        return path, value


def file_name(name: str) -> str:
    """A name without what file names should not have."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "study"
