"""What a design costs, as metrics: beside those of a network on its chips, or alone."""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cimstudy.analog import Key, normals
from cimstudy.cost import BREAKDOWN, QUANTITIES, ModelShape, Quantity, Work, cost, gpus, roofline
from cimstudy.cost.coefficients import sources
from cimstudy.cost.described import Parts, design_of, design_of_points
from cimstudy.cost.model import COORDINATES
from cimstudy.cost.overrides import Overrides
from cimstudy.cost.validity import REASONS
from cimstudy.hardware import Hardware, Part
from cimstudy.metric import Metric

Array = NDArray[Any]
GPU_METRICS = {
    "gpu_time_per_token": Metric(
        long_name="roofline time of a written token", units="s", dims=("gpu",), better="lower"
    ),
    "gpu_energy_per_token": Metric(
        long_name="roofline energy of a written token at full board power", units="J", dims=("gpu",), better="lower"
    ),
}


VALIDITY = ("valid", "invalid_reason")
NOTHING: Mapping[str, float] = {}


class Spread(Part):
    """A factor that is known up to a lognormal error: each chip draws one."""

    median: Annotated[float, Field(gt=0)] = 1.0
    sigma: Annotated[float, Field(ge=0, le=10)] = Field(default=0.0, description="of the logarithm")

    def draw(self, key: Key) -> float:
        """The factor of a stream."""
        return self.median * math.exp(self.sigma * float(normals(key, (1, 1))[0, 0]))


class Uncertainty(Part):
    """How far coefficients are from the truth, drawn for each chip. The default: not at all."""

    adc_energy: Spread = Field(default=Spread(), description="of a conversion")
    adc_area: Spread = Field(default=Spread(), description="of a converter")
    periphery: Spread = Field(default=Spread(), description="energy of drivers, adders, buffers and wires on a chip")

    def draws(self, seed: int, trials: Sequence[int]) -> dict[str, Array]:
        """The factors of these chips, each (trials,), by the path that they multiply."""
        drawn = {"adc_energy": "adc.energy_scale", "adc_area": "adc.area_scale", "periphery": "periphery_scale"}
        return {
            f"crossbar.{path}": np.array(
                [getattr(self, name).draw(Key.root(seed, trial).of("cost", name)) for trial in trials]
            )
            for name, path in drawn.items()
        }


class Costing(Part):
    """What is counted: sequences that are read and continued, and how much is told of them."""

    prefill: int = Field(default=512, ge=1, description="tokens of a sequence that are read")
    decode: int = Field(default=128, ge=0, description="tokens that are written after them")
    batch: int = Field(default=1, ge=1, description="sequences together")
    breakdown: bool = Field(default=False, description="energies also by phase, operation and component")
    gpus: tuple[str, ...] = Field(default=("A100", "H100", "H200"), description="to compare with")
    uncertainty: Uncertainty = Uncertainty()

    @field_validator("gpus")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in gpus():
                raise ValueError(f"{name!r} is unknown; allowed: {', '.join(gpus())}")
        return names

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What the cost model gives of it."""
        return QUANTITIES | (BREAKDOWN if self.breakdown else {})

    @property
    def metrics(self) -> dict[str, Metric]:
        """What comes out."""
        found = {
            name: Metric(
                long_name=quantity.meaning,
                units=quantity.units,
                dims=tuple(dim for dim in quantity.dims if dim != "point"),
                better=quantity.better,
                valid=None if name in VALIDITY else VALIDITY[0],
                flags=tuple(REASONS.items()) if name == VALIDITY[1] else (),
            )
            for name, quantity in self.quantities.items()
        }
        return found | (GPU_METRICS if self.gpus else {})

    @property
    def coordinates(self) -> Mapping[str, Sequence[Any]]:
        """Labels along their dimensions."""
        used = {dim for metric in self.metrics.values() for dim in metric.dims}
        known: dict[str, Sequence[Any]] = {**COORDINATES, "gpu": self.gpus}
        return {dim: labels for dim, labels in known.items() if dim in used}

    def count(self, shape: ModelShape, design: Mapping[str, Any], seed: int, trials: Sequence[int]) -> dict[str, Array]:
        """The metrics of a design's points, each (points, trials, ...). design : entries of one value, or (points,)."""
        drawn = self.uncertainty.draws(seed, trials)
        points = max((size_of(values) for values in design.values()), default=1)
        repeated = {path: repeat(values, len(trials)) for path, values in design.items()}
        factors = {path: np.tile(values, points) for path, values in drawn.items()}
        work = Work(prefill=self.prefill, decode=self.decode, batch=self.batch)
        found = cost(shape, work, repeated, breakdown=self.breakdown, factors=factors)
        cases = (points, len(trials))
        values = {
            name: np.moveaxis(array, -1, 0).reshape(*cases, *array.shape[:-1]) for name, array in found.values.items()
        }
        return values | {name: np.tile(array, (*cases, 1)) for name, array in self.beside(shape).items()}

    def beside(self, shape: ModelShape) -> dict[str, Array]:
        """The metrics of GPUs at the mean context of a written token, each (gpus,)."""
        if not self.gpus:
            return {}
        context = self.prefill + (self.decode + 1) / 2
        found = [roofline(shape, name, context=context, batch=self.batch) for name in self.gpus]
        writes = 1.0 if self.decode else math.nan
        return {
            "gpu_time_per_token": np.array([writes * one.time for one in found]),
            "gpu_energy_per_token": np.array([writes * one.energy for one in found]),
        }

    def of_points(self, shape: ModelShape, hardware: Parts, seed: int, trials: Sequence[int]) -> dict[str, Array]:
        """The metrics of many points, each (points, trials, ...). hardware : distinct parts, and which a point has."""
        (_, which), *_ = hardware.values()
        found = self.count(shape, design_of_points(hardware), seed, trials)
        return {name: np.broadcast_to(array, (len(which), *array.shape[1:])) for name, array in found.items()}

    def of_hardware(
        self, shape: ModelShape, hardware: Hardware, seed: int, trial: int, seen: Mapping[str, float] = NOTHING
    ) -> dict[str, Array]:
        """The metrics of one chip. seen : entries of the design that a run of the chip has told."""
        found = self.count(shape, {**design_of(hardware), **seen}, seed, [trial])
        return {name: array[0, 0] for name, array in found.items()}


def size_of(values: Any) -> int:
    """Of how many points an entry of a design is; 1 of all."""
    return values.which.size if isinstance(values, Overrides) else np.size(values)


def repeat(values: Any, times: int) -> Any:
    """An entry of a design with every point so many times in turn."""
    if isinstance(values, Overrides):
        return values.repeated(times)
    return np.repeat(values, times) if np.size(values) > 1 else values


def costing_if_true(value: Any) -> Any:
    """Costs as they are by default in place of True, none in place of False."""
    return Costing() if value is True else None if value is False else value


OPERATIONS = {"q": "qkv", "k": "qkv", "v": "qkv", "o": "output", "down": "ffn_down"}


def operation_of(matrix: str) -> str:
    """The operation in which a matrix is counted."""
    first, last = matrix.partition(".")[0], matrix.rpartition(".")[2]
    if first in {"head", "embedding"}:
        return first
    return OPERATIONS.get(last, "ffn_up")


def activity_entries(seen: Mapping[str, tuple[float, float, int]]) -> dict[str, float]:
    """Entries of a design: mean square drive and mean level of each operation. seen : by matrix, with its size."""
    found: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for name, busy in seen.items():
        found[operation_of(name)].append(busy)
    entries = {}
    for operation, parts in found.items():
        size = sum(part[2] for part in parts)
        for place, entry in enumerate(("drive", "level")):
            entries[f"data.{entry}.{operation}"] = sum(part[place] * part[2] for part in parts) / size
    return entries


def kept_entries(kind: str, counts: Mapping[str, float]) -> dict[str, float]:
    """Entries of a design: the share of keys, or of tokens, that a scheme has kept whose choice depends on the data."""
    if kind == "early_exit" and "computed" in counts:
        return {"data.computed": counts["computed"] / counts["tokens"]}
    if kind not in {"threshold", "fused", "hashed"} or not counts.get("seen"):
        return {}
    return dict.fromkeys(("data.scored", "data.kept"), counts["kept"] / counts["seen"])


def coefficients_checksum() -> str:
    """SHA-256 of all coefficients, hex."""
    return hashlib.sha256(json.dumps(sources(), sort_keys=True).encode()).hexdigest()
