"""The parts of the page, each from the dataset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import case_status, metrics, reference_of, swept, validity
from cimstudy.analysis.pareto import DIRECTIONS
from cimstudy.analysis.plots.labels import CONFIDENCE, label, long_name
from cimstudy.analysis.report import convergence as trials
from cimstudy.analysis.report import hardware
from cimstudy.analysis.report.markup import Markup, element, folded, paragraph, section, table
from cimstudy.analysis.report.sample import Sample, left_out, points, thinned
from cimstudy.analysis.selection import is_category, listed, written
from cimstudy.analysis.tables import number, text_table
from cimstudy.analysis.tidy import STATES, failures

MOST_ROWS = 60  # of a table
MOST_FAILURES = 20  # kinds of failure that are listed


def heading(ds: xr.Dataset) -> Markup:
    """The study's name, its question, and how far it is."""
    status = case_status(ds).to_numpy()
    pending, done, failed = (int(np.count_nonzero(status == state)) for state in range(len(STATES)))
    each = "1 chip" if ds.sizes["trial"] == 1 else f"{ds.sizes['trial']} chips"
    size = f"{points(ds)} points, {each} at each: {done} of {status.size} cases are done"
    partial = f"This report is partial: {pending} of {status.size} cases are still to be computed."
    return element(
        "header",
        element("h1", str(ds.attrs.get("name", "study"))),
        element("p", question(ds), class_="question"),
        paragraph(f"{size}{f', {failed} failed' if failed else ''}."),
        *([element("p", partial, class_="partial")] if pending else []),
    )


def question(ds: xr.Dataset) -> str:
    """What was asked, in words."""
    measured = listed([long_name(ds, name) for name in metrics(ds)], 4)
    workload = study_of(ds).get("workload", {})
    name = str(workload.get("type", "the workload")).rpartition(":")[2]
    axes = [f"{long_name(ds, axis)} ({hardware.given(ds[axis])})" for axis in swept(ds)]
    asked = f"How do {measured} of {name} depend on {' and '.join(axes)}" if axes else f"What are {measured} of {name}"
    return f"{asked}, from chip to chip?"


def plot(kind: str) -> Markup:
    """An interactive plot, which page.js fills."""
    parts = [element("div", class_=name) for name in ("controls", "legend", "canvas")]
    return element("figure", *parts, element("p", class_="note"), data_plot=kind)


def results(shown: Sample | None, warned: Sequence[str]) -> Markup:
    """The interactive plot of all results, and a table for each metric with one number a chip.

    shown : those metrics; None if there are none.  warned : what the statistics warn of.
    """
    tables = [] if shown is None else [results_table(shown, name) for name in shown.names]
    about = (
        f"Bands and bars are {100 * CONFIDENCE:g} % intervals of the mean over chips. Point at a mark for its values."
    )
    return section(
        "Results",
        *([] if shown is None else map(paragraph, best(shown, shown.names[0]))),
        *(element("p", text, class_="partial") for text in warned),
        element("p", about, class_="faint"),
        plot("results"),
        *tables,
    )


def best(shown: Sample, name: str) -> Iterator[str]:
    """The best of the points shown where the metric is valid, in words; nothing where no direction is better."""
    ds, rows = shown.ds, shown.rows[name]
    attrs = ds[name].attrs
    for flag in validity(ds, [name]):
        rows = rows[shown.rows[flag]["mean"].to_numpy() == 1]
    if attrs.get("better") not in DIRECTIONS or rows["mean"].isna().all():
        return
    lower = attrs["better"] == "lower"
    row = rows.sort_values("mean", ascending=lower, kind="stable").iloc[0]
    where = ", ".join(f"{long_name(ds, axis)} = {written(row[axis])}" for axis in swept(ds))
    reference = reference_of(attrs)
    beside = "" if reference is None else f"; the digital run has {number(reference)}"
    sign = "Lowest" if lower else "Highest"
    interval = f" ({number(row['ci_low'])} to {number(row['ci_high'])})" if np.isfinite(row["ci_low"]) else ""
    yield f"{sign} {label(ds, name)}: {number(row['mean'])}{interval}{f' at {where}' if where else ''}{beside}."


def results_table(shown: Sample, name: str) -> Markup:
    """Mean, interval and worst chip of a metric at each point."""
    kept = thinned(shown.ds, MOST_ROWS)
    found, axes = text_table(kept, name), swept(kept)
    header = [long_name(kept, axis) for axis in axes] + list(found.header[len(axes) :])
    names = {place for place, axis in enumerate(axes) if is_category(kept[axis].to_series())}
    about = ". ".join(note for note in (found.caption, left_out(shown.ds, kept)) if note)
    numbers = set(range(len(header))) - names
    return folded(f"Table: {found.title}", element("p", about, class_="faint"), table(header, found.rows, numbers))


def convergence(found: Mapping[str, Any], note: str) -> Markup | None:
    """Whether the chips have been enough; nothing where no point has two."""
    if not found:
        return None
    what = (
        "How a mean and its interval settle as chips are added: where the interval is widest, and where it is middling."
    )
    return section(
        "Convergence of trials",
        element("p", f"{what} {note}", class_="faint"),
        plot("convergence"),
        table(trials.HEADER, trials.rows_of(found), numbers=range(2, len(trials.HEADER))),
    )


def hardware_and_sources(ds: xr.Dataset) -> Markup | None:
    """Every value of the hardware with its source; nothing where the dataset does not say."""
    stored = study_of(ds).get("hardware")
    if stored is None:
        return None
    values = [*hardware.hardware_values(stored, hardware.varied_values(ds))]
    sources = [*dict.fromkeys(value.source for value in values if value.source)]
    given = [value.cells(sources) for value in values if value.origin != hardware.DEFAULT]
    defaults = [value.cells(sources)[:-1] for value in values if value.origin == hardware.DEFAULT]
    presets = [*hardware.presets_on_axes(ds)]
    return section(
        "Hardware and its sources",
        table(hardware.HEADER, given),
        *(element("p", f"[{place}] {source}", class_="faint") for place, source in enumerate(sources, start=1)),
        *([table(hardware.PRESET_HEADER, presets)] if presets else []),
        folded(f"{len(defaults)} values left at their defaults", table(hardware.HEADER[:-1], defaults)),
    )


def failed(ds: xr.Dataset) -> Markup:
    """The failed cases by what they raised, the most frequent first, with one traceback each."""
    found = failures(ds)
    found = found.assign(kind=found["error"].str.partition(":")[0]) if len(found) else found.assign(kind=[])
    kinds = found["kind"].value_counts().head(MOST_FAILURES).index
    parts = [failed_kind(ds, found[found["kind"] == kind]) for kind in kinds]
    return section("Failures", *(parts or [paragraph("No case has failed.")]))


def failed_kind(ds: xr.Dataset, found: pd.DataFrame) -> Markup:
    """How often this was raised, and the first of them."""
    first = found.iloc[0]
    where = ", ".join(f"{name} = {written(first[name])}" for name in (*swept(ds), "trial"))
    title = f"{first['kind']}, {len(found)} times; the first: {first['error']}"
    return folded(title, paragraph(where), element("pre", first["traceback"]))


def provenance(ds: xr.Dataset) -> Markup:
    """Where the results come from, and how to compute them again."""
    rows = [[name, text] for name, text in provenance_rows(ds)]
    text = str(ds.attrs.get("study", ""))
    return section("Provenance", table(("what", "is"), rows), *(reproduction(ds, text) if text else []))


def provenance_rows(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Who computed what, with which versions, from which data."""
    attrs = ds.attrs
    for key in ("created", "seed", "study_hash"):
        if key in attrs:
            yield key.replace("_", " "), str(attrs[key])
    for group in ("machine", "versions", "checksums"):
        if attrs.get(group):
            yield group, ", ".join(f"{name} {value}" for name, value in attrs[group].items())
    history = attrs.get("history", [])
    if len(history) > 1:
        yield "extended", ", ".join(str(entry["time"]) for entry in history[1:])


def reproduction(ds: xr.Dataset, text: str) -> list[Markup]:
    """The command that computes these results again, and the definition it takes."""
    module = str(study_of(ds)["workload"].get("type", "")).partition(":")[0]
    beside = [] if module.startswith("cimstudy.") else [f" with {module}.py, which defines the workload, beside it"]
    link = element("a", "study.json", href=data_url(text), download="study.json")
    return [
        paragraph("To compute these results again, save ", link, *beside, " and run"),
        element("pre", "cimstudy run study.json --store again.zarr", class_="command"),
        folded("The study's definition", element("pre", json.dumps(json.loads(text), indent=1, ensure_ascii=False))),
    ]


def data_url(text: str) -> str:
    """A text as an address that needs no network."""
    return f"data:application/json;charset=utf-8,{quote(text)}"


def study_of(ds: xr.Dataset) -> dict[str, Any]:
    """The study's definition; nothing where the dataset does not say."""
    found: dict[str, Any] = json.loads(ds.attrs.get("study", "{}"))
    return found
