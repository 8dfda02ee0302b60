import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from cimstudy.analysis import summary
from cimstudy.analysis.plots import line, save
from cimstudy.analysis.plots.labels import label
from cimstudy.analysis.selection import scale_of
from cimstudy.errors import InputError


def drawn(ax: Any) -> Any:
    """The lines of an axes by their labels."""
    return {str(line.get_label()): line for line in ax.get_lines()}


def caption(ax: Any) -> Any:
    return " ".join(ax.get_title(loc="left").split())


def legend(ax: Any) -> Any:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_line_shows_the_means_at_each_value_of_the_other_axis(grid: xr.Dataset) -> None:
    ax = line(grid, "perplexity")
    means = summary(grid, "perplexity")["mean"]
    assert legend(ax) == ["5", "6", "8", "digital"]
    assert ax.get_legend().get_title().get_text() == "ADC bits"
    for bits in (5, 6, 8):
        np.testing.assert_array_equal(drawn(ax)[str(bits)].get_xdata(), [0.0, 0.02, 0.05, 0.1])
        np.testing.assert_array_equal(drawn(ax)[str(bits)].get_ydata(), means.sel(adc_bits=bits))


def test_the_band_is_the_interval_of_the_mean_and_the_title_says_so(grid: xr.Dataset) -> None:
    ax = line(grid, "perplexity", select={"adc_bits": 6})
    found = summary(grid, "perplexity").sel(adc_bits=6)
    corners = ax.collections[0].get_paths()[0].vertices
    for at, low, high in zip(found["programming_std"], found["ci_low"], found["ci_high"], strict=True):
        heights = corners[np.isclose(corners[:, 0], float(at)), 1]
        assert (heights.min(), heights.max()) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert caption(ax) == "mean of 15 to 16 chips; band: 95 % interval of the mean; ADC bits = 6"


def test_the_title_counts_the_chips_there_are(grid: xr.Dataset) -> None:
    assert caption(line(grid, "perplexity")).startswith("mean of 15 to 16 chips;")
    assert caption(line(grid.isel(trial=[1]), "perplexity")) == "1 chip"


def test_the_digital_run_is_a_dashed_line_across(grid: xr.Dataset) -> None:
    reference = drawn(line(grid, "perplexity"))["digital"]
    assert list(reference.get_ydata()) == [20.0, 20.0]
    assert reference.get_linestyle() == "--"
    unknown = grid.assign(perplexity=grid["perplexity"].drop_attrs())
    assert "digital" not in drawn(line(unknown, "perplexity"))


@pytest.mark.parametrize(
    ("name", "attrs", "text"),
    [
        ("adc_bits", {}, "ADC bits"),
        ("programming_std", {"units": "1"}, "programming std"),
        ("workload_time", {"path": "workload.time"}, "time since programming (s)"),
        ("energy", {"units": "J"}, "energy (J)"),
    ],
)
def test_labels_have_the_unit_unless_it_is_one(name: str, attrs: dict[str, str], text: str) -> None:
    assert label(xr.Dataset({name: ((), 1.0, attrs)}), name) == text


def test_axes_are_labelled_by_long_name_and_unit(grid: xr.Dataset) -> None:
    ds = grid.assign(perplexity=grid["perplexity"].assign_attrs(long_name="energy per token", units="J"))
    ax = line(ds, "perplexity")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("programming std", "energy per token (J)")


@pytest.mark.parametrize(
    ("values", "decades", "scale"),
    [
        ([1, 99], 2, "linear"),
        ([1, 100], 2, "log"),
        ([0, 1, 100], 2, "symlog"),
        ([-1, 1, 100], 2, "linear"),
        ([1, 31], 1.5, "linear"),
        ([1, 32, np.nan, np.inf], 1.5, "log"),
        ([0, 0], 2, "linear"),
    ],
)
def test_a_scale_is_logarithmic_where_positive_values_span_decades(values: Any, decades: float, scale: str) -> None:
    assert scale_of(np.array(values, dtype=float), decades) == scale


@pytest.mark.parametrize(
    ("times", "factor", "scales"),
    [
        ([1, 10, 50], 1, ("linear", "linear")),
        ([1, 10, 100], 1, ("log", "linear")),
        ([0, 1, 100], 1, ("symlog", "linear")),
        ([1, 10, 50], 6, ("linear", "log")),
    ],
)
def test_axes_are_logarithmic_where_their_values_are(
    make: Callable[..., xr.Dataset], times: list[int], factor: float, scales: tuple[str, str]
) -> None:
    values = 2.0 * np.power(float(factor), np.arange(3))[:, None] * [0.9, 1.0, 1.1]
    ax = line(make({"workload_time": times}, values, attrs={}), "perplexity")
    assert (ax.get_xscale(), ax.get_yscale()) == scales


def test_an_axis_with_zero_shows_no_negative_decades(make: Callable[..., xr.Dataset]) -> None:
    ax = line(make({"workload_time": [0, 1, 60, 3600]}, np.ones((4, 2))), "perplexity")
    low, high = ax.get_xlim()
    assert -1 < low < 0
    assert high > 3600


def test_the_title_breaks_between_statements_only(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 5, 6, 6], "device": ["pcm-a", "rram-b"] * 2}, np.ones((4, 2)))
    title = line(ds, "perplexity", select={"device": "rram-b"}).get_title(loc="left")
    assert title.splitlines() == ["mean of 2 chips; band: 95 % interval of the mean;", "device = rram-b"]


def test_a_reference_decades_away_makes_the_scale_logarithmic(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6]}, [[900.0, 950.0], [800.0, 850.0]])
    assert line(ds, "perplexity").get_yscale() == "log"


def test_few_values_are_the_ticks(grid: xr.Dataset) -> None:
    ax = line(grid, "perplexity", x="adc_bits", select={"programming_std": 0.05})
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "6", "8"]


def test_names_are_categories_with_bars_and_are_not_joined(make: Callable[..., xr.Dataset]) -> None:
    points = {"device": ["pcm", "pcm", "rram", "rram"], "adc_bits": [5, 6, 5, 6]}
    ax = line(make(points, np.arange(12.0).reshape(4, 3)), "perplexity")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["pcm", "rram"]
    assert legend(ax) == ["5", "6", "digital"]
    left, right = (bars.lines[0] for bars in ax.containers)
    assert left.get_linestyle() == "None"
    np.testing.assert_allclose(left.get_xdata(orig=False), [-0.125, 0.875])
    np.testing.assert_allclose(right.get_xdata(orig=False), [0.125, 1.125])
    np.testing.assert_allclose(left.get_ydata(orig=False), [1.0, 7.0])
    assert "bars: 95 % interval" in caption(ax)


def test_names_have_colours_told_apart_and_numbers_a_ramp(make: Callable[..., xr.Dataset]) -> None:
    points = {"adc_bits": [5, 6, 5, 6], "device": ["pcm", "pcm", "rram", "rram"]}
    values = np.arange(12.0).reshape(4, 3)
    lines = drawn(line(make(points, values), "perplexity"))
    assert [lines[name].get_color() for name in ("pcm", "rram")] == ["#0072B2", "#D55E00"]
    assert lines["pcm"].get_marker() != lines["rram"].get_marker()
    bits = [bars.lines[0].get_color() for bars in line(make(points, values), "perplexity", x="device").containers]
    lightness = [np.dot(colour[:3], [0.2126, 0.7152, 0.0722]) for colour in bits]
    assert lightness[0] < lightness[1]


def test_points_with_an_unseen_axis_are_not_joined_and_the_title_says_so(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"programming_std": [0.0, 0.1, 0.2], "adc_bits": [8, 7, 6]}, np.arange(9.0).reshape(3, 3))
    ax = line(ds, "perplexity")
    assert len(ax.containers) == 1
    assert caption(ax).endswith("ADC bits varies along")


def test_layers_of_a_metric_are_an_axis_like_any_other(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6]}, np.arange(2 * 3 * 4.0).reshape(2, 3, 4))
    assert legend(line(ds, "perplexity", x="layer")) == ["5", "6", "digital"]
    assert legend(line(ds, "perplexity")) == ["0", "1", "2", "3", "digital"]


def test_points_in_any_order_are_drawn_in_the_order_of_their_values(make: Callable[..., xr.Dataset]) -> None:
    points = {"adc_bits": [8, 5, 6, 8, 6, 5], "programming_std": [0.1, 0.1, 0.1, 0.0, 0.0, 0.0]}
    ax = line(make(points, np.arange(12.0).reshape(6, 2)), "perplexity")
    assert legend(ax) == ["0", "0.1", "digital"]
    assert drawn(ax)["0.1"].get_xydata().tolist() == [[5, 2.5], [6, 4.5], [8, 0.5]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "6", "8"]


def test_a_study_that_is_not_finished_is_drawn_as_far_as_it_is(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6, 8]}, np.ones((3, 2)), [[1, 1], [1, 0], [0, 0]])
    ax = line(ds, "perplexity")
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [1.0, 1.0, np.nan])
    assert caption(ax).startswith("mean of 0 to 2 chips")


def test_one_axis_is_one_line(make: Callable[..., xr.Dataset]) -> None:
    ax = line(make({"adc_bits": [5, 6]}, [[1.0, 2.0], [3.0, 4.0]], attrs={}), "perplexity")
    assert len(ax.get_lines()) == 1
    assert ax.get_legend() is None


def test_an_axis_of_one_value_is_passed_over(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"device": ["pcm"] * 2, "adc_bits": [5, 6]}, [[1.0, 2.0], [3.0, 4.0]])
    assert line(ds, "perplexity").get_xlabel() == "ADC bits"


THREE = {"programming_std": [0.0, 0.1] * 4, "adc_bits": [5, 5, 6, 6] * 2, "device": ["pcm"] * 4 + ["rram"] * 4}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "accuracy"}, "unknown metric 'accuracy'; this study has: perplexity"),
        ({"x": "bits"}, "unknown axis 'bits'; this study has: programming_std, adc_bits, device"),
        ({"hue": "bits"}, "unknown axis 'bits'; this study has: programming_std, adc_bits, device"),
        ({"select": {"bits": 3}}, "unknown axis 'bits'; this study has: programming_std, adc_bits, device"),
        ({"select": {"adc_bits": 7}}, "adc_bits has no value 7; there are: 5, 6"),
        ({"select": {"device": ["pcm", "sram"]}}, "device has no value 'sram'; there are: pcm, rram"),
        (
            {"x": "device", "hue": "device"},
            "x and hue are both 'device': allowed are two different axes of programming_std, adc_bits, device",
        ),
        ({}, "several points for each programming_std and adc_bits; select one value of device: pcm, rram"),
        (
            {"x": "device"},
            "several points for each device and programming_std; select one value of adc_bits: 5, 6",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    make: Callable[..., xr.Dataset], asked: dict[str, Any], message: str
) -> None:
    ds = make(THREE, np.arange(24.0).reshape(8, 3))
    with pytest.raises(InputError) as refused:
        line(ds, asked.pop("metric", "perplexity"), **asked)
    assert str(refused.value) == message


def test_a_study_without_axes_has_nothing_to_draw_along(make: Callable[..., xr.Dataset]) -> None:
    with pytest.raises(InputError, match=r"^this study has no further axis to draw along$"):
        line(make({}, [[1.0, 2.0]]), "perplexity")


def test_points_without_a_finished_chip_are_refused(make: Callable[..., xr.Dataset]) -> None:
    ds = make({"adc_bits": [5, 6]}, np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(
        InputError, match=r"^perplexity: no chip has a result at these points, so there is nothing to draw$"
    ):
        line(ds, "perplexity")


def test_more_lines_than_can_be_told_apart_are_refused(make: Callable[..., xr.Dataset]) -> None:
    points = {"adc_bits": [5] * 11 + [6] * 11, "programming_std": [i / 8 for i in range(11)] * 2}
    with pytest.raises(
        InputError, match=r"programming_std has 11 values, at most 10 lines can be told apart; select some of: 0, 0.125"
    ):
        line(make(points, np.ones((22, 2))), "perplexity")


def test_selected_numbers_are_found_to_rounding(grid: xr.Dataset) -> None:
    ax = line(grid, "perplexity", select={"programming_std": 0.1 + 1e-15, "adc_bits": [5.0, 8]})
    assert ax.get_xlabel() == "ADC bits"
    assert list(ax.get_lines()[0].get_xdata()) == [5, 8]


def test_axes_of_the_user_are_drawn_on_and_nothing_else_is_touched(grid: xr.Dataset) -> None:
    ax = Figure().subplots()
    assert line(grid, "perplexity", ax=ax) is ax
    code = """
import sys, matplotlib, numpy as np
settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
before = settings()
import xarray as xr
from cimstudy.analysis.plots import line, save
ds = xr.Dataset({"m": (("a", "trial"), np.ones((2, 3))), "status": (("a", "trial"), np.ones((2, 3)))}, {"a": [1, 2]})
line(ds, "m")
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_same_plot_is_written_as_the_same_bytes(
    grid: xr.Dataset, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    ax = line(grid, "perplexity")
    first = save(ax, tmp_path / f"new/first{suffix}").read_bytes()
    second = save(line(grid, "perplexity").figure, str(tmp_path / f"second{suffix}")).read_bytes()
    assert first.startswith(magic)
    assert first == second


def test_another_suffix_is_refused_by_naming_the_allowed_ones(grid: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^cannot write a plot to '.*x.gif': allowed are names that end in .png, .svg, .pdf$"
    ):
        save(line(grid, "perplexity"), tmp_path / "x.gif")


def test_without_matplotlib_the_message_says_how_to_install_it() -> None:
    code = """
import sys
sys.modules["matplotlib"] = None  # what an import of a package that is not installed meets
import xarray as xr
from cimstudy.analysis.plots import line
from cimstudy.errors import InputError
ds = xr.Dataset({"m": (("a", "trial"), [[1.0, 2.0]]), "status": (("a", "trial"), [[1, 1]])}, {"a": [1]})
try:
    line(ds, "m")
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "plots need matplotlib: pip install 'cimstudy[plot]'\n"
