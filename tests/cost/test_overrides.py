"""Overrides and redundant arrays: what they leave as it is, what they amount to, and a slow loop over operators."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import layered_cost
from test_scalar import COUNTS, NAMES, REALS

from cimstudy.cost import (
    CHOICES,
    NUMBERS,
    QUANTITIES,
    Attention,
    ModelShape,
    Overrides,
    Own,
    Product,
    Work,
    cost,
    model_shape,
)
from cimstudy.cost.described import design_of
from cimstudy.hardware import Device, FaultFree, Faults, Hardware, Voting, preset

GPT, WORK = model_shape("GPT-2"), Work(prefill=64, decode=16)
ENTRIES = COUNTS | REALS | NAMES


def entries(root, *others):
    """Some entries of a part, but for others."""
    return {path: values for path, values in ENTRIES.items() if path.startswith(root) and path not in others}


def small(*, windows=(None, 7), causal=True):
    """Three layers of four experts, two of which a token meets; matrices by name."""
    layers = [f"layers.{number}" for number in range(3)]
    qkv = tuple(
        ((f"{layer}.attention.q", 32), (f"{layer}.attention.k", 16), (f"{layer}.attention.v", 16)) for layer in layers
    )
    up = tuple(((f"{layer}.ffn.experts.{expert}.up", 50),) for layer in layers for expert in range(4))
    each = {"count": 3, "used": 3, "steps": 3}
    return ModelShape(
        name="small",
        products=(
            Product(operator="qkv", rows=24, columns=64, matrices=qkv, **each),
            Product(operator="ffn_up", rows=24, columns=50, count=12, used=6, steps=3, matrices=up),
            Product(operator="head", rows=24, columns=70, last_only=True, matrices=((("head", 70),),)),
        ),
        attention=(
            Attention(layers=2, window=windows[0], names=("layers.0.attention", "layers.2.attention")),
            Attention(layers=1, window=windows[1], names=("layers.1.attention",)),
        ),
        heads=4,
        kv_heads=2,
        head_width=8,
        width=24,
        causal=causal,
        norms=(*((f"{layer}.attention.norm", 24) for layer in layers), ("norm", 24)),
        activations=tuple((f"{layer}.ffn.activation", 100) for layer in layers),
    )


SHAPES = [small(), small(causal=False), small(windows=(5, 5))]
FITS = {  # patterns, and the same as predicates
    "layers.0-1.*": lambda name: name.startswith(("layers.0.", "layers.1.")),
    "layers.*.attention.*s": lambda name: ".attention." in name and name.endswith("s"),
    "*.k": lambda name: name.endswith(".k"),
    "*.experts.2.*": lambda name: ".experts.2." in name,
    "*": lambda name: True,
    "head": lambda name: name == "head",
    "layers.2.*": lambda name: name.startswith("layers.2."),
    "*norm": lambda name: name.endswith("norm"),
}
BASE = st.fixed_dictionaries(
    {"architecture.attention.kind": st.just("full")},
    optional={
        path: values
        for path, values in ENTRIES.items()
        if not path.startswith(("workload.", "data.", "architecture.attention."))
    }
    | {f"architecture.placement.{name}": st.just("digital") for name in ("softmax", "norm", "activation")},
)
PARTS = {
    "device": st.fixed_dictionaries(
        {"device.g_max": REALS["device.g_max"], "device.g_min": REALS["device.g_min"]}, optional=entries("device.cost.")
    ),
    "crossbar": st.fixed_dictionaries(
        {"crossbar.adc.rate": REALS["crossbar.adc.rate"]},
        optional=entries("crossbar.", "crossbar.adc.rate"),
    ),
}
OVERRIDES = st.lists(
    st.tuples(
        st.sampled_from(list(FITS)),
        st.sampled_from([None, "digital", "sram-cim", "near-memory", "crossbar", "dynamic-crossbar"]),
        st.fixed_dictionaries({}, optional=PARTS),
    ),
    max_size=3,
)


def completed(part, given):
    """All entries of a part, as a described override has them."""
    paths = [path for path in (*NUMBERS, *CHOICES) if path.startswith(f"{part}.")]
    return {path: (NUMBERS | CHOICES)[path].default for path in paths} | given


@settings(max_examples=40)
@given(st.sampled_from(SHAPES), BASE, OVERRIDES)
def test_a_loop_over_tokens_layers_and_operators_costs_the_same(shape, base, overrides):
    whole = [
        (pattern, engine, {part: completed(part, given) for part, given in parts.items()})
        for pattern, engine, parts in overrides
    ]
    own = tuple(Own(pattern=pattern, engine=engine, parts=parts) for pattern, engine, parts in whole)
    found = cost(shape, Work(prefill=9, decode=5), base | {"overrides": own})
    expected = layered_cost(
        shape,
        {"workload.prefill": 9, "workload.decode": 5} | base,
        [(FITS[pattern], engine, parts) for pattern, engine, parts in whole],
    )
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-9, nan_ok=True), name


def hardware(device="rram-neurram", crossbar="sliced-128"):
    return Hardware(device=device, crossbar=crossbar)


@pytest.mark.parametrize("pattern", ["*", "layers.0-3.attention.*", "layers.*.attention.k", "head"])
def test_an_override_like_the_whole_changes_no_bit(pattern):
    whole = hardware()
    same = whole.override(pattern, device=whole.device, crossbar=whole.crossbar)
    plain, found = (cost(GPT, WORK, design_of(each)) for each in (whole, same))
    for name in QUANTITIES:
        np.testing.assert_array_equal(found[name], plain[name])


PLACED = {
    "architecture.placement.scores": "dynamic-crossbar",
    "architecture.placement.values": "dynamic-crossbar",
    "architecture.kv.location": "array",
}


@pytest.mark.parametrize("placed", [{}, PLACED])
@pytest.mark.parametrize(
    "patterns", [["*"], ["layers.0-5.*", "layers.6-11.*", "head"], ["layers.*.attention.*", "*.ffn.*", "head"]]
)
def test_overrides_of_all_operators_are_the_whole(patterns, placed):
    other, found = hardware("sram-6t-neurosim", "bit-serial-128"), hardware()
    for pattern in patterns:
        found = found.override(pattern, device=other.device, crossbar=other.crossbar)
    split, whole = (cost(GPT, WORK, design_of(each) | placed) for each in (found, other))
    assert whole["valid"].all()
    for name in QUANTITIES:
        np.testing.assert_allclose(split[name], whole[name], rtol=1e-9, err_msg=name)


def test_energies_and_areas_of_layers_add_up():
    """A part in some layers, and in the others, changes as much as in all."""
    bits = {"crossbar.adc.bits": 11}
    parts = [("layers.0-4.*",), ("layers.5-11.*",), ("layers.0-4.*", "layers.5-11.*")]
    sums = []
    for patterns in [(), *parts]:
        found = hardware()
        for pattern in patterns:
            found = found.override(pattern, **bits)
        costs = cost(GPT, WORK, design_of(found) | {"architecture.logic.leakage_scale": 0.0}, breakdown=True)
        sums.append([costs[name][0] for name in ("energy_prefill", "energy_per_token", "area")])
    plain, first, second, both = np.array(sums)
    np.testing.assert_allclose(both - plain, (first - plain) + (second - plain), rtol=1e-9)
    assert np.all(both > plain)


def test_overrides_do_not_depend_on_their_company():
    numbers = np.array([4.0, 6, 8, 10])
    own = [(Own(pattern="layers.0-3.*", parts={"crossbar": {"crossbar.adc.bits": bits}}),) for bits in numbers]
    own.append((Own(pattern="head", engine="digital"),))
    which = np.array([0, 4, 1, 2, 3, 2])
    design = {"crossbar.adc.bits": np.array([8.0, 8, 8, 8, 8, 9]), "overrides": Overrides(distinct=own, which=which)}
    together = cost(GPT, WORK, design)
    for place, each in enumerate(which):
        alone = cost(GPT, WORK, {"crossbar.adc.bits": design["crossbar.adc.bits"][place], "overrides": own[each]})
        for name in QUANTITIES:
            np.testing.assert_array_equal(together[name][place], alone[name][0])
    plain = cost(GPT, WORK, {"crossbar.adc.bits": 8})
    np.testing.assert_array_equal(together["energy_prefill"][3], plain["energy_prefill"][0])


def test_factors_of_chips_reach_overrides():
    design = {"crossbar.adc.energy_scale": 0.5}
    own = (Own(pattern="*", parts={"crossbar": {"crossbar.adc.energy_scale": 3.0}}),)
    found = cost(GPT, WORK, design | {"overrides": own}, factors={"crossbar.adc.energy_scale": np.array([1.0, 2.0])})
    for place, scale in enumerate((3.0, 6.0)):
        plain = cost(GPT, WORK, {"crossbar.adc.energy_scale": scale})
        np.testing.assert_allclose(found["energy_prefill"][place], plain["energy_prefill"], rtol=1e-9)


def test_the_first_cells_to_wear_out_end_the_life_of_the_chip():
    placed = PLACED | {"device.cost.endurance": 1e9}
    own = (Own(pattern="layers.7.attention.values", parts={"device": {"device.cost.endurance": 1e6}}),)
    plain, weak = (cost(GPT, WORK, placed | each) for each in ({}, {"overrides": own}))
    np.testing.assert_allclose(plain["lifetime"] / weak["lifetime"], 1e3, rtol=1e-9)


@pytest.mark.parametrize("name", ["x-former", "trancim", "attentionlego", "att"])
def test_accelerators_with_overrides_or_redundancy_are_counted(name):
    assert cost(model_shape("BERT-base"), Work(prefill=128), design_of(preset(name)))["valid"].all()


def test_unknown_entries_of_overrides_are_refused():
    own = (Own(pattern="*", parts={"crossbar": {"crossbar.row": 3}}),)
    with pytest.raises(Exception, match=r"crossbar\.row: unknown to an override of a design; known: .*crossbar\.rows"):
        cost(GPT, WORK, {"overrides": own})


VOTES = {"median": (3, 3 * 0.0295e-12), "mean": (3, 2 * 0.21e-12)}  # comparisons and sums of 32 bits


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("placed", [{}, PLACED])
def test_copies_take_what_they_do_and_a_vote(placed, vote):
    """Of three copies of all slices: three times the arrays, drives, reads, conversions and writes, and a vote each."""
    copies, energy = VOTES[vote]
    whole = design_of(hardware(Device(name="rewritten", rewritable=True))) | placed | {"architecture.chips.node": 40e-9}
    redundant = {"architecture.redundancy.copies": copies, "architecture.redundancy.vote": vote}
    plain, found = (cost(GPT, WORK, whole | each, breakdown=True) for each in ({}, redundant))
    assert found["arrays"] == copies * plain["arrays"]
    np.testing.assert_allclose(found["programming_energy"], copies * plain["programming_energy"])
    np.testing.assert_allclose(found["conversions"], copies * plain["conversions"], rtol=1e-6)
    np.testing.assert_allclose(found["utilisation"], plain["utilisation"])
    parts = found.coordinates["component"]
    for name in ("adc", "dac", "cell", "shift_add", "write", "buffer", "noc"):
        times = 1 if name in {"buffer", "noc"} else copies
        before, after = (each["energy"][:, :, parts.index(name)] for each in (plain, found))
        np.testing.assert_allclose(after, times * before, rtol=1e-5, err_msg=name)
    sums = [each["energy"][:, :, parts.index("partial_sum")].astype(float) for each in (plain, found)]
    pulses = whole["crossbar.converted_pulses"]
    np.testing.assert_allclose(sums[1] - sums[0], plain["conversions"] / pulses * energy / 2, rtol=1e-3)


def test_copies_of_some_slices_take_their_share():
    whole = design_of(hardware())
    slices = int(whole["crossbar.weights.slices"])
    redundant = {"architecture.redundancy.copies": 5, "architecture.redundancy.slices": 1}
    plain, found = (cost(GPT, WORK, whole | each, breakdown=True) for each in ({}, redundant))
    np.testing.assert_allclose(found["conversions"], (1 + 4 / slices) * plain["conversions"], rtol=1e-6)
    np.testing.assert_allclose(found["programming_energy"], (1 + 4 / slices) * plain["programming_energy"])
    assert 1 + 4 / slices <= found["arrays"] / plain["arrays"] < 1.01 * (1 + 4 / slices)


@given(st.floats(0.01, 0.99), st.floats(0, 0.45), st.floats(0, 0.45))
def test_arrays_with_sound_cells_are_as_many_as_are_programmed(share, on, off):
    redundancy, faults = FaultFree(share=share), Faults(stuck_on=on, stuck_off=off)
    whole = hardware().replace("device.faults", faults)
    plain, found = (
        cost(GPT, WORK, design_of(each)) for each in (whole, whole.replace("architecture.redundancy", redundancy))
    )
    assert found["arrays"] == redundancy.arrays(faults) * plain["arrays"]


def test_redundancy_of_an_override_is_that_of_the_whole():
    whole = hardware().replace("device.faults", {"stuck_off": 0.1})
    for redundancy in (Voting(), Voting(slices=1), FaultFree(share=0.99)):
        split, all_of_it = (
            cost(GPT, WORK, design_of(each))
            for each in (
                whole.override("*", redundancy=redundancy),
                whole.replace("architecture.redundancy", redundancy),
            )
        )
        for name in QUANTITIES:
            np.testing.assert_allclose(split[name], all_of_it[name], rtol=1e-9)
