"""The report: one HTML page that holds everything it shows and asks no network for anything."""

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import xarray as xr

from cimstudy.analysis.dataset import first_metric, swept
from cimstudy.analysis.plots.labels import CONFIDENCE
from cimstudy.analysis.report import sections
from cimstudy.analysis.report.convergence import convergence
from cimstudy.analysis.report.data import payload, statistics
from cimstudy.analysis.report.fronts import fronts, trade_offs
from cimstudy.analysis.report.markup import Markup, element, joined
from cimstudy.analysis.report.sample import Sample, samples
from cimstudy.analysis.statistics import CollapseWarning
from cimstudy.errors import InputError

# The browser itself refuses whatever would leave the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def report(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a study's report as one HTML page: its question, results, convergence, hardware, failures and provenance.

    The page needs no network and holds statistics only; of a study larger than a page it shows points evenly chosen,
    and says so. A study that is still running gives a report that says it is partial. Returns the path.
    Raises InputError for a name that does not end in .html and for a dataset without results.
    """
    target = Path(path)
    if target.suffix not in {".html", ".htm"}:
        raise InputError(f"cannot write a report to {str(path)!r}: allowed are names that end in .html")
    text = page(ds)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    return target


def page(ds: xr.Dataset) -> str:
    """The report as HTML. Raises InputError for a dataset without results."""
    first_metric(ds)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", CollapseWarning)
        shown = samples(ds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # the page says it
        return filled(ds, shown, [str(each.message) for each in warned])


def filled(ds: xr.Dataset, shown: list[Sample], warned: list[str]) -> str:
    """The page with its parts and their data."""
    plain = shown[0] if not shown[0].own_dims else None
    settled = {} if plain is None else convergence(plain)
    parts = [
        sections.heading(ds),
        sections.results(plain, warned),
        None if plain is None else trade_offs(ds, plain, sections.plot("tradeoffs")),
        sections.convergence(settled, "" if plain is None else plain.note),
        sections.hardware_and_sources(ds),
        sections.failed(ds),
        sections.provenance(ds),
    ]
    data = {
        "axes": list(swept(ds)),
        "interval": f"{100 * CONFIDENCE:g} % interval of the mean",
        "tables": [statistics(each) for each in shown],
        "fronts": {} if plain is None else fronts(plain),
        "convergence": settled,
    }
    return document(str(ds.attrs.get("name", "study")), [part for part in parts if part is not None], data)


def document(title: str, parts: list[Markup], data: Any) -> str:
    """The whole page: style, parts, data, script."""
    head = element(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", f"{title}: report of a study"),
        element("style", Markup(packaged("page.css"))),
    )
    body = element(
        "body",
        element("main", *parts),
        element("noscript", element("p", "The plots need JavaScript; the tables do not.")),
        element("script", Markup(payload(data)), type="application/json", id="study"),
        element("script", Markup(packaged("page.js"))),
    )
    whole = joined([Markup('<html lang="en">'), head, body, Markup("</html>")])
    return f"<!DOCTYPE html>\n{whole}\n"


def packaged(name: str) -> str:
    """A file that lies beside this one."""
    return (resources.files("cimstudy.analysis.report") / name).read_text("utf-8")
