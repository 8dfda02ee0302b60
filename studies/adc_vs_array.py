"""ADC against array: how fine converters have to be, and how high arrays, for accuracy at the least energy.

The bundled model on ReRAM (rram-neurram) with inputs bit by bit, over the resolution of the converters, the rows of an
array and the bits of a cell, on 2 chips each; keys and values are in buffers, and digital units as small as the model
needs. Each point has the perplexity of its chips and the energy of a token in the same dataset; the densities of inputs
and weights that energies depend on are those of the same run.

    cimstudy run studies/adc_vs_array.py
    cimstudy plot results/adc-vs-array.zarr pareto --metric perplexity --x energy_per_token
    cimstudy plot results/adc-vs-array.zarr breakdown --metric energy --select crossbar_rows=128 --select phase=decode \
        --select weights_slice_bits=2
"""

import cimstudy as cim
from cimstudy.hardware import KeyValues, Logic

SMALL = cim.Architecture(name="small", kv=KeyValues(location="buffer"), logic=Logic(macs=128, lanes=16))

study = cim.Study(
    name="adc-vs-array",
    workload=cim.workloads.LanguageModel(
        tokens=128, cost=cim.workloads.Costing(prefill=64, decode=64, breakdown=True, gpus=())
    ),
    hardware=cim.Hardware(device="rram-neurram", crossbar="bit-serial-128", architecture=SMALL),
    space=cim.Grid(
        {
            "crossbar.adc.bits": [4, 5, 6, 7, 8],
            "crossbar.rows": [64, 128, 256],
            "crossbar.weights.slice_bits": [1, 2, 4],
        }
    ),
    trials=2,
)
