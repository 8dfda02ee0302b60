"""Products of which output converters see nothing else: no limit, no mismatch, no noise but that of reading cells.

What most studies multiply by. The results are those of the long way (`product.converted_products`), bit for bit. Few
vectors, as in decoding, wait for the cells to come from memory: one compiled loop does all steps as it reads them.
"""

from collections.abc import Iterator

import numpy as np

from cimstudy.analog import arrays, kernels
from cimstudy.analog.cells import noise_is_exact
from cimstudy.analog.chain import has_source_lines
from cimstudy.analog.converters import Conversion, conversion_of, meets_nothing
from cimstudy.analog.drive import Drive
from cimstudy.analog.kernels import FEW
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import BUFFER_ROWS, CONVERTED_TOGETHER, column_blocks
from cimstudy.analog.random import BATCH
from cimstudy.analog.written import Outputs, Product, WrittenMatrix


def is_bare(matrix: WrittenMatrix, driven: Drive) -> bool:
    """Whether perfect output converters see the currents of columns, and these are products, or noise beside them."""
    crossbar = matrix.layout.hardware.crossbar
    product = matrix.bends is None and not has_source_lines(crossbar)
    perfect = crossbar.adc is not None and crossbar.adc.is_perfect
    return product and perfect and meets_nothing(matrix.layout, len(driven.pulses)) and is_quiet(matrix, driven)


def is_quiet(matrix: WrittenMatrix, driven: Drive) -> bool:
    """Whether there is no read noise, or a second product has its variances, for enough vectors to draw together."""
    drawn = matrix.variances.ndim > 0 and not noise_is_exact(matrix.layout.hardware.device)
    return driven.squares is None or (drawn and driven.pulses.shape[1] >= BATCH)


def bare_products(matrix: WrittenMatrix, driven: Drive, first_vector: int, space: Array) -> Iterator[Product]:
    """Sums of codes over tiles, slices and pulses.

    space : (batch, n_out), where sums of a block are put if they are side by side there.
    """
    layout, conversion = matrix.layout, conversion_of(matrix.layout, driven.weights)
    cycles, batch, n_in = driven.pulses.shape
    few = cycles * batch <= FEW
    step = max(1, BUFFER_ROWS // cycles)
    for first in range(0, batch, step):
        vectors = slice(first, min(first + step, batch))
        block = driven if step >= batch else driven.of(vectors, slice(0, n_in))
        for columns in column_blocks(layout.shape[1], layout.shape[1] if few else CONVERTED_TOGETHER):
            place = space[vectors, columns]
            sums = place if place.flags.c_contiguous else np.empty_like(place, order="C")
            sums.fill(0)
            add_codes(matrix, conversion, block, Outputs(first_vector + first, columns), sums)
            yield vectors, columns, sums


def add_codes(matrix: WrittenMatrix, conversion: Conversion, driven: Drive, outputs: Outputs, sums: Array) -> None:
    """Add codes to sums, (batch, n)."""
    layout, pulses, planes, left = matrix.layout, driven.pulses, matrix.planes, outputs.columns.start
    steps = layout.edges, conversion.rounding, conversion.gains, conversion.weights, left
    if driven.squares is not None:
        drawn = matrix.noise_key.words, outputs.first_vector, layout.first_column + left
        arrays.convert_noisy_products(pulses, driven.squares, planes, matrix.variances, *steps, drawn, sums)
    elif len(pulses) * pulses.shape[1] <= FEW:
        kernels.read_and_convert(pulses, planes, *steps, sums)
    else:
        arrays.convert_products(pulses, planes, *steps, sums)
