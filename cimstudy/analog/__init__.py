"""What arrays do to numbers: random streams, mapping, device statistics, converters, the product."""

from cimstudy.analog.chain import weight_planes
from cimstudy.analog.mapping import COLUMNS_TOGETHER, Ranges, columns_together, row_tiles
from cimstudy.analog.matrix import MappedMatrix, check_time, map_columns, map_matrix, program_matrix
from cimstudy.analog.product import ProgrammedMatrix
from cimstudy.analog.random import Key, normals
from cimstudy.analog.ranges import Listed, find_ranges

__all__ = [
    "COLUMNS_TOGETHER",
    "Key",
    "Listed",
    "MappedMatrix",
    "ProgrammedMatrix",
    "Ranges",
    "check_time",
    "columns_together",
    "find_ranges",
    "map_columns",
    "map_matrix",
    "normals",
    "program_matrix",
    "row_tiles",
    "weight_planes",
]
