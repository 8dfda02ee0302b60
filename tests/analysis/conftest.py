"""Datasets and stores as studies leave them, made here from numbers that are known."""

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

PERPLEXITY = {"units": "1", "long_name": "perplexity", "better": "lower", "reference": 20.0}
AXES = {"programming_std": [0.0, 0.02, 0.05, 0.1], "adc_bits": [5, 6, 8]}


def text(values: Any) -> Any:
    """Text of any length, which Zarr stores as such."""
    return np.asarray(values).astype(np.dtypes.StringDType())


def point_dataset(
    points: Mapping[str, Sequence[Any]], values: Any, status: Any = None, attrs: Any = None
) -> xr.Dataset:
    """A study's dataset along `point`: coordinates, one metric `perplexity`, and the status of each case.

    values, status : (points, trials, ...).
    """
    values = np.asarray(values, dtype=float)
    status = np.ones(values.shape[:2], dtype="int8") if status is None else np.asarray(status, dtype="int8")
    done = (status == 1).reshape(status.shape + (1,) * (values.ndim - 2))
    case = ("point", "trial")
    ds = xr.Dataset(
        {
            "perplexity": (
                (*case, "layer")[: values.ndim],
                np.where(done, values, np.nan),
                PERPLEXITY if attrs is None else attrs,
            ),
            "status": (case, status, {"flag_values": [0, 1, 2], "flag_meanings": "pending done failed"}),
            "error": (case, text(np.where(status == 2, "ValueError: no", ""))),
            "duration": (case, np.full(status.shape, 0.1, dtype="float32"), {"units": "s"}),
        },
        coords={"trial": np.arange(values.shape[1])},
        attrs={"cimstudy_version": "0", "name": "synthetic", "axes": list(points)},
    )
    axes = {name: ("point", list(column), {"path": name}) for name, column in points.items()}
    return ds.assign_coords(axes | {"setting": ("point", text([f"{i}" for i in range(len(values))]))})


def grid_points(axes: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The points of a full grid, the last axis running fastest."""
    return {
        name: list(column)
        for name, column in zip(axes, zip(*itertools.product(*axes.values()), strict=True), strict=True)
    }


def gridded(ds: xr.Dataset, axes: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """The same dataset with a dimension for each axis, in the order of `axes`."""
    shape = [len(values) for values in axes.values()]

    def unfold(values: xr.DataArray) -> tuple[tuple[Any, ...], Any, Any]:
        return (*axes, *values.dims[1:]), values.data.reshape(*shape, *values.shape[1:]), values.attrs

    coords = {name: (name, list(values), {"path": name}) for name, values in axes.items()} | {"trial": ds["trial"]}
    return xr.Dataset({name: unfold(values) for name, values in ds.items()}, coords, ds.attrs)


def law(std: Any, bits: Any, chips: Any) -> Any:
    """A perplexity that grows with error and shrinks with resolution, with a spread over chips."""
    return 20 + 3000 * np.square(std) + 300 / 4.0 ** np.asarray(bits) * 16 + (0.2 + 40 * np.asarray(std)) * chips


@pytest.fixture(scope="session")
def make() -> Callable[..., xr.Dataset]:
    return point_dataset


@pytest.fixture(scope="session")
def grid() -> xr.Dataset:
    """Twelve points of a full grid, sixteen chips each, one failed and one pending case among them."""
    points = grid_points(AXES)
    chips = np.random.default_rng(5).standard_normal(16)
    values = law(np.array(points["programming_std"])[:, None], np.array(points["adc_bits"])[:, None], chips)
    status = np.ones(values.shape)
    status[3, 2], status[7, 15] = 2, 0
    return gridded(point_dataset(points, values, status), AXES)


@pytest.fixture(scope="session")
def flat(grid: xr.Dataset) -> xr.Dataset:
    """The same study along `point`."""
    points = grid_points(AXES)
    values = grid["perplexity"].data.reshape(12, 16)
    return point_dataset(points, values, grid["status"].data.reshape(12, 16))


@pytest.fixture(scope="session")
def store(flat: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study in a Zarr store."""
    path = tmp_path_factory.mktemp("store") / "synthetic.zarr"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        flat.chunk(point=5, trial=7).to_zarr(path, zarr_format=3, consolidated=True)
    return path
