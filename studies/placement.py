"""Placement: which matrices of a small language model can go to analog arrays, how high these may be, how fine read.

The bundled model on ReRAM (rram-neurram) with the matrices of attention in crossbars, with those of the feed-forward
networks, with both, and with the output head, too, by the rows of an array and the resolution of its converters, on 8
chips each.

    cimstudy run studies/placement.py
    cimstudy plot results/placement.zarr heatmap --x crossbar_rows --y architecture --select adc_bits=8
"""

import cimstudy as cim

PLACES = {
    "attention": {"ffn": "digital", "head": "digital"},
    "feed-forward": {"projections": "digital", "head": "digital"},
    "both": {"head": "digital"},
    "all": {},
}

study = cim.Study(
    name="placement",
    workload=cim.workloads.LanguageModel(tokens=512),
    hardware=cim.Hardware(device="rram-neurram", crossbar="sliced-128"),
    space=cim.Grid(
        {
            "architecture": [cim.Architecture(name=name, placement=placed) for name, placed in PLACES.items()],
            "crossbar.rows": [64, 128, 256],
            "crossbar.adc.bits": [5, 8],
        }
    ),
    trials=8,
)
