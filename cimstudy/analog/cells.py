"""What cells hold: how a target conductance is written, how it ages, and the noise of reading it.

Conductances are fractions of `g_max`. Every function takes and gives arrays of cells of any shape; draws are arguments.
`hold` goes the whole way from targets to cells, with draws that are keyed by purpose and by each cell's place.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.analog import kernels
from cimstudy.analog.random import Key, normals
from cimstudy.hardware import MAX_COEFFICIENTS, Device, Law, NormalOfRange, NormalOfTarget

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Place:
    """Where a block of cells stands in its matrix: what its draws are keyed by.

    plane : slice and sign.  first_column : a multiple of the 64 columns that are drawn together.
    """

    plane: int
    first_row: int
    first_column: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """Cells of one chip. now : their conductances.  written : what they were when they had just been written."""

    now: Array
    written: Array


def hold(targets: Array, device: Device, key: Key, place: Place) -> Cells:
    """Cells that were to hold `targets` (rows, columns).

    key : of the chip's matrix.
    """
    z = normals_of(key, "programming", targets, place) if device.programming else None
    written = write(targets, device, z)
    return Cells(now=written, written=written)


def normals_of(key: Key, purpose: str, targets: Array, place: Place) -> Array:
    """The draws of one purpose for a block of cells, float32 of the shape of `targets` (rows, columns)."""
    return normals(
        key.of(purpose),
        (targets.shape[0], targets.shape[1]),
        plane=place.plane,
        first_row=place.first_row,
        first_column=place.first_column,
    )


def write(targets: Array, device: Device, z: Array | None) -> Array:
    """Conductances as written: targets with their programming error, not below 0. z : standard normals."""
    if z is None or device.programming is None:
        return targets
    written = np.empty_like(targets)
    kernels.write_normal(
        targets.ravel(), polynomial(device.programming, device).astype(targets.dtype), z.ravel(), written.ravel()
    )
    return written


def noise_varies(device: Device) -> bool:
    """Whether the read noise of a cell depends on what it holds."""
    return bool(polynomial(device.read_noise, device)[1:].any())


def uniform_variance(device: Device) -> float:
    """Variance of reading a cell, where it is the same for all cells."""
    return float(max(polynomial(device.read_noise, device)[0], 0.0) ** 2)


def read_variance(cells: Cells, device: Device) -> Array:
    """Variance of reading each cell, of the shape of the cells."""
    variance = np.empty_like(cells.now)
    law = polynomial(device.read_noise, device)
    kernels.variance_of(cells.now.ravel(), law.astype(variance.dtype), variance.ravel())
    return variance


def polynomial(law: Law | None, device: Device) -> Array:
    """Coefficients c of sigma / g_max = max(sum_i c_i (g / g_max)**i, 0), (MAX_COEFFICIENTS,); zeros for no law."""
    if law is None:
        given = []
    elif isinstance(law, NormalOfRange):
        given = [law.std * (1 - device.g_min / device.g_max)]
    elif isinstance(law, NormalOfTarget):
        given = [0.0, law.std]
    else:
        given = [law.scale * coefficient for coefficient in law.coefficients]
    return np.array(given + [0.0] * (MAX_COEFFICIENTS - len(given)))
