"""Cost: what a network costs on a hardware, counted and not computed, over as many points as wanted."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from cimstudy.cost import ModelShape
from cimstudy.cost.coefficients import sources
from cimstudy.cost.described import Parts
from cimstudy.hardware import Hardware
from cimstudy.transformer.schemes import check_fields
from cimstudy.workloads.costing import Costing, coefficients_checksum
from cimstudy.workloads.shapes import check_fits, shape_of


class Cost(Costing):
    """Energy, time, area, and wear of a network, in closed form.

    A block of points is evaluated as arrays. All chips of a point are alike, unless `uncertainty` draws coefficients.
    """

    model: str = Field(
        default="bundled", description="'bundled', the name of a known network, or a checkpoint's folder"
    )

    def __call__(self, hardware: Hardware, *, seed: int, trial: int) -> dict[str, NDArray[Any]]:
        """The metrics of one case."""
        return self.of_hardware(self.shape, hardware, seed, trial)

    def evaluate(self, hardware: Parts, *, seed: int, trials: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The metrics of many cases, each (points, trials, ...)."""
        return self.of_points(self.shape, hardware, seed, trials)

    @property
    def shape(self) -> ModelShape:
        """The network's. Raises InputError if there is none of this name or in this folder."""
        return shape_of(self.model)

    def check(self, hardware: Hardware) -> None:
        """Raise InputError unless the network is known, and overrides and the scheme of attention fit it."""
        check_fields(hardware, self.shape.layers)
        check_fits(self.model, hardware.overrides, hardware.architecture.attention)

    def checksums(self) -> dict[str, str]:
        """What the results depend on beside this description."""
        return {"coefficients": coefficients_checksum()}

    def sources(self) -> Mapping[str, Any]:
        """Every coefficient, its source, and how far to trust it."""
        return sources()
