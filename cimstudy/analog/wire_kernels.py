"""Compiled loops over the cells of arrays whose wires have resistance. Numba, one thread each.

Every function fills arrays that the caller owns. Conductances are fractions of g_max, resistances are times g_max.
"""

import numpy as np

from cimstudy.analog.random import FASTMATH
from cimstudy.compiled import compiled

TOGETHER = 64  # columns that are looked at together

# Divisions by 0 are not checked, for a check at each would keep loops from becoming vector instructions.
looped = compiled(fastmath=FASTMATH, error_model="numpy")


@looped
def cell_blocks(g, row_segments, column_segments, ports):
    """Ports of small blocks of cells, built up cell by cell from the corner that is driven and sensed.

    g : (arrays, down * r, across * c).  row_segments : (across * c,).  column_segments : (down * r,).
    ports : (arrays, down, across, n, n), n = 2 (r + c), filled; order and meaning as in `cimstudy.analog.wires`.
    """
    arrays, down, across, n, _ = ports.shape
    r, c = g.shape[1] // down, g.shape[2] // across
    seen = ports[0, 0, 0, 0].copy()
    for place in range(arrays * down * across):
        array, block_row, block_column = place // (down * across), place // across % down, place % across
        block = ports[array, block_row, block_column]
        block[:] = 0
        for i in range(r + c):
            block[i, r + c + i] = block[r + c + i, i] = 1
        for i in range(r - 1, -1, -1):
            for j in range(c):
                row, column = block_row * r + i, block_column * c + j
                right, top = r + c + i, 2 * r + c + j
                block[right, right] -= row_segments[column]
                block[top, top] -= column_segments[row]
                for p in range(n):  # what drives the cell's current
                    seen[p] = block[right, p] + block[top, p]
                conductance = g[array, row, column] / (1 - g[array, row, column] * (seen[right] + seen[top]))
                for p in range(n):
                    weight = conductance * seen[p]
                    if weight != 0:
                        for q in range(n):
                            block[p, q] += weight * seen[q]


@looped
def line_solutions(g, segments, drive, far):
    """Lines of cells, each between one end and ideal wires on the other side of its cells.

    g : (n, lines), n cells from the driven end on.  segments : (n,), each before its cell.
    drive : (n, lines), filled with the voltage at each cell over that of the driven end.
    far : (n, lines), filled so that a current into cell j changes the voltage at cell i <= j by far[i] * drive[j].
    """
    n, lines = g.shape
    beyond = drive[0].copy()
    before = drive[0].copy()
    admittance = drive.copy()
    beyond[:] = 0
    before[:] = 0
    one = drive.dtype.type(1)
    for i in range(n - 1, -1, -1):
        for k in range(lines):
            admittance[i, k] = g[i, k] + beyond[k]
            beyond[k] = admittance[i, k] / (one + segments[i] * admittance[i, k])
    beyond[:] = 1
    for i in range(n):
        start = beyond if i == 0 else drive[i - 1]
        for k in range(lines):  # two loops: one with all these arrays does not become vector instructions
            drive[i, k] = start[k] / (one + segments[i] * admittance[i, k])
        for k in range(lines):
            behind = before[k] + segments[i]
            far[i, k] = behind / (one + behind * admittance[i, k]) / drive[i, k]
            before[k] = behind / (one + behind * g[i, k])


@looped
def sweep(above, below, kept, segment, given, source, state, out):
    """One cell of a word line, for many sources at once, (sources,): see `couple_lines`.

    state : (3 * sources,), what lies beyond the cell, its voltage, and 1 for the sources of which `above` is taken, 0
    for those of which `below` is: one array, as in `add_row`.
    """
    n, one = len(source), state.dtype.type(1)
    for k in range(n):
        side = state[2 * n + k]
        state[n + k] = kept * state[n + k] + segment * state[k]
        state[k] -= (above * side + below * (one - side)) * source[k]
        out[k] += given * state[n + k]


@looped
def couple_lines(above, below, drive, kept, segment, source_above, source_below, total_above, total_below, out):
    """Add what the current of each source's row does to the other rows through the bit lines that they share.

    A source's current changes the voltages of its bit lines at every row q, which changes the currents of row q, which
    changes the voltage along the word line of row q.
    above, below : (rows, columns), of row q for sources in rows up to q and beyond.  drive, kept, segment : the same,
    of its word line.  source_above, source_below : (columns, rows), of the sources.  total_above, total_below : (rows,
    rows), sums over columns of drive * above * source_above, and so on.  out : (columns, rows), added to.
    """
    rows, columns = drive.shape
    source, state = source_below.copy(), np.zeros(3 * rows, drive.dtype)
    for q in range(rows):
        split = q + 1
        source[:, q] = source_above[:, q]
        state[:split] = total_above[q, :split]
        state[split:rows] = total_below[q, split:]
        state[rows : 2 * rows] = 0
        state[2 * rows + q] = 1
        for c in range(columns):
            over, under = drive[q, c] * above[q, c], drive[q, c] * below[q, c]
            sweep(over, under, kept[q, c], segment[q, c], below[q, c], source[c], state, out[c])


@looped
def source_lines(inputs, g, supply_segments, column_segments, currents):
    """Currents of columns whose cells are fed by a source line beside each column and switched by the inputs.

    inputs : (batch, rows), the voltage of each cell; 0 leaves it open.  g : (rows, n).  currents : (batch, n), filled.
    supply_segments : (rows,), above each row.  column_segments : (rows,), below each.
    """
    rows, n = g.shape
    some, above = np.zeros((rows, TOGETHER), g.dtype), np.empty(5 * TOGETHER, g.dtype)
    for first in range(0, n, TOGETHER):
        width = min(TOGETHER, n - first)
        some[:, :width] = g[:, first : first + width]
        for i in range(len(inputs)):
            above[:] = 0
            for j in range(rows):
                add_row(inputs[i, j], some[j], supply_segments[j], column_segments[j], above)
            currents[i, first : first + width] = above[3 * TOGETHER : 3 * TOGETHER + width]


@looped
def add_row(u, g, supply, segment, above):
    """Add a row of cells below those above, of which TOGETHER columns know what they do at their lower end.

    Given the column's voltage v there, counted downwards, and the current s that its source line is asked for,
    the column carries gain * v + transfer * s + current, and the source line has transfer * v + drop * s + voltage.
    above : (5 * TOGETHER,), gains, transfers, drops, currents, voltages. One array, as one that holds all is known
    not to overlap, so that the loop becomes vector instructions.
    """
    one = g.dtype.type(1)
    switch = one if u != 0 else one - one
    for k in range(TOGETHER):
        gain, transfer, drop = above[k], above[TOGETHER + k], above[2 * TOGETHER + k] - supply
        current, voltage = above[3 * TOGETHER + k], above[4 * TOGETHER + k]
        seen = one + transfer
        cell = switch * g[k] / (one - g[k] * drop)
        pushed = cell * (u + voltage)
        carried, passed, flowing = gain + cell * seen * seen, transfer + cell * seen * drop, current + seen * pushed
        lost = segment / (one + segment * carried)
        kept = one - lost * carried
        above[k] = kept * carried
        above[TOGETHER + k] = kept * passed
        above[2 * TOGETHER + k] = drop + cell * drop * drop - lost * passed * passed
        above[3 * TOGETHER + k] = kept * flowing
        above[4 * TOGETHER + k] = voltage + drop * pushed - lost * passed * flowing
