"""Quickstart: how much cell variation, and how coarse a converter, a small language model tolerates.

The bundled model on ReRAM-like crossbars: programming error (as a fraction of the conductance range) by the resolution
of the output converter, on 8 chips each. `cimstudy run studies/quickstart.py`
"""

import cimstudy as cim
from cimstudy.hardware import NormalOfRange

device = cim.Device(name="reram-like", technology="ReRAM", g_max=40e-6, programming=NormalOfRange(std=0))

study = cim.Study(
    name="quickstart",
    workload=cim.workloads.LanguageModel(model="bundled", text="bundled", tokens=1024),
    hardware=cim.Hardware(device=device, crossbar="sliced-128"),
    space=cim.Grid({"device.programming.std": [0, 0.01, 0.02, 0.04], "crossbar.adc.bits": [4, 5, 6, 8]}),
    trials=8,
)
