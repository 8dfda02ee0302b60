"""A chip computes what its matrices hold; what is perfect meets the digital run."""

import numpy as np
import pytest

from cimstudy.analog import Key, map_matrix
from cimstudy.errors import InputError
from cimstudy.hardware import (
    Adc,
    Architecture,
    Crossbar,
    Dac,
    Device,
    Differential,
    Hardware,
    NormalOfRange,
    PowerLaw,
    Transitions,
)
from cimstudy.transformer import Cache, Model, TransformerConfig
from cimstudy.transformer.calibration import ideal, map_model
from cimstudy.transformer.chip import program
from cimstudy.transformer.config import digital_shapes, matrix_shapes
from cimstudy.transformer.rotary import Rotary

CONFIG = TransformerConfig(
    vocab_size=256,
    width=24,
    layers=2,
    heads=3,
    kv_heads=1,
    head_width=8,
    ffn_width=40,
    context=16,
    rotary=Rotary.plain(8),
)
ERRONEOUS = Device(programming=NormalOfRange(std=0.05))


def random_model(seed=0):
    rng = np.random.default_rng(seed)
    matrices = {
        name: (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in matrix_shapes(CONFIG).items()
    }
    rest = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else rng.standard_normal(shape).astype(np.float32)
        for name, shape in digital_shapes(CONFIG).items()
    }
    return Model(name="random", config=CONFIG, weights=matrices | rest, checksum=f"{seed}")


MODEL = random_model()
TOKENS = np.random.default_rng(1).integers(0, 256, (3, 16))
CALIBRATION = np.random.default_rng(2).integers(0, 256, (2, 16))


def test_a_perfect_chip_meets_the_digital_run():
    hardware = Hardware(crossbar=Crossbar(weights=Differential(bits=None), dac=None, adc=None))
    np.testing.assert_allclose(program(MODEL, hardware).logits(TOKENS), MODEL.logits(TOKENS), atol=1e-4)


def test_every_matrix_is_programmed_under_its_own_name():
    hardware = Hardware(device=ERRONEOUS, crossbar=Crossbar(adc=None))
    chip = program(MODEL, hardware, seed=3, trial=4)
    assert list(chip.matrices) == list(MODEL.matrices)
    for name, matrix in chip.matrices.items():
        alone = map_matrix(MODEL.weights[name], hardware).program(Key.root(3, 4).of(name))
        np.testing.assert_array_equal(matrix.weights, alone.weights)


def test_chips_are_numbered_and_repeat():
    hardware = Hardware(device=ERRONEOUS)
    one, again, other = (
        program(MODEL, hardware, trial=trial, calibration=CALIBRATION).logits(TOKENS) for trial in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_overrides_put_matrices_into_arrays_or_keep_them_digital():
    analog = Hardware(device=ERRONEOUS, crossbar=Crossbar(adc=None))
    ffn = ["layers.1.ffn.gate", "layers.1.ffn.up", "layers.1.ffn.down"]
    some = analog.replace("architecture", "digital").override("layers.1.*", engine="crossbar")
    assert list(program(MODEL, some.override("*.attention.*", engine="digital")).matrices) == ffn
    others = program(MODEL, analog.override("layers.1.ffn.*", engine="digital")).matrices
    assert set(others) == set(MODEL.matrices) - set(ffn)


def test_a_matrix_has_the_device_and_the_crossbar_of_its_override():
    """The others stay as they are, bit for bit."""
    mixed = Hardware(device=ERRONEOUS, crossbar=Crossbar(adc=None)).override("*.attention.k", name="k", device="ideal")
    x = np.random.default_rng(0).standard_normal((3, MODEL.config.width)).astype(np.float32)
    plain = program(MODEL, mixed.replace("overrides", ()))
    ideal = program(MODEL, mixed.replace("overrides", ()).replace("device", "ideal"))
    for name, matrix in program(MODEL, mixed).matrices.items():
        like = ideal if name.endswith("attention.k") else plain
        if len(MODEL.weights[name]) == len(x[0]):
            np.testing.assert_array_equal(matrix.matmul(x), like.matrices[name].matmul(x))
    coarse = program(MODEL, mixed.replace("overrides.k.crossbar", Crossbar(rows=8, adc=Adc(bits=2, range=1.0))))
    assert not np.array_equal(
        coarse.matrices["layers.0.attention.k"].matmul(x), x @ MODEL.weights["layers.0.attention.k"]
    )


@pytest.mark.parametrize("engine", ["sram-cim", "near-memory"])
def test_integer_arithmetic_is_exact_whatever_the_cells(engine):
    """Weights and inputs are rounded, each to its own step, and nothing else happens."""
    hardware = Hardware(device="rram-neurram").override("layers.0.ffn.up", engine=engine)
    w = MODEL.weights["layers.0.ffn.up"]
    x = np.random.default_rng(0).standard_normal((5, len(w))).astype(np.float32)
    found = program(MODEL, hardware, calibration=CALIBRATION).matrices["layers.0.ffn.up"].matmul(x)
    steps = np.abs(x).max(axis=1, keepdims=True) / 127, np.abs(w).max() / 127
    exact = (np.rint(x / steps[0]) * steps[0]) @ (np.rint(w / steps[1]) * steps[1])
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


def test_a_pattern_that_fits_nothing_is_refused():
    hardware = Hardware().override("layers.7.*", engine="digital")
    with pytest.raises(
        InputError, match=r"overrides.layers_7: pattern 'layers.7.\*' fits no operator of the model; there"
    ):
        program(MODEL, hardware, calibration=CALIBRATION)


@pytest.mark.parametrize(
    ("pattern", "parts", "message"),
    [
        (
            "*.ffn.up",
            {"engine": "dynamic-crossbar"},
            "fits ffn, none of which runs on 'dynamic-crossbar'; allowed: ffn on",
        ),
        ("*.attention.q", {"softmax": "table"}, "fits projections; allowed with softmax: patterns that fit a softmax"),
    ],
)
def test_an_override_that_would_change_nothing_is_refused(pattern, parts, message):
    with pytest.raises(InputError, match=message):
        program(MODEL, Hardware().override(pattern, **parts), calibration=CALIBRATION)


def test_mapping_does_not_depend_on_errors_or_converter_bits():
    noisy = Hardware(device="rram-neurram", crossbar=Crossbar(adc=Adc(bits=5)))
    quiet = Hardware(device=noisy.device.replace("programming", None), crossbar=Crossbar(adc=Adc(bits=9)))
    for name, (mapped,) in map_model(MODEL, noisy, CALIBRATION).items():
        (other,) = map_model(MODEL, quiet, CALIBRATION)[name]
        np.testing.assert_array_equal(mapped.targets.levels, other.targets.levels)
        np.testing.assert_array_equal(mapped.ranges.adc, other.ranges.adc)
        (fresh,) = map_model(random_model(), noisy, CALIBRATION.copy())[name]  # nothing kept from the first
        np.testing.assert_array_equal(mapped.ranges.adc, fresh.ranges.adc)


def test_calibration_follows_its_tokens():
    hardware = Hardware(crossbar=Crossbar(dac=Dac(range="calibrated")))
    one = map_model(MODEL, hardware, CALIBRATION)["head"][0].ranges
    two = map_model(MODEL, hardware, TOKENS)["head"][0].ranges
    assert one.inputs != two.inputs
    assert (one.adc != two.adc).all()


def test_read_noise_is_fresh_for_every_token_and_keyed_by_its_number():
    hardware = Hardware(device=Device(read_noise=NormalOfRange(std=0.1)), crossbar=Crossbar(adc=None))
    chip = program(MODEL, hardware)
    twice = chip.logits(np.stack([TOKENS[0], TOKENS[0]]))
    assert (twice[0] != twice[1]).any()
    np.testing.assert_allclose(chip.logits(TOKENS[1:2], first_vector=16), chip.logits(TOKENS)[1:2], atol=1e-4)


def test_bytes_calibrate_themselves_and_other_models_need_tokens():
    assert program(MODEL, Hardware()).logits(TOKENS).shape == (3, 16, 256)
    words = Model(
        name="words",
        config=TransformerConfig(**{**vars(CONFIG), "vocab_size": 300}),
        weights=MODEL.weights,
        checksum="words",
    )
    with pytest.raises(InputError, match="words: 'calibrated' converter ranges need calibration tokens"):
        program(words, Hardware())


def test_a_chip_decodes_what_it_prefills():
    """Token by token with a cache, or all at once: the same but for currents at the edge between two codes."""
    hardware = Hardware(device=ERRONEOUS)
    chip = program(MODEL, hardware, calibration=CALIBRATION)
    whole, cache = chip.logits(TOKENS), Cache(CONFIG, 3, 16)
    steps = [chip.logits(TOKENS[:, :9], cache=cache)]
    steps += [chip.logits(TOKENS[:, place : place + 1], cache=cache) for place in range(9, 16)]
    found = np.concatenate(steps, axis=1)
    assert np.abs(found - whole).max() < 0.05 * np.abs(whole).max()
    assert (np.abs(found - whole) < 1e-4).mean() > 0.9
    unconverted = Hardware(device=ERRONEOUS, crossbar=Crossbar(adc=None))
    chip, cache = program(MODEL, unconverted), Cache(CONFIG, 3, 16)
    steps = [chip.logits(TOKENS[:, place : place + 1], cache=cache) for place in range(16)]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), chip.logits(TOKENS), atol=1e-4)


def test_other_errors_of_cells_and_converters_share_a_calibration():
    even = Transitions(first_code=-6, levels=tuple((code - 0.5) / 7 for code in range(-6, 8)))
    measured = Hardware(crossbar=Crossbar(adc=Adc(bits=4, transitions=even)))
    aged = Hardware(device="pcm-nandakumar", architecture=Architecture(drift_compensation="global"))
    assert ideal(measured) == ideal(aged) == ideal(Hardware())
    assert ideal(measured.replace("device.levels", 4)) != ideal(Hardware())


def test_a_chip_ages():
    """The same cells at another time: drift shrinks every logit's products, and compensation brings them back."""
    device = Device(drift=PowerLaw(t0=1.0, exponent=0.05))
    hardware = Hardware(device=device, crossbar=Crossbar(adc=None))
    digital = MODEL.logits(TOKENS)
    errors = [
        np.abs(program(MODEL, chosen, time=time).logits(TOKENS) - digital).max()
        for time, chosen in (
            (0.0, hardware),
            (1e6, hardware),
            (1e6, hardware.replace("architecture.drift_compensation", "global")),
        )
    ]
    assert errors[1] > 2 * errors[0]
    np.testing.assert_allclose(errors[2], errors[0], rtol=1e-3)
    with pytest.raises(InputError, match=r"time = -1.0; allowed: seconds since programming"):
        program(MODEL, hardware, time=-1.0)
