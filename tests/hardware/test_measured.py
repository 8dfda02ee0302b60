"""A user's own statistics and files, named by their path wherever a preset's name is allowed."""

import numpy as np
import pytest

from cimstudy.analog import Key
from cimstudy.analog.cells import Place, hold
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, load_preset, preset

STATISTICS = """level,mean,sigma,time
2e-6, 2.1e-6, 1e-7, 0
1e-5, 1.0e-5, 4e-7, 0
2e-5, 1.9e-5, 6e-7, 0
2e-6, 1.8e-6, 2e-7, 3600
1e-5, 0.9e-5, 5e-7, 3600
2e-5, 1.7e-5, 9e-7, 3600
"""


@pytest.fixture
def statistics(tmp_path):
    path = tmp_path / "lot7.csv"
    path.write_text(STATISTICS)
    return str(path)


def test_cells_have_the_measured_mean_and_spread_at_every_level_and_time(statistics):
    device = Hardware(device=statistics).device
    assert (device.name, device.g_min, device.g_max) == ("lot7", 2e-6, 2e-5)
    rows = np.genfromtxt(statistics, delimiter=",", names=True)
    for level, mean, sigma, time in rows:
        found = hold(np.full((1, 20_000), level / 2e-5), device, Key.root(0), Place(0, 0, 0), time).now * 2e-5
        assert abs(found.mean() - mean) < 5 * sigma / np.sqrt(found.size)
        assert abs(found.std() / sigma - 1) < 5 / np.sqrt(2 * found.size)


def test_between_levels_statistics_lie_on_straight_lines(statistics):
    device = preset(statistics)
    target = 0.5 * (1e-5 + 2e-5)
    found = hold(np.full((1, 20_000), target / 2e-5), device, Key.root(0), Place(0, 0, 0)).now * 2e-5
    assert abs(found.mean() - (target - 0.5e-6)) < 5 * 5e-7 / np.sqrt(found.size)
    assert abs(found.std() / 5e-7 - 1) < 5 / np.sqrt(2 * found.size)


def test_a_first_time_after_zero_is_the_programming_error(tmp_path):
    path = tmp_path / "late.csv"
    path.write_text(
        "time,sigma,mean,level\n10,1e-7,1e-6,1e-6\n10,2e-7,3e-6,3e-6\n100,3e-7,1e-6,1e-6\n100,4e-7,3e-6,3e-6\n"
    )
    device = preset(str(path))
    assert device.drift.times == (10.0, 100.0)
    assert device.programming.sigma == device.drift.sigma[0]


def test_one_time_means_no_drift(tmp_path):
    path = tmp_path / "once.csv"
    path.write_text("level, mean, sigma\n1e-6, 1e-6, 1e-7\n3e-6, 3e-6, 2e-7\n")
    assert preset(str(path)).drift is None


def test_its_source_is_the_file(statistics):
    entry = load_preset(statistics)
    assert entry.sources["values"].source == statistics
    assert entry.sources["values"].confidence == "measured"


BAD_STATISTICS = [
    ("level,mean\n1,2\n", "columns are level, mean; allowed: level, mean, sigma, and perhaps time"),
    ("", "columns are none"),
    ("level,mean,sigma\n1e-6,1e-6,1e-7\n", "1 levels; allowed: two or more"),
    ("level,mean,sigma\n", "0 levels; allowed: two or more"),
    ("level,mean,sigma\n1e-6,high,1e-7\n2e-6,2e-6,1e-7\n", "line 2: 1e-6, high, 1e-7; allowed: a number a column"),
    ("level,mean,sigma\n1e-6,1e-6\n2e-6,2e-6,1e-7\n", "line 2: 1e-6, 1e-6, None; allowed: a number a column"),
    ("level,mean,sigma\n1e-6,1e-6,-1e-7\n2e-6,2e-6,1e-7\n", "line 2: 1e-6, 1e-6, -1e-7; allowed: finite, sigma and"),
    ("level,mean,sigma\n1e-6,nan,1e-7\n2e-6,2e-6,1e-7\n", "line 2: 1e-6, nan, 1e-7; allowed: finite, sigma and"),
    ("level,mean,sigma\n1e-6,1e-6,1e-7\n1e-6,2e-6,1e-7\n", "a level is below 0 or given twice at time 0 s"),
    ("level,mean,sigma\n-1e-6,1e-6,1e-7\n1e-6,2e-6,1e-7\n", "a level is below 0 or given twice at time 0 s"),
    ("level,mean,sigma\n1,1,1,1\n2,2,2\n", "allowed: a number a column"),
    ("level,mean,sigma,time\n1,1,0,0\n2,2,0,0\n1,1,0,9\n3,2,0,9\n", "the levels at time 9 s are not those at 0 s"),
]


@pytest.mark.parametrize(("text", "message"), BAD_STATISTICS)
def test_bad_statistics_are_refused_with_file_and_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        preset(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named():
    for name in ("nowhere.csv", "nowhere.toml"):
        with pytest.raises(InputError, match=f"{name}: .*No such file"):
            preset(name)


BAD_PRESETS = [
    ("kind = 'device'\n", "a preset needs kind, name, summary"),
    ("kind = 'device\n", "bad.toml: "),
    ("kind = 'toaster'\nname = 'a'\nsummary = 'b'\n[values]\n", "kind is 'toaster'; allowed: device, crossbar"),
    ("kind = 'device'\nname = 'a'\nsummary = 'b'\n[values]\ng_max = -1\n", "g_max: should be greater than 0"),
    ("kind = 'device'\nname = 'a'\nsummary = 'b'\n[values]\n[sources]\ng_max = 'me'\n", "a source and a confidence"),
]


@pytest.mark.parametrize(("text", "message"), BAD_PRESETS)
def test_bad_preset_files_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        preset(str(path))
