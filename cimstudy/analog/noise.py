"""Noise of a product: of reading cells, and of output converters. Fresh for every vector, and keyed by its number."""

import numpy as np

from cimstudy.analog import arrays, kernels
from cimstudy.analog.cells import noise_is_exact
from cimstudy.analog.converters import Conversion
from cimstudy.analog.drive import Drive
from cimstudy.analog.levels import Array
from cimstudy.analog.random import Key, normals
from cimstudy.analog.written import Outputs, Reader, WrittenMatrix


def add_read_noise(matrix: WrittenMatrix, driven: Drive, currents: Array, reader: Reader, outputs: Outputs) -> None:
    """Add the read noise of the cells to currents (cycles, batch, n), if they have any.

    driven : the rows that are read. Drawn once for each current, with the exact variance of its column, or for each
    cell where the law says so.
    """
    if driven.squares is None:
        return
    if noise_is_exact(matrix.layout.hardware.device):
        add_cell_noise(matrix, driven.squares, currents, reader, outputs)
        return
    squares = driven.squares.reshape(-1, driven.squares.shape[-1])
    if matrix.variances.ndim:
        variances = np.empty((len(squares), currents.shape[-1]), currents.dtype)
        cells, rows = matrix.variances[reader.slice, reader.line], matrix.layout.read_rows(reader.tile)
        arrays.multiply(squares, cells, rows.start, outputs.columns.start, variances)
    else:
        variances = matrix.variances * squares.sum(axis=-1, keepdims=True)
    add_normals(
        matrix, matrix.noise_key, currents, variances.reshape(*currents.shape[:2], variances.shape[-1]), reader, outputs
    )


def variances_of(matrix: WrittenMatrix, reader: Reader, outputs: Outputs) -> Array:
    """Variances of the cells of some columns, (rows, n), or a number if all have the same."""
    if not matrix.variances.ndim:
        return matrix.variances
    found: Array = matrix.variances[reader.slice, reader.line, matrix.layout.read_rows(reader.tile), outputs.columns]
    return found


def add_cell_noise(matrix: WrittenMatrix, squares: Array, currents: Array, reader: Reader, outputs: Outputs) -> None:
    """Add a draw for every cell and vector to currents (cycles, batch, n). squares : (cycles, batch, rows)."""
    layout, key = matrix.layout, matrix.noise_key.of("cells")
    inputs, first_column = layout.read_rows(reader.tile), layout.first_column + outputs.columns.start
    sigma = np.sqrt(variances_of(matrix, reader, outputs))
    for cycle, vector in np.ndindex(currents.shape[:2]):
        z = normals(
            key,
            (inputs.stop - inputs.start, currents.shape[2]),
            plane=reader.number(layout) * len(currents) + cycle,
            first_row=(outputs.first_vector + vector) * layout.shape[0] + inputs.start,
            first_column=first_column,
        )
        currents[cycle, vector] += np.sqrt(squares[cycle, vector]) @ (sigma * z)


def add_converter_noise(
    matrix: WrittenMatrix, conversion: Conversion, currents: Array, reader: Reader, outputs: Outputs
) -> None:
    """Add the noise of the output converters to currents (cycles, batch, n), if they have any."""
    variances = conversion.noise_variances(currents, reader)
    if variances is not None:
        add_normals(matrix, matrix.noise_key.of("converters"), currents, variances, reader, outputs)


def add_normals(  # noqa: PLR0913, PLR0917 - a draw is keyed by its place
    matrix: WrittenMatrix, key: Key, currents: Array, variances: Array, reader: Reader, outputs: Outputs
) -> None:
    """Add a fresh normal draw to each of currents (cycles, batch, n). variances : (cycles, batch, n or 1)."""
    plane = reader.number(matrix.layout) * len(currents)
    first_column = matrix.layout.first_column + outputs.columns.start
    kernels.add_noise(currents, variances, key.words, plane, outputs.first_vector, first_column)
