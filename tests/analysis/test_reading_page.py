"""Every example of docs/reading.md runs, on stores of real studies of a closed form."""

import re
from pathlib import Path

import pytest

from cimstudy.study import load_study

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
STUDY = '''
import numpy as np

from cimstudy.hardware import Device, Hardware, NormalOfRange, Part
from cimstudy.metric import Metric
from cimstudy.study import Grid, Sobol, Study


class Toy(Part):
    """A perplexity and an energy in closed form. One chip fails."""

    @property
    def metrics(self):
        perplexity = Metric(long_name="perplexity", better="lower")
        return {"perplexity": perplexity, "energy": Metric(long_name="energy per token", units="J")}

    def reference(self):
        return {"perplexity": 20.0}

    def __call__(self, hardware, *, seed, trial):
        std, bits = hardware.device.programming.std, hardware.crossbar.adc.bits
        if trial == 3 and bits == 5:
            raise ValueError("this chip is broken")
        chip = np.random.default_rng([seed, trial]).standard_normal()
        return {"perplexity": 20 + 4000 * std**2 + 4800 / 4**bits + (0.1 + 40 * std) * chip, "energy": 1e-6 * bits}


spaces = {
    "bits": Grid({"device.programming.std": [0.0, 0.01, 0.02], "crossbar.adc.bits": [5, 6, 8]}),
    "sampled": Sobol({"device.programming.std": (0.0, 0.02), "crossbar.adc.bits": (5, 8, "integer")}, n=32),
}
hardware = Hardware(device=Device(programming=NormalOfRange(std=0.0)))
study = Study(name="NAME", workload=Toy(), hardware=hardware, space=spaces["NAME"], trials=8)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two stores that the page reads."""
    path = tmp_path_factory.mktemp("page")
    for name in ("bits", "sampled"):
        file = path / f"{name}.py"
        file.write_text(STUDY.replace("NAME", name))
        load_study(file).run(path / "results" / f"{name}.zarr", workers=1, progress=False)
    return path


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs_to_its_end(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if "SALib" in BLOCKS[number]:
        pytest.importorskip("SALib")
    monkeypatch.chdir(folder)
    scope: dict[str, object] = {}
    exec(compile(BLOCKS[number], str(PAGE), "exec"), scope)  # noqa: S102 - the examples are ours
    if "claims" in scope:
        assert set(scope["claims"].verdict.values.ravel().tolist()) >= {"worse", "equivalent"}
    if "trajectories" in scope:
        assert len(scope["space"]) > 4
