"""Output converters with measured noise and transitions."""

import math

import numpy as np
import pytest

from cimstudy.analog import program_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import Adc, Crossbar, Device, Differential, Hardware, OutputNoise, Transitions

RNG = np.random.default_rng(2)
W, X = RNG.standard_normal((100, 9)), RNG.standard_normal((30, 100))
EVEN = tuple((code - 0.5) / 7 for code in range(-6, 8))  # of a 4-bit converter


def product(adc, x=X, **crossbar):
    hardware = Hardware(device=Device(), crossbar=Crossbar(adc=adc, dac=None, **crossbar))
    return program_matrix(W, hardware, 3, dtype=np.float64).matmul(x)


@pytest.mark.parametrize("weights", [Differential(), Differential(slice_bits=3), Differential(subtraction="digital")])
def test_even_transitions_are_a_perfect_converter(weights):
    adc = Adc(bits=4, range=11.3)
    measured = adc.replace("transitions", Transitions(first_code=-6, levels=EVEN))
    np.testing.assert_allclose(product(measured, weights=weights), product(adc, weights=weights), atol=1e-9)


def test_an_output_is_the_number_of_transitions_below_its_current():
    levels = tuple(np.sort(RNG.uniform(-1, 1, 14)))
    y = product(Adc(bits=4, range=20.0, transitions=Transitions(first_code=-6, levels=levels)), rows=100)
    largest = np.abs(W).max()
    currents = np.abs(X).max(axis=1, keepdims=True) ** -1 * X @ (np.rint(W / largest * 127) / 127)
    codes = (currents[..., None] / 20 >= levels).sum(axis=-1) - 7
    np.testing.assert_allclose(y, codes * 20 / 7 * largest * np.abs(X).max(axis=1, keepdims=True), atol=1e-9)


def test_transitions_of_an_unsigned_converter_count_from_zero():
    signs = {"weights": Differential(subtraction="digital")}
    hardware = {"dac": {"bits": 8, "signed": False}, "rows": 100, **signs}
    adc = Adc(bits=4, range=30.0, signed=False)
    even = Transitions(first_code=1, levels=tuple((code - 0.5) / 15 for code in range(1, 16)))
    found = [
        program_matrix(W, Hardware(crossbar=Crossbar(adc=each, **hardware)), 0, dtype=np.float64).matmul(np.abs(X))
        for each in (adc, adc.replace("transitions", even))
    ]
    np.testing.assert_allclose(*found, atol=1e-9)


def test_the_noise_of_an_output_follows_its_code():
    reads, bits = 4000, 12
    noise = OutputNoise(codes=(-2047.0, 0.0, 2047.0), sigmas=(300.0, 20.0, 300.0))
    adc = Adc(bits=bits, range=40.0, output_noise=noise)
    x = np.broadcast_to(X[0], (reads, 100))
    noisy, quiet = product(adc, x, rows=100), product(adc.replace("output_noise", None), X[:1], rows=100)[0]
    code = 40 / 2047 * np.abs(W).max() * np.abs(X[0]).max()  # in weights times inputs
    sigma = np.interp(quiet / code, noise.codes, noise.sigmas) * code
    assert (np.abs(noisy.mean(axis=0) - quiet) < 5 * sigma / math.sqrt(reads) + code).all()
    assert (np.abs(noisy.std(axis=0) / sigma - 1) < 5 / math.sqrt(2 * reads) + 1e-2).all()


def test_tables_are_named_by_their_path(tmp_path):
    transitions, noise = tmp_path / "transitions.csv", tmp_path / "noise.csv"
    transitions.write_text(
        "code,level\n" + "".join(f"{code},{level}\n" for code, level in zip(range(-6, 8), EVEN, strict=True))
    )
    noise.write_text("sigma,code\n0.5,-7\n0.1,0\n0.6,7\n")
    adc = (
        Hardware()
        .replace("crossbar.adc", Adc(bits=4, transitions=str(transitions), output_noise=str(noise)))
        .crossbar.adc
    )
    assert adc.transitions.levels == EVEN
    assert adc.output_noise == OutputNoise(codes=(-7.0, 0.0, 7.0), sigmas=(0.5, 0.1, 0.6))


REFUSED = [
    (
        {"transitions": Transitions(first_code=-6, levels=EVEN), "bits": 5},
        "codes -6 to 7; allowed for this converter: -14 to 15",
    ),
    ({"transitions": {"first_code": -6, "levels": (*EVEN[1:], 0.0)}}, "levels of transitions must not descend"),
    ({"output_noise": {"codes": (0.0, 0.0), "sigmas": (1.0, 1.0)}}, "codes of output noise must ascend"),
    ({"output_noise": {"codes": (0.0,), "sigmas": (1.0, 1.0)}}, "a sigma for each code, got 1 codes and 2 sigmas"),
    ({"output_noise": {"codes": (0.0,), "sigmas": (1.0,)}, "noise_std_of_range": 0.1}, "one of the two"),
    ({"transitions": Transitions(first_code=-6, levels=EVEN), "inl": {}}, "one of the two"),
    ({"transitions": "nowhere.csv"}, "nowhere.csv: .*No such file"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_impossible_tables_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Adc(**{"bits": 4} | fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,level\n1,0.1\n3,0.2\n", "the codes are not whole numbers in a row: 3 at place 2"),
        ("code,level\n", "no transitions; allowed: one for each code but the lowest"),
        ("code,volts\n1,0.1\n", "columns are code, volts; allowed: code, level"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "adc.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Adc(transitions=str(path))
