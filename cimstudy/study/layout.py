"""What a store holds: its variables, their dimensions and attributes, and the coordinates of points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError
from cimstudy.metric import Metric
from cimstudy.study.axis import RESERVED, label
from cimstudy.study.codec import canonical
from cimstudy.study.evaluate import Outcome
from cimstudy.study.table import ABSENT, Values

SMALLEST_CHUNK, LARGEST_CHUNK = 4096, 65536  # points of a coordinate: one file in most studies, few in large ones


@dataclass(frozen=True, kw_only=True)
class Column:
    """A variable over point and trial: its shape and dimensions beyond these."""

    name: str
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    fill: Any = float("nan")


STATES = {"flag_values": [0, 1, 2], "flag_meanings": "pending done failed"}
BOOKKEEPING = {  # in the order of writing
    "error": Column(
        name="error",
        attributes={"long_name": "what a failed case raised: one line, then the traceback"},
        dtype="string",
        fill="",
    ),
    "duration": Column(name="duration", attributes={"long_name": "wall time of a case", "units": "s"}, dtype="float32"),
    "peak_memory": Column(
        name="peak_memory",
        attributes={"long_name": "most memory that a case's process held during it", "units": "B"},
        dtype="float32",
    ),
    "status": Column(name="status", attributes={"long_name": "state of a case"} | STATES, dtype="int8", fill=0),
}


def columns(
    outcome: Outcome | None, metrics: Mapping[str, Metric], reference: Mapping[str, float]
) -> tuple[Column, ...]:
    """The variables of a study, from what a case returned and what the workload declares.

    Raises InputError if these disagree, if a name is taken, or if there is neither a case nor a full declaration.
    """
    shapes = (
        declared_shapes(metrics) if outcome is None else {name: array.shape for name, array in outcome.values.items()}
    )
    if metrics and shapes.keys() != metrics.keys():
        raise InputError(f"the workload returned {', '.join(shapes)}; it declares the metrics {', '.join(metrics)}")
    if not shapes:
        raise InputError("the workload returned no metrics; allowed: one or more, by name")
    found = tuple(column(name, shape, metrics.get(name), reference.get(name)) for name, shape in shapes.items())
    check_names(found)
    return found


def declared_shapes(metrics: Mapping[str, Metric]) -> dict[str, tuple[int, ...]]:
    """The shapes that need no case to be known."""
    arrays = [name for name, metric in metrics.items() if metric.dims]
    if arrays or not metrics:
        raise InputError("no case could be evaluated, so the metrics' shapes are unknown")
    return dict.fromkeys(metrics, ())


def column(name: str, shape: tuple[int, ...], metric: Metric | None, reference: float | None) -> Column:
    """One variable."""
    if metric is None:
        return Column(name=name, shape=shape, dims=tuple(f"{name}_{axis}" for axis in range(len(shape))))
    if len(metric.dims) != len(shape):
        raise InputError(f"metric {name} has the shape {shape}; it declares the dimensions {metric.dims}")
    attributes: dict[str, Any] = {"units": metric.units, "long_name": metric.long_name}
    attributes |= {} if metric.better is None else {"better": metric.better}
    attributes |= {} if metric.bounds is None else {"bounds": [float(bound) for bound in metric.bounds]}
    attributes |= {} if reference is None else {"reference": float(reference)}
    attributes |= {} if metric.valid is None else {"ancillary_variables": metric.valid}
    if metric.flags:
        attributes |= {
            "flag_masks": [code for code, _ in metric.flags],
            "comment": "; ".join(f"{code}: {text}" for code, text in metric.flags),
        }
    return Column(name=name, shape=shape, dims=metric.dims, attributes=attributes)


def check_names(found: Sequence[Column]) -> None:
    """Raise InputError for a metric with a reserved name, or a dimension that has two lengths."""
    sizes: dict[str, tuple[str, int]] = {}
    for metric in found:
        if metric.name in RESERVED:
            raise InputError(f"a metric cannot be named {metric.name!r}; taken: {', '.join(sorted(RESERVED))}")
        for dim, size in zip(metric.dims, metric.shape, strict=True):
            other, length = sizes.setdefault(dim, (metric.name, size))
            if length != size or dim in RESERVED:
                raise InputError(
                    f"dimension {dim} is {length} long in {other}, {size} in {metric.name}; allowed: one length"
                )


def coordinate_chunk(points: int) -> int:
    """The chunk of a coordinate."""
    return min(max(1 << (points - 1).bit_length(), SMALLEST_CHUNK), LARGEST_CHUNK)


def coordinate(values: Values) -> NDArray[Any]:
    """The labels of values: numbers and booleans as they are if all are of one kind, text otherwise."""
    if isinstance(values, np.ndarray):
        return values
    labels = [label(value) for value in values]
    kinds = {type(item) for item in labels}
    if kinds == {bool}:
        return np.array(labels, np.bool_)
    if kinds == {int} and all(-(2**63) <= item < 2**63 for item in labels):
        return np.array(labels, np.int64)
    if kinds <= {int, float} and kinds:
        return np.array(labels, np.float64)
    return np.array([item if isinstance(item, str) else str(item) for item in labels], dtype=object)


def labelled(values: Values, codes: NDArray[np.intp]) -> NDArray[Any]:
    """The coordinate of values chosen by codes. Points without the axis have NaN there, or an empty text."""
    labels = coordinate(values)
    if not (codes == ABSENT).any():
        return labels[codes]
    if labels.dtype.kind in "if":
        return np.append(labels.astype(np.float64), np.nan)[codes]  # ABSENT is the last place
    return np.append(np.array([str(item) for item in labels.tolist()], dtype=object), "")[codes]


def check_labels(path: str, values: Values) -> None:
    """Raise InputError if different values of an axis have one label."""
    labels = coordinate(values)
    if labels.dtype != object:
        return  # numbers stand for themselves
    seen: dict[str, str] = {}
    for value, text in zip(values, labels.tolist(), strict=True):
        known = canonical(value)
        if seen.setdefault(text, known) != known:
            raise InputError(f"axis {path}: two different values are both called {text!r}; give them different names")
