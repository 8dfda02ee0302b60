"""The command line: parses, calls one function, prints.

Exit status: 0 done, 1 finished with failed cases (each listed), 2 bad input (one line, no traceback), 3 broken off (the
cluster was lost, or a fault of ours), 130 after Ctrl-C.
Modules are imported where they are used, so that `--help` and `presets` answer at once.
"""

import json
import re
import shlex
import sys
import textwrap
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cimstudy.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from cimstudy.analysis import Answer, Baseline, TextTable
    from cimstudy.hardware import Preset
    from cimstudy.study import DryRun, Failure, StoreStatus, Study, Verification

DONE, FAILED, BAD_INPUT, BROKEN_OFF, INTERRUPTED = 0, 1, 2, 3, 130
MOST_FAILURES = 20  # that are listed
GUTTER = 3  # characters between columns
MOST_ROWS = 30  # of the table after a run; `show` prints all
# The base of all errors of usage, which typer does not export: BadParameter, UsageError, ClickException.
ParserError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Monte-Carlo studies of transformers on compute-in-memory hardware.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help is plain text, and quick
)
presets_app = typer.Typer(
    help="Devices, crossbars, architectures and hardware that are known by name.", rich_markup_mode=None
)
app.add_typer(presets_app, name="presets")
cluster_app = typer.Typer(help="Clusters that files describe.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(cluster_app, name="cluster")

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="the store of results: a path or a URL")]
ClusterOption = Annotated[
    str | None,
    typer.Option(help="a scheduler's address, or a file such as slurm.yaml; default: workers on this machine"),
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="worker processes on this machine; default: one a core")]
MetricOption = Annotated[str | None, typer.Option(help="the result to look at; default: the first")]
JsonOption = Annotated[bool, typer.Option("--json", help="print all as JSON; null where there is no number")]


def main() -> int:
    """Run the command in `sys.argv`. Returns its exit status."""
    warnings.showwarning = say
    try:
        return int(app(prog_name="cimstudy", standalone_mode=False) or DONE)
    except ParserError as error:
        return refuse(usage(error))
    except InputError as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - not a status that scripts take for a finished run
        traceback.print_exc()
        return BROKEN_OFF


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    """Help for a bare `cimstudy`, and its version."""
    if version:
        from importlib.metadata import version as installed  # noqa: PLC0415

        print(f"cimstudy {installed('cimstudy')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
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


@app.command()
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


@app.command("failures")
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


@app.command()
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


@app.command("compact")
def compact_store(store: StoreArgument) -> int:
    """Rewrite a finished store in few large files. What has it open has to open it again."""
    from cimstudy.study import compact  # noqa: PLC0415

    found = compact(store)
    print_rows([("study", found.name), ("chunks", f"{found.after}, where there were {found.before}")])
    return DONE


@app.command()
def show(
    store: StoreArgument,
    metric: MetricOption = None,
    at_most: Annotated[float | None, typer.Option(help="add the yield: the share of chips at this or below")] = None,
    at_least: Annotated[float | None, typer.Option(help="add the yield: the share of chips at this or above")] = None,
    as_json: JsonOption = False,
) -> int:
    """Print a result at each point: mean, 95 % interval, worst chip."""
    from cimstudy.analysis import first_metric, shown  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    ds = open_results(store)
    return print_answer(shown(ds, metric or first_metric(ds), at_most=at_most, at_least=at_least), as_json=as_json)


@app.command("compare")
def show_comparison(
    store: StoreArgument,
    to: Annotated[
        list[str], typer.Option(metavar="AXIS=VALUE", help="the baseline: values of axes, point=N, or digital")
    ],
    metric: MetricOption = None,
    margin: Annotated[
        float | None, typer.Option(help="add the verdict: better, worse, equivalent within this, or undecided")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Print how a result differs from a baseline, chip by chip."""
    from cimstudy.analysis import compared, first_metric  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    ds = open_results(store)
    baseline: Baseline = "digital" if to == ["digital"] else dict(map(assignment, to))
    return print_answer(compared(ds, metric or first_metric(ds), baseline, margin), as_json=as_json)


@app.command("pareto")
def show_front(
    store: StoreArgument,
    metrics: Annotated[
        list[str], typer.Option("--metric", metavar="NAME[:lower|:higher]", help="what to weigh; two or more times")
    ],
    resamples: Annotated[int, typer.Option(min=1, help="of the chips, for the probabilities")] = 1000,
    as_json: JsonOption = False,
) -> int:
    """Print the points that no other beats in every result, and how probable that is."""
    from cimstudy.analysis import front  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    named = {name: better or None for name, _, better in (metric.partition(":") for metric in metrics)}
    return print_answer(front(open_results(store), named, resamples), as_json=as_json)


@app.command("sensitivity")
def show_sensitivity(
    store: StoreArgument,
    metric: MetricOption = None,
    method: Annotated[
        str | None, typer.Option(help="anova, sobol or morris; default: anova for full grids, else sobol")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Print how much each axis matters to a result."""
    from cimstudy.analysis import first_metric, sensitivities  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    ds = open_results(store)
    return print_answer(sensitivities(ds, metric or first_metric(ds), method), as_json=as_json)


@app.command("export")
def write_export(
    store: StoreArgument,
    output: Annotated[Path, typer.Argument(metavar="FILE", help=".nc, .csv or .parquet")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="of rows; default: all that have one value a case")
    ] = None,
) -> int:
    """Write the results for other tools: everything as NetCDF, or a row for each case."""
    from cimstudy.analysis import export  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    print(export(open_results(store), output, metrics))
    return DONE


@app.command()
def plot(  # noqa: PLR0913, PLR0917 - the options of a plot
    store: StoreArgument,
    kind: Annotated[
        str,
        typer.Argument(metavar="[KIND]", help="line, heatmap, layers, drift, breakdown, pareto, yield_curve, tornado"),
    ] = "line",
    metric: MetricOption = None,
    x: Annotated[str | None, typer.Option(metavar="AXIS", help="the axis to draw along; of a pareto a metric")] = None,
    y: Annotated[str | None, typer.Option(metavar="AXIS", help="the axis upwards, of a heatmap")] = None,
    hue: Annotated[str | None, typer.Option(metavar="AXIS", help="a line for each value; default: the second")] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="draw only this value; several for one axis are allowed"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".png, .svg or .pdf; default: NAME-METRIC.png")
    ] = None,
) -> int:
    """Draw a result: over one axis with a line for each value of another, or in one of the other kinds of plot."""
    from cimstudy.analysis import plots  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    chosen: dict[str, list[Any]] = {}
    for axis, value in map(assignment, select or []):
        chosen.setdefault(axis, []).append(value)
    given = {name: value for name, value in {"x": x, "y": y, "hue": hue, "select": chosen}.items() if value}
    draw = plots.of_kind(kind, given)
    ds = open_results(store)
    name = metric or plots.default_metric(ds, kind)
    parts = [str(ds.attrs.get("name", "study")), name, *([] if kind == "line" else [kind])]
    target = output or Path(f"{'-'.join(map(file_name, parts))}.png")
    print(plots.save(draw(ds, name, **given), target))
    return DONE


@app.command("plot-device")
def plot_device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a device of `presets list`, or a file of your own")],
    level: Annotated[
        float | None, typer.Option(metavar="SIEMENS", help="target of the histogram; default: middle of the range")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".png, .svg or .pdf; default: NAME.png")
    ] = None,
) -> int:
    """Draw a device: sigma over conductance, drift over time, and a histogram of a programmed level."""
    from cimstudy.analysis import plots  # noqa: PLC0415
    from cimstudy.hardware import Hardware  # noqa: PLC0415

    device = Hardware(device=name).device
    print(plots.save(plots.device(device, level), output or Path(f"{file_name(device.name)}.png")))
    return DONE


@app.command("plot-converter")
def plot_converter(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a crossbar or hardware of `presets list`, or a file")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="such as crossbar.adc.transitions=adc.csv")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".png, .svg or .pdf; default: NAME-adc.png")
    ] = None,
) -> int:
    """Draw an output converter: the deviation of its transitions, and its noise."""
    from cimstudy.analysis import plots  # noqa: PLC0415
    from cimstudy.hardware import assemble  # noqa: PLC0415

    hardware = assemble([name])
    for path, value in map(assignment, changes or []):
        hardware = hardware.replace(path, value)
    if hardware.crossbar.adc is None:
        raise InputError(f"{name} has no output converter (crossbar.adc is None)")
    figure = plots.converter(hardware.crossbar.adc, hardware.crossbar.name)
    print(plots.save(figure, output or Path(f"{file_name(hardware.crossbar.name)}-adc.png")))
    return DONE


@app.command()
def report(
    store: StoreArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="an .html file; default: NAME.html")
    ] = None,
) -> int:
    """Write a page with all about a study: plots to explore, tables, sources, failures. It needs no network."""
    from cimstudy.analysis import report as write  # noqa: PLC0415
    from cimstudy.study import open_results  # noqa: PLC0415

    ds = open_results(store)
    print(write(ds, output or Path(f"{file_name(str(ds.attrs.get('name', 'study')))}.html")))
    return DONE


@presets_app.callback(invoke_without_command=True)
def presets(context: typer.Context) -> None:
    """List presets, or show one with its sources."""
    if context.invoked_subcommand is None:
        list_presets()


@presets_app.command("list")
def list_presets() -> int:
    """List all presets."""
    from cimstudy.hardware import presets as known  # noqa: PLC0415

    print_table(("name", "kind", "what it is"), [(entry.name, entry.kind, entry.summary) for entry in known()])
    return DONE


@presets_app.command("show")
def show_preset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a name that `presets list` prints, or a file")],
) -> int:
    """Print a preset's values, each with its source and how far to trust it."""
    from cimstudy.hardware import load_preset  # noqa: PLC0415
    from cimstudy.hardware.sources import cited  # noqa: PLC0415

    entry = load_preset(name)
    print(f"{entry.name} ({entry.kind}): {entry.summary}")
    print_table(("field", "value", "unit or meaning", "confidence", "source"), preset_rows(entry))
    for number, source in enumerate(cited(entry), start=1):
        print(f"[{number}] {source}")
    return DONE


@app.command("inspect")
def inspect_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="'bundled' or the folder of a checkpoint")],
    hardware: Annotated[
        list[str] | None,
        typer.Option("--hardware", "-H", metavar="NAME", help="presets of hardware, its crossbar or architecture"),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="change it, such as crossbar.rows=256")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print every item as JSON")] = False,
) -> int:
    """Say what of a model runs on crossbars, and how many arrays that takes."""
    from cimstudy.hardware import assemble  # noqa: PLC0415
    from cimstudy.transformer.coverage import coverage, totals  # noqa: PLC0415

    chosen = assemble(hardware or [])
    for path, value in map(assignment, changes or []):
        chosen = chosen.replace(path, value)
    items = coverage(model, chosen)
    if as_json:
        print(json.dumps([item.as_json() for item in items], indent=1, allow_nan=False))
        return DONE
    matrices = [item.as_row() for item in items if len(item.shape) == 2 and item.macs]
    print_table(("matrix", "shape", "runs on", "arrays", "utilisation"), matrices)
    for line in totals(items):
        print(line)
    return DONE


@cluster_app.command("show")
def show_cluster(
    cluster_file: Annotated[Path, typer.Argument(metavar="FILE", help="a cluster file such as cluster/slurm.yaml")],
) -> int:
    """Print what a run would submit: the job script, the manifest or the commands. Contacts no cluster."""
    from cimstudy.study import read_deployment  # noqa: PLC0415

    print(read_deployment(cluster_file).show().rstrip())
    return DONE


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


def assignment(text: str) -> tuple[str, Any]:
    """`path=value`, the value read as JSON, or else as it stands."""
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise InputError(f"{text!r}: need NAME=VALUE, such as crossbar.adc.bits=6")
    try:
        return path, json.loads(value)
    except json.JSONDecodeError:
        return path, value


def usage(error: Exception) -> str:
    """What is wrong with the arguments, and where to read on."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    command = "cimstudy" if context is None else context.command_path
    return f"{message.rstrip('.')} (see `{command} --help`)"


def say(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """Print a warning in one line, without the line of code that it came from."""
    print(f"cimstudy: {message}", file=sys.stderr)


def refuse(message: str) -> int:
    """Say what is wrong, in one line."""
    print(f"cimstudy: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def resume_line(store: str) -> str:
    """The command that goes on with this run."""
    given = any(argument.partition("=")[0] == "--store" for argument in sys.argv[1:])
    return shlex.join(["cimstudy", *sys.argv[1:], *([] if given else ["--store", store])])


def file_name(name: str) -> str:
    """A name without what file names should not have."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "study"


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


def print_outcome(study: "Study", ds: "xr.Dataset", store: str) -> None:
    """The first result, and how to see more."""
    from cimstudy.analysis import first_metric, text_table  # noqa: PLC0415

    metric = next(iter(getattr(study.workload, "metrics", {})), None) or first_metric(ds)
    print_metric(text_table(ds, metric, MOST_ROWS))
    print(f"\nResults are in {store}")
    for command in ("show", "plot"):
        print(f"  {shlex.join(['cimstudy', command, store, '--metric', metric])}")


def preset_rows(entry: "Preset") -> Iterator[tuple[str, ...]]:
    """Name, value, meaning, confidence and number of the source, of everything that a preset says."""
    from cimstudy.hardware.sources import cited, leaves, meaning, source_of  # noqa: PLC0415

    built, sources = entry.build(), cited(entry)
    for path, value in leaves(entry.values):
        known = source_of(entry, path)
        trust = ("-", "-") if known is None else (known.confidence, f"[{sources.index(known.source) + 1}]")
        yield path, f"{value:g}" if isinstance(value, float) else str(value), meaning(built, path), *trust


def duration(seconds: float) -> str:
    """Seconds, or hours and minutes."""
    minutes = round(seconds / 60)
    return f"{seconds:.3g} s" if seconds < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def print_answer(found: "Answer", *, as_json: bool) -> int:
    """Print what a statistic says."""
    if as_json:
        print(json.dumps(found.document, indent=1, allow_nan=False))
    else:
        print_metric(found.table)
    return DONE


def print_metric(found: "TextTable") -> None:
    """Print a table under its title, and below it what a reader must know."""
    print(found.title)
    print_table(found.header, found.rows, numbers=True)
    if found.caption:
        print(found.caption)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> None:
    """Print columns, as wide as the terminal or 80 characters, in colour only on a terminal."""
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console, cells = Console(highlight=False), [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, width in zip(header, widths(header, cells, console.width), strict=True):
        side: Literal["right", "left"] = "right" if numbers else "left"
        table.add_column(Text(name), justify=side, overflow="fold", width=width)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # as it is: brackets in values are no markup
    console.print(table)


def widths(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Widths of columns that break no cell and headings as little as can be; None where there is no such room."""
    found = [max(map(len, column), default=1) for column in zip(*rows, strict=True)] or [1] * len(header)
    spare = room - sum(found) - GUTTER * (len(found) - 1)
    if spare < 0:
        return [None] * len(found)
    for _ in range(spare):
        lines = [len(name) / width for name, width in zip(header, found, strict=True)]
        if max(lines) <= 1:
            break
        found[lines.index(max(lines))] += 1
    return list(found)


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each."""
    for name, value in rows:
        print(f"{name:<9}{value}")
