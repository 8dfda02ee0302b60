"""Time and memory of a whole model on one chip, beside the work that it cannot avoid, on one core.

    python scripts/bench_model.py > model.json                  # a model of GPT-2 small's shape, 124 M weights
    python scripts/bench_model.py --out-of-core > large.json    # a model of 1.3 B weights that stays in its file
    python scripts/bench_model.py --two-workers > spread.json   # the same model on two workers, beside out of core

Weights are random and written to a temporary folder. Hardware: 8-bit weights in 4 slices of 2 bits, differential, 128
rows, 8-bit inputs at once, 8-bit ADC (configuration (d) of bench_matmul.py), programming error. A row's `seconds` cover
reading, programming and one forward pass; `limit_seconds` is what they need at least, each measured apart: reading the
file once, drawing as many float32 normals as there are cells with NumPy, and just the matrix products at the tile
height. `peak_bytes` is the largest resident memory of the process that did it.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_common import report  # isort: skip - pins threads before NumPy loads
import numpy as np
from bench_peers import aihwkit_layer

from cimstudy import analog
from cimstudy.hardware import Adc, Crossbar, Device, Differential, Hardware, NormalOfTarget
from cimstudy.transformer import load_model, program
from cimstudy.transformer.checkpoint import ADAPTERS, read_config
from cimstudy.transformer.config import digital_shapes, matrix_shapes

HARDWARE = Hardware(
    device=Device(programming=NormalOfTarget(std=0.05)),
    crossbar=Crossbar(weights=Differential(bits=8, slice_bits=2), adc=Adc(range="full")),
)
GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
LARGE = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5504,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "max_position_embeddings": 2048,
}
DRAWS = 2**26  # normals of a timed sample


def write_checkpoint(folder: Path, config: dict[str, Any]) -> None:
    """A checkpoint of random float16 weights, written tensor by tensor."""
    (folder / "config.json").write_text(json.dumps(config))
    ours, adapter = read_config(folder), ADAPTERS[config["model_type"]]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in {**digital_shapes(ours), **matrix_shapes(ours)}.items():
        if name == "head" and ours.tied_embeddings:
            continue
        source = adapter.source(name, ours.head)
        outputs, *inputs = shape[::-1] if name in matrix_shapes(ours) else shape
        before = shapes.get(source.tensor, (0,))[0]
        shapes[source.tensor] = (before + outputs, *inputs)  # several of our weights may lie in one tensor
    flat = {
        tensor: shape[::-1] if adapter.inputs_first and ".h." in tensor else shape for tensor, shape in shapes.items()
    }
    header, end = {}, 0
    for tensor, shape in flat.items():
        header[tensor] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + 2 * math.prod(shape)]}
        end += 2 * math.prod(shape)
    text = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in flat.values():
            values = rng.standard_normal(shape, dtype=np.float32)
            file.write(
                (values * shape[-1] ** -0.5 if len(shape) > 1 else 1 + 0.1 * values).astype(np.float16).tobytes()
            )


def chip_seconds(folder: Path, tokens: int, *, chunked: bool) -> dict[str, Any]:
    """Read, program, and run one sequence, in this process."""
    analog.program_matrix(np.ones((130, 70), np.float32), HARDWARE, 0).matmul(np.ones((2, 130), np.float32))  # compiles
    text = np.random.default_rng(1).integers(0, 1000, (1, tokens))
    start = time.perf_counter()
    model = load_model(folder, in_memory=not chunked)
    loaded = time.perf_counter()
    chip = program(model, HARDWARE, chunks=2**28 if chunked else None)
    programmed = time.perf_counter()
    logits = chip.logits(text)
    end = time.perf_counter()
    return {
        "seconds": round(end - start, 2),
        "loading_seconds": round(loaded - start, 2),
        "programming_seconds": round(programmed - loaded, 2),  # out of core: ranges only
        "forward_seconds": round(end - programmed, 2),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "checksum": float(np.abs(logits).sum()),
    }


def limit_seconds(folder: Path, tokens: int) -> dict[str, float]:
    """What cannot be avoided: reading, draws, matrix products."""
    config = read_config(folder)
    shapes = list(matrix_shapes(config).values())
    reading = timed(lambda: read_through(folder / "model.safetensors"))
    cells = 2 * HARDWARE.crossbar.weights.slices * sum(math.prod(shape) for shape in shapes)
    generator, z = np.random.Generator(np.random.SFC64(0)), np.empty(DRAWS, np.float32)
    draws = timed(lambda: generator.standard_normal(out=z, dtype=np.float32)) * cells / DRAWS
    products = sum(timed(passes(shape, tokens)) * shapes.count(shape) for shape in sorted(set(shapes)))
    return {"reading": round(reading, 2), "draws": round(draws, 2), "products": round(products, 2)}


def read_through(path: Path) -> None:
    """Read a file from its beginning to its end."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(2**24)
        while file.readinto(buffer):
            pass


def passes(shape: tuple[int, int], tokens: int) -> Callable[[], None]:
    """The matrix products that one matrix needs, at the tile height."""
    tiles = analog.row_tiles(shape[0], HARDWARE.crossbar.rows)
    plane = np.random.default_rng(0).standard_normal((tiles[0].stop, shape[1]), dtype=np.float32)
    inputs = np.random.default_rng(0).standard_normal((tokens, tiles[0].stop), dtype=np.float32)
    out = np.empty((tokens, shape[1]), np.float32)

    def products() -> None:
        for _ in range(len(tiles) * HARDWARE.crossbar.weights.slices):
            np.matmul(inputs, plane, out=out)

    return products


def timed(call: Callable[[], Any]) -> float:
    """Seconds of a call, after a first one that warms up; the faster of two."""
    call()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def beside(folder: Path, tokens: int) -> dict[str, float | str]:
    """The digital forward pass in NumPy, and in torch if the `transformers` library is there."""
    model, text = load_model(folder), np.random.default_rng(1).integers(0, 1000, (1, tokens))
    found: dict[str, float | str] = {"numpy_seconds": round(timed(lambda: model.logits(text)), 2)}
    try:
        import torch  # noqa: PLC0415
        from transformers import AutoModelForCausalLM  # noqa: PLC0415
    except ImportError:
        return found | {"torch_seconds": "not installed"}
    torch.set_num_threads(1)
    peer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return found | {"torch_seconds": round(timed(lambda: peer(torch.as_tensor(text)).logits), 2)}


def aihwkit_seconds(folder: Path, tokens: int) -> float | str:
    """The same matrices in aihwkit's inference tiles, if it is installed: programmed once and multiplied once.

    One PCM pair a weight (it has no slices) in tiles of 128 rows, inputs and outputs of 8 bits, no output noise; what
    lies between the products is left out.
    """
    try:
        import torch  # noqa: PLC0415

        aihwkit_layer(1, 1)
    except ImportError:
        return "not installed"
    torch.set_num_threads(1)
    shapes = list(matrix_shapes(read_config(folder)).values())
    total = 0.0
    for n_in, n_out in sorted(set(shapes)):
        x = torch.randn(tokens, n_in)
        with torch.no_grad():
            layer = aihwkit_layer(n_in, n_out)
            start = time.perf_counter()
            layer.program_analog_weights()
            layer(x)
        total += (time.perf_counter() - start) * shapes.count((n_in, n_out))
    return round(total, 2)


def row(name: str, config: dict[str, Any], tokens: int, *, chunked: bool) -> dict[str, Any]:
    """One model: measured in a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_checkpoint(folder, config)
        command = [sys.executable, __file__, "--child", scratch, "--tokens", str(tokens), *["--chunked"] * chunked]
        child = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very script
        found = json.loads(child.stdout)
        parts = limit_seconds(folder, tokens)
        peers = {} if chunked else beside(folder, tokens) | {"aihwkit_seconds": aihwkit_seconds(folder, tokens)}
        weights = sum(math.prod(shape) for shape in matrix_shapes(read_config(folder)).values())
    limit = sum(parts.values())
    ratio = round(found["seconds"] / limit, 3)
    return {
        "model": name,
        "weights": weights,
        "tokens": tokens,
        "ratio": ratio,
        "limit_seconds": parts,
        **found,
        **peers,
    }


def spread_row(tokens: int) -> dict[str, Any]:
    """The large model with one pair of cells a weight, which two workers can hold: the same logits, bit for bit."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    hardware = HARDWARE.replace("crossbar.weights", Differential(bits=8))
    text = np.random.default_rng(1).integers(0, 1000, (1, tokens))
    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(Path(scratch), LARGE)
        model = load_model(scratch, in_memory=False)
        start = time.perf_counter()
        alone = program(model, hardware, chunks=2**28).logits(text)
        seconds = time.perf_counter() - start
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            start = time.perf_counter()
            spread = program(model, hardware, chunks=2**28, client=client).logits(text)
            spread_seconds = time.perf_counter() - start
            peaks = client.run(lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return {
        "model": "llama-shaped, 1.3 B, two workers",
        "tokens": tokens,
        "identical": bool(np.array_equal(alone, spread)),
        "out_of_core_seconds": round(seconds, 2),
        "two_workers_seconds": round(spread_seconds, 2),
        "worker_peak_bytes": sorted(peaks.values()),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out-of-core", action="store_true", help="the model of 1.3 B weights")
    parser.add_argument("--two-workers", action="store_true", help="that model on two workers")
    parser.add_argument("--tokens", type=int, help="of the sequence; default 512, out of core 128")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--chunked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(chip_seconds(Path(options.child), options.tokens, chunked=options.chunked)))
    elif options.two_workers:
        report([spread_row(options.tokens or 128)])
    elif options.out_of_core:
        report([row("llama-shaped, 1.3 B", LARGE, options.tokens or 128, chunked=True)])
    else:
        report([row("gpt2-small-shaped", GPT2, options.tokens or 512, chunked=False)])


if __name__ == "__main__":
    main()
