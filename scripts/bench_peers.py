"""The same layers in aihwkit's inference tiles and in our crossbars, on one core.

    python scripts/bench_peers.py > peers.json

Needs aihwkit 1.1.0 beside cimstudy (its wheel needs torch 2.10, so it wants an environment of its own); without it the
result says so. Both have one PCM pair a weight with programming errors, 128 rows an array, inputs scaled by each
vector's largest and 8-bit converters. `torch` is aihwkit's tile in torch, `compiled` that in C++.

`ratio` is aihwkit's time over ours, `sliced_ratio` over ours with each weight in 4 slices, which aihwkit does not have.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from bench_common import medians, report  # isort: skip - pins threads before NumPy loads

import numpy as np

from cimstudy import analog
from cimstudy.hardware import Adc, Crossbar, Differential, Hardware

if TYPE_CHECKING:
    from aihwkit.nn import AnalogLinear

SHAPES = [(768, 768), (768, 3072)]
BATCHES = [64, 512]
TILES = ("torch", "compiled")
WRITTEN = Hardware(device="pcm-nandakumar").replace("device.drift", None).replace("device.read_noise", None)
OURS = [
    WRITTEN.replace("crossbar", Crossbar(weights=coding, adc=Adc(range=12.0)))
    for coding in (Differential(), Differential(slice_bits=2))
]


def aihwkit_layer(n_in: int, n_out: int, tile: str = "torch") -> "AnalogLinear":
    """A layer of aihwkit: arrays of 128 rows, 8-bit converters, no noise of outputs. ImportError without aihwkit."""
    from aihwkit.nn import AnalogLinear  # noqa: PLC0415 - a peer that need not be there
    from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig  # noqa: PLC0415
    from aihwkit.simulator.parameters.enums import BoundManagementType  # noqa: PLC0415

    config = TorchInferenceRPUConfig() if tile == "torch" else InferenceRPUConfig()
    config.mapping.max_input_size, config.mapping.max_output_size = 128, 0
    config.mapping.weight_scaling_omega = 1.0
    config.forward.inp_res = config.forward.out_res = 1 / 254
    config.forward.out_noise = 0.0
    config.forward.bound_management = BoundManagementType.NONE
    return AnalogLinear(n_in, n_out, bias=False, rpu_config=config).eval()


def rows_of(shape: tuple[int, int], tile: str, seconds: float) -> list[dict[str, Any]]:
    """Programming and products of one layer."""
    import torch  # noqa: PLC0415 - a peer

    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    w = rng.standard_normal(shape, dtype=np.float32)
    layer = aihwkit_layer(*shape, tile)
    layer.set_weights(torch.from_numpy(w.T.copy()))
    one, four = (analog.map_matrix(w, hardware) for hardware in OURS)
    with torch.no_grad():
        times = medians(layer.program_analog_weights, lambda: one.program(0), lambda: four.program(0), seconds=seconds)
        found = [row("program", shape, tile, 0, times)]
        for batch in BATCHES:
            x = rng.standard_normal((batch, shape[0]), dtype=np.float32)
            products = (
                partial(layer, torch.from_numpy(x)),
                partial(one.program(0).matmul, x),
                partial(four.program(0).matmul, x),
            )
            found.append(row("multiply", shape, tile, batch, medians(*products, seconds=seconds)))
    return found


def row(what: str, shape: tuple[int, int], tile: str, batch: int, times: list[float]) -> dict[str, Any]:
    """One line of the result. times : theirs, ours, ours with slices."""
    theirs, ours, sliced = times
    return {
        "what": what,
        "shape": list(shape),
        "tile": tile,
        "batch": batch,
        "aihwkit_seconds": theirs,
        "seconds": ours,
        "ratio": round(theirs / ours, 2),
        "sliced_seconds": sliced,
        "sliced_ratio": round(theirs / sliced, 2),
    }


def main() -> None:
    """Measure every layer, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="least time for each measured call")
    seconds = parser.parse_args().seconds
    try:
        report([found for shape in SHAPES for tile in TILES for found in rows_of(shape, tile, seconds)])
    except ImportError as error:
        report([{"what": "aihwkit", "missing": str(error)}])


if __name__ == "__main__":
    main()
