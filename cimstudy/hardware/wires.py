"""Wires: the resistance of an array's rows and columns, which takes a part of every cell's voltage (IR drop)."""

from typing import Annotated, Literal

from pydantic import Field

from cimstudy.hardware.part import Part

Resistance = Annotated[float, Field(ge=0, le=1e9)]


class Wires(Part):
    """Rows are driven at column 0, columns are read below the last row; each array has the wires of its own cells.

    A segment lies between neighbouring cells of a line, and one more between its end and the first of them. Plus and
    minus cells, slices and tiles are arrays of their own, unless pairs are interleaved. With `feed="source_lines"` a
    line beside each column, fed above row 0, has the resistances of a row; inputs of 1 bit connect cells to it, so that
    the current of every input must be found for itself.
    """

    feed: Literal["rows", "source_lines"] = Field(
        default="rows", description="where the current of cells comes from: their rows, or a line beside each column"
    )
    row_resistance: Resistance = Field(default=0.0, description="ohm, of a row (or source line) between two cells")
    column_resistance: Resistance = Field(default=0.0, description="ohm, of a column between two cells")
    row_terminal_resistance: Resistance = Field(default=0.0, description="ohm, between a driver and its line")
    column_terminal_resistance: Resistance = Field(default=0.0, description="ohm, between a column and its converter")
    interleaved: bool = Field(
        default=False, description="the cells of a pair share a column; a second row carries the negative input"
    )
    method: Literal["exact", "series"] = Field(
        default="exact", description="series: an expansion in wire over cell resistance, for many arrays"
    )
