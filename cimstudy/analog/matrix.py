"""One weight matrix in crossbars: map it once, program it for each chip, multiply by it.

For example:

mapped = map_matrix(w, hardware, calibration=x)   # what no chip changes: levels, tiles, converter ranges
matrix = mapped.program(key)                      # the cells of one chip
y = matrix.matmul(x)
"""

from dataclasses import replace
from typing import Any

import numpy as np

from cimstudy.analog.compensation import factors
from cimstudy.analog.levels import Array, checked_weights
from cimstudy.analog.mapping import Layout, Ranges, given
from cimstudy.analog.product import ProgrammedMatrix
from cimstudy.analog.programming import program
from cimstudy.analog.random import Key
from cimstudy.analog.ranges import Listed, find_ranges, layout_of
from cimstudy.errors import InputError
from cimstudy.hardware import Hardware


class MappedMatrix(Layout):
    """A weight matrix laid out on crossbars: all that is the same for every chip."""

    def on(self, hardware: Hardware) -> "MappedMatrix":
        """The same mapping with other cell errors or converter bits, which change neither levels nor ranges."""
        return replace(self, hardware=hardware)

    def program(self, key: Key | int, *, time: float = 0.0) -> ProgrammedMatrix:
        """The matrix in the cells of one chip, `time` seconds after programming.

        The key (or seed) names the chip and the matrix. Raises InputError for a time that is negative or not finite.
        """
        check_time(time)
        chip = key if isinstance(key, Key) else Key.root(key)
        matrix = program(self, chip, time)
        if self.hardware.architecture.drift_compensation is None or time == 0:
            return matrix
        fresh = program(self, chip, 0.0).weights
        return replace(matrix, compensation=factors(self, fresh, matrix.weights))


def map_matrix(
    w: Array, hardware: Hardware, *, calibration: Array | None = None, dtype: Any = np.float32
) -> MappedMatrix:
    """Lay a weight matrix out on crossbars.

    w : (n_in, n_out), finite.  calibration : (..., n_in), inputs from which `calibrated` ranges are taken.
    dtype : of the simulation, float32 or float64.  Raises InputError for bad weights or a missing calibration batch.
    """
    weights = checked_weights(w)
    ranges = find_ranges(Listed((weights,)), hardware, calibration=calibration, dtype=dtype)
    return map_columns(weights, hardware, ranges, dtype=dtype)


def map_columns(
    w: Array, hardware: Hardware, ranges: Ranges, *, first_column: int = 0, dtype: Any = np.float32
) -> MappedMatrix:
    """Lay out some columns of a matrix whose ranges are known: cells and results are those of the whole matrix.

    w : (n_in, n), from `first_column` on, which is a multiple of `columns_together`.
    """
    layout = layout_of(w, hardware, ranges, first_column=first_column, dtype=dtype)
    return MappedMatrix(**given(layout))


def program_matrix(  # noqa: PLR0913 - what is written, and when it is read
    w: Array,
    hardware: Hardware,
    key: Key | int,
    *,
    time: float = 0.0,
    calibration: Array | None = None,
    dtype: Any = np.float32,
) -> ProgrammedMatrix:
    """One weight matrix in the cells of one chip: `map_matrix`, then `program`."""
    return map_matrix(w, hardware, calibration=calibration, dtype=dtype).program(key, time=time)


def check_time(time: float) -> None:
    """Raise InputError unless `time` is one since programming."""
    if not 0 <= time < np.inf:
        raise InputError(f"time = {time}; allowed: seconds since programming, 0 or more")
