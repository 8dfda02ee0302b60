"""What a chip does to the routing of mixtures of experts: who is asked, and whether the digital run asks the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cimstudy.metric import Metric

Array = np.ndarray[Any, np.dtype[Any]]

ROUTING = {
    "expert_load": Metric(long_name="share of the requests that an expert gets", dims=("layer", "expert")),
    "router_agreement": Metric(
        long_name="share of the experts asked that the digital run asks for the same token",
        better="higher",
        bounds=(0, 1),
        dims=("layer",),
    ),
}


@dataclass(frozen=True, eq=False)
class Requests:
    """The experts that tokens ask for. chosen : by FFN, of each pass (tokens, experts_per_token)."""

    chosen: dict[str, list[Array]] = field(default_factory=dict)

    def __call__(self, name: str, chosen: Array, /) -> None:
        """Take note of a pass."""
        self.chosen.setdefault(name, []).append(chosen)

    def by_layer(self) -> Array:
        """All requests, (layers, tokens, experts_per_token)."""
        return np.stack([np.concatenate(passes) for passes in self.chosen.values()])


def routing_metrics(found: Array, expected: Array, experts: int) -> Mapping[str, Array]:
    """Metrics of requests beside those of the digital run, both (layers, tokens, experts_per_token)."""
    load = np.stack([np.bincount(layer.ravel(), minlength=experts) / layer.size for layer in found])
    same = (found[..., :, None] == expected[..., None, :]).any(axis=-1)
    return {"expert_load": load, "router_agreement": same.mean(axis=(1, 2))}
