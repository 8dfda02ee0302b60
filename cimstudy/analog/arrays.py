"""Products of vectors with single arrays, and the conversion of their currents. Numba, one thread.

A library's sgemm, called for every array, copies both factors each time and sends currents through the caches to what
converts them. Here a block of vectors is copied once for all slices of an array, cells once for the block, and currents
are converted where they are summed (`registers.py`). A vector's outputs are the same, bit for bit, whichever vectors
and columns come with it.
"""

import math

import numpy as np

from cimstudy.analog.kernels import FEW, add_codes, convert_noisy, multiply_few
from cimstudy.analog.random import BATCH, BLOCK, draw_blocks_and_roots
from cimstudy.analog.registers import BYTES, HEIGHT, WORDS, add_converted, copy_words, put_products
from cimstudy.compiled import compiled

DRAWN_TOGETHER = math.lcm(HEIGHT, BATCH)  # vectors of whole blocks of products and of draws


@compiled(inline="always")
def whole(count, size):
    """The multiple of `size` that holds `count`."""
    return (count + size - 1) // size * size


@compiled()
def pack_vectors(vectors, first, last, packed):
    """Rows `first` to `last` of vectors (batch, n_in), as blocks of (rows, HEIGHT); vectors that lack are zeros."""
    rows = last - first
    for start in range(0, len(packed) // rows, HEIGHT):
        block = packed[start * rows : (start + HEIGHT) * rows]
        for i in range(HEIGHT):
            place = np.uintp(i)
            if start + i < len(vectors):
                vector = vectors[start + i, first:last]
                for k in range(rows):
                    block[place] = vector[np.uintp(k)]
                    place += np.uintp(HEIGHT)
            else:
                for _ in range(rows):
                    block[place] = 0
                    place += np.uintp(HEIGHT)


@compiled()
def pack_cells(cells, first, last, column, packed):
    """Rows `first` to `last` of cells (n_in, n_out) and a block of columns from `column` on; those that lack are 0."""
    width = WORDS * (BYTES // cells.itemsize)
    if column + width <= cells.shape[1]:
        copy_words(cells, first * cells.shape[1] + column, cells.shape[1], packed, last - first)
        return
    held = max(0, cells.shape[1] - column)
    packed[: (last - first) * width] = 0
    for k in range(first, last):
        packed[(k - first) * width : (k - first) * width + held] = cells[k, column:]


@compiled()
def pack_block(cells, first, last, column, packed):
    """`pack_cells` for BLOCK columns."""
    width = WORDS * (BYTES // cells.itemsize)
    for left in range(0, BLOCK, width):
        pack_cells(cells, first, last, column + left, packed[left * (last - first) : (left + width) * (last - first)])


@compiled()
def pack_pulses(pulses, first, last, packed):
    """`pack_vectors` for pulses (cycles, batch, n_in), one cycle after the other, as many numbers apart."""
    size = len(packed) // len(pulses)
    for cycle in range(len(pulses)):
        pack_vectors(pulses[cycle], first, last, packed[cycle * size : (cycle + 1) * size])


@compiled()
def convert_products(pulses, planes, edges, rounding, gains, weights, left, sums):
    """Add to sums what output converters make of the products of all arrays.

    pulses : (cycles, batch, n_in).  planes : (slices, lines, n_in, n_out).  edges : (tiles + 1,), rows of each array.
    rounding : smallest and largest code, and what rounds.  gains : (slices,), codes per unit of current.
    weights : (slices, lines, cycles), value of a code.  sums : (batch, n), of columns from `left` on, added to.
    """
    cycles, batch = pulses.shape[:2]
    width = WORDS * (BYTES // sums.itemsize)
    padded, tallest = whole(batch, HEIGHT), np.diff(edges).max()
    vectors, cells = np.empty(cycles * padded * tallest, sums.dtype), np.empty(width * tallest, sums.dtype)
    edge = np.zeros((HEIGHT, width), sums.dtype)
    for tile in range(len(edges) - 1):
        first, rows = edges[tile], edges[tile + 1] - edges[tile]
        size = padded * rows
        pack_pulses(pulses, first, first + rows, vectors[: cycles * size])
        for index in range(planes.shape[0]):
            for line in range(planes.shape[1]):
                for column in range(0, sums.shape[1], width):
                    pack_cells(planes[index, line], first, first + rows, left + column, cells)
                    for cycle in range(cycles):
                        steps = (gains[index], rounding[0], rounding[1], rounding[2], weights[index, line, cycle])
                        driven = vectors[cycle * size : (cycle + 1) * size]
                        convert_column(driven, cells, rows, column, steps, sums, edge)


@compiled()
def convert_column(vectors, cells, rows, column, steps, sums, edge):
    """The same for one array, one pulse and one block of columns. edge : one block, scratch."""
    batch, n = sums.shape
    height, width = edge.shape
    for start in range(0, batch, height):
        high, wide = min(height, batch - start), min(width, n - column)
        if high == height and wide == width:
            add_converted(vectors, start * rows, cells, rows, sums, start * n + column, n, steps)
        else:
            edge[:high, :wide] = sums[start : start + high, column : column + wide]
            add_converted(vectors, start * rows, cells, rows, edge, 0, width, steps)
            sums[start : start + high, column : column + wide] = edge[:high, :wide]


@compiled()
def convert_noisy_products(pulses, squares, planes, variances, edges, rounding, gains, weights, left, drawn, sums):
    """`convert_products` of currents with read noise, drawn as `kernels.add_noise` does: both stay in the cache.

    squares : like `pulses`, what weighs variances.  variances : of cells, like `planes`.
    drawn : the key, (2,) uint32, the number of the first vector, and the first column of the whole matrix.
    """
    slices, lines = planes.shape[:2]
    cycles, batch = pulses.shape[:2]
    padded, tallest = whole(batch, DRAWN_TOGETHER), np.diff(edges).max()
    vectors, cells = np.empty(cycles * padded * tallest, sums.dtype), np.empty(BLOCK * tallest, sums.dtype)
    weighers, spreads = np.empty_like(vectors), np.empty_like(cells)
    for tile in range(len(edges) - 1):
        first, rows = edges[tile], edges[tile + 1] - edges[tile]
        size = padded * rows
        pack_pulses(pulses, first, first + rows, vectors[: cycles * size])
        pack_pulses(squares, first, first + rows, weighers[: cycles * size])
        for index in range(slices):
            for line in range(lines):
                for column in range(0, sums.shape[1], BLOCK):
                    pack_block(planes[index, line], first, first + rows, left + column, cells)
                    pack_block(variances[index, line], first, first + rows, left + column, spreads)
                    for cycle in range(cycles):
                        steps = (gains[index], rounding[0], rounding[1], rounding[2], weights[index, line, cycle])
                        plane = ((tile * slices + index) * lines + line) * cycles + cycle
                        some = slice(cycle * size, (cycle + 1) * size)
                        packed = vectors[some], weighers[some], cells, spreads
                        convert_noisy_column(packed, rows, column, steps, drawn, plane, sums)


@compiled()
def convert_noisy_column(packed, rows, column, steps, drawn, plane, sums):
    """The same for one array, one pulse and BLOCK columns."""
    vectors, weighers, cells, spreads = packed
    key, first_vector, first_column = drawn
    currents = np.empty((DRAWN_TOGETHER, BLOCK), sums.dtype)
    variances = np.empty_like(currents)
    places, words = np.empty((BATCH, 2), np.int64), np.empty(BATCH * BLOCK, np.uint32)
    z, logs = np.empty(BATCH * BLOCK, np.float32), np.empty(BATCH * BLOCK, np.float32)
    for start in range(0, len(sums), DRAWN_TOGETHER):
        count = min(DRAWN_TOGETHER, whole(len(sums) - start, HEIGHT))
        multiply_block(vectors, start * rows, cells, rows, currents[:count])
        multiply_block(weighers, start * rows, spreads, rows, variances[:count])
        for vector in range(0, min(DRAWN_TOGETHER, len(sums) - start), BATCH):
            for block in range(BATCH):
                places[block, 0] = first_vector + start + vector + block
                places[block, 1] = (first_column + column) // BLOCK
            some = slice(vector, vector + BATCH)
            codes, sigmas = currents[some].reshape(-1), variances[some].reshape(-1)
            draw_blocks_and_roots(key, np.uint32(plane), places, z, words, logs, sigmas)
            convert_noisy(codes, sigmas, z, steps[0], steps[1:4])
        for vector in range(min(DRAWN_TOGETHER, len(sums) - start)):
            out = sums[start + vector, column : column + BLOCK]
            add_codes(currents[vector, : len(out)], steps[4], out)


@compiled()
def multiply_block(vectors, at, cells, rows, out):
    """Put products of packed vectors, from a number on, and packed cells in `out`, (vectors, BLOCK)."""
    width = WORDS * (BYTES // out.itemsize)
    for column in range(0, BLOCK, width):
        some = cells[column * rows : (column + width) * rows]
        for start in range(0, len(out), HEIGHT):
            put_products(vectors, at + start * rows, some, rows, out, start * BLOCK + column, BLOCK)


@compiled()
def multiply(vectors, cells, first, left, out):
    """Put the products of vectors (batch, rows) with the cells of one array in `out`, (batch, n).

    cells : (n_in, n_out), of which the array has the rows from `first` on, and `out` the columns from `left` on.
    """
    (batch, rows), n = vectors.shape, out.shape[1]
    if batch <= FEW:
        multiply_few(vectors.reshape(1, batch, rows), cells[first:], 0, rows, left, out.reshape(1, batch, n))
        return
    width = WORDS * (BYTES // out.itemsize)
    packed, held = np.empty(whole(batch, HEIGHT) * rows, out.dtype), np.empty(width * rows, out.dtype)
    edge = np.empty((HEIGHT, width), out.dtype)
    pack_vectors(vectors, 0, rows, packed)
    for column in range(0, n, width):
        pack_cells(cells, first, first + rows, left + column, held)
        for start in range(0, batch, HEIGHT):
            high, wide = min(HEIGHT, batch - start), min(width, n - column)
            if high == HEIGHT and wide == width:
                put_products(packed, start * rows, held, rows, out, start * n + column, n)
            else:
                put_products(packed, start * rows, held, rows, edge, 0, width)
                out[start : start + high, column : column + wide] = edge[:high, :wide]
