"""cimstudy: what happens to a transformer when its matrix products run inside memory.

    import cimstudy as cim

    study = cim.Study(
        name="reram-variation",
        workload=cim.workloads.LanguageModel(tokens=2048),
        hardware=cim.Hardware(device=cim.preset("rram-neurram")),
        space=cim.Grid({"crossbar.adc.bits": [5, 6, 7, 8]}),
        trials=16,
    )
    ds = study.run("results/reram.zarr")

Names are imported when first used, so that the command line answers at once. The accessor `ds.cim` comes with `Study`
and `open_results`, or with `import cimstudy.analysis`.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cimstudy import analog as analog
    from cimstudy import hardware as hardware
    from cimstudy import transformer as transformer
    from cimstudy import workloads as workloads
    from cimstudy.errors import InputError as InputError
    from cimstudy.hardware import Architecture as Architecture
    from cimstudy.hardware import Crossbar as Crossbar
    from cimstudy.hardware import Device as Device
    from cimstudy.hardware import Hardware as Hardware
    from cimstudy.hardware import preset as preset
    from cimstudy.hardware import presets as presets
    from cimstudy.study import Axis as Axis
    from cimstudy.study import Grid as Grid
    from cimstudy.study import LatinHypercube as LatinHypercube
    from cimstudy.study import Points as Points
    from cimstudy.study import Range as Range
    from cimstudy.study import Sobol as Sobol
    from cimstudy.study import Study as Study
    from cimstudy.study import Trials as Trials
    from cimstudy.study import Zip as Zip
    from cimstudy.study import open_results as open_results
    from cimstudy.transformer import load_model as load_model
    from cimstudy.transformer import program as program

_ROOMS = {
    "Architecture": "hardware",
    "Axis": "study",
    "Crossbar": "hardware",
    "Device": "hardware",
    "Grid": "study",
    "Hardware": "hardware",
    "InputError": "errors",
    "LatinHypercube": "study",
    "Points": "study",
    "Range": "study",
    "Sobol": "study",
    "Study": "study",
    "Trials": "study",
    "Zip": "study",
    "analog": None,
    "load_model": "transformer",
    "open_results": "study",
    "preset": "hardware",
    "presets": "hardware",
    "program": "transformer",
    "workloads": None,
}
_OTHER_ROOMS = {"analysis", "cost", "hardware", "study", "transformer"}  # `cim.hardware.TopKAttention`

__all__ = list(_ROOMS)
__version__ = metadata.version("cimstudy")


def __getattr__(name: str) -> Any:
    if name in _OTHER_ROOMS:
        return import_module(f"cimstudy.{name}")
    if name not in _ROOMS:
        raise AttributeError(f"module 'cimstudy' has no attribute {name!r}; it has: {', '.join(_ROOMS)}")
    room = _ROOMS[name]
    if room == "study":
        import_module("cimstudy.analysis")  # registers the accessor `ds.cim` on what studies return
    value = import_module(f"cimstudy.{name}") if room is None else getattr(import_module(f"cimstudy.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
