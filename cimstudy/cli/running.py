"""The command that computes a study."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cimstudy.cli.options import (
    BROKEN_OFF,
    DONE,
    FAILED,
    INTERRUPTED,
    ClusterOption,
    WorkersOption,
    assignment,
    file_name,
)
from cimstudy.cli.printing import duration, print_metric, print_rows
from cimstudy.cli.stores import failure_lines
from cimstudy.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from cimstudy.study import DryRun, Study

MOST_ROWS = 30  # of the table after a run; `show` prints all


def run(  # noqa: PLR0913, PLR0917 - the options of a run
    study_file: Annotated[Path, typer.Argument(metavar="STUDY.py", help="a Python file with one module-level `study`")],
    store: Annotated[
        str | None, typer.Option(help="where results go: a path or a URL; default: results/NAME.zarr")
    ] = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="chips at each point, in place of the study's number")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="change the base, such as crossbar.adc.bits=6"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="time one case, print what a run would do, write nothing")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="compute failed cases again")] = False,
    case_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="end a case that takes longer; it counts as failed")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but failures")] = False,
) -> int:
    """Compute what the store lacks of a study."""
    from cimstudy.study import ClusterLostError, StoreLostError, load_study  # noqa: PLC0415

    study = changed(load_study(study_file), changes or [], trials)
    where = store or f"results/{file_name(study.name)}.zarr"
    if dry_run:
        print_rows(
            dry_run_rows(where, study.dry_run(where, cluster=cluster, workers=workers, retry_failed=retry_failed))
        )
        return DONE
    try:
        ds = study.run(
            where,
            cluster=cluster,
            workers=workers,
            progress=not quiet,
            retry_failed=retry_failed,
            case_timeout=case_timeout,
        )
    except (KeyboardInterrupt, ClusterLostError, StoreLostError) as error:
        lost = not isinstance(error, KeyboardInterrupt)
        print(f"cimstudy: {error if lost else 'interrupted'}; to go on: {resume_line(where)}", file=sys.stderr)
        return BROKEN_OFF if lost else INTERRUPTED
    if not quiet:
        print_outcome(study, ds, where)
    return list_failures(where)


def changed(study: "Study", changes: Sequence[str], trials: int | None) -> "Study":
    """The study with other values in its base hardware or workload, or another number of trials."""
    for path, value in map(assignment, changes):
        for axis in study.space.varied():
            if f"{path}.".startswith(f"{axis.path}."):
                raise InputError(f"--set {path}: this study sweeps {axis.path}; its values stand in the study file")
        root, _, field = path.partition(".")
        if root != "workload":
            study = study.replace("hardware", study.hardware.replace(path, value))
        else:
            study = study.replace("workload", with_field(study.workload, field, value))
    return study if trials is None else study.replace("trials", trials)


def with_field(workload: Any, field: str, value: Any) -> Any:
    """The workload with another value in one of its fields."""
    if not field or not hasattr(workload, "replace"):
        name = getattr(workload, "__name__", type(workload).__name__)
        raise InputError(f"--set workload{field and '.'}{field}: the workload {name} has no such field")
    try:
        return workload.replace(field, value)
    except InputError as error:
        raise InputError(f"workload.{error}") from None


def resume_line(store: str) -> str:
    """The command that goes on with this run."""
    given = any(argument.partition("=")[0] == "--store" for argument in sys.argv[1:])
    return shlex.join(["cimstudy", *sys.argv[1:], *([] if given else ["--store", store])])


def dry_run_rows(store: str, found: "DryRun") -> Iterator[tuple[str, str]]:
    """What a run would do."""
    from rich.filesize import decimal  # noqa: PLC0415

    yield "store", store
    yield "points", f"{found.points}"
    more = f" now, up to {found.most_trials} as results ask for them" if found.most_trials > found.trials else ""
    yield "trials", f"{found.trials} chips at each point{more}"
    yield "cases", f"{found.cases}: {found.done} done, {found.failed} failed, {found.todo} to do"
    yield "blocks", f"{found.blocks} to do, a task each"
    yield "time", f"about {duration(found.seconds)} ({found.seconds_per_case:.3g} s for one case, timed just now)"
    yield "size", f"{decimal(found.bytes)} in {found.files} files"


def print_outcome(study: "Study", ds: "xr.Dataset", store: str) -> None:
    """The first result, and how to see more."""
    from cimstudy.analysis import first_metric, text_table  # noqa: PLC0415

    metric = next(iter(getattr(study.workload, "metrics", {})), None) or first_metric(ds)
    print_metric(text_table(ds, metric, MOST_ROWS))
    print(f"\nResults are in {store}")
    for command in ("show", "plot"):
        print(f"  {shlex.join(['cimstudy', command, store, '--metric', metric])}")


def list_failures(store: str) -> int:
    """Print the failed cases, if any. Returns the exit status of a finished run."""
    from cimstudy.study import store_status  # noqa: PLC0415

    found = store_status(store)
    if not found.failed:
        return DONE
    for line in failure_lines(found):
        print(line, file=sys.stderr)
    print(f"cimstudy: {found.failed} of {found.cases} cases failed; to try them again: --retry-failed", file=sys.stderr)
    return FAILED
