"""The models of output converters give the values of their sources."""

import math

import numpy as np
import pytest

from cimstudy.cost.adc import MODELS, Converter, zigzag28_time

SURVEY = {  # node in nm, bits: pJ, um2 at 1 GS/s
    (65, 8): (6.49, 17983),
    (32, 4): (0.924, 4964),
    (32, 6): (1.065, 5180),
    (32, 8): (1.714, 5972),
    (32, 10): (13.9, 11180),
    (28, 8): (1.333, 4852),
    (22, 8): (0.847, 3334),
    (14, 8): (0.362, 1650),
    (7, 4): (0.053, 467),
    (7, 8): (0.098, 561),
}


@pytest.mark.parametrize(("place", "expected"), SURVEY.items())
def test_the_survey_gives_its_own_values(place, expected):
    node, bits = place
    energy, area = MODELS["survey"](Converter(bits=bits, rate=1e9, node=node * 1e-9))
    assert energy * 1e12 == pytest.approx(expected[0], rel=8e-3)  # three digits, some of them 0.053
    assert area * 1e12 == pytest.approx(expected[1], rel=5e-4, abs=0.51)


def test_the_survey_follows_its_published_form():
    """At whole bits: between, its energies fall at each."""
    for bits in range(4, 13, 2):
        for rate in np.geomspace(1e6, 1e10, 5):
            for node in np.linspace(7, 130, 5):
                sndr = 20 * bits * math.log10(2) + 10 * math.log10(1.5)
                fom = min(
                    213.7806687348118 - 2.8719030399529957 * math.log(rate),
                    128.3068287398817 + 3.2205115109775617 * math.ceil(bits),
                )
                exponent = 26.0496215686518 + 1.8800369206815004 * math.log(node)
                exponent += -2.8291256050594527 * math.log(bits) - 1.4702022133784405
                expected = 0.5 * 10 ** ((sndr - fom) / 10) * math.exp(exponent)
                area = math.exp(
                    1.3461916439910742
                    + 0.9932794744745022 * math.log(node)
                    + 0.18071538424508238 * math.log(rate)
                    + 0.29912426192653485 * math.log(expected)
                )
                found = MODELS["survey"](Converter(bits=bits, rate=rate, node=node * 1e-9))
                assert found[0] * 1e12 == pytest.approx(expected, rel=1e-9)
                assert found[1] * 1e12 == pytest.approx(area, rel=1e-9)


# in use: reference in pJ, bits, rate, node in nm, supply in V, reference / survey, reference / zigzag28
IN_USE = {
    "ISAAC": (1.667, 8, 1.2e9, 32, 1.0, 0.90, None),
    "Newton": (2.583, 9, 1.2e9, 32, 1.0, 0.49, None),
    "FORMS": (0.226, 4, 2.1e9, 32, 1.0, 0.24, None),
    "Jia 0.85 V": (1.79, 8, 1 / 1350e-9, 65, 0.85, 0.28, 2.86),
    "Jia 1.2 V": (3.56, 8, 1 / 539.5e-9, 65, 1.2, 0.55, 2.86),
    "Sinangil": (0.186, 4, 1 / 5.5e-9, 7, 0.8, 3.50, 0.72),
}


@pytest.mark.parametrize("name", IN_USE)
def test_distances_from_converters_in_use(name):
    reference, bits, rate, node, voltage, survey, zigzag = IN_USE[name]
    converter = Converter(bits=bits, rate=rate, node=node * 1e-9, voltage=voltage)
    assert reference / (MODELS["survey"](converter)[0] * 1e12) == pytest.approx(survey, rel=0.02)
    if zigzag:
        own = Converter(bits=bits, rate=rate, node=28e-9, voltage=voltage)
        assert reference / (MODELS["zigzag28"](own)[0] * 1e12) == pytest.approx(zigzag, rel=0.02)


@pytest.mark.parametrize(("bits", "pJ"), [(8, 0.866), (9, 1.162), (4, 0.400)])
def test_zigzag_gives_its_own_values(bits, pJ):
    volts = math.sqrt(pJ * 1e-12 / ((100 * bits + 0.001 * 4**bits) * 1e-15))
    energy, area = MODELS["zigzag28"](Converter(bits=bits, rate=1e9, node=28e-9, voltage=volts))
    assert energy == pytest.approx(pJ * 1e-12)
    assert area == pytest.approx(10 ** (-0.0369 * bits + 1.206) * 2**bits * 1e-12)
    assert zigzag28_time(bits, 256) == pytest.approx(bits * (0.00653 * 256 + 0.640) * 1e-9)


def test_a_zigzag_converter_of_one_bit_has_no_area():
    assert MODELS["zigzag28"](Converter(bits=1, rate=1e9, node=28e-9))[1] == 0


def test_the_table_is_that_of_isaac():
    energy, area = MODELS["table"](Converter(bits=np.arange(4, 11), rate=1.2e9, node=32e-9))
    assert energy * 1e12 == pytest.approx([0.79, 0.99, 1.20, 1.42, 1.6667, 1.969, 2.379])
    assert area * 1e12 == pytest.approx([361, 477, 627, 845, 1200, 1828, 3002])


@pytest.mark.parametrize("model", MODELS)
def test_more_bits_and_older_nodes_never_cost_less(model):
    bits, nodes = np.arange(2, 14, 1 / 64), np.linspace(5e-9, 150e-9, 200)
    for values in (
        MODELS[model](Converter(bits=bits, rate=1e9, node=32e-9)),
        MODELS[model](Converter(bits=8, rate=1e9, node=nodes)),
    ):
        for value in values:
            assert np.all(np.diff(value) >= -1e-12 * value[1:])
