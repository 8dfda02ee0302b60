"""Commands that look after a store."""

import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cimstudy.cli.options import DONE, FAILED, ClusterOption, StoreArgument, WorkersOption
from cimstudy.cli.printing import duration, print_rows

if TYPE_CHECKING:
    from cimstudy.study import Failure, StoreStatus, Verification

MOST_FAILURES = 20  # that are listed


def status(
    store: StoreArgument,
    watch: Annotated[bool, typer.Option("--watch", help="go on until no case is pending, with the intervals")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="between looks, with --watch")] = 5.0,
) -> int:
    """Say how far a study is, who works on it, and what failed."""
    from cimstudy.study import store_status  # noqa: PLC0415

    found = store_status(store)
    while watch and found.pending:
        print_rows([*status_rows(found), *interval_rows(store)])
        print(flush=True)
        time.sleep(every)
        found = store_status(store)
    print_rows([*status_rows(found), *(interval_rows(store) if watch else ())])
    for line in failure_lines(found):
        print(line)
    return DONE


def show_failures(
    store: StoreArgument,
    tracebacks: Annotated[bool, typer.Option("--traceback", help="print where each was raised")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
) -> int:
    """List every failed case: its point, its chip, and what it raised."""
    from cimstudy.study import store_status  # noqa: PLC0415

    found = store_status(store).failures
    if as_json:
        print(json.dumps([failure.as_json() for failure in found], indent=1))
        return DONE
    for failure in found:
        print(failure_line(failure))
        if tracebacks:
            print(textwrap.indent(failure.traceback.rstrip(), "    "))
    return DONE


def verify(  # noqa: PLR0913, PLR0917 - the options of a verification
    store: StoreArgument,
    sample: Annotated[int, typer.Option(min=0, help="how many cases to compute again; 0: only read")] = 16,
    study_file: Annotated[
        Path | None, typer.Option("--study", metavar="STUDY.py", help="the file that defines the workload, if one does")
    ] = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
) -> int:
    """Read all of a store, and compute a sample of its cases again: equal bit for bit, or a line for each defect."""
    from cimstudy import study as room  # noqa: PLC0415

    if study_file is not None:
        room.load_study(study_file)
    found = room.verify(store, sample=sample, cluster=cluster, workers=workers)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        print_rows(verification_rows(found))
        for defect in found.defects:
            print(f"defect: {defect}")
    return FAILED if found.defects else DONE


def compact_store(store: StoreArgument) -> int:
    """Rewrite a finished store in few large files. What has it open has to open it again."""
    from cimstudy.study import compact  # noqa: PLC0415

    found = compact(store)
    print_rows([("study", found.name), ("chunks", f"{found.after}, where there were {found.before}")])
    return DONE


def status_rows(found: "StoreStatus") -> Iterator[tuple[str, str]]:
    """How far a study is."""
    yield "study", found.name
    yield "points", f"{found.points}"
    yield "trials", f"{found.trials}"
    for kind, count in (("done", found.done), ("failed", found.failed), ("pending", found.pending)):
        yield kind, f"{count} of {found.cases} cases ({100 * count / max(found.cases, 1):.3g} %)"
    if found.capped:
        yield "capped", f"{found.capped} points, whose intervals are still wider than asked for"
    yield from runner_rows(found)


def verification_rows(found: "Verification") -> Iterator[tuple[str, str]]:
    """What a verification has looked at, and what to know of it."""
    yield "study", found.name
    yield "read", f"{found.done} done cases in {found.blocks} blocks"
    yield "again", f"{found.recomputed} cases computed"
    for text in found.elsewhere:
        yield "note", f"{text}; the last bits may differ"
    for file in found.leftovers:
        yield "note", f"{file} is what a killed process has left; it may be deleted once no run is under way"
    yield "defects", f"{len(found.defects)}"


def runner_rows(found: "StoreStatus") -> Iterator[tuple[str, str]]:
    """Who works on a study, and when it will be done at this rate."""
    for note in found.runners:
        pace = f"{note.rate:.3g} cases/s on {note.workers} workers"
        yield "runner", f"{note.host}, process {note.process}: {pace}, dashboard {note.dashboard or 'none'}"
    rate = sum(note.rate for note in found.runners)
    if found.pending and rate > 0:
        yield "left", f"about {duration(found.pending / rate)}"
    elif found.pending and not found.runners:
        yield "runner", "none that has told of itself within the last minute"


def interval_rows(store: str) -> Iterator[tuple[str, str]]:
    """How wide the intervals of the means are now, of the metrics that decide how many chips are enough."""
    from cimstudy.analysis import half_widths  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    for name, found in half_widths(open_results(store)).items():
        known = f"{found.low:.3g} to {found.high:.3g}" if found.points else "none yet"
        wanted = "" if found.wanted is None else f", {found.narrow} of {found.points} no wider than {found.wanted:.3g}"
        yield "interval", f"{name}: half-width {known} at {found.points} points{wanted}"


def failure_lines(found: "StoreStatus") -> Iterator[str]:
    """The failed cases, a line each."""
    yield from map(failure_line, found.failures[:MOST_FAILURES])
    if found.failed > MOST_FAILURES:
        yield f"and {found.failed - MOST_FAILURES} more; all of them: cimstudy failures"


def failure_line(failure: "Failure") -> str:
    """A failed case in one line."""
    place = "".join(f"{axis}={value}, " for axis, value in failure.point.items())
    return f"failed: {place}trial {failure.trial}: {failure.error or '?'}"
