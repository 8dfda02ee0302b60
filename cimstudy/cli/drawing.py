"""Commands that draw results and hardware."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cimstudy.cli.options import DONE, MetricOption, StoreArgument, assignment, file_name
from cimstudy.errors import InputError


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
    part: Annotated[str | None, typer.Option(metavar="AXIS", help="the axis of a breakdown's parts")] = None,
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
    given = {
        name: value for name, value in {"x": x, "y": y, "hue": hue, "part": part, "select": chosen}.items() if value
    }
    draw = plots.of_kind(kind, given)
    ds = open_results(store)
    name = metric or plots.default_metric(ds, kind)
    parts = [str(ds.attrs.get("name", "study")), name, *([] if kind == "line" else [kind])]
    target = output or Path(f"{'-'.join(map(file_name, parts))}.png")
    print(plots.save(draw(ds, name, **given), target))
    return DONE


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
