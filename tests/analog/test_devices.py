"""Presets against statistics that the noise models of aihwkit 1.1.0 produced (tests/data/devices)."""

from pathlib import Path

import numpy as np
import pytest

from cimstudy.analog import Key, normals
from cimstudy.analog.cells import Place, hold, read_variance
from cimstudy.hardware import preset

DATA = Path(__file__).parents[1] / "data" / "devices"
SAMPLES = 50_000
KEY = Key.root(5, 6)
QUIET = ("pcm_like_noread", "reram_wan2022")  # no read noise in the golden statistics

GOLDEN = {
    "pcm_like": "pcm-nandakumar",
    "pcm_like_noread": "pcm-nandakumar",
    "pcm_hermes_2dev": "pcm-hermes-2dev",
    "state_independent": "pcm-state-independent",
    "reram_wan2022": "rram-neurram",
    "reram_cmo": "rram-cmo-hfox",
}
CASES = [(name, row) for name in GOLDEN for row in range(len(np.load(DATA / f"{name}.npz")["time_labels"]))]


def samples(device, targets, time, *, read):
    """Conductances of cells at each target, (targets, SAMPLES), as they are held or read; fractions of g_max."""
    wanted = np.repeat(targets[:, None] / device.g_max, SAMPLES, axis=1)
    cells = hold(wanted, device, KEY, Place(0, 0, 0), time)
    if not read:
        return cells.now
    noise = np.sqrt(read_variance(cells, device, time)) * normals(KEY.of("read"), cells.now.shape)
    return np.maximum(cells.now + noise, 0)


@pytest.mark.parametrize(("name", "row"), CASES)
def test_conductances_have_the_mean_and_spread_of_aihwkit(name, row):
    golden = np.load(DATA / f"{name}.npz")
    device = preset(GOLDEN[name])
    label, time = golden["time_labels"][row], golden["t_seconds"][row]
    read = name not in QUIET and label != "prog" and not (name == "reram_cmo" and label == "t0")
    found = samples(device, golden["g_target"] * 1e-6, max(np.nan_to_num(time), 0), read=read) * device.g_max * 1e6
    # The CMO model of aihwkit cuts conductances off at both ends of its range; cells do not.
    inner = slice(1, -1) if name == "reram_cmo" else slice(None)
    # Both sides are estimates: the error of a variance follows from the fourth moment.
    error = golden["std"] * np.sqrt(1 / golden["n"] + 1 / SAMPLES)
    spread_error = error * np.sqrt((golden["kurt_excess"] + 2) / 4)
    assert (np.abs(found.mean(axis=1) - golden["mean"][row]) < 5 * error[row])[inner].all()
    assert (np.abs(found.std(axis=1) - golden["std"][row]) < 5 * spread_error[row])[inner].all()
