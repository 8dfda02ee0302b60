"""Units of chips: exact in their exact limits, with errors as stated, keyed by what they belong to."""

import math

import numpy as np
import pytest

from cimstudy.analog import Key
from cimstudy.errors import InputError
from cimstudy.hardware import Architecture, Hardware, TableSoftmax
from cimstudy.transformer import Cache, load_model, program
from cimstudy.transformer.elementwise import ACTIVATIONS
from cimstudy.transformer.units import EXACT, ChipUnits, units_of

RNG = np.random.default_rng(0)
SCORES = (RNG.standard_normal((2, 3, 5, 70)) * 3).astype(np.float32)
SCORES[:, :, :, 60:] = -np.inf  # keys that are not seen
VECTORS = np.arange(10).reshape(2, 5)
X = RNG.standard_normal((2, 5, 40)).astype(np.float32) * 2
MODEL = load_model()
TOKENS = np.arange(48).reshape(3, 16)
DIGITAL = Hardware(architecture="digital")


def units(first_vector=0, **parts):
    """Units of a chip of this architecture."""
    return ChipUnits(hardware=Hardware(architecture=Architecture(**parts)), key=Key(1, 2), first_vector=first_vector)


def shares(softmax, scores=SCORES, first_key=0, vectors=VECTORS, first_vector=0):
    """What a softmax unit makes of scores."""
    found, sums = units(first_vector, softmax=softmax).softmax("s.softmax", scores.copy(), vectors, first_key)
    return found / sums


def exact_shares(scores=SCORES):
    weights, sums = EXACT.softmax("s.softmax", scores.copy(), VECTORS, 0)
    return weights / sums


EXACT_LIMITS = {
    "exact": ("exact", 0),
    "rescaled powers of two": ("base-2", 2e-6),
    "a long table": ({"kind": "table", "entries": 2**20, "range": 40.0}, 5e-5),
    "a table with straight lines": ({"kind": "table", "entries": 2**14, "range": 40.0, "interpolation": 1}, 2e-6),
    "tables of exp and ln": (
        {"kind": "exp-log", "entries": 2**14, "log_entries": 2**12, "range": 40.0, "interpolation": 1},
        4e-6,
    ),
    "many bits": ({"input_bits": 16, "range": 40.0, "output_bits": 16}, 40 / 2**16),
}


@pytest.mark.parametrize("name", EXACT_LIMITS)
def test_softmax_units_are_exact_in_the_exact_limit(name):
    unit, error = EXACT_LIMITS[name]
    np.testing.assert_allclose(shares(unit), exact_shares(), atol=error)


ALL_SOFTMAX = ["exact", "i-bert", "base-2", "constant", "hard-sigmoid", "table", "exp-log", "range-cam"]


@pytest.mark.parametrize("kind", ALL_SOFTMAX)
def test_keys_that_are_not_seen_weigh_nothing(kind):
    for unit in ({"kind": kind}, {"kind": kind, "input_bits": 6, "output_bits": 8, "offset_std": 0.1}):
        found = shares(unit)
        assert np.isfinite(found).all()
        assert (found[..., 60:] == 0).all()
        assert (found[..., :60] != 0).any()


def test_a_constant_denominator_is_the_softmax_up_to_a_factor_of_the_row():
    unit = {"kind": "constant", "shift": 1.5, "denominator": 4.0}
    sums = np.exp(SCORES - np.float32(1.5)).sum(axis=-1, keepdims=True) / 4
    np.testing.assert_allclose(shares(unit), exact_shares() * sums, rtol=1e-5)


def test_base_2_without_rescaling_is_a_softmax_of_smaller_scores():
    unit = {"kind": "base-2", "rescaled": False}
    np.testing.assert_allclose(shares(unit), exact_shares(SCORES * np.float32(math.log(2))), atol=1e-6)


def test_a_hard_sigmoid_is_a_straight_line_between_0_and_1():
    raw = shares({"kind": "hard-sigmoid", "normalised": False})
    np.testing.assert_allclose(raw, np.clip(SCORES / 6 + 0.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(shares("hard-sigmoid").sum(axis=-1), 1, atol=1e-5)


def test_the_polynomial_and_few_entries_err_by_what_their_exp_errs():
    """Relative error of exp at most e: of a share at most about 2 e."""
    seen = np.s_[..., :60]
    assert np.abs(shares("i-bert")[seen] / exact_shares()[seen] - 1).max() < 2 * 1.91e-3 / 0.5
    assert 1e-4 < np.abs(shares("table") - exact_shares()).max() < 16 / 255
    assert 1e-4 < np.abs(shares("range-cam") - exact_shares()).max() < 4 / 255


def test_errors_of_a_softmax_have_the_stated_spread():
    """Gain: of each output; denominator: one for a row; offset: of full scale."""
    scores = np.zeros((1, 4, 500, 64), np.float32)
    vectors = np.arange(500)[None]
    gain = shares({"gain_std": 0.05}, scores, vectors=vectors) * 64 - 1
    assert abs(gain.std() / 0.05 - 1) < 5 / math.sqrt(2 * gain.size)
    assert abs(gain.mean()) < 5 * 0.05 / math.sqrt(gain.size)
    common = shares({"denominator_std": 0.05}, scores, vectors=vectors) * 64 - 1
    assert np.ptp(common, axis=-1).max() < 1e-5
    assert abs(common[..., 0].std() / 0.05 - 1) < 5 / math.sqrt(2 * 2000)
    offset = shares({"offset_std": 0.01}, scores, vectors=vectors) - 1 / 64
    assert abs(offset.std() / 0.01 - 1) < 5 / math.sqrt(2 * offset.size)


def test_a_softmax_error_belongs_to_a_token_a_head_and_a_key():
    """Whatever part of the scores is computed together."""
    unit = {"gain_std": 0.1, "denominator_std": 0.1}
    whole = shares(unit, np.zeros((2, 3, 5, 70), np.float32))
    part = shares(unit, np.zeros((1, 3, 2, 3), np.float32), 66, np.array([[1, 2]]), first_vector=6) * 3 / 70
    np.testing.assert_allclose(part[0], whole[1, :, 2:4, 66:69], rtol=1e-6)


def normed(unit, x=X, eps=1e-5):
    return units(norm=unit).norm("n.norm", x, eps)


def test_norms_are_exact_in_the_exact_limit():
    exact = EXACT.norm("n.norm", X, 1e-5)
    fine = {"kind": "table", "entries": 2**14, "interpolation": 1}
    for unit, error in (("exact", 1e-6), ({"kind": "i-bert", "root_bits": 30}, 1e-6), (fine, 2e-6)):
        np.testing.assert_allclose(normed(unit), exact, atol=error)
    np.testing.assert_allclose(normed({"input_bits": 16, "output_bits": 16}), exact, atol=2e-4)


@pytest.mark.parametrize("scale", [1e-6, 3e-3, 1.0, 7e4])
def test_a_table_of_roots_serves_every_scale(scale):
    """Its error is that of a few entries, from 1 to 4, wherever the digits begin."""
    exact = EXACT.norm("n.norm", X * np.float32(scale), 0.0)
    found = normed({"kind": "table", "entries": 64}, X * np.float32(scale), 0.0)
    assert np.abs(found / exact - 1).max() < 3 / 63 / 2 / 2 * 1.1


def test_an_integer_root_is_too_small_by_less_than_a_step():
    exact, found = EXACT.norm("n.norm", X, 0.0), normed({"kind": "i-bert", "root_bits": 6}, eps=0.0)
    ratio = (found / exact)[..., 0]
    step = np.abs(X).max(axis=-1) / 2**6 / np.sqrt(np.square(X).mean(axis=-1))
    assert (ratio >= 1 - 1e-6).all()
    assert (ratio <= 1 / (1 - step)).all()
    assert ratio.max() > 1.001


def test_errors_of_a_norm_have_the_stated_spread():
    x = np.ones((1, 4000, 16), np.float32)
    found = normed({"denominator_std": 0.02}, x) - 1
    assert np.ptp(found, axis=-1).max() < 1e-6
    assert abs(found[..., 0].std() / 0.02 - 1) < 5 / math.sqrt(2 * 4000)
    found = normed({"gain_std": 0.02}, x) - 1
    assert abs(found.std() / 0.02 - 1) < 5 / math.sqrt(2 * found.size)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_exact_in_the_exact_limit(name):
    x = np.linspace(-20, 20, 4000, dtype=np.float32).reshape(2, 5, 400)
    exact = ACTIVATIONS[name](x)
    fine = {"kind": "table", "entries": 2**16, "interpolation": 1, "range": 10.0}
    for unit, error in (
        ("exact", 0),
        (fine, 5e-4 if name == "tanh" else 1e-3),
        ({"kind": "range-cam", "bits": 12}, 6e-3),
    ):
        found = units(activation=unit).activation("f.activation", name, x)
        np.testing.assert_allclose(found, exact, atol=error)


def test_an_expert_has_the_errors_of_the_tokens_places():
    noisy = units(activation={"gain_std": 0.1})
    whole = noisy.activation("f.activation", "silu", X)
    rows = np.array([1, 4, 7])
    part = noisy.activation("f.activation", "silu", X.reshape(1, 10, 40)[:, rows], rows)
    np.testing.assert_array_equal(part[0], whole.reshape(10, 40)[rows])


def test_errors_of_bounds_are_those_of_a_chip():
    unit = {"kind": "range-cam", "bound_std": 0.01}
    one, again = (units(activation=unit).activation("f.activation", "silu", X) for _ in range(2))
    other = ChipUnits(hardware=Hardware(architecture=Architecture(activation=unit)), key=Key(3, 4))
    np.testing.assert_array_equal(one, again)
    assert (other.activation("f.activation", "silu", X) != one).any()
    assert (units(activation="range-cam").activation("f.activation", "silu", X) != one).any()


def test_a_chip_of_exact_units_is_digital_bit_for_bit():
    assert units_of(DIGITAL, Key(1, 2), 0) is EXACT
    np.testing.assert_array_equal(program(MODEL, DIGITAL).logits(TOKENS), MODEL.logits(TOKENS))


EVERYTHING_FINE = {
    "softmax": {"kind": "table", "entries": 2**16, "range": 40.0, "interpolation": 1},
    "norm": {"kind": "table", "entries": 2**16, "interpolation": 1},
    "activation": {"kind": "table", "entries": 2**18, "range": 32.0, "interpolation": 1},
}
EVERYTHING_COARSE = {
    "softmax": {"kind": "i-bert", "output_bits": 8, "gain_std": 0.1},
    "norm": {"kind": "i-bert", "gain_std": 0.05},
    "activation": {"kind": "i-bert", "gain_std": 0.1},
}


def test_fine_units_leave_the_network_as_it_is_and_coarse_ones_do_not():
    exact = MODEL.logits(TOKENS)
    fine, coarse = (
        program(
            MODEL,
            DIGITAL.replace(
                "architecture",
                DIGITAL.architecture.model_copy(
                    update=vars(Architecture(**parts)) | {"placement": DIGITAL.architecture.placement}
                ),
            ),
        )
        for parts in (EVERYTHING_FINE, EVERYTHING_COARSE)
    )
    np.testing.assert_allclose(fine.logits(TOKENS), exact, atol=2e-3)
    assert np.abs(coarse.logits(TOKENS) - exact).max() > 0.1


@pytest.mark.parametrize("unit", ["softmax", "norm", "activation"])
def test_units_of_an_override_are_for_its_layers(unit):
    """In the last layer alone an error changes the logits; what went before is the same."""
    noisy = DIGITAL.replace(f"architecture.{unit}.gain_std", 0.2)
    some = DIGITAL.override("layers.3.*", **{unit: {"gain_std": 0.2}})
    every, last = (program(MODEL, hardware).logits(TOKENS) for hardware in (noisy, some))
    exact = MODEL.logits(TOKENS)
    assert 0 < np.abs(last - exact).std() < np.abs(every - exact).std()


def test_results_do_not_depend_on_how_a_text_is_cut_into_batches():
    hardware = DIGITAL
    for unit, parts in EVERYTHING_COARSE.items():
        hardware = hardware.replace(f"architecture.{unit}", parts)
    chip = program(MODEL, hardware)
    whole = chip.logits(TOKENS)
    np.testing.assert_array_equal(chip.logits(TOKENS[1:], first_vector=16), whole[1:])


def test_keys_and_values_of_16_bits_or_in_arrays_are_kept_as_they_are():
    exact = program(MODEL, DIGITAL).logits(TOKENS)
    for kv in ({"location": "hbm", "bits": 16}, {"location": "array", "bits": 2}):
        np.testing.assert_array_equal(program(MODEL, DIGITAL.replace("architecture.kv", kv)).logits(TOKENS), exact)


@pytest.mark.parametrize("bits", [2, 4, 8, 15])
def test_keys_and_values_are_kept_on_the_levels_of_their_bits(bits):
    """Each head and token has a scale of its own, whose top level is its largest entry."""
    x = RNG.standard_normal((2, 3, 5, 16)).astype(np.float32) * np.float32(10) ** np.arange(-2, 3)[:, None]
    kept, step = units(kv={"bits": bits}).kept(x), np.abs(x).max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
    np.testing.assert_allclose(kept / step, np.rint(kept / step), atol=0.01)
    assert (np.abs(kept - x) <= 0.501 * step).all()


def test_two_bits_more_of_keys_and_values_leave_a_quarter_of_the_error():
    exact = MODEL.logits(TOKENS)
    errors = [
        np.abs(program(MODEL, DIGITAL.replace("architecture.kv.bits", bits)).logits(TOKENS) - exact).std()
        for bits in (6, 8, 10)
    ]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.3)


def test_keys_and_values_are_rounded_once_while_a_text_grows():
    chip = program(MODEL, DIGITAL.replace("architecture.kv.bits", 4))
    cache = Cache(MODEL.config, 3, 16)
    parts = [chip.logits(TOKENS[:, :7], cache=cache), chip.logits(TOKENS[:, 7:], cache=cache)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), chip.logits(TOKENS), atol=1e-3)


REFUSED = [
    ("architecture.softmax", "magic", "expected tags: 'exact', 'i-bert', 'base-2'"),
    ("architecture.softmax.entries", 4, "'entries' is unknown; ExactSoftmax has: input_bits, output_bits"),
    ("architecture.norm", {"kind": "table", "entries": 1}, "entries: should be greater than or equal to 2"),
    ("architecture.activation", {"kind": "range-cam", "bits": 13}, "bits: should be less than or equal to 12"),
    ("architecture.softmax.gain_std", -1, "should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_bad_units_are_refused_in_one_line(path, value, message):
    with pytest.raises(InputError, match=message) as error:
        Hardware().replace(path, value)
    assert "\n" not in str(error.value)


def test_a_unit_may_be_given_by_its_kind():
    assert Hardware().replace("architecture.softmax", "table").architecture.softmax == TableSoftmax()
    assert Hardware().replace("architecture.softmax", {"kind": "table", "entries": 8}).architecture.softmax.entries == 8
