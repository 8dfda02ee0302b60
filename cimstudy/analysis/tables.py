"""Answers as text and as plain values: what the command line prints of each statistic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from cimstudy.analysis.dataset import case_status, own_dims, reference_of, rows_of, swept, validity
from cimstudy.analysis.paired import claim, compare
from cimstudy.analysis.pareto import pareto
from cimstudy.analysis.partners import Baseline
from cimstudy.analysis.selection import written
from cimstudy.analysis.sensitivity import sensitivity
from cimstudy.analysis.statistics import collapse, is_collapse, summarised
from cimstudy.analysis.yields import yield_
from cimstudy.study.plan import FAILED, PENDING

CONFIDENCE = 0.95
LIKELY = 0.05  # probability from which a point that is not on a front is listed with it


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a statistic says: to read, and as plain values. None stands for numbers that are not finite."""

    table: TextTable
    document: Mapping[str, Any]


def shown(
    ds: xr.Dataset,
    metric: str,
    most: int | None = None,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Answer:
    """A row for each point, `most` of them as text: mean, interval, worst chip, yield if a limit is given, chips."""
    found = summarised(ds, metric, CONFIDENCE)
    limited = at_most is not None or at_least is not None
    if limited:
        met = yield_(ds, metric, at_most=at_most, at_least=at_least, confidence=CONFIDENCE)
        found = found.assign(share=met["share"], share_low=met["ci_low"], share_high=met["ci_high"])
    names, attrs = [*swept(ds), *own_dims(ds, metric)], ds[metric].attrs
    rows = rows_of(ds, found, own_dims(ds, metric))
    power = thousands(rows["mean"].abs().max())
    one, percent = 10.0**power, f"{100 * CONFIDENCE:g} %"
    header = [
        *names,
        "mean",
        f"{percent} interval",
        "worst chip",
        *(["yield", f"{percent} interval"] if limited else []),
    ]
    cells = [
        [
            *axes(row, names),
            number(row["mean"] / one),
            span(row["ci_low"], row["ci_high"], one),
            number(row["worst"] / one),
        ]
        + ([share(row["share"]), f"{share(row['share_low'])} to {share(row['share_high'])}"] if limited else [])
        + [chips_of(row)]
        for row in rows.iloc[:most].to_dict("records")
    ]
    reference, hidden = reference_of(attrs), len(rows) - len(cells)
    notes = [] if reference is None else [f"digital: {number(reference / one)}"]
    notes += [f"and {hidden} more points"] if hidden else []
    counted = rows["collapsed"].to_numpy()
    lines = ["; ".join(notes), *partial(ds), *impossible(ds, [metric])]
    lines += [collapse(metric, counted)] if is_collapse(counted) else []
    table = TextTable(title=titled(attrs, metric, power), header=[*header, "chips"], rows=cells, caption=lined(lines))
    return Answer(table=table, document=about(ds, metric) | {"points": plain(rows)})


def compared(ds: xr.Dataset, metric: str, to: Baseline, margin: float | None = None) -> Answer:
    """A row for each point: its difference from a baseline over common chips and, with a margin, the verdict."""
    found = compare(ds, metric, to, CONFIDENCE)
    if margin is not None:
        claimed = claim(ds, metric, to, margin=margin, confidence=CONFIDENCE)
        found = found.assign({name: claimed[name] for name in ("verdict", "low", "high", "detectable")})
    names, attrs = [*swept(ds), *own_dims(ds, metric)], ds[metric].attrs
    rows = rows_of(ds, found, own_dims(ds, metric))
    power = thousands(rows["difference"].abs().max())
    one = 10.0**power
    header = [*names, "difference", f"{100 * CONFIDENCE:g} % interval", "r"]
    cells = [
        [
            *axes(row, names),
            number(row["difference"] / one),
            span(row["ci_low"], row["ci_high"], one),
            number(row["correlation"]),
            *([] if margin is None else [row["verdict"], number(row["detectable"] / one)]),
            chips_of(row),
        ]
        for row in rows.to_dict("records")
    ]
    table = TextTable(
        title=f"{titled(attrs, metric, power)}, minus that at {found.attrs['to']}",
        header=[*header, *([] if margin is None else ["verdict", "detects"]), "chips"],
        rows=cells,
        caption=lined(["r: correlation over common chips", *partial(ds)]),
    )
    known = {"to": found.attrs["to"], "margin": margin}
    return Answer(table=table, document=about(ds, metric) | known | {"points": plain(rows)})


def front(ds: xr.Dataset, metrics: Sequence[str] | Mapping[str, str | None], resamples: int = 1000) -> Answer:
    """A row for each point on the Pareto front, or likely to be there: the means, and that probability."""
    found = pareto(ds, metrics, resamples=resamples)
    names, chosen = list(swept(ds)), list(found.attrs["metrics"])
    rows = rows_of(ds, found)
    listed = rows[rows["front"] | (rows["probability"] >= LIKELY)].sort_values(chosen[0])
    powers = {name: thousands(rows[name].abs().max()) for name in chosen}
    cells = [
        [
            *axes(row, names),
            *(number(row[name] / 10.0 ** powers[name]) for name in chosen),
            share(row["probability"]),
            "yes" if row["front"] else "no",
            chips_of(row),
        ]
        for row in listed.to_dict("records")
    ]
    on_front = f"{int(rows['front'].sum())} of {len(rows)} points are on the front of means"
    table = TextTable(
        title=f"Pareto front of {' and '.join(titled(ds[name].attrs, name, powers[name]) for name in chosen)}",
        header=[*names, *chosen, "probability", "on the front", "chips"],
        rows=cells,
        caption=lined([on_front, *partial(ds), *impossible(ds, chosen)]),
    )
    document = {"study": ds.attrs.get("name"), "metrics": chosen, "resamples": resamples, "points": plain(listed)}
    return Answer(table=table, document=document)


def sensitivities(ds: xr.Dataset, metric: str, method: str | None = None) -> Answer:
    """A row for each axis: its indices or elementary effects, the largest first."""
    found = sensitivity(ds, metric, method)
    rows = found[[name for name in found.data_vars if found[name].dims == ("axis",)]].to_dataframe().reset_index()
    rows = rows.sort_values("mu_star" if "mu_star" in rows else "total", ascending=False)
    chosen = found.attrs["method"]
    if chosen == "morris":
        header = ["axis", "mu*", "mu", "sigma", "effects"]
        cells = [
            [str(row["axis"]), *(number(row[name]) for name in ("mu_star", "mu", "sigma")), f"{row['effects']}"]
            for row in rows.to_dict("records")
        ]
    else:
        header = ["axis", "first", f"{100 * CONFIDENCE:g} % interval", "total", f"{100 * CONFIDENCE:g} % interval"]
        cells = [
            [str(row["axis"])]
            + [cell for name in ("first", "total") for cell in (share(row[name]), between(row, name))]
            for row in rows.to_dict("records")
        ]
    scalars = {name: found[name].item() for name in ("noise", "predicted", "points", "n", "missing") if name in found}
    notes = (
        [] if math.isnan(scalars["noise"]) else [f"{share(scalars['noise'])} of the variance is noise of so few chips"]
    )
    notes += [f"the regression predicts {share(scalars['predicted'])}"] if "predicted" in scalars else []
    table = TextTable(
        title=f"Sensitivity of {titled(ds[metric].attrs, metric, 0)} ({chosen}, {scalars['points']} points)",
        header=header,
        rows=cells,
        caption=lined(["; ".join(notes), *partial(ds)]),
    )
    known = {"method": chosen} | {name: finite(value) for name, value in scalars.items()}
    return Answer(table=table, document=about(ds, metric) | known | {"axes": plain(rows)})


def text_table(ds: xr.Dataset, metric: str, most: int | None = None) -> TextTable:
    """The table of `shown`."""
    return shown(ds, metric, most).table


def lined(lines: Sequence[str]) -> str:
    """The lines that say something, one below the other."""
    return "\n".join(line for line in lines if line)


def about(ds: xr.Dataset, metric: str) -> dict[str, Any]:
    """What a document says first."""
    attrs = {name: finite(ds[metric].attrs.get(name)) for name in ("units", "long_name", "better", "reference")}
    return {"study": ds.attrs.get("name"), "metric": metric, **attrs, "confidence": CONFIDENCE}


def partial(ds: xr.Dataset) -> list[str]:
    """What to say of a study with cases that have no result; nothing of one that is complete."""
    counted = case_status(ds).to_numpy()
    failed, pending = int((counted == FAILED).sum()), int((counted == PENDING).sum())
    said = [f"{count} {what}" for count, what in ((failed, "failed"), (pending, "pending")) if count]
    return [f"partial: of {counted.size} cases {' and '.join(said)}"] if said else []


def impossible(ds: xr.Dataset, names: Sequence[str]) -> list[str]:
    """What to say of points at which a metric cannot be had; nothing where it can everywhere."""
    said = []
    for flag in validity(ds, names):
        least = ds[flag].min("trial").to_numpy()
        count = int((least == 0).sum())
        said += [f"{flag} is 0 at {count} of {least.size} points"] if count else []
    return said


def plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values."""
    return [{str(name): finite(value) for name, value in row.items()} for row in rows.to_dict("records")]


def axes(row: Mapping[Any, Any], names: Sequence[str]) -> list[str]:
    """Where a row's point lies."""
    return [written(row[name]) for name in names]


def chips_of(row: Mapping[Any, Any]) -> str:
    """How many chips of a point count."""
    return f"{row['n']}" if row["missing"] == 0 else f"{row['n']} of {row['n'] + row['missing']}"


def span(low: float, high: float, one: float) -> str:
    """An interval, in multiples of `one`; a dash where there is none."""
    return "-" if math.isnan(low) else f"{number(low / one)} to {number(high / one)}"


def between(row: Mapping[Any, Any], name: str) -> str:
    """The interval of a share."""
    return "-" if math.isnan(row[f"{name}_low"]) else f"{share(row[f'{name}_low'])} to {share(row[f'{name}_high'])}"


def share(value: float) -> str:
    """A share in percent; a dash for no number."""
    return "-" if math.isnan(value) else f"{100 * value:.3g} %"


def titled(attrs: Mapping[Any, Any], metric: str, power: int) -> str:
    """A metric's name, and the unit in which it is printed."""
    return f"{attrs.get('long_name', metric)}{in_units(str(attrs.get('units', '1')), power)}"


def thousands(largest: float) -> int:
    """The power of ten, a multiple of 3, in which numbers up to this one are printed: 0 for those of everyday size."""
    if not math.isfinite(largest) or largest == 0 or 1e-2 <= largest < 1e5:
        return 0
    return 3 * math.floor(math.log10(largest) / 3)


def in_units(unit: str, power: int) -> str:
    """`(1e-6 J)`, and nothing for plain numbers."""
    parts = ([f"1e{power}"] if power else []) + ([] if unit in {"1", ""} else [unit])
    return f" ({' '.join(parts)})" if parts else ""


def number(value: float) -> str:
    """Five digits, so that columns line up; a dash for no number."""
    return "-" if math.isnan(value) else f"{value:#.5g}".rstrip(".")


def finite(value: Any) -> Any:
    """The value, or None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
