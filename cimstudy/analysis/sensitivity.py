"""Sensitivity: which axes matter, and how much of what looks like their doing is Monte-Carlo noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis import chaos, screening
from cimstudy.analysis.dataset import cases, check_plain, swept
from cimstudy.analysis.shares import Floats, completed, gram, noise_share, ratios
from cimstudy.errors import InputError

METHODS = ("anova", "sobol", "morris")
MOST_POINTS = 16384  # of a regression: the first ones, which of a Sobol sequence are a design by themselves
FEWEST_POINTS = 8
ROUNDING = 1e-12  # relative, by which values of one level may differ
MEANINGS = {
    "first": "share of the variance of {} that an axis makes by itself",
    "total": "share of the variance of {} that an axis makes by itself and with others",
    "mu": "mean elementary effect on {}",
    "mu_star": "mean size of the elementary effects on {}",
    "sigma": "standard deviation of the elementary effects on {}",
    "effects": "elementary effects on {} that were found",
}

Found = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The response of the points that have one, without holes, and where they lie.

    response : (points, chips).  codes : of each axis, the level of each point, in order where they are numbers.
    """

    response: Floats
    axes: tuple[str, ...]
    codes: Sequence[NDArray[np.intp]]
    numeric: Sequence[bool]
    counted: int  # cases whose results these are
    full: bool  # whether the points are all of a grid


def sensitivity(ds: xr.Dataset, metric: str, method: str | None = None) -> xr.Dataset:
    """Which axes make a metric vary from point to point, along `axis`.

    method : "anova", the default where the points are a full grid: exact shares of the variance of its points.
    "sobol", the default elsewhere: Sobol indices of the population that the points sample, by regression on
    polynomials, for these designs have no Saltelli pairs. "morris": effects of steps along one axis, for designs of
    trajectories and for grids.
    Variables: first and total (indices), each with the ends `_low` and `_high` of its 95 % interval over chips; for
    "morris" mu, mu_star, sigma (in the metric's units, for a step over the whole axis) and effects (their number).
    Scalars: noise, the share of the variance between points that is chance of so few chips (it is taken out of the
    indices); for "sobol" predicted, the share that the regression predicts at points left out, of which indices are
    shares; points used; n cases that count, and missing. Chips that few points have are left out; holes of the others
    are filled by what point and chip add up to; points without any are left out. What it returns is in memory.

    Raises InputError for unknown metrics and methods, for a method that does not suit the points, and for too few.
    """
    if method is not None and method not in METHODS:
        raise InputError(f"method {method!r}; allowed: {', '.join(METHODS)}")
    check_plain(ds, metric)
    values, done = (array.compute() for array in cases(ds, metric))
    table = table_of(ds, values, done)
    chosen = method or ("anova" if table.full else "sobol")
    found, scalars = {"anova": anova, "sobol": sobol, "morris": morris}[chosen](table)
    attrs = {"long_name": metric} | values.attrs
    unit = {"units": str(attrs.get("units", "1"))} if chosen == "morris" else {"units": "1"}
    variables = {
        name: xr.Variable("axis", column, {"long_name": described(name, attrs)} | unit)
        for name, column in found.items()
    }
    scalars |= {"noise": noise_share(gram(table.response)), "points": len(table.response)}
    counted = {"n": table.counted, "missing": done.size - table.counted}
    return xr.Dataset(variables | scalars | counted, {"axis": list(table.axes)}, {"metric": metric, "method": chosen})


def described(name: str, attrs: Mapping[Any, Any]) -> str:
    """A variable in words."""
    base, _, end = name.rpartition("_")
    if end in {"low", "high"}:
        return f"{'lower' if end == 'low' else 'upper'} end of the interval of {described(base, attrs)}"
    return MEANINGS[name].format(attrs["long_name"])


def table_of(ds: xr.Dataset, values: xr.DataArray, done: xr.DataArray) -> Table:
    """What the points' chips responded, without holes. Raises InputError where too little varies, or is done."""
    if not swept(ds):
        raise InputError("this study has no axes; sensitivity needs one or more that vary")
    dims = [dim for dim in done.dims if dim != "trial"]
    columns = {name: ds[name].to_numpy() for name in swept(ds)}
    sizes = [done.sizes[dim] for dim in dims]
    places = np.indices(sizes).reshape(len(dims), -1) if "point" not in dims else None
    levels = {name: factorised(column) for name, column in columns.items()}
    if places is not None:
        levels = {
            name: (codes[place], known) for (name, (codes, known)), place in zip(levels.items(), places, strict=True)
        }
    flat = values.transpose(*dims, "trial").to_numpy().astype(float).reshape(-1, done.sizes["trial"])
    counted = done.transpose(*dims, "trial").to_numpy().reshape(flat.shape) & np.isfinite(flat)
    chips = common(counted)
    points = counted[:, chips].any(1)
    if np.count_nonzero(points) < FEWEST_POINTS:
        raise InputError(f"{np.count_nonzero(points)} points have a result; sensitivity needs {FEWEST_POINTS} or more")
    varied = {name: level for name, level in levels.items() if level[0][points].max() != level[0][points].min()}
    if not varied:
        raise InputError("no axis of this study varies; sensitivity needs one or more that do")
    response = completed(flat[points][:, chips], counted[points][:, chips])
    return Table(
        response=response - response[0, 0],  # so that what does not vary is exactly 0
        axes=tuple(varied),
        codes=[codes[points] for codes, _ in varied.values()],
        numeric=[numeric for _, numeric in varied.values()],
        counted=int(counted[points][:, chips].sum()),
        full=places is not None and bool(points.all()),
    )


def common(counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The chips that most points have: where points got more chips as they needed them, those that nearly all got.

    counted : (points, chips).  Holes of the others could only be guessed.
    """
    points = counted.sum(0)
    found: NDArray[np.bool_] = (points > 0) & (points >= points.max() / 2)
    return found


def factorised(column: NDArray[Any]) -> tuple[NDArray[np.intp], bool]:
    """The level of each value of an axis, ascending if they are numbers, and whether they are."""
    if column.dtype.kind not in "iuf":
        return pd.factorize(np.array(column, object))[0].astype(np.intp), False
    levels, places = np.unique(column.astype(float), return_inverse=True)
    apart = np.diff(levels) > ROUNDING * np.abs(levels[1:])
    return np.concatenate([[0], np.cumsum(apart)])[places], True


def anova(table: Table) -> tuple[Found, dict[str, float]]:
    """Exact shares of the variance of a full grid's points (Fisher, Statistical Methods for Research Workers, 1925)."""
    if not table.full:
        raise InputError(
            "analysis of variance needs a full grid with a result at every point; allowed: 'sobol', 'morris'"
        )
    shape = [int(codes.max()) + 1 for codes in table.codes]
    grid, axes = table.response.reshape(*shape, -1), range(len(shape))
    whole = gram(table.response)
    first = np.stack([gram(grid.mean(tuple(a for a in axes if a != axis))) for axis in axes])
    rest = np.stack([gram(grid.mean(axis).reshape(-1, grid.shape[-1])) for axis in axes])
    return indices(first, whole - rest, whole), {}


def sobol(table: Table) -> tuple[Found, dict[str, float]]:
    """Sobol indices by regression."""
    few = slice(MOST_POINTS)
    bases = [
        chaos.numeric_basis(codes[few]) if numeric else chaos.category_basis(codes[few])
        for codes, numeric in zip(table.codes, table.numeric, strict=True)
    ]
    fit = chaos.fit(bases, table.response[few])
    members = [[axis in term for term in fit.axes] for axis in range(len(bases))]
    alone = [[term == (axis,) for term in fit.axes] for axis in range(len(bases))]
    first = np.stack([products(fit.coefficients[chosen]) for chosen in alone])
    total = np.stack([products(fit.coefficients[chosen]) for chosen in members])
    return indices(first, total, products(fit.coefficients)), {"predicted": fit.predicted}


def products(coefficients: Floats) -> Floats:
    """Products of the chips' coefficients of orthonormal terms: (terms, chips) -> (chips, chips)."""
    found: Floats = coefficients.T @ coefficients
    return found


def indices(first: Floats, total: Floats, whole: Floats) -> Found:
    """First and total indices with their intervals, from Gram matrices."""
    found = {}
    for name, parts in (("first", first), ("total", total)):
        found[name], found[f"{name}_low"], found[f"{name}_high"] = ratios(parts, whole)
    return found


def morris(table: Table) -> tuple[Found, dict[str, float]]:
    """Elementary effects. Raises InputError if no two points differ in one axis alone."""
    effects = [
        screening.elementary_effects(table.codes, axis, table.response).mean(1) for axis in range(len(table.axes))
    ]
    if not any(effect.size for effect in effects):
        raise InputError("no two points differ in one axis alone; allowed: 'sobol', or a grid or a Morris design")
    known = [effect if effect.size else np.array([np.nan]) for effect in effects]
    return {
        "mu": np.array([effect.mean() for effect in known]),
        "mu_star": np.array([np.abs(effect).mean() for effect in known]),
        "sigma": np.array([effect.std(ddof=1) if effect.size > 1 else np.nan for effect in known]),
        "effects": np.array([effect.size for effect in effects]),
    }, {}
