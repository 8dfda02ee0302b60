import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import pytest
import xarray as xr
import zarr

from cimstudy.analysis import shown, table
from cimstudy.cli.options import assignment, file_name
from cimstudy.cli.parts import preset_rows
from cimstudy.cli.printing import duration
from cimstudy.errors import InputError
from cimstudy.hardware import Preset, load_preset, presets
from cimstudy.hardware.sources import cited

Run = Callable[..., subprocess.CompletedProcess[str]]

STUDY = '''
import numpy as np

from cimstudy.hardware import Device, Hardware, NormalOfRange, Part
from cimstudy.metric import Metric
from cimstudy.study import Grid, Study


class Toy(Part):
    """A perplexity and an energy that are known in closed form. The first `broken` chips fail."""

    tokens: int = 64
    broken: int = 0

    @property
    def metrics(self):
        perplexity = Metric(long_name="perplexity", better="lower")
        return {"perplexity": perplexity, "energy": Metric(long_name="energy per token", units="J")}

    def reference(self):
        return {"perplexity": 20.0}

    def __call__(self, hardware, *, seed, trial):
        if trial < self.broken:
            raise ValueError("this chip is broken\\nand here is why")
        std, bits = hardware.device.programming.std, hardware.crossbar.adc.bits
        chip = np.random.default_rng([seed, trial]).standard_normal()
        return {"perplexity": 20 + 4000 * std**2 + 4800 / 4**bits + 40 * std * chip, "energy": 1e-6 * bits}


study = Study(
    name="toy",
    workload=Toy(),
    hardware=Hardware(device=Device(programming=NormalOfRange(std=0.0))),
    space=Grid({"device.programming.std": [0.02, 0.1], "crossbar.adc.bits": [5, 6, 8]}),
    trials=4,
)
'''

SLOW = """
import time

from cimstudy.study import Study


def slow(hardware, *, seed, trial):
    time.sleep(0.2)
    return {"value": float(trial)}


study = Study(name="slow", workload=slow, trials=40)
"""


MENDED = """
from pathlib import Path
from urllib.parse import unquote

from cimstudy.study import Study


def careful(hardware, *, seed, trial):
    if trial and not Path("mended").exists():
        raise ValueError("not yet")
    return {"value": float(trial)}


study = Study(name="careful", workload=careful, trials=3)
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: a folder with study files."""
    path = tmp_path_factory.mktemp("cli")
    (path / "toy.py").write_text(STUDY)
    (path / "slow.py").write_text(SLOW)
    (path / "careful.py").write_text(MENDED)
    (path / "broken.py").write_text("study = 1 / 0\n")
    (path / "empty.py").write_text("")
    (path / "text.zarr").write_text("no store")
    return path


@pytest.fixture(scope="session")
def cimstudy(folder: Path) -> Run:
    """The command, in a process of its own."""

    def command(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *python, "-m", "cimstudy", *arguments]
        return subprocess.run(
            line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=240, check=False
        )

    return command


def environment() -> dict[str, str]:
    """A terminal of 80 columns that nothing says otherwise about, and this package."""
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR", "NO_COLOR"}}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="session")
def finished(cimstudy: Run) -> subprocess.CompletedProcess[str]:
    """A run without failures, into results/toy.zarr."""
    return cimstudy("run", "toy.py", "--workers", "1")


@pytest.fixture(scope="session")
def failing(cimstudy: Run) -> subprocess.CompletedProcess[str]:
    """A run in which 24 of 36 cases fail, into failing.zarr."""
    return cimstudy(
        "run", "toy.py", "--workers", "1", "--trials", "6", "--set", "workload.broken=4", "--store", "failing.zarr"
    )


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_finished_run_has_status_0_and_prints_its_first_result_and_what_to_do_next(
    finished: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert finished.returncode == 0
    with xr.open_zarr(folder / "results/toy.zarr") as ds:
        rows = table(ds, "perplexity")
        digits = [f"{value:#.5g}" for value in rows["mean"]]
    lines = words(finished.stdout)
    assert lines[0] == ["perplexity"]
    assert lines[1] == ["programming_std", "adc_bits", "mean", "95", "%", "interval", "worst", "chip", "chips"]
    assert [line[:3] for line in lines[3:9]] == [
        [std, bits, mean]
        for (std, bits), mean in zip([(s, b) for s in ("0.02", "0.1") for b in "568"], digits, strict=True)
    ]
    assert finished.stdout.endswith(
        "digital: 20.000\n\nResults are in results/toy.zarr\n"
        "  cimstudy show results/toy.zarr --metric perplexity\n  cimstudy plot results/toy.zarr --metric perplexity\n"
    )
    assert "Traceback" not in finished.stderr


def test_a_finished_study_runs_again_at_once_and_quietly(
    finished: subprocess.CompletedProcess[str], cimstudy: Run
) -> None:
    again = cimstudy("run", "toy.py", "--workers", "1", "--quiet")
    assert (finished.returncode, again.returncode, again.stdout, again.stderr) == (0, 0, "", "")


def test_failed_cases_give_status_1_and_are_listed_up_to_twenty(failing: subprocess.CompletedProcess[str]) -> None:
    assert failing.returncode == 1
    listed = [line for line in failing.stderr.splitlines() if line.startswith("failed: ")]
    assert (
        listed[0]
        == "failed: programming_std=0.02, adc_bits=5, trial 0: ValueError: this chip is broken; and here is why"
    )
    assert len(listed) == 20
    assert "and 4 more; all of them: cimstudy failures\n" in failing.stderr
    assert failing.stderr.endswith("cimstudy: 24 of 36 cases failed; to try them again: --retry-failed\n")
    assert "2 of 6" in failing.stdout


def test_failed_cases_are_computed_again_when_asked_and_only_then(cimstudy: Run, folder: Path) -> None:
    first = cimstudy("run", "careful.py", "--workers", "1", "--quiet")
    (folder / "mended").touch()
    again = cimstudy("run", "careful.py", "--workers", "1", "--quiet")
    retried = cimstudy("run", "careful.py", "--workers", "1", "--quiet", "--retry-failed")
    assert [found.returncode for found in (first, again, retried)] == [1, 1, 0]
    assert first.stderr == again.stderr
    assert "failed: trial 2: ValueError: not yet\n" in first.stderr
    assert (retried.stdout, retried.stderr) == ("", "")


def test_a_fault_of_the_program_has_status_3_and_a_traceback(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, folder: Path
) -> None:
    assert finished.returncode == 0
    shutil.copytree(folder / "results/toy.zarr", folder / "torn.zarr")
    for chunk in (folder / "torn.zarr/perplexity/c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"these are not numbers")
    found = cimstudy("show", "torn.zarr", "--metric", "perplexity")
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr.startswith("Traceback")


def test_status_counts_cases_and_lists_failures(failing: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    assert failing.returncode == 1
    found = cimstudy("status", "failing.zarr")
    assert found.returncode == 0
    assert words(found.stdout)[:6] == [
        ["study", "toy"],
        ["points", "6"],
        ["trials", "6"],
        ["done", "12", "of", "36", "cases", "(33.3", "%)"],
        ["failed", "24", "of", "36", "cases", "(66.7", "%)"],
        ["pending", "0", "of", "36", "cases", "(0", "%)"],
    ]
    assert found.stdout.count("failed: ") == 20
    assert found.stdout.endswith("and 4 more; all of them: cimstudy failures\n")


def test_failures_lists_every_case_with_its_traceback(failing: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    store = "failing.zarr"
    listed = cimstudy("failures", store)
    assert listed.returncode == 0
    assert len(listed.stdout.splitlines()) == 24
    assert listed.stdout.splitlines()[:20] == [line for line in failing.stderr.splitlines() if "failed: " in line][:20]
    assert "Traceback (most recent call last)" in cimstudy("failures", store, "--traceback").stdout
    found = json.loads(cimstudy("failures", store, "--json").stdout)
    assert len(found) == 24
    assert found[0]["point"] == {"programming_std": 0.02, "adc_bits": 5}
    assert (found[0]["trial"], found[0]["type"]) == (0, "ValueError")
    assert found[0]["traceback"].startswith("Traceback")


def test_show_prints_a_result_in_units_that_keep_numbers_short(
    finished: subprocess.CompletedProcess[str], cimstudy: Run
) -> None:
    assert finished.returncode == 0
    found = cimstudy("show", "results/toy.zarr", "--metric", "energy")
    assert found.stdout.startswith("energy per token (1e-6 J)\n")
    assert words(found.stdout)[3] == ["0.02", "5", "5.0000", "5.0000", "to", "5.0000", "5.0000", "4"]
    assert len(words(found.stdout)) == 9


def test_show_as_json_has_every_statistic_at_every_point(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, folder: Path
) -> None:
    assert finished.returncode == 0
    found = json.loads(cimstudy("show", "results/toy.zarr", "--metric", "perplexity", "--json").stdout)
    with xr.open_zarr(folder / "results/toy.zarr") as ds:
        assert found["points"] == json.loads(json.dumps(shown(ds, "perplexity").document))["points"]
    known = {"study": "toy", "metric": "perplexity", "units": "1", "better": "lower", "reference": 20.0}
    assert {name: found[name] for name in known} == known


def test_show_with_a_limit_prints_the_yield(finished: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    assert finished.returncode == 0
    found = cimstudy("show", "results/toy.zarr", "--metric", "perplexity", "--at-most", "25")
    assert " 100 %   39.8 % to 100 % " in found.stdout
    assert all(len(line) <= 80 for line in found.stdout.splitlines())


def test_compare_prints_differences_and_verdicts(finished: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    assert finished.returncode == 0
    command = ("compare", "results/toy.zarr", "--metric", "perplexity", "--to", "adc_bits=8", "--margin", "0.5")
    found = cimstudy(*command)
    assert found.stdout.startswith("perplexity, minus that at adc_bits=8\n")
    assert found.stdout.count("undecided") == 6  # of four chips
    answer = json.loads(cimstudy(*command, "--json").stdout)
    assert [point["n"] for point in answer["points"]] == [4] * 6
    assert answer["points"][0]["difference"] == pytest.approx(4800 / 4**5 - 4800 / 4**8)
    digital = json.loads(
        cimstudy("compare", "results/toy.zarr", "--metric", "perplexity", "--to", "digital", "--json").stdout
    )
    assert digital["to"] == "digital"


def test_pareto_prints_the_front(finished: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    assert finished.returncode == 0
    command = ("pareto", "results/toy.zarr", "--metric", "perplexity", "--metric", "energy:lower", "--resamples", "20")
    assert cimstudy(*command).stdout.startswith("Pareto front of perplexity and energy per token (1e-6 J)\n")
    answer = json.loads(cimstudy(*command, "--json").stdout)
    assert [(point["adc_bits"], point["probability"]) for point in answer["points"]] == [(8, 1.0), (6, 1.0), (5, 1.0)]


def test_sensitivity_of_too_few_points_is_refused_in_one_line(
    finished: subprocess.CompletedProcess[str], cimstudy: Run
) -> None:
    assert finished.returncode == 0
    found = cimstudy("sensitivity", "results/toy.zarr", "--metric", "perplexity")
    assert (found.returncode, found.stderr) == (2, "cimstudy: 6 points have a result; sensitivity needs 8 or more\n")


def test_export_writes_the_file_it_names(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, folder: Path
) -> None:
    assert finished.returncode == 0
    for name in ("toy.csv", "toy.nc"):
        assert cimstudy("export", "results/toy.zarr", name).stdout == f"{name}\n"
        assert (folder / name).stat().st_size > 0
    assert len((folder / "toy.csv").read_text().splitlines()) == 1 + 6 * 4


def test_plot_writes_the_file_it_names(finished: subprocess.CompletedProcess[str], cimstudy: Run, folder: Path) -> None:
    assert finished.returncode == 0
    by_default = cimstudy("plot", "results/toy.zarr", "--metric", "perplexity")
    assert (by_default.returncode, by_default.stdout, by_default.stderr) == (0, "toy-perplexity.png\n", "")
    assert (folder / "toy-perplexity.png").read_bytes().startswith(b"\x89PNG")
    choices = ["--x", "adc_bits", "--hue", "programming_std", "--select", "adc_bits=5", "--select", "adc_bits=8"]
    chosen = cimstudy("plot", "results/toy.zarr", *choices, "-o", "figures/new.svg")
    assert (chosen.returncode, chosen.stdout) == (0, "figures/new.svg\n")
    assert "<svg" in (folder / "figures/new.svg").read_text()


def test_a_dry_run_says_what_a_run_would_do_and_writes_nothing(cimstudy: Run, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    found = cimstudy("run", "toy.py", "--dry-run", "--trials", "10", "--store", "never.zarr", "--workers", "2")
    assert found.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in found.stdout.splitlines())
    assert list(lines) == ["store", "points", "trials", "cases", "blocks", "time", "size"]
    assert lines["store"] == "never.zarr"
    assert lines["points"] == "6"
    assert lines["trials"] == "10 chips at each point"
    assert lines["cases"] == "60: 0 done, 0 failed, 60 to do"
    assert "for one case, timed just now" in lines["time"]
    assert [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]


def test_a_dry_run_counts_what_the_store_holds(failing: subprocess.CompletedProcess[str], cimstudy: Run) -> None:
    assert failing.returncode == 1
    changes = ["--set", "workload.broken=4", "--trials", "10", "--store", "failing.zarr"]
    found = cimstudy("run", "toy.py", "--dry-run", *changes)
    assert "cases    60: 12 done, 24 failed, 24 to do\n" in found.stdout


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_ctrl_c_has_status_130_and_the_line_it_prints_goes_on(cimstudy: Run, folder: Path) -> None:
    line = [sys.executable, "-m", "cimstudy", "run", "slow.py", "--workers", "1"]
    with subprocess.Popen(line, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        wait_for_a_result(cimstudy, deadline=time.monotonic() + 90)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    resume = "cimstudy run slow.py --workers 1 --store results/slow.zarr"
    assert said.splitlines()[-1] == f"cimstudy: interrupted; to go on: {resume}"
    assert "Traceback" not in said
    left = cimstudy("status", "results/slow.zarr").stdout
    assert "pending  0 " not in left
    assert cimstudy(*resume.split()[1:], "--quiet").returncode == 0
    assert "done     40 of 40 cases" in cimstudy("status", "results/slow.zarr").stdout


def wait_for_a_result(cimstudy: Run, deadline: float) -> None:
    """Return once the slow study has stored a case."""
    while time.monotonic() < deadline:
        found = cimstudy("status", "results/slow.zarr")
        if found.returncode == 0 and "done     0 of" not in found.stdout:
            return
        time.sleep(0.5)
    pytest.fail("no case was stored in time")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("rnu", "No such command 'rnu'"),
        ("run", "Missing argument 'STUDY.py' (see `cimstudy run --help`)"),
        ("run toy.py --wrokers 3", "No such option: --wrokers"),
        ("run toy.py --workers 0", "Invalid value for '--workers'"),
        ("run toy.py --trials many", "Invalid value for '--trials'"),
        ("run toy.py more", "unexpected extra argument"),
        ("run nowhere.py", "nowhere.py cannot be read (No such file or directory)"),
        ("run broken.py", "broken.py, line 1: ZeroDivisionError: division by zero"),
        ("run empty.py", "empty.py defines no `study`"),
        ("run toy.py --set crossbar.rows", "'crossbar.rows': need NAME=VALUE, such as crossbar.adc.bits=6"),
        ("run toy.py --set crossbar.rows=-6", "crossbar.rows = -6: should be greater than or equal to 1"),
        (
            "run toy.py --set crossbar.adc.bist=6",
            "crossbar.adc.bist: 'bist' is unknown; Adc has: bits, range, percentile",
        ),
        ("run toy.py --set crossbar.adc.bits=6", "--set crossbar.adc.bits: this study sweeps crossbar.adc.bits"),
        ("run toy.py --set workload.token=6", "workload.token: 'token' is unknown; Toy has: tokens, broken"),
        ("run toy.py --set workload=6", "--set workload: the workload Toy has no such field"),
        ("run slow.py --set workload.time=6", "--set workload.time: the workload slow has no such field"),
        ("run toy.py --store text.zarr", "text.zarr"),
        ("run toy.py --set device.g_max=1", "device.g_max"),
        ("status nowhere.zarr", "nowhere.zarr is not a store of results"),
        ("show nowhere.zarr", "nowhere.zarr is not a store of results"),
        ("show results/toy.zarr --metric accuracy", "unknown metric 'accuracy'; this study has: "),
        ("plot nowhere.zarr", "nowhere.zarr is not a store of results"),
        ("report nowhere.zarr", "nowhere.zarr is not a store of results"),
        ("report results/toy.zarr -o x.pdf", "cannot write a report to 'x.pdf': allowed are names that end in .html"),
        ("plot nowhere.zarr pie", "unknown kind of plot 'pie'; allowed: line, heatmap, layers, drift, breakdown, "),
        ("plot nowhere.zarr heatmap --hue a", "a plot of kind heatmap takes no hue; it takes: metric, x, y, select"),
        ("plot results/toy.zarr layers", "perplexity has no axis `layer`; metrics that have one: none"),
        ("plot results/toy.zarr drift", "drift needs an axis of time, such as workload.time; this study has: "),
        ("plot results/toy.zarr --x bits", "unknown axis 'bits'; this study has: programming_std, adc_bits"),
        ("plot results/toy.zarr --hue bits", "unknown axis 'bits'; this study has: programming_std, adc_bits"),
        ("plot results/toy.zarr --select adc_bits", "'adc_bits': need NAME=VALUE"),
        ("plot results/toy.zarr --select adc_bits=7", "adc_bits has no value 7; there are: 5, 6, 8"),
        (
            "plot results/toy.zarr -o x.gif",
            "cannot write a plot to 'x.gif': allowed are names that end in .png, .svg, .pdf",
        ),
        ("plot results/toy.zarr -o text.zarr/x.png", "text.zarr: "),
        ("presets show pcm", "unknown preset 'pcm'; known: "),
        ("presets shw", "No such command 'shw'"),
    ],
)
def test_bad_input_has_status_2_and_one_line(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, arguments: str, message: str
) -> None:
    assert finished.returncode == 0
    found = cimstudy(*arguments.split())
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("cimstudy: ")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_presets_lists_every_preset(cimstudy: Run) -> None:
    bare, listed = cimstudy("presets"), cimstudy("presets", "list")
    assert (bare.returncode, bare.stdout) == (listed.returncode, listed.stdout)
    first = [line[0] for line in words(listed.stdout) if line]
    assert {preset.name for preset in presets()} <= set(first)


def test_presets_show_prints_each_value_with_source_and_confidence(cimstudy: Run) -> None:
    found = cimstudy("presets", "show", "pcm-hermes-1dev")
    preset = load_preset("pcm-hermes-1dev")
    assert found.returncode == 0
    assert found.stdout.startswith(f"{preset.name} ({preset.kind}): {preset.summary}\n")
    lines = [line for line in words(found.stdout) if len(line) > 2 and line[-1].startswith("[")]
    sourced = [row for row in preset_rows(preset) if row[-1] != "-"]
    for line, (path, _, _, *trust) in zip(lines, sourced, strict=True):
        assert path.startswith(line[0])
        assert line[-2:] == trust
    for number, source in enumerate(cited(preset), start=1):
        assert f"[{number}] {source}\n" in found.stdout


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_each_value_of_a_preset_has_the_source_that_is_nearest_to_it(preset: Preset) -> None:
    rows = list(preset_rows(preset))
    for path, _, _, confidence, number in rows:
        around = [field for field in preset.sources if f"{path}.".startswith(f"{field}.")]
        source = preset.sources.get(max(around, key=len, default="values"))
        said = ("-", "-") if source is None else (source.confidence, f"[{cited(preset).index(source.source) + 1}]")
        assert (confidence, number) == said
    for field in preset.sources.keys() - {"values"}:
        assert any(f"{path}.".startswith(f"{field}.") for path, *_ in rows)


@pytest.mark.parametrize(
    "arguments", ["presets", "presets show neurram", "show results/toy.zarr", "status results/toy.zarr"]
)
def test_what_is_piped_fits_80_columns_and_has_no_colours(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, arguments: str
) -> None:
    assert finished.returncode == 0
    found = cimstudy(*arguments.split())
    assert found.returncode == 0
    assert "\x1b" not in found.stdout
    table_lines = [line for line in found.stdout.splitlines() if not line.startswith(("[", "neurram (hardware)"))]
    assert max(map(len, table_lines)) <= 80


def test_a_bare_command_prints_help(cimstudy: Run) -> None:
    found = cimstudy()
    assert (found.returncode, found.stderr) == (0, "")
    assert "Usage: cimstudy [OPTIONS] COMMAND [ARGS]..." in found.stdout
    assert found.stdout == cimstudy("--help").stdout


def test_the_version_is_the_installed_one(cimstudy: Run) -> None:
    assert cimstudy("--version").stdout == f"cimstudy {version('cimstudy')}\n"


@pytest.mark.parametrize("arguments", ["--help", "run --help", "presets", "presets show ideal"])
def test_help_and_presets_import_nothing_slow(cimstudy: Run, arguments: str) -> None:
    found = cimstudy(*arguments.split(), python=("-X", "importtime"))
    assert found.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "cimstudy.cli" in imported
    assert not imported & {"distributed", "dask", "matplotlib", "numba", "numpy", "scipy", "xarray", "zarr"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=6", 6),
        ("a.b=1e-6", 1e-6),
        ("a.b=null", None),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b=pcm-joshi", "pcm-joshi"),
        ('a.b="6"', "6"),
        ("a.b=x=y", "x=y"),
        ("a.b=", ""),
    ],
)
def test_a_value_is_read_as_json_or_else_as_text(text: str, value: object) -> None:
    assert assignment(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["a.b", "=6", ""])
def test_an_assignment_without_a_name_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"need NAME=VALUE, such as crossbar\.adc\.bits=6$"):
        assignment(text)


@pytest.mark.parametrize(
    ("name", "expected"), [("a b/c", "a-b-c"), ("../x", "x"), ("reram-1.2_x", "reram-1.2_x"), ("//", "study")]
)
def test_a_study_name_becomes_a_file_name(name: str, expected: str) -> None:
    assert file_name(name) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (119, "119 s"), (121, "0 h 02 min"), (3600, "1 h 00 min"), (90_000, "25 h 00 min")],
)
def test_durations_are_seconds_or_hours_and_minutes(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_inspect_shows_what_runs_where(cimstudy: Run) -> None:
    done = cimstudy("inspect", "bundled", "--hardware", "sliced-128", "--set", "crossbar.rows=64")
    assert done.returncode == 0
    assert ["layers.0.attention.q", "192", "x", "192", "crossbar", "24", "75", "%"] in words(done.stdout)
    assert "digital: scores, softmax, values, activation, embeddings, norm" in done.stdout
    as_json = json.loads(cimstudy("inspect", "bundled", "--json").stdout)
    assert as_json[0]["name"] == "layers.0.attention.q"
    assert cimstudy("inspect", "/nowhere").returncode == 2


def test_report_writes_one_page_whose_study_computes_the_same_again(
    finished: subprocess.CompletedProcess[str], cimstudy: Run, folder: Path
) -> None:
    assert finished.returncode == 0
    done = cimstudy("report", "results/toy.zarr", "-o", "pages/toy.html")
    assert (done.returncode, done.stdout) == (0, "pages/toy.html\n")
    text = (folder / "pages/toy.html").read_text()
    assert "cimstudy run study.json --store again.zarr" in text
    (link,) = re.findall(r'href="data:application/json;charset=utf-8,([^"]*)"', text)
    (folder / "study.json").write_text(unquote(link))
    again = cimstudy("run", "study.json", "--store", "again.zarr", "--workers", "1", "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    with xr.open_zarr(folder / "results/toy.zarr") as one, xr.open_zarr(folder / "again.zarr") as other:
        assert one.attrs["study_hash"] == other.attrs["study_hash"]
        xr.testing.assert_equal(one["perplexity"], other["perplexity"])


def test_verify_says_what_it_has_looked_at_and_leaves_with_1_for_a_defect(
    cimstudy: Run, finished: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert finished.returncode == 0
    shutil.copytree(folder / "results/toy.zarr", folder / "damaged.zarr")
    options = ("--study", "toy.py", "--workers", "1", "--sample", "6")
    sound = cimstudy("verify", "damaged.zarr", *options)
    assert sound.returncode == 0, sound.stderr
    assert sound.stdout.splitlines()[-2:] == ["again    6 cases computed", "defects  0"]
    energy = zarr.open_array(folder / "damaged.zarr/energy")
    energy[:] = 2 * energy[:]
    damaged = cimstudy("verify", "damaged.zarr", *options)
    assert damaged.returncode == 1
    lines = damaged.stdout.splitlines()
    assert lines[-7] == "defects  6"
    assert lines[-6].startswith("defect: programming_std=0.02, adc_bits=5, trial ")
    assert lines[-6].endswith(": energy is 9.999999999999999e-06, computed again 4.9999999999999996e-06")
    document = json.loads(cimstudy("verify", "damaged.zarr", *options, "--json").stdout)
    assert [f"defect: {defect['where']}: {defect['what']}" for defect in document["defects"]] == lines[-6:]
    refused = cimstudy("verify", "damaged.zarr")
    assert refused.returncode == 2
    assert refused.stderr.endswith("a study file defines its workload (cimstudy verify --study FILE)\n")


def test_cluster_show_prints_the_job_script(cimstudy: Run, folder: Path) -> None:
    (folder / "slurm.yaml").write_text("kind: slurm\njobs: 3\nmemory: 2GB\nwalltime: '01:00:00'\nqueue: long\n")
    done = cimstudy("cluster", "show", "slurm.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# 3 jobs, each submitted by `sbatch` with\n#!")
    assert "#SBATCH -p long\n" in done.stdout
    (folder / "bad.yaml").write_text("kind: slurm\njobs: 3\nmemory: 2GB\n")
    done = cimstudy("cluster", "show", "bad.yaml")
    assert done.returncode == 2
    assert done.stderr == "cimstudy: bad.yaml: walltime: Field required\n"
