"""Architectures: every published accelerator that there is a preset of, on the shapes of BERT-base and GPT-2.

BERT-base reads 512 tokens; GPT-2 reads 512 and writes 128. Costs alone, without inference. Where an accelerator's
preset does not say where keys and values are, they stay in arrays that are written at inference, or else in buffers.
Whatever of a design has no coefficient is marked (`valid`, `invalid_reason`) and counted as the plain one.

    cimstudy run studies/architectures.py
    python studies/architectures.py results/architectures.zarr

The second command prints our figures beside the published ones, with their ratio.
"""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import xarray as xr

import cimstudy as cim
from cimstudy.cost import explained, model_shape
from cimstudy.hardware import Hardware, Preset, presets
from cimstudy.hardware.presets import Published

READ, WRITTEN = 512, 128
NETWORKS = {
    "workload.model": ["BERT-base", "GPT-2"],
    "workload.prefill": [READ, READ],
    "workload.decode": [0, WRITTEN],
}
ACCELERATORS = {preset.name: preset for preset in presets() if preset.kind == "hardware"}


def described(preset: Preset) -> Hardware:
    """The hardware of an accelerator, under its name."""
    hardware = preset.build()
    assert isinstance(hardware, Hardware)  # noqa: S101 - by its kind
    if "kv" not in preset.values.get("architecture", {}):  # noqa: PD011 - a preset's
        engines = vars(hardware.architecture.placement)
        kept = {engines["scores"], engines["values"]} <= {"dynamic-crossbar", "sram-cim"}
        hardware = hardware.replace("architecture.kv.location", "array" if kept else "buffer")
    return hardware.replace("architecture.name", preset.name)


def parts(preset: Preset) -> dict[str, Any]:
    """A point of the study."""
    hardware = described(preset)
    return {name: getattr(hardware, name) for name in Hardware.model_fields}


study = cim.Study(
    name="architectures",
    workload=cim.workloads.Cost(breakdown=True),
    space=cim.Points([parts(preset) for preset in ACCELERATORS.values()]) * cim.Zip(NETWORKS),
)

Figures = dict[str, Any]  # of an accelerator with a network, by metric


def operations(network: str) -> float:
    """Of reading a sequence."""
    shape = model_shape(network)
    pairs = READ * READ if not shape.causal else READ * (READ + 1) / 2
    return float(2 * (READ * shape.macs + pairs * shape.attention_macs))


def of_head(name: str) -> Callable[[Figures], float]:
    """What attention takes for a written token, of one head."""
    shape = model_shape("GPT-2")
    return lambda figures: float(figures[name]) / (WRITTEN * shape.layers * shape.heads)


OURS: dict[tuple[str, str], tuple[str, Callable[[Figures], float]]] = {
    ("energy efficiency", "op/J"): ("BERT-base", lambda found: operations("BERT-base") / found["energy_prefill"]),
    ("throughput", "op/s"): ("BERT-base", lambda found: operations("BERT-base") / found["first_token_pipelined"]),
    ("compute density", "op/s/m2"): (
        "BERT-base",
        lambda found: operations("BERT-base") / found["first_token_pipelined"] / found["area"],
    ),
    ("latency", "s"): ("BERT-base", lambda found: found["first_token_pipelined"]),
    ("energy per token", "J/token"): ("BERT-base", lambda found: found["energy_prefill"] / READ),
    ("energy of an encoder", "J"): (
        "BERT-base",
        lambda found: found["energy_prefill"] / model_shape("BERT-base").layers,
    ),
    ("energy of a token and head", "J"): ("GPT-2", of_head("attention_energy")),
    ("latency of a token and head", "s"): ("GPT-2", of_head("attention_time")),
}
GPUS = ("A100", "H100", "H200")


def figures_of(ds: xr.Dataset) -> dict[tuple[str, str], Figures]:
    """The figures of every accelerator with each network."""
    attention = ds[["energy", "latency"]].sel(phase="decode", operation=["scores", "values"]).sum("operation")
    ds = ds.assign(attention_energy=attention["energy"].sum("component"), attention_time=attention["latency"])
    dims = [dim for dim in ("architecture", "workload_model", "point") if dim in ds.dims]
    flat = ds.isel(trial=0).load().stack(case=dims)  # noqa: PD013 - xarray's
    names = [str(name) for name in flat.data_vars if set(flat[name].dims) <= {"case", "gpu"}]
    found = {}
    for place in range(flat.sizes["case"]):
        one = flat[names].isel(case=place)
        who = (str(one["architecture"].item()), str(one["workload_model"].item()))
        found[who] = {name: one[name].item() if not one[name].dims else one[name].to_series() for name in names}
    return found


def ratio_to(figures: dict[tuple[str, str], Figures], mine: str, published: Published) -> tuple[str, float] | None:
    """Our ratio to a baseline that is counted, too: a GPU while GPT-2 writes, or an accelerator while BERT reads."""
    base = published.baseline or ""
    fast = published.quantity in {"speed", "throughput"}
    if base in GPUS and published.quantity in {"speed", "throughput", "energy"}:
        here = figures[mine, "GPT-2"]
        if fast:
            return "GPT-2", here["gpu_time_per_token"][base] / here["time_per_token"]
        return "GPT-2", here["energy_per_token"] / here["gpu_energy_per_token"][base]
    other = figures.get((base.lower(), "BERT-base"))
    if other is None or not (fast or published.quantity == "energy"):
        return None
    here = figures[mine, "BERT-base"]
    if fast:
        return "BERT-base", other["first_token_pipelined"] / here["first_token_pipelined"]
    return "BERT-base", here["energy_prefill"] / other["energy_prefill"]


def compared(figures: dict[tuple[str, str], Figures]) -> Iterator[dict[str, Any]]:
    """A row for each published figure that has one of ours beside it."""
    for name, preset in ACCELERATORS.items():
        for published in preset.published:
            if published.units == "ratio":
                ours = ratio_to(figures, name, published)
            else:
                network, of = OURS.get((published.quantity, published.units), ("", None))
                ours = None if of is None else (network, of(figures[name, network]))
            if ours is None:
                continue
            network, value = ours
            ends = published.value if isinstance(published.value, tuple) else (published.value,) * 2
            theirs = math.sqrt(ends[0] * ends[1])
            yield {
                "accelerator": name,
                "network": network,
                "quantity": published.quantity + (f" against {published.baseline}" if published.baseline else ""),
                "units": published.units,
                "published": theirs,
                "ours": value,
                "ours / published": value / theirs,
                "confidence": published.confidence,
                "not counted": "; ".join(explained(figures[name, network]["invalid_reason"])),
                "note": published.note or "",
            }


def beside(ds: xr.Dataset) -> pd.DataFrame:
    """Our figures beside the published ones, and their ratio; of a range the geometric mean."""
    return pd.DataFrame(compared(figures_of(ds)))


if __name__ == "__main__":
    with pd.option_context("display.max_columns", None, "display.width", 250, "display.float_format", "{:.3g}".format):
        sys.stdout.write(beside(cim.open_results(sys.argv[1])).to_string(index=False) + "\n")
