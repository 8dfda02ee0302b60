"""Currents of the columns of one array of rows, by what its cells and its wires are."""

import numpy as np

from cimstudy.analog import arrays, wired
from cimstudy.analog.chain import has_source_lines
from cimstudy.analog.drive import Drive
from cimstudy.analog.levels import Array
from cimstudy.analog.written import Reader, WrittenMatrix


def put_currents(matrix: WrittenMatrix, driven: Drive, reader: Reader, columns: slice, out: Array) -> None:
    """Write the currents of some columns of one array of rows into `out`, (cycles, batch, n).

    driven : the rows of this array.  reader : what reads the columns.
    """
    layout, place = matrix.layout, (reader.slice, reader.line, matrix.layout.tiles[reader.tile])
    pulses, currents = (each.reshape(-1, each.shape[-1]) for each in (driven.pulses, out))
    held = matrix.planes[place]
    bends = None if matrix.bends is None else matrix.bends[(slice(None), *place)]
    drives = pulses * (1 / pulses.dtype.type(driven.steps)) if bends is not None else pulses
    if bends is not None and layout.hardware.crossbar.wires is not None:
        currents[...] = driven.steps * wired.bent_currents(drives, held, bends, layout, columns)
    elif has_source_lines(layout.hardware.crossbar):
        currents[...] = wired.source_line_currents(pulses, held[:, columns], layout)
    else:
        cells = matrix.planes[reader.slice, reader.line]
        arrays.multiply(pulses, cells, layout.tiles[reader.tile].start, columns.start, currents)
        if bends is not None:
            currents += driven.steps * beyond_ohmic(drives, bends[..., columns])


def beyond_ohmic(drives: Array, bends: Array) -> Array:
    """What currents without wires have beyond those of ohmic cells, (vectors, n).

    drives : (vectors, rows), fractions of a full one.  bends : (2, rows, n).
    """
    found: Array = (drives * np.abs(drives)) @ bends[0] + drives**3 @ bends[1]
    return found
