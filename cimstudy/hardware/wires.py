"""Wires: the resistance of an array's rows and columns, which takes a part of every cell's voltage (IR drop)."""

from typing import Annotated, Literal

from pydantic import Field

from cimstudy.hardware.part import Part

Resistance = Annotated[float, Field(ge=0, le=1e9)]


class Wires(Part):
    """Rows are driven at column 0, columns are read below the last row; each array has the wires of its own cells.

    A segment lies between neighbouring cells of a line, and one more between its end and the first of them. Plus and
    minus cells, slices and tiles are arrays of their own, unless pairs are interleaved.
    """

    row_resistance: Resistance = Field(default=0.0, description="ohm, of a row from one cell to the next")
    column_resistance: Resistance = Field(default=0.0, description="ohm, of a column from one cell to the next")
    row_terminal_resistance: Resistance = Field(default=0.0, description="ohm, between a driver and its row")
    column_terminal_resistance: Resistance = Field(default=0.0, description="ohm, between a column and its converter")
    interleaved: bool = Field(
        default=False, description="the cells of a pair share a column; a second row carries the negative input"
    )
    method: Literal["exact", "series"] = Field(
        default="exact", description="series: an expansion in wire over cell resistance, for many arrays"
    )
