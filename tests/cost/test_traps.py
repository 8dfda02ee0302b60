"""Errors of published tables and tools, which a result here must not carry. Number 1 is in test_technology."""

import numpy as np
import pytest

from cimstudy.cost import Work, cost, model_shape
from cimstudy.cost.adc import MODELS, Converter
from cimstudy.cost.coefficients import CONFIDENCES, event, sources, table
from cimstudy.cost.design import completed, groups
from cimstudy.cost.events import PULSES, Scaling, events_of


def test_2_a_bit_between_chips_costs_what_the_link_draws():
    """10.4 W over four links of 6.4 GB/s; a library has 26 pJ for 128 bits."""
    assert event("link", "energy") == pytest.approx(10.4 / (4 * 6.4e9 * 8))
    assert event("link", "energy") / (26e-12 / 128) == pytest.approx(250, rel=0.01)


@pytest.mark.parametrize("model", PULSES)
def test_3_a_further_bit_at_most_doubles_a_pulse(model):
    """One entry in watts among milliwatts makes a thousandfold step."""
    (group,) = groups(completed({}))
    energy = PULSES[model](np.arange(2.0, 17), Scaling.of(group.numbers))
    assert np.all(energy[1:] <= 2 * energy[:-1] * (1 + 1e-12))
    assert np.all(np.diff(energy) > 0)


def test_4_energy_of_a_conversion_is_power_over_rate():
    """16 mW of eight converters at 1.2 GS/s; not the bits times the sampling period."""
    energy, _ = MODELS["table"](Converter(bits=8, rate=1.2e9, node=32e-9))
    assert energy == pytest.approx(16e-3 / 8 / 1.2e9, rel=1e-3)


def test_5_memories_and_hops_take_at_least_a_clock():
    """A library has 1e-9 / 36864 / width seconds."""
    (group,) = groups(completed({}))
    assert events_of(group).hop_time >= 1 / group.numbers["architecture.logic.clock"]
    assert events_of(group).phase >= 1e-9


def test_6_the_models_of_converters_disagree_and_are_chosen_by_name():
    models = np.array(list(MODELS))
    found = cost(
        model_shape("BERT-base"), Work(), {"crossbar.adc.model": models, "crossbar.adc.bits": 10}, breakdown=True
    )
    adc = found["energy"][0, :, 0].sum(0)
    assert adc.max() / adc.min() > 5
    scaled = cost(model_shape("BERT-base"), Work(), {"crossbar.adc.energy_scale": np.array([1.0, 3.0])}, breakdown=True)
    adc = scaled["energy"][0, :, 0].sum(0)
    assert adc[1] / adc[0] == pytest.approx(3, rel=1e-2)  # the sample is no converter's


def test_every_coefficient_names_its_source_and_how_far_to_trust_it():
    found = cost(model_shape("BERT-base"), Work(), {}).attrs["coefficients"]
    assert found == sources()
    assert {name.partition(".")[0] for name in found} == {"technology", "adc", "events", "cells", "nonlinear", "gpus"}
    for name, entry in found.items():
        assert entry["source"], name
        assert entry["confidence"] in CONFIDENCES, name
    assert set(table("events")) == {name.removeprefix("events.") for name in found if name.startswith("events.")}
