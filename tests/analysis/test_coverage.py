"""95 % intervals cover the truth in 93 to 97 % of 2000 studies, read from stores on disk: a point is a study."""

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtr, ndtri

from cimstudy.analysis import compare, quantile, summary, yield_

STUDIES, CHIPS = 2000, 256
SPREAD = 0.3  # of the logarithm

Draw = Callable[[np.random.Generator], Any]


def collapsing(random: np.random.Generator) -> Any:
    """Accuracies of which 4 % collapse."""
    shape = (STUDIES, CHIPS)
    broken = random.uniform(size=shape) < 0.04
    return np.where(broken, random.uniform(0.1, 0.4, shape), random.normal(0.80, 0.03, shape))


POPULATIONS: Mapping[str, Draw] = {
    "normal": lambda random: random.normal(3.0, 2.0, (STUDIES, CHIPS)),
    "lognormal": lambda random: np.exp(SPREAD * random.standard_normal((STUDIES, CHIPS))),
    "collapsing": collapsing,
}
QUANTILES: Mapping[str, Callable[[float], float]] = {
    "normal": lambda q: 3.0 + 2.0 * ndtri(q),
    "lognormal": lambda q: math.exp(SPREAD * ndtri(q)),
    "collapsing": lambda q: 0.80 + 0.03 * ndtri((q - 0.04) / 0.96),
}
SHARES = {"normal": (4.0, ndtr(0.5)), "lognormal": (1.5, ndtr(math.log(1.5) / SPREAD)), "collapsing": (0.7, None)}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xr.Dataset]:
    """A store of 2000 studies of each population; one case in fifty failed, whatever it would have been."""
    folder, found = tmp_path_factory.mktemp("coverage"), {}
    for number, (name, draw) in enumerate(POPULATIONS.items()):
        random = np.random.default_rng([9, number])
        values = draw(random)
        status = np.where(random.uniform(size=values.shape) < 0.02, 2, 1).astype("int8")
        case = ("point", "trial")
        variables = {"value": (case, np.where(status == 1, values, np.nan)), "status": (case, status)}
        found[name] = stored(xr.Dataset(variables, {"study": ("point", np.arange(STUDIES))}), folder / f"{name}.zarr")
    return found


def stored(ds: xr.Dataset, path: Path, along: str = "point") -> xr.Dataset:
    """The dataset, read from disk."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        ds.chunk({along: 500}).to_zarr(path, zarr_format=3, consolidated=True)
    return xr.open_zarr(path)


def covered(found: xr.Dataset, truth: Any, low: str = "ci_low", high: str = "ci_high") -> float:
    return float(((found[low] <= truth) & (truth <= found[high])).mean())


@pytest.mark.parametrize(("name", "mean"), [("normal", 3.0), ("lognormal", math.exp(SPREAD**2 / 2))])
def test_intervals_of_means_cover(stores: dict[str, xr.Dataset], name: str, mean: float) -> None:
    assert 0.93 <= covered(summary(stores[name], "value"), mean) <= 0.97


@pytest.mark.parametrize("q", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_of_quantiles_cover(stores: dict[str, xr.Dataset], name: str, q: float) -> None:
    assert 0.93 <= covered(quantile(stores[name], "value", q), QUANTILES[name](q)) <= 0.97


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_medians_of_summaries_are_covered(stores: dict[str, xr.Dataset], name: str) -> None:
    found = summary(stores[name], "value")
    assert 0.93 <= covered(found, QUANTILES[name](0.5), "median_low", "median_high") <= 0.97


@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_of_yields_cover(stores: dict[str, xr.Dataset], name: str) -> None:
    limit, share = SHARES[name]
    if share is None:  # of what does not collapse, at least the limit
        found, share = yield_(stores[name], "value", at_least=limit), 0.96 * ndtr(0.1 / 0.03)
    else:
        found = yield_(stores[name], "value", at_most=limit)
    assert 0.93 <= covered(found, share) <= 0.97


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_intervals_of_paired_differences_cover(tmp_path: Path, correlation: float) -> None:
    random = np.random.default_rng(10)
    luck, own = random.standard_normal((STUDIES, 1, 32)), random.standard_normal((STUDIES, 2, 32))
    values = math.sqrt(correlation) * luck + math.sqrt(1 - correlation) * own + np.array([1.0, 0.0])[:, None]
    dims = ("study", "bits", "trial")
    variables = {"value": (dims, values), "status": (dims, np.ones(values.shape, "int8"))}
    coords = {"study": range(STUDIES), "bits": [5, 6], "trial": range(32)}
    ds = stored(xr.Dataset(variables, coords), tmp_path / "pairs.zarr", "study")
    found = compare(ds, "value", {"bits": 6}).sel(bits=5).compute()
    assert 0.93 <= covered(found, 1.0) <= 0.97
    assert float(found["correlation"].mean()) == pytest.approx(correlation, abs=0.02)
