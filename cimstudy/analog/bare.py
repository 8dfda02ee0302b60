"""Products of which output converters see nothing else: no noise, no limit, no mismatch. What most studies multiply by.

The results are those of the long way (`product.converted_products`), bit for bit where sgemm is used. Few vectors, as
in decoding, wait for the cells to come from memory: one compiled loop does all steps as it reads them. It adds rows in
another order than sgemm, so that a vector's last bits depend on whether it comes with few others.
"""

from collections.abc import Iterator

import numpy as np

from cimstudy.analog import kernels
from cimstudy.analog.chain import has_source_lines
from cimstudy.analog.converters import Conversion, conversion_of, meets_nothing
from cimstudy.analog.drive import Drive
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import BUFFER_ROWS, CONVERTED_TOGETHER, column_blocks
from cimstudy.analog.written import Product, WrittenMatrix

OUTPUTS = 256 * CONVERTED_TOGETHER  # of the slices that are converted together: 786 kB of float32
FEW = 8  # vectors (times input pulses) for which a product that reads its matrix once is faster than sgemm


def is_bare(matrix: WrittenMatrix, driven: Drive) -> bool:
    """Whether perfect output converters see the currents of columns, and these are products."""
    crossbar = matrix.layout.hardware.crossbar
    product = matrix.bends is None and driven.squares is None and not has_source_lines(crossbar)
    perfect = crossbar.adc is not None and crossbar.adc.is_perfect
    return product and perfect and meets_nothing(matrix.layout, len(driven.pulses))


def bare_products(matrix: WrittenMatrix, driven: Drive, space: Array) -> Iterator[Product]:
    """Sums of codes over tiles, slices and pulses.

    space : (batch, n_out), where sums of a block are put if they are side by side there.
    """
    cycles, batch, _ = driven.pulses.shape
    few = cycles * batch <= FEW
    step = max(1, BUFFER_ROWS // cycles)
    add, conversion = add_few if few else add_many, conversion_of(matrix.layout, driven.weights)
    for first in range(0, batch, step):
        vectors = slice(first, min(first + step, batch))
        pulses = np.ascontiguousarray(driven.pulses[:, vectors])
        for columns in column_blocks(matrix.layout.shape[1]):
            place = space[vectors, columns]
            sums = place if place.flags.c_contiguous else np.empty_like(place, order="C")
            sums.fill(0)
            add(matrix, conversion, pulses, columns, sums)
            yield vectors, columns, sums


def add_few(matrix: WrittenMatrix, conversion: Conversion, pulses: Array, columns: slice, sums: Array) -> None:
    """Add codes to sums (batch, n), each cell being read once. pulses : (cycles, batch, n_in)."""
    edges = np.array([0, *(tile.stop for tile in matrix.layout.tiles)])
    steps = conversion.rounding, conversion.gains, conversion.weights
    kernels.read_and_convert(pulses, matrix.planes, edges, *steps, columns.start, sums)


def add_many(matrix: WrittenMatrix, conversion: Conversion, pulses: Array, columns: slice, sums: Array) -> None:
    """Add codes to sums (batch, n), of as many slices at a time as fit the cache. pulses : (cycles, batch, n_in)."""
    slices, lines = matrix.planes.shape[:2]
    driven = pulses.reshape(-1, pulses.shape[-1])
    together = min(slices, max(1, OUTPUTS // (lines * len(driven) * sums.shape[1])))
    buffer = np.empty((together, lines, len(driven), sums.shape[1]), sums.dtype)
    for tile in matrix.layout.tiles:
        for first in range(0, slices, together):
            some = slice(first, min(first + together, slices))
            currents = buffer[: some.stop - first]
            np.matmul(driven[:, tile], matrix.planes[some, :, tile, columns], out=currents)
            found = currents.reshape(*currents.shape[:2], *pulses.shape[:2], -1)
            kernels.convert_slices(found, conversion.rounding, conversion.gains[some], conversion.weights[some], sums)
