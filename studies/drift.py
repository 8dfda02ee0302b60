"""Drift: how a small language model ages in phase-change memory, and what compensation in digital brings back.

The bundled model in cells that lose conductance by a power law (pcm-nandakumar), from 20 s after programming (time 0)
to ten years, without compensation, with a factor for each array and with one for each column, on 8 chips each.

    cimstudy run studies/drift.py
    cimstudy plot results/drift.zarr drift -o drift.png
"""

import cimstudy as cim

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86400.0, 365.25 * 86400.0  # s

study = cim.Study(
    name="drift",
    workload=cim.workloads.LanguageModel(tokens=1024),
    hardware=cim.Hardware(device="pcm-nandakumar", crossbar="differential-128"),
    space=cim.Grid(
        {
            "workload.time": [0.0, MINUTE, HOUR, DAY, YEAR / 12, YEAR, 10 * YEAR],
            "architecture.drift_compensation": [None, "global", "per_column"],
        }
    ),
    trials=8,
)
