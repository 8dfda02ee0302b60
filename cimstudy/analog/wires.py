"""What an array computes when its wires have resistance.

Rows (word lines) are driven at their left end, before column 0; columns (bit lines) are sensed at their lower end,
after the last row, by a virtual ground. With ohmic cells the array is a linear network: a vector of input voltages v
gives the column currents v @ A, so that wires are accounted for once, when an array has been programmed.

    A = effective_matrix(g, row_segments, column_segments)  # exact
    A = series_matrix(g, row_segments, column_segments)     # an expansion, some ten times faster

Conductances g are fractions of g_max and resistances are times g_max, so that all numbers are pure. A segment stands
before each cell, seen from the end that is driven or sensed: `row_segments[j]` to the left of column j,
`column_segments[i]` below row i. The first of a row and the last of a column include what stands outside the array.
"""

from typing import Any

import numpy as np

from cimstudy.analog import wire_kernels

Array = np.ndarray[Any, np.dtype[Any]]
Groups = list[tuple[slice, slice]]  # ports of a block, and where they go in the larger one

BLOCK_SIDE = 8  # cells along a side of the blocks that a compiled loop makes; larger ones are made of matrix products
TOGETHER = 2**14  # cells whose blocks are joined at a time: one array of 128 x 128


def segments(cells: int, resistance: float, terminal: float) -> Array:
    """Resistances before each of `cells` cells from a line's end on, (cells,) float64; the first holds the terminal."""
    found = np.full(cells, float(resistance))
    found[0] += terminal
    return found


def effective_matrix(g: Array, row_segments: Array, column_segments: Array) -> Array:
    """The matrix A by which arrays multiply, exactly: column currents are v @ A.

    g : (..., rows, columns).  row_segments : (columns,).  column_segments : (rows,).  Returns the shape and dtype of g.

    The array is cut into blocks, which are joined two by two to larger ones until the whole is left. A block is known
    by what its ports do. Its near ports, left and bottom, are where it is driven and sensed: their voltages are given
    and their currents follow. At its far ports, right and top, currents are drawn and voltages follow. With the
    voltages of bit lines counted downwards the matrix from what is given to what follows is symmetric, for any
    resistances, also 0, and joining divides by matrices with no eigenvalue below 1. The cost is some 80 n**3
    multiplications for n x n cells, where eliminating one row after the other takes n**4.
    """
    flat = g.reshape(-1, *g.shape[-2:])
    rows, columns = flat.shape[1:]
    (down, r), (across, c) = division(rows), division(columns)
    above, right = down * r - rows, across * c - columns  # empty places that complete the blocks
    row_lines, column_lines = np.pad(row_segments, (0, right)), np.pad(column_segments, (above, 0))
    out = np.empty_like(flat)
    step = max(1, TOGETHER // (rows * columns))
    for first in range(0, len(flat), step):
        cells = np.pad(flat[first : first + step].astype(np.float64), ((0, 0), (above, 0), (0, right)))
        blocks = np.empty((len(cells), down, across, 2 * (r + c), 2 * (r + c)))
        wire_kernels.cell_blocks(cells, row_lines, column_lines, blocks)
        out[first : first + step] = joined(blocks, r, c)[:, above:, :columns]
    return out.reshape(g.shape)


def division(cells: int) -> tuple[int, int]:
    """How many blocks, a power of two, and how many cells each, hold so many cells along a side."""
    count = 1
    while count * BLOCK_SIDE < cells:
        count *= 2
    return count, -(-cells // count)


def joined(blocks: Array, r: int, c: int) -> Array:
    """Transfer from left to bottom of arrays that are cut into blocks of r x c cells.

    blocks : (arrays, down, across, n, n), ports in the order left (r), bottom (c), right (r), top (c).
    Returns (arrays, down * r, across * c).
    """
    while blocks.shape[2] > 1 or blocks.shape[1] > 2:
        if blocks.shape[2] > 1 and (c <= r or blocks.shape[1] <= 2):
            blocks, c = joined_across(blocks, r, c), 2 * c
        else:
            blocks, r = joined_down(blocks, r, c), 2 * r
    left, bottom, _, top = ports(r, c, r, c)
    lower = blocks[:, -1, 0]
    if blocks.shape[1] == 1:
        return lower[:, left, bottom]
    upper = blocks[:, 0, 0]
    load = upper[:, bottom, bottom]
    voltages = np.linalg.solve(np.eye(c) - lower[:, top, top] @ load, lower[:, top, bottom])
    below = lower[:, left, bottom] + lower[:, left, top] @ (load @ voltages)
    return np.concatenate([upper[:, left, bottom] @ voltages, below], axis=1)


def joined_across(blocks: Array, r: int, c: int) -> Array:
    """Blocks of r x 2c cells from pairs of neighbours in a row."""
    left, bottom, right, top = ports(r, c, r, c)
    to_left, bottom_a, bottom_b, to_right, top_a, top_b = ports(r, c, c, r, c, c)
    from_a = [(left, to_left), (bottom, bottom_a), (top, top_a)]
    from_b = [(bottom, bottom_b), (right, to_right), (top, top_b)]
    return join(blocks[:, :, 0::2], blocks[:, :, 1::2], right, left, from_a, from_b)


def joined_down(blocks: Array, r: int, c: int) -> Array:
    """Blocks of 2r x c cells from pairs of neighbours in a column."""
    left, bottom, right, top = ports(r, c, r, c)
    left_b, left_a, to_bottom, right_b, right_a, to_top = ports(r, r, c, r, r, c)
    from_a = [(left, left_a), (bottom, to_bottom), (right, right_a)]
    from_b = [(left, left_b), (right, right_b), (top, to_top)]
    return join(blocks[:, 1::2], blocks[:, 0::2], top, bottom, from_a, from_b)


def ports(*widths: int) -> list[slice]:
    """Consecutive groups of ports."""
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for width, end in zip(widths, ends, strict=True)]


def join(a: Array, b: Array, far: slice, near: slice, from_a: Groups, from_b: Groups) -> Array:  # noqa: PLR0913, PLR0917
    """Blocks whose `far` ports of `a` are the `near` ports of `b`. a, b : (..., n, n)."""
    source, load = a[..., far, far], b[..., near, near]
    shared = np.linalg.inv(np.eye(source.shape[-1]) - source @ load)
    seen_a = np.concatenate([a[..., far, group] for group, _ in from_a], axis=-1)
    seen_b = np.concatenate([b[..., near, group] for group, _ in from_b], axis=-1)
    currents_a, currents_b = load @ (shared @ seen_a), shared.mT @ seen_b
    n = seen_a.shape[-1] + seen_b.shape[-1]
    out = np.empty((*seen_a.shape[:-2], n, n))
    place_block(out, a, seen_a.mT @ currents_a, from_a)
    place_block(out, b, seen_b.mT @ (source @ currents_b), from_b)
    between = seen_a.mT @ currents_b
    for (_, to_a), rows in zip(from_a, side_by_side(from_a), strict=True):
        for (_, to_b), columns in zip(from_b, side_by_side(from_b), strict=True):
            out[..., to_a, to_b] = between[..., rows, columns]
            out[..., to_b, to_a] = between[..., rows, columns].mT
    return out


def place_block(out: Array, block: Array, change: Array, groups: Groups) -> None:
    """Write what one block's ports do to each other once it is joined."""
    for (row, to_row), i in zip(groups, side_by_side(groups), strict=True):
        for (column, to_column), j in zip(groups, side_by_side(groups), strict=True):
            np.add(block[..., row, column], change[..., i, j], out=out[..., to_row, to_column])


def side_by_side(groups: Groups) -> list[slice]:
    """The groups as they stand side by side."""
    return ports(*(group.stop - group.start for group, _ in groups))


def series_matrix(g: Array, row_segments: Array, column_segments: Array) -> Array:
    """The matrix A by which arrays multiply, by an expansion in wire over cell resistance. Arguments as above.

    With X and Y what word lines and bit lines do alone, 1 / (1 + X + Y) is expanded around the product of their exact
    solutions: (1 + Y)^-1 (1 + X)^-1 + (1 + Y)^-1 X (1 + X)^-1 Y (1 + Y)^-1 (1 + X)^-1. What is left out is of the
    fourth order in X and Y. Every factor is a running sum along lines, so the cost is of the order of rows**2 columns.
    """
    out = np.empty(g.shape, g.dtype)
    flat = g.reshape(-1, *g.shape[-2:])
    for found, cells in zip(out.reshape(flat.shape), flat, strict=True):
        found[...] = series_of(cells, row_segments, column_segments)
    return out


def series_of(g: Array, row_segments: Array, column_segments: Array) -> Array:
    """`series_matrix` of one array: g (rows, columns)."""
    (row, row_far), (column, column_far) = both_lines(g, row_segments, column_segments)
    kept, segment = row.copy(), row_far.copy()
    kept[:, 1:] /= row[:, :-1]
    segment[:, 1:] -= kept[:, 1:] * row_far[:, :-1]
    above, below, driven = g * column_far, g * column, g * row
    source_above, source_below = (column * driven).T.copy(), (column_far * driven).T.copy()
    totals = (row * above) @ source_above, (row * below) @ source_below
    out: Array = (column * driven).T.copy()
    wire_kernels.couple_lines(above, below, row, kept, segment, source_above, source_below, *totals, out)
    return out.T


def line_shares(g: Array, row_segments: Array, column_segments: Array) -> Array:
    """The share of a cell's own current that reaches its converter past what its row and its column take, each alone.

    Arguments as above. Returns the shape of g.
    """
    out = np.empty(g.shape, g.dtype)
    flat = g.reshape(-1, *g.shape[-2:])
    for found, cells in zip(out.reshape(flat.shape), flat, strict=True):
        (row, _), (column, _) = both_lines(cells, row_segments, column_segments)
        np.multiply(row, column, out=found)
    return out


def both_lines(
    g: Array, row_segments: Array, column_segments: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Solutions of all rows with ideal columns, and of all columns with ideal rows, (rows, columns) each.

    See `wire_kernels.line_solutions` for the two that each line has.
    """
    row, row_far = line_voltages(g.T, row_segments)
    column, column_far = line_voltages(g[::-1], column_segments[::-1])
    return (row.T.copy(), row_far.T.copy()), (column[::-1].copy(), column_far[::-1].copy())


def line_voltages(g: Array, line: Array) -> tuple[Array, Array]:
    """Solutions of lines of cells, both (n, lines): see `wire_kernels.line_solutions`. g : (n, lines)."""
    cells = np.ascontiguousarray(g)
    drive, far = np.empty_like(cells), np.empty_like(cells)
    wire_kernels.line_solutions(cells, line.astype(g.dtype), drive, far)
    return drive, far


def source_line_currents(inputs: Array, g: Array, supply_segments: Array, column_segments: Array) -> Array:
    """Column currents of arrays whose cells are fed by a source line beside each column, and switched by the inputs.

    inputs : (batch, rows), what drives each cell; 0 leaves it open, so there is no matrix that serves all inputs.
    g : (rows, columns).  supply_segments : (rows,), above each row: source lines are fed at their upper ends.
    column_segments : (rows,), below each.  Returns (batch, columns) of the dtype of g.

    Columns share no wire, so each is a ladder, to which row after row is added: the cost is of the order of the cells.
    """
    currents = np.empty((len(inputs), g.shape[1]), g.dtype)
    lines = supply_segments.astype(g.dtype), column_segments.astype(g.dtype)
    wire_kernels.source_lines(inputs.astype(g.dtype), np.ascontiguousarray(g), *lines, currents)
    return currents
