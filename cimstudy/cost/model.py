"""The cost of running a network on a design: counts times coefficients, for all points of a design at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.area import AREAS
from cimstudy.cost.coefficients import sources
from cimstudy.cost.design import NO_FACTORS, completed, groups, index_of, is_of_layer
from cimstudy.cost.ledger import COMPONENTS, OPERATIONS, PHASES
from cimstudy.cost.pieces import parted, totals
from cimstudy.cost.quantities import BREAKDOWN, QUANTITIES, Quantity
from cimstudy.cost.shapes import ModelShape
from cimstudy.errors import InputError

Array = NDArray[Any]
COORDINATES = {"phase": PHASES, "operation": OPERATIONS, "component": COMPONENTS, "part": AREAS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What is computed: `batch` sequences, each of `prefill` tokens that are read and `decode` that are written.

    Numbers, or one for each point.
    """

    prefill: Any = 512
    decode: Any = 0
    batch: Any = 1

    def entries(self) -> dict[str, Any]:
        """As entries of a design."""
        return {f"workload.{name}": value for name, value in vars(self).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """What every point costs. values : by name; `quantities` has their dimensions and units, `attrs` the sources."""

    values: Mapping[str, Array]
    quantities: Mapping[str, Quantity]
    coordinates: Mapping[str, tuple[str, ...]]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.values[name]


def cost(
    shape: ModelShape,
    work: Work,
    design: Mapping[str, Any],
    *,
    breakdown: bool = False,
    factors: Mapping[str, Any] = NO_FACTORS,
) -> Costs:
    """What `work` with a network of this shape costs on every point of a design.

    design : by dotted path a number or a name, or an array of them, one for each point; what it leaves out has the
    default of `NUMBERS` and `CHOICES`. "overrides" are `Own` entries of some operators, or `Overrides` of many points.
    factors : by path, what numbers are multiplied by, those of overrides, too.

    With `breakdown` also energies by phase, operator and component, times, conversions and products by phase and
    operator, and areas by part.  Raises InputError for unknown paths and bad values.
    """
    whole = completed({**work.entries(), **design}, factors)
    for path in filter(is_of_layer, design):
        if int(path.rpartition(".")[2]) >= shape.layers:
            raise InputError(f"{path}: {shape.name} has {shape.layers} layers, numbered from 0")
    quantities = QUANTITIES | (BREAKDOWN if breakdown else {})
    lengths = {"point": whole.points, **{name: len(labels) for name, labels in COORDINATES.items()}}
    rows = np.empty((len(QUANTITIES), whole.points))  # in one piece, which takes large pages of memory
    values = dict(zip(QUANTITIES, rows, strict=True)) | {
        name: np.empty([lengths[dim] for dim in quantities[name].dims], quantities[name].dtype)
        for name in quantities
        if name not in QUANTITIES
    }
    for group in groups(whole):
        for part, found in parted(shape, group) if breakdown else totals(shape, group):
            place = index_of(group.rows[part])
            for name, array in values.items():
                array[..., place] = found[name]
    used = {dim for quantity in quantities.values() for dim in quantity.dims}
    return Costs(
        values=values,
        quantities=quantities,
        coordinates={name: labels for name, labels in COORDINATES.items() if name in used},
        attrs={"coefficients": sources()},
    )
