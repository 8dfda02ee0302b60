"""Costs as a study sees them: blocks as arrays, the same bits as case by case, and what the store keeps."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cimstudy as cim
from cimstudy.analog import Key, normals
from cimstudy.cost import Work, cost, model_shape, shapes
from cimstudy.cost.coefficients import table
from cimstudy.cost.validity import REASONS
from cimstudy.errors import InputError
from cimstudy.study.runner import Run
from cimstudy.study.verification import verify
from cimstudy.transformer.checkpoint import read_config
from cimstudy.transformer.config import TransformerConfig
from cimstudy.workloads.shapes import shape_of, shape_of_config

COST = cim.workloads.Cost(model="GPT-2", prefill=64, decode=16)
SPACE = cim.Grid(
    {
        "device": ["rram-isaac-2016", "pcm-joshi"],
        "crossbar": ["differential-128", "bit-serial-128"],
        "crossbar.adc.bits": range(4, 11),
        "crossbar.rows": [64, 128, 256],
    }
)


def study(**changes):
    return cim.Study(**{"name": "costs", "workload": COST, "space": SPACE} | changes)


@pytest.mark.parametrize(
    ("trials", "asked", "processes"),
    [(1, {}, 1), (100, {}, 1), (200, {}, None), (1, {"workers": 3}, 3), (1, {"cluster": "tcp://there"}, None)],
)
def test_few_points_of_costs_take_one_process(trials, asked, processes):
    """84 points in arrays take less time than a second process does to start."""
    given = {"cluster": None, "workers": None} | asked
    run = Run(
        study=study(trials=trials),
        resolved=range(84),
        store="",
        block=None,
        retry_failed=False,
        case_timeout=None,
        **given,
    )
    assert run.processes == processes
    if not asked:
        model = replace(run, study=study(workload=cim.workloads.LanguageModel(tokens=64)))
        assert model.processes is None


@pytest.mark.parametrize("name", shapes())
def test_a_config_has_the_shape_of_its_network(name):
    sizes = table("models")[name]
    config = TransformerConfig(
        vocab_size=max(sizes["vocabulary"], 1),
        width=sizes["width"],
        layers=sizes["layers"],
        heads=sizes["heads"],
        kv_heads=sizes["kv_heads"],
        head_width=sizes["head_width"],
        ffn_width=sizes["ffn_width"],
        gated=sizes["gated"],
        context=4096,
        causal=sizes.get("causal", True),
        head="tokens" if sizes["vocabulary"] else "none",
    )
    found, known = shape_of_config(config, name), model_shape(name)
    assert found.products == known.products
    assert found.attention == known.attention
    assert (found.kv_elements, found.attention_macs, found.causal) == (
        known.kv_elements,
        known.attention_macs,
        known.causal,
    )
    assert found.norm_elements == known.norm_elements + sizes["width"]  # the last norm
    assert found.activation_elements == known.activation_elements


def test_experts_shared_layers_and_windows_are_counted_as_they_are_used():
    config = TransformerConfig(
        vocab_size=100,
        width=32,
        layers=4,
        heads=4,
        kv_heads=2,
        head_width=8,
        ffn_width=48,
        context=64,
        experts=8,
        experts_per_token=2,
        layer_groups=2,
        windows=(16, None, 16, None),
    )
    shape = shape_of_config(config, "mixture")
    used = {
        (product.operator, product.columns): (product.count, product.used, product.steps) for product in shape.products
    }
    assert used == {
        ("qkv", 64): (2, 4, 4),
        ("output", 32): (2, 4, 4),
        ("ffn_up", 8): (2, 4, 4),
        ("ffn_up", 96): (16, 8, 4),
        ("ffn_down", 32): (16, 8, 4),
        ("head", 100): (1, 1, 1),
    }
    assert [(group.layers, group.window) for group in shape.attention] == [(2, 16), (2, None)]
    assert shape.context == 64


def test_the_bundled_model_has_a_shape():
    config = read_config("bundled")
    assert shape_of("bundled").weights == sum(
        rows * columns for rows, columns in cim.transformer.config.matrix_shapes(config).values()
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    place = tmp_path_factory.mktemp("costs") / "s.zarr"
    return place, study().run(place, workers=2, progress=False, block=(16, 1))


def test_a_block_has_the_bits_of_its_cases(stored):
    _, ds = stored
    assert (ds.status == 1).all()
    for point in list(SPACE.points())[::17]:
        hardware = study().point_hardware(point)
        expected = COST(hardware, seed=0, trial=0)
        names = {
            "device": "device",
            "crossbar": "crossbar",
            "crossbar.adc.bits": "adc_bits",
            "crossbar.rows": "crossbar_rows",
        }
        found = ds.sel({names[path]: value for path, value in point.items()}).isel(trial=0)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name].values, value)


def test_a_store_of_costs_verifies_and_names_its_sources(stored):
    place, _ = stored
    assert not verify(place, workers=1).defects
    plain = xr.open_zarr(place)
    assert plain.attrs["sources"]["events.shift_add"]["confidence"] == "code"
    assert plain.energy_per_token.attrs["units"] == "J"
    assert plain.energy_per_token.attrs["ancillary_variables"] == "valid"
    assert plain.invalid_reason.attrs["flag_masks"] == list(REASONS)
    assert f"16: {REASONS[16]}; 32: " in plain.invalid_reason.attrs["comment"]
    assert plain.gpu.values.tolist() == ["A100", "H100", "H200"]


def test_costs_of_a_hardware_are_those_of_its_design():
    hardware = cim.Hardware(crossbar="bit-serial-128")
    found = COST(hardware, seed=0, trial=0)
    design = {
        "crossbar.cells_per_weight": 8,  # pairs of 7 bits in cells of 2
        "crossbar.conversions_per_weight": 4,
        "crossbar.pulses": 7,
        "crossbar.converted_pulses": 7,
        "crossbar.pulse_bits": 1,
    }
    expected = cost(model_shape("GPT-2"), Work(prefill=64, decode=16), design)
    assert found["energy_per_token"] == expected["energy_per_token"][0]


def test_uncertain_coefficients_are_drawn_for_each_chip():
    uncertain = COST.replace("uncertainty.adc_energy", {"median": 0.5, "sigma": 1.0}).replace("breakdown", True)
    hardware = cim.Hardware()
    adc = uncertain.coordinates["component"].index("adc")
    found = [uncertain(hardware, seed=3, trial=trial)["energy"][..., adc].sum() for trial in range(4)]
    sure = COST.replace("breakdown", True)(hardware, seed=3, trial=0)["energy"][..., adc].sum()
    drawn = [
        0.5 * np.exp(float(normals(Key.root(3, trial).of("cost", "adc_energy"), (1, 1))[0, 0])) for trial in range(4)
    ]
    np.testing.assert_allclose(np.array(found) / sure, drawn, rtol=5e-3)  # the sample is no converter's
    parts = {name: ([getattr(hardware, name)], np.zeros(2, np.intp)) for name in type(hardware).model_fields}
    together = uncertain.evaluate(parts, seed=3, trials=[0, 2])
    assert together["area"].shape == (2, 2)
    for turn, trial in enumerate([0, 2]):
        alone = uncertain(hardware, seed=3, trial=trial)
        for name, value in alone.items():
            np.testing.assert_array_equal(together[name][1, turn], value)


def test_a_study_that_varies_the_workload_evaluates_each(tmp_path):
    space = cim.Grid({"workload.prefill": [32, 64], "crossbar.rows": [64, 128]})
    parted = COST.replace("breakdown", True)
    ds = study(space=space, workload=parted).run(tmp_path / "s.zarr", workers=1, progress=False, block=(4, 1))
    for prefill in (32, 64):
        for rows in (64, 128):
            expected = COST.replace("prefill", prefill)(cim.Hardware().replace("crossbar.rows", rows), seed=0, trial=0)
            found = ds.sel(workload_prefill=prefill, crossbar_rows=rows).isel(trial=0)
            assert float(found.energy_prefill) == expected["energy_prefill"]
    pytest.importorskip("matplotlib")
    drawn = ds.cim.plot.breakdown("energy", x="crossbar_rows", select={"workload_prefill": 64, "phase": "prefill"})
    stacked = [bar for bar in drawn.containers if hasattr(bar, "patches") and bar.patches]
    assert len(stacked) > 5
    heights = np.sum([[patch.get_height() for patch in bar.patches] for bar in stacked], axis=0)
    whole = ds.energy_prefill.sel(workload_prefill=64, crossbar_rows=[64, 128]).isel(trial=0)
    unit = float(whole[0] / heights[0])
    np.testing.assert_allclose(heights * unit, whole, rtol=1e-5)
    assert unit == pytest.approx(1, rel=1e-5)


def test_published_figures_stand_beside_ours():
    module = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "architectures.py"))
    accelerators, workload = module["ACCELERATORS"], module["study"].workload
    assert len(module["study"].resolve_all()) == 2 * len(accelerators)
    counted = {
        (name, network): workload.replace("model", network).replace("decode", decode)(
            module["described"](accelerators[name]), seed=0, trial=0
        )
        for name in accelerators
        for network, decode in (("BERT-base", 0), ("GPT-2", 128))
    }
    gpu = list(workload.coordinates["gpu"])
    figures = {
        who: {
            **found,
            **{name: dict(zip(gpu, found[name], strict=True)) for name in found if name.startswith("gpu_")},
            "attention_energy": 1.0,
            "attention_time": 1.0,
        }
        for who, found in counted.items()
    }
    rows = {(row["accelerator"], row["quantity"], row["units"]): row for row in module["compared"](figures)}
    assert len(rows) > 25
    bert = counted["x-former", "BERT-base"]
    latency = rows["x-former", "latency", "s"]
    assert (latency["published"], latency["ours"]) == (0.00098, bert["first_token_pipelined"])
    assert latency["ours / published"] == pytest.approx(latency["ours"] / 0.00098)
    assert latency["not counted"] == ""
    shape, found = model_shape("BERT-base"), rows["x-former", "energy efficiency", "op/J"]["ours"]
    products = 512 * (shape.macs + 12 * 2 * 768 * 512)
    assert found == pytest.approx(2 * products / bert["energy_prefill"])
    gpt = counted["race-it", "GPT-2"]
    speed = rows["race-it", "speed against H100", "ratio"]["ours"]
    assert speed == pytest.approx(gpt["gpu_time_per_token"][gpu.index("H100")] / gpt["time_per_token"])


def test_a_scheme_costs_what_its_fields_say():
    hardware = cim.Hardware().replace("architecture.attention", {"kind": "window", "width": 4})
    design = {"architecture.attention.kind": "window", "architecture.attention.width": 4.0}
    expected = cost(model_shape("GPT-2"), Work(prefill=64, decode=16), design)
    found = COST(hardware, seed=0, trial=0)
    assert found["valid"]
    assert found["kv_traffic"] == expected["kv_traffic"][0]
    by_layer = hardware.replace("architecture.attention.width", (4,) * 12)
    np.testing.assert_allclose(COST(by_layer, seed=0, trial=0)["kv_traffic"], found["kv_traffic"])
    compared = hardware.replace("architecture.attention", "threshold")
    assert COST(compared, seed=0, trial=0)["kv_traffic"] == COST(cim.Hardware(), seed=0, trial=0)["kv_traffic"]


def test_keys_that_a_run_keeps_are_those_whose_cost_is_counted():
    costing = cim.workloads.Costing(prefill=32, decode=8)
    workload = cim.workloads.LanguageModel(tokens=64, context=32, cost=costing, attention_counts=True)
    hardware = cim.Hardware().replace("architecture.attention", {"kind": "hashed", "distance": 28})
    found, plain = (workload(given, seed=0, trial=0) for given in (hardware, cim.Hardware()))
    assert 0.01 < found["kept_share"] < 0.9
    assert found["kv_traffic"] / plain["kv_traffic"] == pytest.approx(found["kept_share"])
    assert not int(found["invalid_reason"]) & 128
    assert int(costing.of_hardware(shape_of("bundled"), hardware, 0, 0)["invalid_reason"]) & 128


def test_bad_costs_are_refused_in_one_line():
    with pytest.raises(InputError, match=r"no model at 'nothing'; .* networks known by name: BERT-base, GPT-2"):
        cim.workloads.Cost(model="nothing").check(cim.Hardware())
    with pytest.raises(InputError, match="'B200' is unknown; allowed: A100, H100, H200"):
        cim.workloads.Cost(gpus=("B200",))


def test_one_point_has_accuracy_and_cost():
    workload = cim.workloads.LanguageModel(tokens=64, context=32, cost=cim.workloads.Costing(prefill=32, decode=8))
    hardware = cim.Hardware(device="rram-neurram", crossbar="bit-serial-128")
    found = workload(hardware, seed=0, trial=0)
    assert set(found) == set(workload.metrics)
    assert {"perplexity", "energy_per_token", "gpu_time_per_token"} <= set(found)
    counted = cim.workloads.Cost(prefill=32, decode=8)(hardware, seed=0, trial=0)
    assert found["area"] == counted["area"]
    assert found["energy_per_token"] < counted["energy_per_token"]  # fewer ones in inputs than every other bit
    assert set(workload.checksums()) == {"model", "data", "coefficients"}
    plain = cim.workloads.LanguageModel(tokens=64, context=32)
    assert found["perplexity"] == plain(hardware, seed=0, trial=0)["perplexity"]
    assert cim.workloads.LanguageModel(cost=True).cost == cim.workloads.Costing()
    assert cim.workloads.LanguageModel(cost=False).cost is None


REFUSED = [
    ("GPT-2", {"architecture.attention": "cascaded"}, None),
    ("Llama-2-7B", {"architecture.attention": "cascaded"}, "the model has rotary positions"),
    ("bundled", {"architecture.attention": "decomposed"}, "the model has rotary positions"),
]


@pytest.mark.parametrize(("model", "changes", "message"), REFUSED)
def test_schemes_that_the_positions_do_not_allow_are_refused_before_work(model, changes, message):
    hardware = cim.Hardware()
    for path, value in changes.items():
        hardware = hardware.replace(path, {"kind": value})
    if message is None:
        cim.workloads.Cost(model=model).check(hardware)
        return
    with pytest.raises(InputError, match=message):
        cim.workloads.Cost(model=model).check(hardware)


def test_overrides_that_fit_nothing_are_refused_before_work():
    cim.workloads.Cost(model="GPT-2").check(cim.Hardware().override("layers.11.*", crossbar="bit-serial-128"))
    with pytest.raises(InputError, match=r"pattern 'layers\.12\.\*' fits no operator of the model"):
        cim.workloads.Cost(model="GPT-2").check(cim.Hardware().override("layers.12.*", crossbar="bit-serial-128"))


def test_sequences_beyond_the_context_of_a_known_network_are_marked():
    for decode, reason in ((24, 0), (25, 32)):
        found = cim.workloads.Cost(model="GPT-2", prefill=1000, decode=decode)(cim.Hardware(), seed=0, trial=0)
        assert found["invalid_reason"] == reason
