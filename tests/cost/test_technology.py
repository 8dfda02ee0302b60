"""Energies and areas scale with the node as the published table says, and never jump the wrong way in between."""

import numpy as np
import pytest

from cimstudy.cost.coefficients import table
from cimstudy.cost.technology import area_ratio, energy_ratio

NODES = table("technology")["node_nm"]


def test_the_table_is_met_at_its_nodes():
    data = table("technology")
    for node, a, b, c, area in zip(*(data[name] for name in ("node_nm", "a", "b", "c", "area")), strict=True):
        expected = (a * 0.64 + b * 0.8 + c) / (0.9559 * 0.64 - 0.7823 * 0.8 + 0.471)
        assert energy_ratio(node * 1e-9, 32e-9) == pytest.approx(expected)
        assert area_ratio(node * 1e-9, 32e-9) == pytest.approx(area)


@pytest.mark.parametrize(("node", "energy", "area"), [(40, 1.318, 1.74), (28, 0.778, 0.82), (22, 0.446, 0.55)])
def test_between_nodes_the_nearer_one_weighs_more(node, energy, area):
    """Libraries with the two weights swapped have 1.199, 0.557 and 0.889 here: 22 nm dearer than 28 nm."""
    assert energy_ratio(node * 1e-9, 32e-9) == pytest.approx(energy, abs=6e-4)
    assert area_ratio(node * 1e-9, 32e-9) == pytest.approx(area, abs=6e-3)


def test_newer_nodes_never_cost_more():
    nodes = np.linspace(2e-9, 200e-9, 2000)
    for ratio in (energy_ratio, area_ratio):
        assert np.all(np.diff(ratio(nodes, 32e-9)) > 0)


def test_beyond_the_table_energies_follow_a_root_and_areas_the_ratio():
    assert energy_ratio(260e-9, 130e-9) == pytest.approx(np.sqrt(2))
    assert area_ratio(260e-9, 130e-9) == pytest.approx(2)
    assert energy_ratio(0.5e-9, 7e-9) == energy_ratio(1e-9, 7e-9) == pytest.approx(np.sqrt(1 / 7))
