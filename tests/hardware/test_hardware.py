import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Architecture,
    Crossbar,
    Device,
    Differential,
    Hardware,
    NormalOfRange,
    Offset,
    PolynomialOfTarget,
    load_preset,
    preset,
    presets,
)
from cimstudy.hardware.placement import matches, operator_kind
from cimstudy.hardware.sources import leaves, source_of

NOISY = (
    Hardware(device=Device(programming=NormalOfRange(std=0.05)))
    .override("*.attention.k", name="k", device="rram-neurram")
    .override("layers.0.*", engine="digital")
)


def test_replace_changes_one_value_and_leaves_the_original():
    changed = NOISY.replace("crossbar.adc.bits", 6)
    assert changed.crossbar.adc == Adc(bits=6)
    assert NOISY.crossbar.adc == Adc(bits=8)
    assert changed.device == NOISY.device


@pytest.mark.parametrize("path", NOISY.paths())
def test_every_listed_path_can_be_read_and_set(path):
    assert NOISY.replace(path, NOISY.at(path)) == NOISY


def test_a_part_may_be_a_presets_name():
    assert Hardware(device="pcm-nandakumar").device == preset("pcm-nandakumar")
    assert NOISY.replace("crossbar", "sliced-128").crossbar == preset("sliced-128")


REFUSED = [
    ("crossbar.adc.bit", 3, "crossbar.adc.bit: 'bit' is unknown; Adc has: bits, range, percentile"),
    ("devise.g_max", 1, "devise.g_max: 'devise' is unknown; Hardware has: device, crossbar, architecture, overrides"),
    ("crossbar.adc.bits", 0, "crossbar.adc.bits = 0: should be greater than or equal to 2"),
    ("crossbar.adc.bits", 40, "crossbar.adc.bits = 40: should be less than or equal to 16"),
    (
        "crossbar.adc.range",
        -1.0,
        "should be 'full', 'calibrated' or 'granular'; should be greater than or equal to 0.000000001",
    ),
    ("device.programming.std", -0.1, "device.programming.std = -0.1: should be greater than or equal to 0"),
    ("device.read_noise.std", 0.1, "read_noise is None here and has no fields; first give it a NormalOfRange or"),
    ("device.name.x", 1, "device.name.x: name is 'ideal', which has no fields"),
    ("device.g_min", 1.0, "device.g_min = 1.0: need g_min < g_max, got g_min=1 S, g_max=2.5e-05 S"),
    ("device", "nothing", "device = 'nothing': unknown preset 'nothing'; known: digital, static-weights"),
    ("device", "sliced-128", "device = 'sliced-128': preset 'sliced-128' is a Crossbar, here a Device is needed"),
    ("crossbar.weights.slice_bits", 8, "slice_bits=8 is more than the 7 magnitude bits of a 8-bit weight"),
    ("crossbar.weights", {"bits": None, "slice_bits": 2}, "slice_bits=2 needs bits, but bits is None"),
    (
        "crossbar.weights",
        {"slice_bits": (1,) * 9},
        "9 slices of 9 bits; allowed: slices that hold the 7 magnitude bits of a 8-bit weight, none of them empty",
    ),
    ("crossbar.weights", {"slice_bits": (3, 3)}, "2 slices of 6 bits; allowed: slices that hold the 7 magnitude bits"),
    ("crossbar.weights", {"kind": "offset", "slice_bits": 9}, "slice_bits=9 is more than the 8 level bits of a 8-bit"),
    ("crossbar.weights", {"kind": "ofset"}, "expected tags: 'differential', 'offset'"),
    ("crossbar.weights", {"cells": (1.0, -1.0)}, "cells.1: should be greater than 0"),
    ("crossbar.weights.percentile", 50, "crossbar.weights.percentile = 50: should be greater than 50"),
    ("crossbar.dac.bits", 1, "crossbar.dac.bits = 1: bits=1; allowed: 2 to 16 if signed, 1 to 16 if not"),
    (
        "crossbar.adc.signed",
        False,
        "adc.signed=False needs currents that are never negative; allowed: dac.signed=False",
    ),
    ("crossbar.current_limit", 0, "crossbar.current_limit = 0: should be greater than or equal to 0.000000001"),
    ("crossbar.adc.range", (1.0, 2.0), "adc.range has 2 values, allowed: one number or 1, a slice each"),
    ("overrides.k.pattern", "a b", "pattern 'a b': allowed are names, dots, '*' and ranges such as 0-3"),
    ("overrides.k.engine", "gpu", "should be 'crossbar', 'dynamic-crossbar', 'sram-cim', 'digital', 'cam' or"),
    ("overrides.k.name", "a b", "overrides.k.name = 'a b': String should match pattern"),
    ("overrides.q.engine", "digital", "overrides.q.engine: 'q' is unknown; there are: k, layers_0"),
    ("overrides.k.crossbar.rows", 64, "crossbar is None here and has no fields; first give it a Crossbar"),
    ("overrides.k.name", "layers_0", "2 overrides are named 'layers_0'; allowed: a name each"),
    ("architecture.placement", "crossbar", "architecture.placement = 'crossbar': "),
    ("architecture.placement.scores", "crossbar", "should be 'dynamic-crossbar', 'sram-cim', 'cam', 'near-memory' or"),
    ("architecture.placement.ffn", "cam", "should be 'crossbar', 'sram-cim', 'near-memory' or 'digital'"),
    (
        "device.programming",
        {"kind": "magic"},
        "expected tags: 'normal_of_range', 'normal_of_target', 'normal_absolute'",
    ),
    (
        "crossbar",
        {"wires": {}, "weights": {"kind": "offset", "subtraction": "reference_column"}},
        "weights.subtraction='reference_column' has no wires; allowed with wires: 'digital'",
    ),
    (
        "crossbar",
        {"wires": {"interleaved": True}, "weights": {"subtraction": "digital"}},
        "wires.interleaved=True needs weights.subtraction='current' and wires.feed='rows'",
    ),
    (
        "crossbar.wires",
        {"feed": "source_lines"},
        "wires.feed='source_lines' needs inputs of 1 bit (dac.serial_bits=1) and one of weights.cells",
    ),
    ("crossbar.wires", {"row_resistance": -1.0}, "row_resistance: should be greater than or equal to 0"),
    ("crossbar.wires.row_resistance", 1.0, "wires is None here and has no fields; first give it a Wires"),
    ("device.g_max", float("nan"), "device.g_max = nan: should be"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_bad_values_are_refused_in_one_line(path, value, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        NOISY.replace(path, value)
    assert "\n" not in str(error.value)


def test_a_granular_range_needs_levels():
    crossbar = NOISY.crossbar.replace("adc.range", "granular")
    for path, value in (("weights.bits", None), ("dac", None)):
        with pytest.raises(InputError, match=r"adc\.range='granular' needs levels of weights and of inputs"):
            crossbar.replace(path, value)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(2, 16))
def test_slices_of_any_width_hold_a_level_and_no_more(widths, bits):
    fits = sum(widths[:-1]) < bits <= sum(widths)
    try:
        assert Offset(bits=bits, slice_bits=tuple(widths)).widths == tuple(widths)
    except InputError:
        assert not fits
    else:
        assert fits


def test_construction_explains_like_replace():
    with pytest.raises(InputError, match=r"bits: should be less than or equal to 16 \(given 99\)"):
        Adc(bits=99)
    with pytest.raises(InputError, match="devic: unknown; Hardware has: device, crossbar, architecture, overrides"):
        Hardware(devic="ideal")


def test_descriptions_survive_json():
    for description in [NOISY, Hardware(device="rram-neurram", crossbar="bit-serial-128"), preset("neurram")]:
        assert type(description).model_validate_json(description.model_dump_json()) == description


@given(st.integers(2, 16), st.integers(1, 15))
def test_slices_hold_the_magnitude_and_no_more(bits, slice_bits):
    if slice_bits > bits - 1:
        return
    coding = Differential(bits=bits, slice_bits=slice_bits)
    assert (coding.slices - 1) * slice_bits < bits - 1 <= coding.slices * slice_bits


PATTERNS = [
    ("*", "layers.0.attention.q", True),
    ("layers.0-3.attention.*", "layers.3.attention.q", True),
    ("layers.0-3.attention.*", "layers.4.attention.q", False),
    ("layers.0-3.attention.*", "layers.0.ffn.up", False),
    ("layers.10", "layers.1", False),
    ("head", "head", True),
    ("layers.*.ffn.*", "layers.12.ffn.down", True),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), PATTERNS)
def test_patterns_choose_matrices(pattern, name, fits):
    assert matches(pattern, name) is fits


KINDS = {
    "embedding.patch": "embedding",
    "embedding.norm": "norm",
    "layers.0.attention.q": "projections",
    "layers.0.attention.q_norm": "norm",
    "layers.0.attention.scores": "scores",
    "layers.0.attention.values": "values",
    "layers.0.attention.softmax": "softmax",
    "layers.0.ffn.norm_after": "norm",
    "layers.0.ffn.router": "ffn",
    "layers.0.ffn.softmax": "softmax",
    "layers.3.ffn.experts.2.up": "ffn",
    "layers.3.ffn.activation": "activation",
    "norm": "norm",
    "head": "head",
    "head.transform": "head",
    "head.norm": "norm",
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_every_operator_has_a_place(name, kind):
    hardware = Hardware(architecture="digital")
    assert operator_kind(name) == kind
    assert hardware.engine(name) == "digital"
    assert hardware.replace(f"architecture.placement.{kind}", "sram-cim").engine(name) == "sram-cim"


def test_the_last_override_that_fits_wins():
    hardware = Hardware().override("*", engine="digital").override("layers.1.*", name="one", engine="sram-cim")
    assert hardware.engine("layers.0.ffn.up") == "digital"
    assert hardware.engine("layers.1.ffn.up") == "sram-cim"
    assert hardware.override("*.up", engine="crossbar").engine("layers.1.ffn.up") == "crossbar"


def test_an_engine_is_for_the_operators_that_it_can_run():
    hardware = Hardware(architecture="digital").override("layers.0.*", engine="crossbar")
    assert hardware.engine("layers.0.attention.q") == "crossbar"
    assert hardware.engine("layers.0.attention.scores") == "digital"


def test_an_override_changes_parts_for_its_operators_alone():
    hardware = Hardware().override("*.k", **{"device": "rram-neurram", "device.levels": 4, "crossbar.adc.bits": 6})
    assert hardware.of("layers.0.attention.k").device == preset("rram-neurram").replace("levels", 4)
    assert hardware.of("layers.0.attention.k").crossbar == Crossbar(adc=Adc(bits=6))
    assert hardware.of("layers.0.attention.q") == Hardware()


def test_arrays_of_cells_that_cannot_be_rewritten_hold_no_keys():
    dynamic = Architecture(placement={"scores": "dynamic-crossbar"})
    message = (
        r"placement.scores='dynamic-crossbar' needs cells that are written at inference; sonos-40nm has device.rew"
    )
    with pytest.raises(InputError, match=message):
        Hardware(device="sonos-40nm", architecture=dynamic)
    with pytest.raises(InputError, match=message):
        Hardware(device="sonos-40nm").override("*.scores", engine="dynamic-crossbar")
    assert Hardware(device="sonos-40nm").override("*.scores", engine="dynamic-crossbar", device="rram-neurram")


@pytest.mark.parametrize("name", [entry.name for entry in presets()])
def test_every_preset_builds_and_names_its_sources(name):
    entry = load_preset(name)
    assert entry.summary
    assert entry.sources
    trust = {"code", "abstract", "secondary", "assumed", "unknown"}
    assert {source.confidence for source in entry.sources.values()} <= trust
    assert isinstance(entry.build(), Device | Crossbar | Architecture | Hardware)


@pytest.mark.parametrize("entry", [entry for entry in presets() if entry.kind == "device"], ids=lambda e: e.name)
def test_every_number_of_a_device_has_a_source(entry):
    """Of the field itself or of one around it."""

    def numbers(path, value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from numbers(f"{path}.{name}" if path else name, inner)
        elif isinstance(value, int | float | list):
            yield path

    for path in numbers("", entry.values):
        assert any(f"{path}.".startswith(f"{name}.") for name in entry.sources), path


ACCELERATORS = [entry for entry in presets() if entry.technology is not None]


def test_the_accelerators_of_the_survey_are_there():
    assert len(ACCELERATORS) == 35
    assert {"att", "retransformer", "x-former", "transpim", "hardsea", "race-it"} <= {
        entry.name for entry in ACCELERATORS
    }


@pytest.mark.parametrize("entry", ACCELERATORS, ids=lambda entry: entry.name)
def test_every_value_of_an_accelerator_has_a_source_or_is_unknown(entry):
    built = entry.build()
    assert entry.year
    for path, _ in leaves(entry.values):
        assert source_of(entry, path) is not None, path
    for path in entry.unknown:
        built.at(path)
        assert source_of(entry, path).confidence == "unknown"
    for number in entry.published:
        assert number.confidence in {"abstract", "secondary"}
        low, high = number.value if isinstance(number.value, tuple) else (number.value, number.value)
        assert low <= high


@pytest.mark.parametrize("entry", ACCELERATORS, ids=lambda entry: entry.name)
def test_cells_of_an_accelerator_have_a_level_for_each_digit(entry):
    hardware = entry.build()
    for operator in (
        "layers.0.attention.q",
        "layers.0.ffn.up",
        "layers.0.attention.scores",
        "layers.0.attention.values",
    ):
        own = hardware.of(operator)
        if "crossbar" in hardware.engine(operator) and own.device.levels is not None:
            assert own.device.levels >= 2 ** max(own.crossbar.weights.widths), operator


def test_digital_memories_compute_exactly():
    """Their products are integers', whatever the device."""
    for name in ("transpim", "trancim", "pim-gpt", "sal-pim"):
        own = preset(name).of("layers.0.ffn.up")
        assert (own.device, own.crossbar.adc) == (Device(), None)


# sigma in S at g / g_max = 0, 0.25, 0.5, 0.75, 1, as the sources' own code gives them
PUBLISHED_SIGMA = {
    "pcm-nandakumar": [0.2635e-6, 0.6814e-6, 0.9527e-6, 1.0774e-6, 1.0554e-6],
    "pcm-joshi": [0.2864e-6, 0.6907e-6, 0.9553e-6, 1.0802e-6, 1.0655e-6],
    "pcm-hermes-1dev": [0.1578e-6, 0.6145e-6, 0.8653e-6, 0.9748e-6, 1.0076e-6],
    "pcm-hermes-2dev": [0.1660e-6, 0.8888e-6, 0.9910e-6, 0.9124e-6, 1.0927e-6],
    "rram-neurram": [0.3480e-6, 2.2583e-6, 2.0229e-6, 1.5330e-6, 1.1030e-6],
    "rram-neurram-alt": [1.0530e-6, 2.4041e-6, 2.3781e-6, 1.8465e-6, 1.6806e-6],
}


@pytest.mark.parametrize("name", PUBLISHED_SIGMA)
def test_device_presets_have_the_published_spread(name):
    device = preset(name)
    assert isinstance(device.programming, PolynomialOfTarget)
    for r, sigma in zip([0, 0.25, 0.5, 0.75, 1], PUBLISHED_SIGMA[name], strict=True):
        law = sum(c * r**power for power, c in enumerate(device.programming.coefficients))
        assert law * device.g_max == pytest.approx(sigma, rel=5e-4)


def test_an_unknown_preset_names_the_known():
    with pytest.raises(InputError, match=r"unknown preset 'pcm'; known: .*pcm-nandakumar"):
        preset("pcm")
