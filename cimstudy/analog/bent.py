"""Arrays with resistive wires whose cells are not ohmic: currents that bend with the voltage, found by iteration.

A cell's current is g D + bends[0] D |D| + bends[1] D**3 of the voltage D across it, which is its row's drive less the
drops along its lines. Units and segments are those of `cimstudy.analog.wires`.
"""

from typing import Any

import numpy as np

from cimstudy.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

TOGETHER = 2**19  # cells times vectors whose voltages are found at a time
BALANCE = 1e-9  # of the largest drive: what the voltages around any cell may leave over
STEPS = 50  # of Newton's method, and halvings of one step
INNER = 1000  # of conjugate gradients


def bent_currents(inputs: Array, g: Array, bends: Array, row_segments: Array, column_segments: Array) -> Array:
    """Column currents of one array of cells that are not ohmic.

    inputs : (batch, rows), drives of the rows.  g : (rows, columns).  bends : (2, rows, columns).
    row_segments : (columns,).  column_segments : (rows,).  Returns (batch, columns) float64.
    Raises InputError if no balance is found, as where currents do not grow with the voltage.
    """
    cells, bent = g.astype(np.float64), bends.astype(np.float64)
    currents = np.empty((len(inputs), g.shape[1]))
    step = max(1, TOGETHER // g.size)
    for first in range(0, len(inputs), step):
        drives = np.repeat(inputs[first : first + step, :, None].astype(np.float64), g.shape[1], axis=2)
        voltages = balanced(drives, cells, bent, (row_segments, column_segments))
        currents[first : first + step] = current(voltages, cells, bent).sum(axis=-2)
    return currents


def current(voltages: Array, g: Array, bends: Array) -> Array:
    """Currents of cells at the voltages across them."""
    size = np.abs(voltages)
    found: Array = voltages * (g + bends[0] * size + bends[1] * np.square(size))
    return found


def slope(voltages: Array, g: Array, bends: Array) -> Array:
    """Change of those currents with the voltage."""
    size = np.abs(voltages)
    found: Array = g + 2 * bends[0] * size + 3 * bends[1] * np.square(size)
    return found


def drops(currents: Array, lines: tuple[Array, Array]) -> Array:
    """What the currents of all cells, (batch, rows, columns), take of the voltage across each, by running sums."""
    row_segments, column_segments = lines
    beyond = np.cumsum(currents[..., ::-1], axis=-1)[..., ::-1]
    above = np.cumsum(currents, axis=-2)
    below = np.cumsum((column_segments[:, None] * above)[..., ::-1, :], axis=-2)[..., ::-1, :]
    found: Array = np.cumsum(row_segments * beyond, axis=-1) + below
    return found


def balanced(drives: Array, g: Array, bends: Array, lines: tuple[Array, Array]) -> Array:
    """Voltages D with D + drops(currents(D)) = drives, by Newton's method with halved steps."""
    voltages = drives.copy()
    left = voltages + drops(current(voltages, g, bends), lines) - drives
    allowed = BALANCE * max(float(np.abs(drives).max()), np.finfo(float).tiny)
    for _ in range(STEPS):
        if np.abs(left).max() <= allowed:
            return voltages
        change = correction(left, np.maximum(slope(voltages, g, bends), 0), lines, allowed)
        for _ in range(STEPS):
            tried = voltages + change
            remaining = tried + drops(current(tried, g, bends), lines) - drives
            if np.abs(remaining).max() < np.abs(left).max():
                break
            change = change / 2
        voltages, left = tried, remaining
    raise InputError(
        "no balance of the voltages in an array with wires was found; allowed: currents that grow with them"
    )


def correction(left: Array, slopes: Array, lines: tuple[Array, Array], allowed: float) -> Array:
    """The change d with d + drops(slopes d) = -left, by conjugate gradients for all vectors at once.

    With s the root of the slopes and d = -left - drops(s y), y solves (1 + s drops s) y = -s left, whose matrix is
    symmetric and has no eigenvalue below 1.
    """
    root = np.sqrt(slopes)
    residual = -root * left
    y, direction = np.zeros_like(residual), residual
    power = dots(residual, residual)
    enough = (allowed / 10) ** 2 * max(float(slopes.max()), np.finfo(float).tiny)
    for _ in range(INNER):
        if power.max() <= enough:
            break
        seen = direction + root * drops(root * direction, lines)
        length = power / np.maximum(dots(direction, seen), np.finfo(float).tiny)
        y, residual = y + length * direction, residual - length * seen
        last, power = power, dots(residual, residual)
        direction = residual + power / np.maximum(last, np.finfo(float).tiny) * direction
    return -left - drops(root * y, lines)


def dots(one: Array, other: Array) -> Array:
    """Scalar products of each vector's cells, (batch, 1, 1)."""
    found: Array = np.einsum("bij,bij->b", one, other)[:, None, None]
    return found
