"""Which point each point is compared with: the one that differs from it in the named axes alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cimstudy.analysis.dataset import cases, reference_of, swept
from cimstudy.analysis.selection import check_axis, listed, same
from cimstudy.errors import InputError

Baseline = Mapping[str, Any] | Literal["digital"]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What is compared, chip by chip."""

    values: xr.DataArray  # at each point
    base: xr.DataArray  # at its partner
    both: xr.DataArray  # whether both are done
    comparisons: int  # of points with others than themselves


def paired(ds: xr.Dataset, metric: str, to: Baseline) -> Paired:
    """A metric at each point and at its partner.

    to : the partner's values on some axes; on the others it has the point's own. Along `point`, a partner that differs
    in all axes is named by its number, {"point": 3}. "digital": what the digital run measured.
    Raises InputError for unknown axes and values, and where nothing is there to compare with.
    """
    values, done = cases(ds, metric)
    points = values.size // values.sizes["trial"]
    if isinstance(to, str):
        return Paired(values=values, base=digital(values, metric, to), both=done, comparisons=points)
    if not isinstance(to, Mapping) or not to:
        raise InputError("nothing to compare with; allowed: values of axes, such as {'adc_bits': 8}, or 'digital'")
    if "point" not in ds.dims:
        chosen = {name: place_of(ds, name, value) for name, value in to.items()}
        base, there = values.isel(chosen, drop=True), done.isel(chosen, drop=True)
        return Paired(
            values=values, base=base, both=done & there, comparisons=points - base.size // base.sizes["trial"]
        )
    place = partners(ds, to)
    there = xr.DataArray(place >= 0, dims="point")
    dropped = [name for name in values.coords if name != "trial"]
    base, base_done = (array.isel(point=place).drop_vars(dropped, errors="ignore") for array in (values, done))
    compared = int(np.count_nonzero((place >= 0) & (place != np.arange(place.size))))
    return Paired(values=values, base=base, both=done & base_done & there, comparisons=compared * points // place.size)


def digital(values: xr.DataArray, metric: str, to: str) -> xr.DataArray:
    """What the digital run measured, for every chip."""
    reference = reference_of(values.attrs)
    if to != "digital" or reference is None:
        known = "is not known" if to == "digital" else "is 'digital'"
        raise InputError(f"{metric} compared with {to!r}: allowed are values of axes; the digital run {known}")
    return xr.full_like(values, reference)


def place_of(ds: xr.Dataset, axis: str, value: Any) -> int:
    """Where a grid's axis has a value. Raises InputError naming the values there are."""
    check_axis(axis, swept(ds))
    levels = ds[axis].to_numpy().tolist()
    found = [place for place, level in enumerate(levels) if same(level, value)]
    if not found:
        raise InputError(f"{axis} has no value {value!r}; there are: {listed(levels)}")
    return found[0]


def partners(ds: xr.Dataset, to: Mapping[str, Any]) -> NDArray[np.intp]:
    """The place of each point's partner, -1 where there is none. Raises InputError where there are two."""
    if "point" in to:
        return np.full(ds.sizes["point"], point_of(ds, to))
    columns = {name: ds[name].to_numpy().tolist() for name in swept(ds)}
    chosen = np.ones(ds.sizes["point"], bool)
    for name, value in to.items():
        check_axis(name, list(columns))
        matches = np.array([same(level, value) for level in columns[name]])
        if not matches.any():
            raise InputError(f"{name} has no value {value!r}; there are: {listed(list(dict.fromkeys(columns[name])))}")
        chosen &= matches
    others = {name: values for name, values in columns.items() if name not in to} or {"": [0] * chosen.size}
    keys = pd.MultiIndex.from_arrays(list(others.values()))
    places = np.flatnonzero(chosen)
    if keys[places].has_duplicates:
        raise InputError(f"several points have {dict(to)} and the same other axes; name one: {{'point': {places[0]}}}")
    found = keys[places].get_indexer(keys)
    return np.where(found < 0, -1, np.append(places, -1)[found])


def point_of(ds: xr.Dataset, to: Mapping[str, Any]) -> int:
    """The number of a point. Raises InputError for one that is not there, or beside axes."""
    number, points = to["point"], ds.sizes["point"]
    if len(to) > 1 or number not in range(points):
        raise InputError(f"compared with {dict(to)}; allowed: {{'point': 0}} to {{'point': {points - 1}}}, by itself")
    return int(number)
