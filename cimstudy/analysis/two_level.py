"""Two sources of uncertainty, told apart: which chip was made, and which data were measured.

A metric with an axis of items (the sequences of a text, the sentences of a set) is a table of chips by items,
y[c, i] = mean + chip[c] + item[i] + rest[c, i], whose variances follow from the mean squares of a two-way analysis of
variance without replication (Searle, Casella and McCulloch, Variance Components, 1992).
"""

import xarray as xr

from cimstudy.analysis.dataset import case_status, own_dims, result
from cimstudy.errors import InputError
from cimstudy.study.plan import DONE

NAMES = {
    "mean": "mean of {} over chips and items",
    "chip_std": "standard deviation of {} from chip to chip",
    "item_std": "standard deviation of {} from item to item",
    "rest_std": "standard deviation of what neither chip nor item explains of {}",
    "chip_error": "standard error of the mean of {}, for as many chips: more chips shrink it",
    "item_error": "standard error of the mean of {}, for as many items: only more data shrink it",
    "error": "standard error of the mean of {}, for another sample of chips and of items",
}


def two_level(ds: xr.Dataset, metric: str) -> xr.Dataset:
    """What of a metric's spread comes from chips, and what from data, at every point.

    metric : with one axis of its own, that of the items, such as `sequence_nll`.
    Returns the variables of NAMES, with the dimensions of the points; NaN for fewer than two chips or items. A variance
    that comes out below zero, as it may where it is small, is zero. Only cases that are done count. Lazy where `ds` is.
    Raises InputError for a metric without items, or with more than one axis of its own.
    """
    dims = own_dims(ds, metric)
    if len(dims) != 1:
        raise InputError(f"{metric} has the axes {dims} beside points and chips; allowed: one, that of the items")
    (item,) = dims
    table = result(ds, metric).where(case_status(ds) == DONE)
    chips, items = table.notnull().all(item).sum("trial"), table.sizes[item]
    mean = table.mean(("trial", item))
    of_chip, of_item = table.mean(item), table.mean("trial")
    rest = table - of_chip - of_item + mean
    enough = (chips > 1) & (items > 1)
    squares_rest = (rest**2).sum(("trial", item)) / ((chips - 1) * (items - 1)).where(enough)
    squares_chip = items * ((of_chip - mean) ** 2).sum("trial") / (chips - 1).where(enough)
    squares_item = chips * ((of_item - mean) ** 2).sum(item) / (items - 1)
    chip = ((squares_chip - squares_rest) / items).clip(min=0)
    data = ((squares_item - squares_rest) / chips.where(enough)).clip(min=0)
    found: dict[str, xr.DataArray] = {
        "mean": mean,
        "chip_std": chip**0.5,
        "item_std": data**0.5,
        "rest_std": squares_rest**0.5,
        "chip_error": (chip / chips) ** 0.5,
        "item_error": (data / items) ** 0.5,
        "error": (chip / chips + data / items + squares_rest / (chips * items)) ** 0.5,
    }
    attributes = result(ds, metric).attrs
    long_name, units = attributes.get("long_name", metric), attributes.get("units", "1")
    labelled = {
        name: value.assign_attrs(long_name=NAMES[name].format(long_name), units=units) for name, value in found.items()
    }
    return xr.Dataset(labelled, attrs={"metric": metric, "items": item})
