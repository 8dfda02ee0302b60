"""Technologies: one network on every memory that there is a preset of, with accuracy and cost side by side.

The bundled model with 8-bit weights in slices of 2 bits, on 4 chips of each device.

    cimstudy run studies/technologies.py
    cimstudy plot results/technologies.zarr pareto --metric perplexity --x programming_energy
"""

import cimstudy as cim
from cimstudy.hardware import presets

study = cim.Study(
    name="technologies",
    workload=cim.workloads.LanguageModel(tokens=256, cost=cim.workloads.Costing(prefill=64, decode=64, gpus=())),
    hardware=cim.Hardware(crossbar="sliced-128"),
    space=cim.Grid({"device": [preset.name for preset in presets() if preset.kind == "device"]}),
    trials=4,
)
