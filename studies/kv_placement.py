"""Where keys and values live: the energy of a token and the life of the cells, over the length of the context.

Llama-2-7B with its weights in FeFET arrays. Keys and values are in memory beside the chip (HBM, LPDDR), in buffers on
it, or in arrays of the same cells that are written at inference and multiply in place. Memory costs energy for every
token in sight; arrays wear out. Costs alone, without inference: `crossover` says from which context on memory costs
more than all products with weights.

    cimstudy run studies/kv_placement.py
    cimstudy plot results/kv-placement.zarr --metric energy_per_token --x workload_prefill --hue architecture
    cimstudy plot results/kv-placement.zarr --metric lifetime --x workload_prefill --select architecture=arrays
"""

import cimstudy as cim
from cimstudy.hardware import KeyValues, Placement

IN_ARRAYS = Placement(scores="dynamic-crossbar", values="dynamic-crossbar")
PLACES = {
    "HBM": cim.Architecture(name="HBM", kv=KeyValues(location="hbm", bits=8)),
    "LPDDR": cim.Architecture(name="LPDDR", kv=KeyValues(location="lpddr", bits=8)),
    "buffers": cim.Architecture(name="buffers", kv=KeyValues(location="buffer", bits=8)),
    "arrays": cim.Architecture(name="arrays", kv=KeyValues(location="array", bits=8), placement=IN_ARRAYS),
}

study = cim.Study(
    name="kv-placement",
    workload=cim.workloads.Cost(model="Llama-2-7B", decode=64, breakdown=True),
    hardware=cim.Hardware(device="fefet-neurosim21", crossbar="bit-serial-128"),
    space=cim.Grid(
        {
            "architecture": list(PLACES.values()),
            "workload.prefill": [128, 256, 512, 1024, 2048, 4032],
            "device.cost.endurance": [1e6, 1e8, 1e10],
        }
    ),
)
