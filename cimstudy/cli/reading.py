"""Commands that print statistics of results, and export them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cimstudy.cli.options import DONE, JsonOption, MetricOption, StoreArgument, assignment
from cimstudy.cli.printing import print_answer

if TYPE_CHECKING:
    from cimstudy.analysis import Baseline


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
