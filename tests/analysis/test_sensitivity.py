import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import qmc

from cimstudy.analysis import sensitivity
from cimstudy.analysis.shares import free_of_noise, gram
from cimstudy.errors import InputError

# Ishigami and Homma, 1990, with a = 7, b = 0.1
FIRST = [0.3139, 0.4424, 0.0]
TOTAL = [0.5576, 0.4424, 0.2437]


def ishigami(x: Any) -> Any:
    return np.sin(x[..., 0]) + 7 * np.sin(x[..., 1]) ** 2 + 0.1 * x[..., 2] ** 4 * np.sin(x[..., 0])


def dataset(columns: Any, values: Any, status: Any = None) -> xr.Dataset:
    """A study along `point` of these axes. values : (points, chips)."""
    status = np.ones(values.shape) if status is None else status
    case = ("point", "trial")
    variables = {"loss": (case, values, {"long_name": "loss", "units": "J"}), "status": (case, status)}
    return xr.Dataset(variables, {name: ("point", column) for name, column in columns.items()}, {"axes": list(columns)})


def sobol_points(n: int, *, noise: float, chips: int = 1, seed: int = 0) -> xr.Dataset:
    """Ishigami's function at the points of a Sobol space, on noisy chips whose own luck shifts all points alike."""
    x = np.pi * (2 * qmc.Sobol(3, scramble=True, rng=np.random.default_rng(seed)).random(n) - 1)
    random = np.random.default_rng(seed)
    values = ishigami(x)[:, None] + noise * random.standard_normal((n, chips)) + 3 * random.standard_normal(chips)
    return dataset({f"x{i}": x[:, i] for i in range(3)}, values)


@pytest.mark.parametrize("seed", range(3))
def test_the_indices_of_ishigamis_function_come_out_within_a_hundredth_from_sobol_points(seed: int) -> None:
    found = sensitivity(sobol_points(512, noise=0, seed=seed), "loss")
    assert found.attrs == {"metric": "loss", "method": "sobol"}
    assert found["axis"].values.tolist() == ["x0", "x1", "x2"]
    np.testing.assert_allclose(found["first"], FIRST, atol=0.01)
    np.testing.assert_allclose(found["total"], TOTAL, atol=0.01)
    assert found["predicted"] > 0.99


def test_noise_of_chips_is_said_and_taken_out() -> None:
    found = sensitivity(sobol_points(1024, noise=2.0, chips=16), "loss")
    np.testing.assert_allclose(found["first"], FIRST, atol=0.02)
    np.testing.assert_allclose(found["total"], TOTAL, atol=0.02)
    variance = 13.845  # of Ishigami's function
    assert float(found["noise"]) == pytest.approx(0.25 / (variance + 0.25), rel=0.1)
    assert (found["first_low"] <= found["first"]).all()
    assert (found["total"] <= found["total_high"]).all()


def test_intervals_cover_the_indices_that_infinitely_many_chips_would_give() -> None:
    truth = sensitivity(sobol_points(256, noise=0), "loss")
    covered = []
    for seed in range(40):
        random = np.random.default_rng([1, seed])
        ds = sobol_points(256, noise=0)
        noisy = ds["loss"].data + 1.5 * random.standard_normal((256, 8))
        found = sensitivity(dataset({f"x{i}": ds[f"x{i}"].data for i in range(3)}, noisy), "loss")
        covered.append((found["total_low"] <= truth["total"] + 0.01) & (truth["total"] - 0.01 <= found["total_high"]))
    assert np.mean(covered) > 0.8


def grid_of(values: Any, status: Any = None) -> xr.Dataset:
    """Three axes of 4, 3 and 2 values, the last one of names. values : (4, 3, 2, chips)."""
    dims = ("a", "b", "device", "trial")
    status = np.ones(values.shape) if status is None else status
    coords = {"a": [0.0, 0.1, 0.5, 2.0], "b": [1, 2, 3], "device": ["x", "y"]}
    return xr.Dataset({"loss": (dims, values), "status": (dims, status)}, coords)


def test_analysis_of_variance_is_exact_on_a_grid() -> None:
    a, b, c = np.meshgrid([0.0, 1, 5, -2], [0.0, 3, 4], [-1.0, 1], indexing="ij")
    response = a + 2 * b + a * c
    found = sensitivity(grid_of(response[..., None]), "loss")
    assert found.attrs["method"] == "anova"
    whole = response.var()
    first = [response.mean((1, 2)).var(), response.mean((0, 2)).var(), response.mean((0, 1)).var()]
    rest = [response.mean(0).var(), response.mean(1).var(), response.mean(2).var()]
    np.testing.assert_allclose(found["first"], np.array(first) / whole)
    np.testing.assert_allclose(found["total"], 1 - np.array(rest) / whole)
    assert np.isnan(found["noise"])  # of one chip, nothing is known
    assert np.isnan(found["first_low"]).all()


def test_regression_on_all_of_a_grid_is_its_analysis_of_variance() -> None:
    values = np.random.default_rng(2).standard_normal((4, 3, 2, 1)) + np.arange(4.0)[:, None, None, None]
    main = values.mean((1, 2), keepdims=True) + values.mean((0, 2), keepdims=True) + values.mean((0, 1), keepdims=True)
    by_anova, by_regression = (sensitivity(grid_of(main), "loss", method) for method in ("anova", "sobol"))
    np.testing.assert_allclose(by_regression["first"], by_anova["first"], atol=1e-9)


def test_pure_noise_has_no_indices() -> None:
    values = np.random.default_rng(3).standard_normal((4, 3, 2, 400))
    whole = gram(values.reshape(24, 400))
    assert abs(free_of_noise(whole)) < 5 * np.sqrt(2 / 24) / 400
    found = sensitivity(grid_of(values), "loss")
    assert found["noise"] > 0.5


def test_what_all_chips_share_is_no_noise() -> None:
    luck = np.random.default_rng(4).standard_normal(16)
    values = np.arange(24.0).reshape(4, 3, 2, 1) + 100 * luck
    assert float(sensitivity(grid_of(values), "loss")["noise"]) == pytest.approx(0, abs=1e-9)


def test_failed_cases_are_left_out_and_counted() -> None:
    values = np.random.default_rng(5).standard_normal(16) + np.arange(24.0).reshape(4, 3, 2, 1) ** 1.5
    whole = sensitivity(grid_of(values), "loss")
    status = np.where(np.random.default_rng(6).uniform(size=values.shape) < 0.1, 2, 1)
    holed = np.where(status == 1, values, np.nan)
    found = sensitivity(grid_of(holed, status), "loss")
    assert found.attrs["method"] == "anova"
    assert int(found["missing"]) == (status == 2).sum()
    np.testing.assert_allclose(found["first"], whole["first"], atol=0.005)
    status[1, 2, 0] = 0
    partial = sensitivity(grid_of(np.where(status == 1, values, np.nan), status), "loss")
    assert (partial.attrs["method"], int(partial["points"])) == ("sobol", 23)
    np.testing.assert_allclose(partial["first"], whole["first"], atol=0.05)


def test_chips_that_few_points_have_are_left_out() -> None:
    values = np.random.default_rng(7).standard_normal((4, 3, 2, 64)) + np.arange(24.0).reshape(4, 3, 2, 1)
    status = np.ones(values.shape)
    status[1:, ..., 8:] = 0  # the points of one level got 64 chips, the others 8
    found = sensitivity(grid_of(np.where(status == 1, values, np.nan), status), "loss")
    alone = sensitivity(grid_of(values[..., :8]), "loss")
    np.testing.assert_array_equal(found["first"], alone["first"])
    assert (int(found["n"]), int(found["missing"])) == (24 * 8, 24 * 56)


def test_morris_screening_agrees_with_salib() -> None:
    morris = pytest.importorskip("SALib.sample.morris")
    analyze = pytest.importorskip("SALib.analyze.morris")
    problem = {"num_vars": 8, "names": list("abcdefgh"), "bounds": [[-1, 3]] * 8}
    x = morris.sample(problem, 10, num_levels=4, seed=1)
    u = (x + 1) / 4
    y = 3 * u[:, 0] + 5 * u[:, 1] ** 2 - 4 * u[:, 2] * u[:, 0] + 2 * u[:, 3] ** 3
    expected = analyze.analyze(problem, x, y, num_levels=4, seed=1)
    once = np.unique(x.round(9), axis=0, return_index=True)[1]  # a store has each point once, in an order of its own
    ds = dataset(dict(zip("abcdefgh", x[once].T, strict=True)), y[once, None])
    found = sensitivity(ds, "loss", "morris")
    for name in ("mu", "mu_star", "sigma"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-12)
    assert (found["effects"] == 10).all()
    assert found["mu_star"].attrs["units"] == "J"
    slopes = np.arange(8.0)
    linear = sensitivity(
        dataset(dict(zip("abcdefgh", x[once].T, strict=True)), (u[once] @ slopes)[:, None]), "loss", "morris"
    )
    np.testing.assert_allclose(linear["mu"], slopes, atol=1e-12)
    np.testing.assert_allclose(linear["sigma"], 0, atol=1e-12)


def test_a_grid_has_the_elementary_effects_of_its_neighbours() -> None:
    values = np.zeros((4, 3, 2, 1)) + np.array([0.0, 1, 3, 3])[:, None, None, None]
    found = sensitivity(grid_of(values), "loss", "morris")
    np.testing.assert_allclose(found["mu"], [3, 0, 0])  # steps of 1, 2, 0, each a third of the axis
    assert found["effects"].values.tolist() == [18, 16, 12]


def test_regression_copes_with_names_and_whole_numbers() -> None:
    shares = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(1)).random(256)
    bits, device = 4 + (5 * shares[:, 1]).astype(int), np.array(["rram", "pcm", "sram"])[(3 * shares[:, 2]).astype(int)]
    effect = {"rram": 0.0, "pcm": 4.0, "sram": -2.0}
    values = 3 * shares[:, 0] + bits + np.array([effect[name] for name in device])
    found = sensitivity(dataset({"std": shares[:, 0], "bits": bits, "device": device}, values[:, None]), "loss")
    variances = np.array([9 / 12, 2.0, np.var(list(effect.values()))])
    np.testing.assert_allclose(found["first"], variances / variances.sum(), atol=0.01)
    assert found["predicted"] > 0.9999


def test_a_grid_of_many_points_is_quick_and_small() -> None:
    axes = {name: np.arange(8.0) for name in "abcde"}
    points = np.array(list(itertools.product(*axes.values())))
    values = (points @ [1, 2, 0, 0, 0])[:, None] + np.zeros(2)
    shape = (8,) * 5
    ds = xr.Dataset(
        {"loss": ((*axes, "trial"), values.reshape(*shape, 2)), "status": ((*axes, "trial"), np.ones((*shape, 2)))},
        axes,
    )
    np.testing.assert_allclose(sensitivity(ds, "loss")["first"], [0.2, 0.8, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("saltelli", "method 'saltelli'; allowed: anova, sobol, morris"),
        ("anova", "analysis of variance needs a full grid with a result at every point; allowed: 'sobol', 'morris'"),
        ("morris", "no two points differ in one axis alone; allowed: 'sobol', or a grid or a Morris design"),
    ],
)
def test_methods_that_do_not_suit_the_points_are_refused(method: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        sensitivity(sobol_points(64, noise=0), "loss", method)
    assert str(caught.value) == message


def test_too_few_points_and_points_that_do_not_vary_are_refused(make: Callable[..., xr.Dataset]) -> None:
    with pytest.raises(InputError, match="2 points have a result; sensitivity needs 8 or more"):
        sensitivity(make({"adc_bits": [5, 6]}, [[1.0], [2.0]]), "perplexity")
    with pytest.raises(InputError, match="no axis of this study varies; sensitivity needs one or more that do"):
        sensitivity(make({"adc_bits": [5] * 9}, np.ones((9, 2))), "perplexity")


def test_a_study_without_axes_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match="this study has no axes; sensitivity needs one or more that vary"):
        sensitivity(grid.isel(programming_std=0, adc_bits=0), "perplexity")


def test_a_response_that_does_not_vary_has_no_shares(make: Callable[..., xr.Dataset]) -> None:
    assert sensitivity(make({"adc_bits": range(9)}, np.ones((9, 4))), "perplexity")["first"].isnull().all()
