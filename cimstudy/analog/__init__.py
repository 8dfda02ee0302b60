"""What arrays do to numbers: random streams, mapping, device statistics, converters, the product."""

from cimstudy.analog.mapping import row_tiles
from cimstudy.analog.matrix import (
    COLUMNS_TOGETHER,
    Listed,
    MappedMatrix,
    ProgrammedMatrix,
    Ranges,
    check_time,
    find_ranges,
    map_columns,
    map_matrix,
    program_matrix,
)
from cimstudy.analog.random import Key, normals

__all__ = [
    "COLUMNS_TOGETHER",
    "Key",
    "Listed",
    "MappedMatrix",
    "ProgrammedMatrix",
    "Ranges",
    "check_time",
    "find_ranges",
    "map_columns",
    "map_matrix",
    "normals",
    "program_matrix",
    "row_tiles",
]
