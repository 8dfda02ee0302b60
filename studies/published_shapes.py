"""Published shapes: four findings of others about transformers on crossbars, asked of a small language model.

The bundled model on 4 chips for each point:
  mismatch  errors of each weight by a share of it (as ReTransformer reports them of BERT)
  where     errors of weights, of outputs, and of rounding inputs and outputs, beside the error that they make in a
            product (Rasch et al. 2023; NORA)
  operands  errors of writing keys and values at inference beside those of writing weights (ClipFormer)
  ranges    what a percentile of inputs and a scale for each column bring back (Lammie et al. 2024)

    cimstudy run studies/published_shapes.py
    python scripts/draw_shapes.py results/published_shapes.zarr published-shapes.png
"""

import cimstudy as cim
from cimstudy.hardware import Adc, Crossbar, Dac, Device, Differential, NormalOfRange, NormalOfTarget

ROUNDED = Differential(bits=8)
UNROUNDED = Differential(bits=None)
BARE = Crossbar(name="bare", weights=UNROUNDED, dac=None, adc=None)
READ = Crossbar(name="outputs read", weights=UNROUNDED, dac=None, adc=Adc(bits=8))
NOISY = Crossbar(name="outputs noisy", weights=UNROUNDED, dac=None, adc=Adc(bits=14, noise_std_of_range=0.0))
DRIVEN = Crossbar(name="inputs driven", weights=UNROUNDED, dac=Dac(bits=8), adc=None)
RANGED = Crossbar(name="ranged", weights=ROUNDED, dac=Dac(bits=6, range="calibrated", percentile=100), adc=Adc(bits=8))

OF_WEIGHT = Device(name="error of weight", programming=NormalOfTarget(std=0.0))
OF_RANGE = Device(name="error of range", programming=NormalOfRange(std=0.0))
PERFECT = Device(name="perfect")
ARRAYS = cim.Architecture(
    name="attention in arrays", placement={"scores": "dynamic-crossbar", "values": "dynamic-crossbar"}
)

SHARES = [0.0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6]
WRITTEN = [0.0, 0.01, 0.02, 0.04, 0.08, 0.16]

mismatch = cim.Grid({"device": [OF_WEIGHT], "device.programming.std": SHARES})
where = (
    cim.Grid({"device": [OF_RANGE], "device.programming.std": WRITTEN})
    + cim.Grid({"crossbar": [NOISY], "crossbar.adc.noise_std_of_range": [0.005, 0.01, 0.02, 0.04, 0.08]})
    + cim.Grid({"crossbar": [READ], "crossbar.adc.bits": [3, 4, 5, 6, 8]})
    + cim.Grid({"crossbar": [DRIVEN], "crossbar.dac.bits": [3, 4, 5, 6, 8]})
)
operands = cim.Grid({"architecture": [ARRAYS]}) * (
    cim.Grid({"device": [OF_RANGE], "device.programming.std": WRITTEN})
    + cim.Grid([cim.Axis("overrides.operands.device.programming.std", WRITTEN, name="operand_std")])
)
ranges = cim.Grid(
    {
        "crossbar": [RANGED],
        "crossbar.dac.percentile": [100, 99.99, 99.9, 99.5, 99, 98],
        "crossbar.weights.scale": ["matrix", "column"],
    }
)

study = cim.Study(
    name="published_shapes",
    workload=cim.workloads.LanguageModel(tokens=1024, by_layer=True),
    hardware=cim.Hardware(device=PERFECT, crossbar=BARE).override(
        "layers.*.attention.*s", name="operands", device=OF_RANGE
    ),
    space=mismatch + where + operands + ranges,
    trials=4,
)
