"""Redundant arrays: no change without errors, and closed forms of what they mend."""

import math

import numpy as np
import pytest

from cimstudy.analog import Key, Listed, find_ranges, map_columns, map_matrix, program_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Architecture,
    Crossbar,
    Device,
    Differential,
    FaultFree,
    Faults,
    Hardware,
    NormalOfRange,
    NormalOfTarget,
    Offset,
    Voting,
    arrays_of,
)

RNG = np.random.default_rng(0)
W = RNG.standard_normal((300, 200)).astype(np.float32)
X = RNG.standard_normal((32, 300)).astype(np.float32)
LINEAR = Crossbar(weights=Differential(bits=None), dac=None, adc=None)
CONVERTED = Crossbar(weights=Differential(bits=7, slice_bits=2), adc=Adc(bits=8, range="full"))
NOISY = Device(programming=NormalOfRange(std=0.05))


def hardware(redundancy, device=NOISY, crossbar=LINEAR):
    return Hardware(device=device, crossbar=crossbar, architecture=Architecture(redundancy=redundancy))


def product(redundancy, device=NOISY, crossbar=LINEAR, key=0):
    return program_matrix(W, hardware(redundancy, device, crossbar), key).matmul(X)


@pytest.mark.parametrize("crossbar", [LINEAR, CONVERTED])
@pytest.mark.parametrize("redundancy", [Voting(), Voting(copies=4, vote="mean"), Voting(slices=1), FaultFree()])
def test_copies_of_perfect_cells_change_nothing(crossbar, redundancy):
    plain, found = (product(each, Device(), crossbar) for each in (None, redundancy))
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize(
    ("redundancy", "spread"),
    [
        (Voting(copies=5, vote="mean"), 1 / math.sqrt(5)),
        (Voting(copies=2, vote="mean"), 1 / math.sqrt(2)),
        (Voting(copies=3), math.sqrt(1 - math.sqrt(3) / math.pi)),  # the middle of three standard normals
    ],
)
def test_votes_leave_as_much_of_normal_errors_as_is_known(redundancy, spread):
    device, exact = Device(programming=NormalOfTarget(std=0.05)), product(None, Device())
    one, voted = (np.stack([product(each, device, key=key) - exact for key in range(8)]) for each in (None, redundancy))
    assert abs(voted.std() / one.std() / spread - 1) < 5 / math.sqrt(one.size)


def test_the_majority_outvotes_an_array_that_fails():
    mapped = map_matrix(W, hardware(Voting(), Device(), CONVERTED))
    matrix = mapped.program(Key.root(0))
    matrix.copies[0].planes[...] = 0
    np.testing.assert_array_equal(matrix.matmul(X), mapped.program(Key.root(0)).matmul(X))
    matrix.copies[1].planes[...] = 0
    assert not np.array_equal(matrix.matmul(X), mapped.program(Key.root(0)).matmul(X))


def test_copies_of_the_most_significant_slices_mend_most_of_the_error():
    """Three slices: the top one alone carries 16/21 of the steps."""
    exact = product(None, Device(), CONVERTED)
    none, top, every = (
        np.concatenate([product(each, NOISY, CONVERTED, key) - exact for key in range(6)]).std()
        for each in (None, Voting(slices=1), Voting())
    )
    assert every < top < none
    assert (none - top) / (none - every) > 0.7


def test_voting_on_all_slices_is_voting_on_as_many_as_there_are():
    np.testing.assert_array_equal(product(Voting(), NOISY, CONVERTED), product(Voting(slices=3), NOISY, CONVERTED))


@pytest.mark.parametrize(("share", "arrays"), [(0.5, 1), (0.79, 1), (0.81, 2), (0.96, 2), (0.97, 3), (0.99, 3)])
def test_faults_are_left_where_every_array_has_one(share, arrays):
    """A fifth of the cells fails: of so many arrays all do in 0.2 to their number of the places."""
    device = Device(faults=Faults(stuck_on=0.15, stuck_off=0.05))
    redundancy = FaultFree(share=share)
    assert redundancy.arrays(device.faults) == arrays
    coding = Crossbar(weights=Offset(bits=None), dac=None, adc=None)
    found = program_matrix(W, hardware(redundancy, device, coding), 0).weights
    exact = program_matrix(W, hardware(None, Device(), coding), 0).weights
    wrong, expected = (np.abs(found - exact) > 1e-6).mean(), 0.2**arrays
    assert abs(wrong - expected) < 5 * math.sqrt(expected / W.size)


def test_redundancy_does_not_depend_on_how_a_matrix_is_cut():
    wide = np.tile(W, (1, 8))
    device = Device(programming=NormalOfRange(std=0.05), faults=Faults(stuck_off=0.1))
    for redundancy in (Voting(), FaultFree(share=0.95)):
        held = map_matrix(wide, hardware(redundancy, device)).program(Key.root(0))

        ranges = find_ranges(Listed((wide,)), hardware(redundancy, device))
        part = map_columns(wide[:, 768:], hardware(redundancy, device), ranges, first_column=768).program(Key.root(0))
        np.testing.assert_array_equal(part.matmul(X), held.matmul(X)[:, 768:])


def test_arrays_are_counted():
    faults = Faults(stuck_off=0.2)
    assert arrays_of(None, faults, 4) == 4
    assert arrays_of(Voting(), faults, 4) == 12
    assert arrays_of(Voting(copies=5, slices=2), faults, 4) == 12
    assert arrays_of(FaultFree(share=0.99), faults, 4) == 12
    assert arrays_of(FaultFree(share=0.99), None, 4) == 4


REFUSED = [
    ({"copies": 4}, "copies=4 may be split evenly; allowed with vote='median': 3, 5, 7"),
    ({"copies": 1}, "copies: should be greater than or equal to 2"),
    ({"slices": 2}, "redundancy.slices=2; allowed: up to 1, the slices there are"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_impossible_copies_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        hardware({"kind": "voting"} | fields)


def test_votes_have_no_reference_columns_and_broken_cells_no_remedy():
    referenced = Crossbar(weights=Offset(subtraction="reference_column"))
    with pytest.raises(InputError, match=r"'voting' is not for weights\.subtraction='reference_column'"):
        hardware(Voting(), crossbar=referenced)
    with pytest.raises(InputError, match=r"redundancy\.share cannot be reached: all cells are stuck"):
        hardware(FaultFree(), Device(faults=Faults(stuck_on=1.0)))
