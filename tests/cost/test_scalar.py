"""The vectorised cost is that of a slow loop over tokens and layers, on random designs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalar import scalar_cost

from cimstudy.cost import CHOICES, NUMBERS, QUANTITIES, Attention, ModelShape, Product, Work, cost

LAYER = {"count": 3, "used": 3, "steps": 3}


def small(*, causal=True, windows=(None,), head=True, kv_heads=2):
    products = [
        Product(operator="qkv", rows=24, columns=8 * (4 + 2 * kv_heads), **LAYER),
        Product(operator="output", rows=32, columns=24, **LAYER),
        Product(operator="ffn_up", rows=24, columns=50, count=12, used=6, steps=3),  # two of four experts
        Product(operator="ffn_down", rows=50, columns=24, count=12, used=6, steps=3),
    ]
    products += [Product(operator="head", rows=24, columns=70, last_only=True)] if head else []
    groups = tuple(Attention(layers=layers, window=window) for layers, window in zip((2, 1), windows, strict=False))
    groups = groups if len(groups) == 2 else (Attention(layers=3, window=windows[0]),)
    return ModelShape(
        name="small",
        products=tuple(products),
        attention=groups,
        heads=4,
        kv_heads=kv_heads,
        head_width=8,
        width=24,
        causal=causal,
        norms=(("norm", 150),),
        activations=(("activation", 300),),
    )


SHAPES = [
    small(),
    small(causal=False, head=False),
    small(windows=(5, None), kv_heads=4),
    small(windows=(9,), kv_heads=1),
    small(windows=(11, 3)),
]

COUNTS = {
    "workload.prefill": st.integers(1, 30),
    "workload.decode": st.integers(0, 20),
    "workload.batch": st.integers(1, 9),
    "crossbar.rows": st.integers(4, 64),
    "crossbar.columns": st.integers(8, 64),
    "crossbar.active_rows": st.integers(1, 64),
    "crossbar.cells_per_weight": st.integers(1, 8),
    "crossbar.conversions_per_weight": st.integers(1, 8),
    "crossbar.weight_bits": st.integers(2, 16),
    "crossbar.input_bits": st.integers(1, 16),
    "crossbar.pulse_bits": st.integers(1, 8),
    "crossbar.pulses": st.integers(1, 8),
    "crossbar.converted_pulses": st.integers(1, 8),
    "crossbar.adc.per_array": st.integers(1, 16),
    "architecture.kv.bits": st.integers(1, 16),
    "architecture.chips.arrays": st.integers(1, 300),
    "architecture.chips.tiers": st.integers(1, 8),
    "architecture.chips.tile_arrays": st.integers(1, 96),
    "architecture.logic.partial_sum_bits": st.integers(8, 32),
    "device.cost.write_pulses": st.integers(1, 10),
    **{
        f"architecture.{unit}.{name}": numbers
        for unit in ("softmax", "norm", "activation")
        for name, numbers in {
            "input_bits": st.integers(1, 32),
            "output_bits": st.integers(1, 32),
            "entries": st.integers(2, 5000),
            "entry_bits": st.integers(1, 32),
            "interpolation": st.integers(0, 1),
            "bits": st.integers(1, 10),
        }.items()
    },
    "architecture.softmax.log_entries": st.integers(2, 5000),
    "architecture.attention.width": st.integers(0, 30),
    "architecture.attention.k": st.integers(1, 30),
    "architecture.attention.width.1": st.integers(0, 30),
    "architecture.attention.window": st.integers(1, 30),
    "architecture.attention.size": st.integers(1, 40),
    "architecture.attention.bits": st.integers(1, 16),
    "architecture.attention.subspaces": st.sampled_from([1, 2, 4, 8]),
    "architecture.attention.centroids": st.integers(1, 20),
    "architecture.attention.rows": st.integers(1, 40),
    "architecture.attention.query_bits": st.integers(1, 8),
    "architecture.attention.output_bits": st.integers(0, 8),
    "architecture.attention.least": st.integers(1, 4),
    "crossbar.cells_of_current": st.integers(1, 4),
    "crossbar.conversions_of_current": st.integers(0, 2),
}


def about(low, high):
    """Numbers between, evenly in their logarithm."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


REALS = {
    "crossbar.adc.bits": st.floats(2, 14),
    "crossbar.adc.rate": about(1e6, 2e10),
    "crossbar.adc.energy_scale": about(0.1, 10),
    "crossbar.adc.area_scale": about(0.1, 10),
    "crossbar.periphery_scale": about(0.1, 10),
    "device.g_min": about(1e-9, 1e-7),
    "device.g_max": about(1e-6, 1e-3),
    "device.cost.read_voltage": about(0.1, 1),
    "device.cost.read_time": about(1e-9, 1e-6),
    "device.cost.write_energy": about(1e-15, 1e-9),
    "device.cost.write_time": about(1e-9, 1e-4),
    "device.cost.endurance": about(1e3, 1e15),
    "device.cost.area": about(4, 500),
    "data.drive": st.floats(0, 1),
    "data.drive.qkv": st.floats(0, 1),
    "data.level": st.floats(0, 1),
    "data.level.scores": st.floats(0, 1),
    "architecture.attention.keep": st.floats(0.05, 1),
    "architecture.attention.keep.1": st.floats(0.05, 1),
    "data.computed": st.floats(0, 1),
    "data.scored": st.floats(0, 1),
    "data.kept": st.floats(0, 1),
    "architecture.logic.voltage": about(0.6, 1.2),
    "architecture.links.hops": st.floats(0, 9),
    "architecture.logic.leakage_scale": st.floats(0, 3),
    "architecture.buffers.bank": about(1e3, 1e7),
    "architecture.chips.area": about(1e-7, 1e-3),
    "architecture.buffers.energy": about(1e-15, 1e-11),
    "architecture.links.energy": about(1e-13, 1e-10),
    "architecture.links.bandwidth": about(1e6, 1e12),
    "architecture.chips.node": about(0.5e-9, 200e-9),
    "architecture.kv.capacity": about(1e2, 1e9),
    "architecture.kv.energy": about(1e-14, 1e-11),
    "architecture.kv.bandwidth": about(1e3, 1e13),
    "architecture.logic.macs": about(1, 1e5),
    "architecture.logic.lanes": about(1, 1e4),
    "architecture.logic.clock": about(1e8, 3e9),
}
NAMES = {path: st.sampled_from(choice.allowed) for path, choice in CHOICES.items()}
NAMES |= {
    "device.technology": st.sampled_from(["ReRAM", "PCM", "SRAM"]),
}
designs = st.fixed_dictionaries({}, optional=COUNTS | REALS | NAMES)


@settings(max_examples=60)
@given(st.sampled_from(SHAPES), st.lists(designs, min_size=1, max_size=2))
def test_a_loop_over_tokens_costs_the_same(shape, points):
    together = {path: [point.get(path, default(path, point)) for point in points] for path in set().union(*points)}
    found = cost(shape, Work(prefill=20, decode=6), together)
    for place, point in enumerate(points):
        expected = scalar_cost(shape, {"workload.prefill": 20, "workload.decode": 6} | point)
        for name, value in expected.items():
            assert found[name][place % len(found[name])] == pytest.approx(value, rel=1e-9, nan_ok=True), name
        assert set(expected) | {"valid", "invalid_reason"} == set(QUANTITIES)


def default(path, point):
    known = {"workload.prefill": 20, "workload.decode": 6}
    if path.endswith(".1"):  # of one layer
        return point.get(path, math.nan)
    whole = path.rpartition(".")[0]  # of data.drive.qkv
    return point.get(whole, known.get(path, (NUMBERS | CHOICES)[path if path in NUMBERS | CHOICES else whole].default))


@settings(max_examples=20)
@given(st.sampled_from(SHAPES), designs)
def test_the_breakdown_adds_up(shape, point):
    found = cost(shape, Work(prefill=20, decode=6), point, breakdown=True)
    decode = point.get("workload.decode", 6)
    energy = found["energy"].astype(float).sum((1, 2))
    assert energy[0] == pytest.approx(found["energy_prefill"], rel=1e-5)
    if decode:
        assert energy[1] / decode == pytest.approx(found["energy_per_token"], rel=1e-5)
        assert found["latency"][1].sum(0) / decode == pytest.approx(found["time_per_token"], rel=1e-5)
    assert found["latency"][0].sum(0) == pytest.approx(found["first_token_stream"], rel=1e-5)
    assert found["area_of"].sum(0) == pytest.approx(found["area"], rel=1e-5)
    assert np.all(found["energy"] >= 0)
