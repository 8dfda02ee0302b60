"""Commands that say what presets, models and cluster files hold."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cimstudy.cli.options import DONE, assignment
from cimstudy.cli.printing import print_table

if TYPE_CHECKING:
    from cimstudy.hardware import Preset


def presets(context: typer.Context) -> None:
    """List presets, or show one with its sources."""
    if context.invoked_subcommand is None:
        list_presets()


def list_presets() -> int:
    """List all presets."""
    from cimstudy.hardware import presets as known  # noqa: PLC0415

    print_table(("name", "kind", "what it is"), [(entry.name, entry.kind, entry.summary) for entry in known()])
    return DONE


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
    if entry.published:
        print()
        print_table(("published", "value", "units", "baseline", "confidence"), published_rows(entry))
    return DONE


def preset_rows(entry: "Preset") -> Iterator[tuple[str, ...]]:
    """Name, value, meaning, confidence and number of the source, of everything that a preset says."""
    from cimstudy.hardware.presets import UNKNOWN  # noqa: PLC0415
    from cimstudy.hardware.sources import cited, leaves, meaning, source_of  # noqa: PLC0415

    built, sources = entry.build(), cited(entry)
    for path, value in leaves(entry.values):
        known = source_of(entry, path)
        trust = ("-", "-") if known is None else (known.confidence, f"[{sources.index(known.source) + 1}]")
        yield path, f"{value:g}" if isinstance(value, float) else str(value), meaning(built, path), *trust
    said = {path for path, _ in leaves(entry.values)}
    for path in entry.unknown:
        if not any(f"{other}.".startswith(f"{path}.") for other in said):
            value = built.at(path)
            shown = value.name if hasattr(value, "name") else value
            yield path, str(shown), meaning(built, path), UNKNOWN.confidence, f"[{sources.index(UNKNOWN.source) + 1}]"


def published_rows(entry: "Preset") -> Iterator[tuple[str, ...]]:
    """Quantity, value, units, baseline and confidence of the figures that the authors of an accelerator report."""
    for number in entry.published:
        values = number.value if isinstance(number.value, tuple) else (number.value,)
        what = number.quantity if number.note is None else f"{number.quantity} ({number.note})"
        yield (
            what,
            " to ".join(f"{value:g}" for value in values),
            number.units,
            number.baseline or "-",
            number.confidence,
        )


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


def show_cluster(
    cluster_file: Annotated[Path, typer.Argument(metavar="FILE", help="a cluster file such as cluster/slurm.yaml")],
) -> int:
    """Print what a run would submit: the job script, the manifest or the commands. Contacts no cluster."""
    from cimstudy.study import read_deployment  # noqa: PLC0415

    print(read_deployment(cluster_file).show().rstrip())
    return DONE
