"""Cells as the converters of their arrays see them through wires. Conductances are fractions of g_max."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from cimstudy.analog import wires
from cimstudy.analog.mapping import Array, Layout, row_tiles
from cimstudy.analog.product import COLUMNS_TOGETHER
from cimstudy.errors import InputError
from cimstudy.hardware import Crossbar, Wires

METHODS = {"exact": wires.effective_matrix, "series": wires.series_matrix}


def columns_together(crossbar: Crossbar, n_out: int) -> int:
    """Parts of a matrix of `n_out` columns begin at multiples of so many: whole products, and whole arrays with wires.

    Arrays whose widths differ have no such multiple: the matrix is then one part.
    """
    if crossbar.wires is None:
        return COLUMNS_TOGETHER
    widths = {tile.stop - tile.start for tile in row_tiles(n_out, crossbar.columns, crossbar.split)[:-1]}
    return math.lcm(COLUMNS_TOGETHER, *widths) if len(widths) == 1 else -(-n_out // COLUMNS_TOGETHER) * COLUMNS_TOGETHER


def seen_through_wires(cells: Sequence[Array], layout: Layout) -> Sequence[Array]:
    """What an input at each row adds to each column's current, in place of the conductances of cells.

    cells : of a row tile, (rows, n_out), those of each polarity.
    """
    wiring = layout.hardware.crossbar.wires
    return cells if wiring is None else of_arrays(METHODS[wiring.method], cells, layout, wiring)


def noise_passed(variances: Sequence[Array], cells: Sequence[Array], layout: Layout) -> Sequence[Array]:
    """Read-noise variances of cells, as they reach the converters: less by the square of what lines take."""
    wiring = layout.hardware.crossbar.wires
    if wiring is None:
        return variances
    shares = of_arrays(wires.line_shares, cells, layout, wiring)
    return [variance * np.square(share) for variance, share in zip(variances, shares, strict=True)]


def of_arrays(method: Callable[..., Array], cells: Sequence[Array], layout: Layout, wiring: Wires) -> Sequence[Array]:
    """A method of `analog.wires` for each array of a row tile; polarities share an array if they are interleaved."""
    rows, n_out = cells[0].shape
    g_max, polarities = layout.hardware.device.g_max, len(cells)
    down = wires.segments(rows, g_max * wiring.column_resistance, g_max * wiring.column_terminal_resistance)[::-1]
    lines = np.stack(cells)
    if wiring.interleaved:
        lines = lines.swapaxes(0, 1).reshape(1, polarities * rows, n_out)
        down = np.stack([np.zeros(rows), down], axis=1).ravel()  # a pair's two cells meet their column in one place
    found = np.empty_like(lines)
    for columns in array_columns(layout):
        width = columns.stop - columns.start
        across = wires.segments(width, g_max * wiring.row_resistance, g_max * wiring.row_terminal_resistance)
        found[..., columns] = method(lines[..., columns], across, down)
    return list(found.reshape(rows, polarities, n_out).swapaxes(0, 1) if wiring.interleaved else found)


def array_columns(layout: Layout) -> list[slice]:
    """Columns of each array, from this part's first on. Raises InputError if the part holds a piece of an array."""
    first, last = layout.first_column, layout.first_column + layout.shape[1]
    found = [tile for tile in layout.column_tiles if first < tile.stop and tile.start < last]
    if found[0].start < first or found[-1].stop > last:
        raise InputError(f"columns {first} to {last} cut an array with wires; allowed: parts of whole arrays")
    return [slice(tile.start - first, tile.stop - first) for tile in found]
