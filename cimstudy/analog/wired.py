"""Cells as the converters of their arrays see them through wires. Conductances are fractions of g_max."""

from collections.abc import Callable, Sequence

import numpy as np

from cimstudy.analog import bent, wires
from cimstudy.analog.chain import has_source_lines
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.errors import InputError
from cimstudy.hardware import Wires

METHODS = {"exact": wires.effective_matrix, "series": wires.series_matrix}


def matrix_wires(layout: Layout) -> Wires | None:
    """The wires of arrays that multiply by one matrix whatever their inputs."""
    crossbar = layout.hardware.crossbar
    return None if has_source_lines(crossbar) else crossbar.wires


def wires_of(layout: Layout) -> Wires:
    """The wires of arrays that have some."""
    wiring = layout.hardware.crossbar.wires
    assert wiring is not None  # noqa: S101 - the caller's branch, for the type checker
    return wiring


def source_line_currents(pulses: Array, g: Array, layout: Layout) -> Array:
    """Column currents of one row tile whose cells are fed by a line beside each column, (vectors, n).

    pulses : (vectors, rows).  g : (rows, n), conductances.
    """
    wiring, g_max = wires_of(layout), layout.hardware.device.g_max
    lines = row_segments(len(g), wiring, g_max), column_segments(len(g), wiring, g_max)
    return wires.source_line_currents(pulses, g, *lines)


def bent_currents(drives: Array, g: Array, bends: Array, layout: Layout, columns: slice) -> Array:
    """Currents of some columns of one row tile whose cells are not ohmic, (vectors, n).

    drives : (vectors, rows).  g : (rows, n_out) and bends : (2, rows, n_out), of all columns, for arrays may lie across
    the edges of those that are asked for.
    """
    wiring, g_max = wires_of(layout), layout.hardware.device.g_max
    found = np.empty((len(drives), columns.stop - columns.start), drives.dtype)
    down = column_segments(len(g), wiring, g_max)
    for array in array_columns(layout):
        first, last = max(array.start, columns.start), min(array.stop, columns.stop)
        if first < last:
            across = row_segments(array.stop - array.start, wiring, g_max)
            currents = bent.bent_currents(drives, g[:, array], bends[..., array], across, down)
            wanted = slice(first - array.start, last - array.start)
            found[:, first - columns.start : last - columns.start] = currents[:, wanted]
    return found


def row_segments(columns: int, wiring: Wires, g_max: float) -> Array:
    """Resistances before each column of a row, (columns,), times g_max."""
    return wires.segments(columns, g_max * wiring.row_resistance, g_max * wiring.row_terminal_resistance)


def column_segments(rows: int, wiring: Wires, g_max: float) -> Array:
    """Resistances below each row of a column, (rows,), times g_max."""
    return wires.segments(rows, g_max * wiring.column_resistance, g_max * wiring.column_terminal_resistance)[::-1]


def seen_through_wires(cells: Sequence[Array], layout: Layout) -> Sequence[Array]:
    """What an input at each row adds to each column's current, in place of the conductances of cells.

    cells : of a row tile, (rows, n_out), those of each polarity.
    """
    wiring = matrix_wires(layout)
    return cells if wiring is None else of_arrays(METHODS[wiring.method], cells, layout, wiring)


def noise_passed(variances: Sequence[Array], cells: Sequence[Array], layout: Layout) -> Sequence[Array]:
    """Read-noise variances of cells, as they reach the converters: less by the square of what lines take."""
    wiring = matrix_wires(layout)
    if wiring is None:
        return variances
    shares = of_arrays(wires.line_shares, cells, layout, wiring)
    return [variance * np.square(share) for variance, share in zip(variances, shares, strict=True)]


def of_arrays(method: Callable[..., Array], cells: Sequence[Array], layout: Layout, wiring: Wires) -> Sequence[Array]:
    """A method of `analog.wires` for each array of a row tile; polarities share an array if they are interleaved."""
    rows, n_out = cells[0].shape
    g_max, polarities = layout.hardware.device.g_max, len(cells)
    down = column_segments(rows, wiring, g_max)
    lines = np.stack(cells)
    if wiring.interleaved:
        lines = lines.swapaxes(0, 1).reshape(1, polarities * rows, n_out)
        down = np.stack([np.zeros(rows), down], axis=1).ravel()  # a pair's two cells meet their column in one place
    found = np.empty_like(lines)
    for columns in array_columns(layout):
        width = columns.stop - columns.start
        found[..., columns] = method(lines[..., columns], row_segments(width, wiring, g_max), down)
    return list(found.reshape(rows, polarities, n_out).swapaxes(0, 1) if wiring.interleaved else found)


def array_columns(layout: Layout) -> list[slice]:
    """Columns of each array, from this part's first on. Raises InputError if the part holds a piece of an array."""
    first, last = layout.first_column, layout.first_column + layout.shape[1]
    found = [tile for tile in layout.column_tiles if first < tile.stop and tile.start < last]
    if found[0].start < first or found[-1].stop > last:
        raise InputError(f"columns {first} to {last} cut an array with wires; allowed: parts of whole arrays")
    return [slice(tile.start - first, tile.stop - first) for tile in found]
