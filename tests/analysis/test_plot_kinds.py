"""Every kind of plot beside `line`: what it shows is what the statistics say."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm

from cimstudy.analysis import sensitivity, summary, yield_
from cimstudy.analysis.plots import breakdown, default_metric, drift, heatmap, layers, pareto, tornado, yield_curve
from cimstudy.errors import InputError

Make = Callable[..., xr.Dataset]


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def ticks(ax: Any, axis: str = "x") -> list[str]:
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


def lines(ax: Any) -> dict[str, Any]:
    return {str(line.get_label()): line for line in ax.get_lines()}


@pytest.fixture
def parts(make: Make) -> xr.Dataset:
    """Energy by component at two resolutions: the ADC's share, the largest, doubles; the chips differ in it alone."""
    chips = np.array([-1.0, 0.0, 1.0])
    values = np.array([[[adc + 0.1 * chip, 1.0, 2.0] for chip in chips] for adc in (4.0, 8.0)]) * 1e-6
    attrs = {"units": "J", "long_name": "energy per token", "better": "lower"}
    ds = make({"adc_bits": [7, 8]}, values, attrs=attrs).rename(layer="component")
    return ds.assign_coords(component=["ADC", "DAC", "digital"])


def test_a_cell_of_a_heatmap_is_the_mean_and_says_half_of_the_interval(grid: xr.Dataset) -> None:
    ax = heatmap(grid, "perplexity", x="adc_bits", y="programming_std")
    found = summary(grid, "perplexity").transpose("programming_std", "adc_bits")
    np.testing.assert_array_equal(ax.collections[0].get_array(), found["mean"])
    assert (ticks(ax), ticks(ax, "y")) == (["5", "6", "8"], ["0", "0.02", "0.05", "0.1"])
    first = found.isel(programming_std=0, adc_bits=0)
    half = float(first["ci_high"] - first["ci_low"]) / 2
    assert f"{float(first['mean']):.4g}\n±{half:.2g}" in texts(ax)
    assert len(texts(ax)) == 12
    title = " ".join(ax.get_title(loc="left").split())
    assert title == "mean of 15 to 16 chips; below it half of the 95 % interval of the mean"


def test_the_digital_run_is_a_line_on_a_heatmaps_scale_of_colours(grid: xr.Dataset) -> None:
    figure: Any = heatmap(grid, "perplexity").get_figure()
    scale = figure.axes[1]
    assert [list(line.get_ydata()) for line in scale.get_lines() if line.get_linestyle() == "--"] == [[20.0, 20.0]]
    assert scale.get_ylabel() == "perplexity"


def test_colours_are_logarithmic_where_means_span_decades(make: Make) -> None:
    points = {"adc_bits": [5, 5, 6, 6], "rows": [64, 128] * 2}
    assert isinstance(heatmap(make(points, [[1.0], [2.0], [3.0], [900.0]]), "perplexity").collections[0].norm, LogNorm)


def test_a_cell_without_a_result_is_left_out_of_a_heatmap(make: Make) -> None:
    ds = make({"adc_bits": [5, 5, 6, 6], "rows": [64, 128] * 2}, np.ones((4, 2)), [[1, 1], [0, 0], [1, 1], [1, 2]])
    ax = heatmap(ds, "perplexity")
    assert np.ma.getmaskarray(ax.collections[0].get_array()).tolist() == [[False, False], [True, False]]
    assert len(texts(ax)) == 3
    assert ax.patch.get_hatch()


def test_many_cells_have_no_text_and_not_all_names(make: Make) -> None:
    points = {"adc_bits": [i % 40 for i in range(120)], "rows": [i // 40 for i in range(120)]}
    ax = heatmap(make(points, np.ones((120, 2))), "perplexity")
    assert texts(ax) == []
    assert [name for name in ticks(ax) if name] == [str(i) for i in range(0, 40, 3)]


def test_a_heatmap_needs_two_axes(make: Make) -> None:
    with pytest.raises(InputError, match=r"^a heatmap needs two axes that vary; adc_bits is the only one here$"):
        heatmap(make({"adc_bits": [5, 6]}, np.ones((2, 2))), "perplexity")
    points = {"adc_bits": [5, 5, 6, 6], "rows": [64, 128] * 2}
    with pytest.raises(
        InputError, match=r"^x and y are both 'rows': allowed are two different axes of adc_bits, rows$"
    ):
        heatmap(make(points, np.ones((4, 2))), "perplexity", x="rows", y="rows")


def test_layers_lie_along_x_with_a_line_for_each_operator(make: Make) -> None:
    values = np.arange(2 * 2 * 3 * 2.0).reshape(2, 2, 3, 2)
    ds = make({"adc_bits": [5, 6]}, values[..., 0])
    ds["snr"] = (("point", "trial", "layer", "operator"), values, {"units": "dB"})
    ds = ds.assign_coords(operator=["q", "k"])
    ax = layers(ds, "snr", select={"adc_bits": 6})
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", "snr (dB)")
    np.testing.assert_array_equal(lines(ax)["k"].get_xydata(), [[0, 16], [1, 18], [2, 20]])
    by_bits = layers(ds, "snr", hue="adc_bits", select={"operator": "q"})
    np.testing.assert_array_equal(lines(by_bits)["5"].get_ydata(), [3, 5, 7])


def test_layers_without_operators_are_told_apart_by_the_studys_axis(make: Make) -> None:
    ax = layers(make({"adc_bits": [5, 6]}, np.arange(2 * 3 * 4.0).reshape(2, 3, 4)), "perplexity")
    np.testing.assert_array_equal(lines(ax)["6"].get_ydata(), [16, 17, 18, 19])


def test_a_metric_without_layers_is_refused_by_naming_those_that_have_them(make: Make) -> None:
    ds = make({"adc_bits": [5, 6]}, np.ones((2, 3)))
    ds["snr"] = (("point", "trial", "layer"), np.ones((2, 3, 4)))
    with pytest.raises(InputError, match=r"^perplexity has no axis `layer`; metrics that have one: snr$"):
        layers(ds, "perplexity")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1.0, 3600.0, 3.2e7], ["1 s", "1 min", "1 h", "1 d", "1 mo", "1 y"]),
        ([0.0, 60.0, 86400.0], ["0", "1 min", "1 h", "1 d"]),
    ],
)
def test_drift_has_ticks_at_times_that_people_know(make: Make, times: list[float], expected: list[str]) -> None:
    ds = make({"time": times}, np.arange(6.0).reshape(3, 2))
    ds["time"].attrs.update(path="workload.time", units="s", long_name="time since programming")
    ax = drift(ds.rename(time="seconds"), "perplexity")
    assert ticks(ax) == expected
    assert ax.get_xlabel() == "time since programming"
    assert lines(ax)["_child0"].get_xdata().tolist() == times


def test_drift_over_a_short_time_counts_seconds(make: Make) -> None:
    ds = make({"workload_time": [1.0, 2.0]}, np.ones((2, 2)))
    ds["workload_time"].attrs.update(path="workload.time", units="s", long_name="time since programming")
    ax = drift(ds, "perplexity")
    assert (ax.get_xlabel(), ticks(ax)) == ("time since programming (s)", ["1", "2"])


def test_a_study_without_time_is_refused(grid: xr.Dataset) -> None:
    message = "^drift needs an axis of time, such as workload.time; this study has: programming_std, adc_bits$"
    with pytest.raises(InputError, match=message):
        drift(grid, "perplexity")


def test_a_breakdown_stacks_the_means_of_the_parts_to_their_total(parts: xr.Dataset) -> None:
    ax = breakdown(parts, "perplexity")
    bars: dict[str, Any] = {str(bar.get_label()): bar for bar in ax.containers[:3]}
    assert list(bars) == ["ADC", "digital", "DAC"]  # the largest first
    heights = {name: [patch.get_height() for patch in getattr(bar, "patches", ())] for name, bar in bars.items()}
    np.testing.assert_allclose(heights["ADC"], [4e-6, 8e-6])
    tops = [patch.get_y() + patch.get_height() for patch in bars["DAC"].patches]
    np.testing.assert_allclose(tops, [7e-6, 11e-6])
    assert ax.get_ylabel() == "energy per token (1e-6 J)"
    assert ticks(ax) == ["7", "8"]


def test_the_bar_of_a_breakdown_is_the_interval_of_the_total(parts: xr.Dataset) -> None:
    bars: Any = breakdown(parts, "perplexity").containers[-1]
    total = summary(parts.assign(perplexity=parts["perplexity"].sum("component")), "perplexity")
    ends = np.array([path.vertices[:, 1] for path in bars.lines[2][0].get_paths()])
    np.testing.assert_allclose(ends, np.stack([total["ci_low"], total["ci_high"]], axis=1))


def test_the_smallest_of_many_parts_are_one(make: Make) -> None:
    ds = make({"adc_bits": [5, 6]}, np.broadcast_to(2.0 ** np.arange(9), (2, 3, 9)))
    bars: Any = {bar.get_label(): bar for bar in breakdown(ds, "perplexity").containers}
    assert list(bars)[:7] == ["8", "7", "6", "5", "4", "3", "other"]
    assert [patch.get_height() for patch in bars["other"].patches] == [7.0, 7.0]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (None, r"^several points for each adc_bits and device; select one value of rows: 64, 128$"),
        ({"rows": 64}, r"^several points for each adc_bits; select one value of device: pcm, rram$"),
    ],
)
def test_a_breakdown_shows_one_point_for_each_bar(make: Make, select: Any, message: str) -> None:
    points = {"adc_bits": [5, 6] * 4, "device": ["pcm", "pcm", "rram", "rram"] * 2, "rows": [64] * 4 + [128] * 4}
    with pytest.raises(InputError, match=message):
        breakdown(make(points, np.ones((8, 2, 3))), "perplexity", select=select)


def test_a_metric_that_is_no_sum_of_parts_is_refused(grid: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"^perplexity has no axis of its own; a breakdown needs one$"):
        breakdown(grid, "perplexity")


@pytest.fixture
def parts_of_parts(make: Make) -> xr.Dataset:
    ds = make({"adc_bits": [5, 6]}, np.ones((2, 3)))
    values = np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    found = ds.assign(perplexity=(("point", "trial", "phase", "component"), values, ds["perplexity"].attrs))
    return found.assign_coords(phase=["prefill", "decode"], component=["adc", "cell"])


def test_a_breakdown_sums_along_the_other_axes(parts_of_parts: xr.Dataset) -> None:
    expected = parts_of_parts["perplexity"].mean("trial")
    for options, lost in (
        ({}, expected.sum("phase")),
        ({"select": {"phase": "decode"}}, expected.sel(phase="decode")),
        ({"part": "phase"}, expected.sum("component")),
    ):
        bars: Any = {bar.get_label(): bar for bar in breakdown(parts_of_parts, "perplexity", **options).containers}
        (part,) = set(lost.dims) & {"phase", "component"}
        for name in lost[part].to_numpy().tolist():
            heights = [patch.get_height() for patch in bars[name].patches]
            np.testing.assert_allclose(heights, lost.sel({part: name}))


def test_the_title_of_a_breakdown_says_what_is_summed(parts_of_parts: xr.Dataset) -> None:
    summed = breakdown(parts_of_parts, "perplexity").get_title(loc="left")
    assert "sum over 2 values of phase" in summed
    for phase in ("decode", ["decode"]):
        chosen = breakdown(parts_of_parts, "perplexity", select={"phase": phase}).get_title(loc="left")
        assert "phase = decode" in chosen
        assert "sum" not in chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "layer"}, "^perplexity has the axes phase, component; part='layer' is none of them$"),
        ({"select": {"phase": "training"}}, "^phase has no value 'training'; there are: prefill, decode$"),
    ],
)
def test_parts_that_are_not_there_are_refused(parts_of_parts: xr.Dataset, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        breakdown(parts_of_parts, "perplexity", **options)


def test_a_kind_of_plot_shows_the_first_metric_that_it_can(parts: xr.Dataset) -> None:
    ds = parts.rename(perplexity="energy").assign(
        loss=parts["status"] * 1.0, snr=parts["perplexity"].rename(component="layer")
    )
    ds.attrs["metrics"] = ["loss", "energy", "snr"]
    assert [default_metric(ds, kind) for kind in ("line", "breakdown", "layers")] == ["loss", "energy", "snr"]


@pytest.fixture
def traded(make: Make) -> xr.Dataset:
    """Loss against energy: c is beaten by b on every chip, a, b and d are on the front."""
    loss = np.array([[4.0, 4.2], [3.0, 3.1], [3.5, 3.6], [1.0, 1.2]])
    energy = np.array([[1.0, 1.0], [2.0, 2.0], [2.5, 2.5], [9.0, 9.0]]) * 1e-6
    ds = make({"name": list("abcd"), "bits": [4, 5, 6, 7]}, loss, attrs={"long_name": "loss", "better": "lower"})
    attrs = {"units": "J", "long_name": "energy", "better": "lower", "reference": 3e-6}
    return ds.rename(perplexity="loss").assign(energy=(("point", "trial"), energy, attrs))


def test_a_pareto_plot_joins_the_points_that_no_other_beats(traded: xr.Dataset) -> None:
    ax = pareto(traded, "loss")
    front = lines(ax)["front"]
    np.testing.assert_allclose(front.get_xydata(), [[1e-6, 4.1], [2e-6, 3.05], [9e-6, 1.1]])
    assert front.get_drawstyle() == "steps-post"
    assert texts(ax) == ["1.00", "1.00", "1.00"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("energy (1e-6 J)", "loss")
    assert [3e-6, 3e-6] in [list(line.get_xdata()) for line in ax.get_lines() if line.get_linestyle() == "--"]


def test_a_pareto_plot_is_of_the_selected_points_in_their_colours(traded: xr.Dataset) -> None:
    ax = pareto(traded, "loss", hue="name", select={"name": ["a", "c"]})
    np.testing.assert_allclose(lines(ax)["front"].get_xydata(), [[1e-6, 4.1], [2.5e-6, 3.55]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "c", "front"]


def test_a_crowded_front_writes_what_has_room(make: Make) -> None:
    """Forty points on a curve: some numbers, and no two that overlap."""
    x = np.repeat(np.geomspace(1e-6, 1e-3, 40)[:, None], 2, axis=1)
    ds = make({"bits": range(40)}, 1e-3 / x + [0.0, 0.01], attrs={"long_name": "loss", "better": "lower"})
    attrs = {"units": "J", "long_name": "energy", "better": "lower"}
    ax = pareto(ds.rename(perplexity="loss").assign(energy=(("point", "trial"), x, attrs)), "loss")
    figure = ax.get_figure()
    assert figure is not None
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert 5 < len(boxes) < 40
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_front_of_one_point_has_no_line_to_name(traded: xr.Dataset) -> None:
    ax = pareto(traded, "loss", select={"name": "b"})
    assert "front" not in lines(ax)
    assert texts(ax) == ["1.00"]


def test_where_more_is_better_the_front_steps_the_other_way(traded: xr.Dataset) -> None:
    ds = traded.assign({name: traded[name].assign_attrs(better="higher") for name in ("energy", "loss")})
    assert lines(pareto(ds, "loss"))["front"].get_drawstyle() == "steps-pre"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"x": "power"}, r"^unknown metric 'power'; this study has: "),
        ({"hue": "rows"}, r"^unknown axis 'rows'; this study has: name, bits$"),
        ({"select": {"bits": 9}}, r"^bits has no value 9; there are: 4, 5, 6, 7$"),
        ({"x": "plain"}, r"^which plain is better is not known; allowed: "),
    ],
)
def test_what_has_no_front_is_refused(traded: xr.Dataset, asked: dict[str, Any], message: str) -> None:
    ds = traded.assign(plain=traded["loss"].drop_attrs())
    with pytest.raises(InputError, match=message):
        pareto(ds, "loss", **asked)


def test_a_front_needs_another_metric(grid: xr.Dataset) -> None:
    message = r"^no metric beside perplexity says which side of it is better; a front needs two that do$"
    with pytest.raises(InputError, match=message):
        pareto(grid, "perplexity")


def test_a_tornado_has_the_axis_that_matters_most_at_the_top(grid: xr.Dataset) -> None:
    ax = tornado(grid, "perplexity")
    found = sensitivity(grid, "perplexity").sortby("total")
    totals, firsts = ax.containers[:2]
    np.testing.assert_allclose([bar.get_width() for bar in totals], found["total"])
    np.testing.assert_allclose([bar.get_width() for bar in firsts], found["first"])
    assert ticks(ax, "y") == [name.replace("_", " ").replace("adc", "ADC") for name in found["axis"].values]
    assert "analysis of variance over 12 points" in ax.get_title(loc="left")
    assert ax.get_xlabel() == "share of the variance of perplexity"


def test_a_tornado_of_effects_has_the_metrics_unit(grid: xr.Dataset) -> None:
    ax = tornado(grid.assign(perplexity=grid["perplexity"].assign_attrs(units="J")), "perplexity", "morris")
    found = sensitivity(grid, "perplexity", "morris").sortby("mu_star")
    np.testing.assert_allclose([bar.get_width() for bar in ax.containers[0]], found["mu_star"])
    assert ax.get_xlabel() == "effect on perplexity (J)"


def test_a_yield_curve_is_the_share_of_chips_that_meet_each_limit(grid: xr.Dataset) -> None:
    ax = yield_curve(grid, "perplexity", select={"programming_std": 0.1})
    for bits in (5, 6, 8):
        limits, share = lines(ax)[str(bits)].get_xdata(), lines(ax)[str(bits)].get_ydata()
        for place in (0, 20, -1):
            found = yield_(grid, "perplexity", at_most=limits[place]).sel(programming_std=0.1, adc_bits=bits)
            assert share[place] == pytest.approx(float(found["share"]))
        assert (np.diff(share) >= 0).all()
        assert share[-1] == 1
        assert lines(ax)[str(bits)].get_drawstyle() == "steps-post"
    assert lines(ax)["digital"].get_xdata() == [20, 20]
    assert ax.get_ylabel() == "share of chips with at most this"


def test_where_more_is_better_a_yield_falls_with_the_limit(grid: xr.Dataset) -> None:
    ax = yield_curve(grid, "perplexity", better="higher", select={"programming_std": 0.1})
    curve = lines(ax)["5"]
    assert (np.diff(curve.get_ydata()) <= 0).all()
    assert curve.get_drawstyle() == "steps-pre"
    assert ax.get_ylabel() == "share of chips with at least this"


def test_failed_chips_do_not_count_in_a_yield(make: Make) -> None:
    ds = make({}, [[1.0, 2.0, 3.0, 0.0]], [[1, 1, 1, 2]])
    curve = yield_curve(ds, "perplexity").get_lines()[0]
    np.testing.assert_allclose(curve.get_xydata(), [[1, 1 / 3], [2, 2 / 3], [3, 1]])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, r"^several points for each programming_std; select one value of adc_bits: 5, 6, 8$"),
        ({"better": "more"}, r"^which perplexity is better is 'more'; allowed: "),
        ({"hue": "rows"}, r"^unknown axis 'rows'; this study has: programming_std, adc_bits$"),
    ],
)
def test_a_yield_curve_is_of_one_point(grid: xr.Dataset, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        yield_curve(grid, "perplexity", **asked)
