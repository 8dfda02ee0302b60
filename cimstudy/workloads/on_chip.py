"""What all measurements of a network on a chip share: they compare what it gives with what the digital run gives."""

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from cimstudy import memory
from cimstudy.cost.coefficients import sources
from cimstudy.hardware import Hardware, Part
from cimstudy.metric import Metric
from cimstudy.transformer import Chip, Model, load_model, program
from cimstudy.transformer.activity import activity
from cimstudy.transformer.operators import check_overrides
from cimstudy.transformer.schemes import check_attention
from cimstudy.transformer.watch import Watch
from cimstudy.workloads.attention_counts import ATTENTION, attention_metrics
from cimstudy.workloads.costing import (
    Costing,
    activity_entries,
    coefficients_checksum,
    costing_if_true,
    kept_entries,
)
from cimstudy.workloads.mixtures import ROUTING, Requests, routing_metrics
from cimstudy.workloads.shapes import shape_of

Array = np.ndarray[Any, np.dtype[Any]]

SIGNAL_TO_NOISE = Metric(
    long_name="signal-to-noise ratio of the product",
    units="dB",
    better="higher",
    dims=("layer", "operator"),
)


class OnChip(Part):
    """A network that is programmed into chips and measured there, beside the digital run of the same network."""

    model: str = Field(default="bundled", description="'bundled' or the folder of a checkpoint")
    time: float = Field(default=0.0, ge=0, description="s since the chip was programmed")
    by_layer: bool = Field(default=False, description="measure also the signal-to-noise ratio of each layer's products")
    cost: Annotated[Costing | None, BeforeValidator(costing_if_true)] = Field(
        default=None, description="count also what the hardware costs; True: with the defaults"
    )
    attention_counts: bool = Field(default=False, description="count also what attention writes, searches and keeps")

    @property
    @abstractmethod
    def scores(self) -> Mapping[str, Metric]:
        """What `score` returns."""

    @abstractmethod
    def calibration(self) -> Array:
        """Input for the calibration of converters: (sequences, T) tokens, or images."""

    @abstractmethod
    def outputs(self, chip: Chip) -> Iterator[Any]:
        """What a chip gives, part by part."""

    @abstractmethod
    def score(self, found: Iterable[Any], expected: Iterable[Any]) -> dict[str, Any]:
        """Metrics of what a chip gives beside what the digital run gives."""

    def output_bytes(self) -> int:
        """Bytes of all that `outputs` gives, if they are many."""
        return 0

    @abstractmethod
    def data_checksum(self) -> str:
        """SHA-256 of the data that are measured on, hex."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What a case returns."""
        routing = ROUTING if loaded(self.model).config.experts else {}
        counts = ATTENTION if self.attention_counts else {}
        noise = {"signal_to_noise": SIGNAL_TO_NOISE} if self.by_layer else {}
        return {**self.scores, **routing, **counts, **noise, **(self.cost.metrics if self.cost else {})}

    @property
    def coordinates(self) -> Mapping[str, Sequence[Any]]:
        """Labels along the metrics' own dimensions."""
        model = loaded(self.model)
        layers, operators = axes(model)
        found: dict[str, Sequence[Any]] = dict(self.cost.coordinates) if self.cost else {}
        if model.config.experts:
            found |= {"layer": layers, "expert": range(model.config.experts)}
        return found | ({"layer": layers, "operator": operators} if self.by_layer else {})

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> dict[str, Any]:
        """Metrics of chip `trial` of a hardware."""
        model = loaded(self.model)
        watch = Watch(errors=self.by_layer) if self.by_layer or self.attention_counts or self.cost else None
        chip = program(
            model, hardware, seed=seed, trial=trial, calibration=self.calibration(), watch=watch, time=self.time
        )
        requests = Requests()
        if model.config.experts:
            chip = replace(chip, routed=requests)
        found = self.score(self.outputs(chip), digital_outputs(self))
        if model.config.experts:
            routing = requests.by_layer(), digital_requests(self.replace("time", 0.0))
            found |= routing_metrics(*routing, model.config.experts)
        return found if watch is None else found | self.watched(watch, hardware, seed, trial)

    def watched(self, watch: Watch, hardware: Hardware, seed: int, trial: int) -> dict[str, Any]:
        """Metrics of what was noted of a chip while it computed."""
        model = loaded(self.model)
        found: dict[str, Any] = {}
        if self.attention_counts:
            found |= attention_metrics(watch.counts, model.config.layers)
        if self.by_layer:
            found["signal_to_noise"] = signal_to_noise(model, watch)
        if self.cost is not None:
            busy = activity_entries(activity(model, hardware, self.calibration(), watch.inputs))
            kept = kept_entries(hardware.architecture.attention.kind, watch.counts)
            found |= self.cost.of_hardware(shape_of(self.model), hardware, seed, trial, busy | kept)
        return found

    def reference(self) -> dict[str, float]:
        """Metrics of the digital run."""
        found = self.score(*itertools.tee(digital_outputs(self)))
        return {name: value for name, value in found.items() if not self.scores[name].dims}

    def checksums(self) -> dict[str, str]:
        """What the results depend on beside this description: SHA-256 of weights and data."""
        costs = {"coefficients": coefficients_checksum()} if self.cost else {}
        return {"model": loaded(self.model).checksum, "data": self.data_checksum(), **costs}

    def sources(self) -> Mapping[str, Any]:
        """Where the coefficients of costs come from, if they are counted."""
        return sources() if self.cost else {}

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless a chip of this hardware can be programmed and the data fit the model."""
        self.calibration()
        config = loaded(self.model).config
        check_overrides(config, hardware.overrides)
        check_attention(config, hardware)


@lru_cache(maxsize=4)
def loaded(path: str) -> Model:
    """The model at `path`, read once in a process."""
    return load_model(path)


def digital_outputs(workload: OnChip) -> Iterable[Any]:
    """What the digital run gives: kept for all chips, or computed anew beside each if that would fill the memory."""
    timeless = workload.replace("time", 0.0)
    if workload.output_bytes() > memory.limit() / 8:
        return digital_run(timeless)
    return kept_outputs(timeless)


@lru_cache(maxsize=2)
def kept_outputs(workload: OnChip) -> list[Any]:
    """What the digital run gives, in memory."""
    return list(digital_run(workload))


def digital_run(workload: OnChip) -> Iterator[Any]:
    """What the digital run gives, part by part: a chip with no matrices is digital."""
    return workload.outputs(Chip(model=loaded(workload.model), hardware=Hardware(), matrices={}))


@lru_cache(maxsize=2)
def digital_requests(workload: OnChip) -> Array:
    """The experts that the digital run asks for, (layers, tokens, experts_per_token)."""
    requests = Requests()
    chip = Chip(model=loaded(workload.model), hardware=Hardware(), matrices={}, routed=requests)
    for _ in workload.outputs(chip):
        pass
    return requests.by_layer()


def axes(model: Model) -> tuple[list[int], list[str]]:
    """The layers of a model, and the operators in them that are products with static matrices."""
    names = [name.split(".", 2) for name in model.matrices if name.startswith("layers.")]
    return sorted({int(layer) for _, layer, _ in names}), list(dict.fromkeys(operator for _, _, operator in names))


def signal_to_noise(model: Model, watch: Watch) -> Array:
    """Ratios in dB, (layers, operators); NaN for what is digital, infinite for what has no error."""
    layers, operators = axes(model)
    ratios = np.full((len(layers), len(operators)), np.nan)
    for name, (signal, noise) in watch.powers.items():
        if name.startswith("layers."):
            _, layer, operator = name.split(".", 2)
            with np.errstate(divide="ignore"):
                ratios[layers.index(int(layer)), operators.index(operator)] = 10 * np.log10(np.divide(signal, noise))
    return ratios
