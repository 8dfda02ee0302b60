"""Tables of points: for each path its values, once each, and which of them every point has.

A million points are a few arrays of numbers here; a point's mapping is made when it is asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cimstudy.hardware import Part
from cimstudy.study.codec import canonical

Point = Mapping[str, Any]
Values = Sequence[Any] | NDArray[Any]  # an array only of numbers or booleans of one kind
ABSENT = -1  # the code of a point that leaves a path at the base's value
MISSING = object()  # stands for the value of such a point
AT_ONCE = 65536  # points that are turned from columns into mappings together


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """Values along the points of a table. codes: (points,), places in `values`, or ABSENT."""

    values: Values
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """The column of these values, one for each point; MISSING for a point that has none."""
        packed = compact(values)
        if isinstance(packed, np.ndarray):
            distinct, codes = np.unique(packed, return_inverse=True)
            return cls(values=distinct, codes=codes)
        places: dict[Any, int] = {}
        known: list[Any] = []
        codes = np.empty(len(packed), np.intp)
        for row, value in enumerate(packed):
            if value is MISSING:
                codes[row] = ABSENT
                continue
            codes[row] = places.setdefault(hashable(value), len(known))
            if codes[row] == len(known):
                known.append(value)
        return cls(values=known, codes=codes)

    def values_list(self) -> Sequence[Any]:
        """The values as Python's own."""
        return self.values.tolist() if isinstance(self.values, np.ndarray) else self.values

    def values_at(self, rows: NDArray[np.intp]) -> list[Any]:
        """The values of these points; MISSING where there is none."""
        codes = self.codes[rows]
        if isinstance(self.values, np.ndarray) and (codes != ABSENT).all():
            found: list[Any] = self.values[codes].tolist()
            return found
        return [MISSING if code == ABSENT else single(self.values, code) for code in codes.tolist()]

    def at(self, row: int) -> Any:
        """The value of a point that has one."""
        return single(self.values, int(self.codes[row]))

    def take(self, rows: NDArray[np.intp] | slice) -> Self:
        """The column of these points, with no more values than they need."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        lowest = int(bool(used.size) and used[0] == ABSENT)
        return type(self)(values=picked(self.values, used[lowest:]), codes=codes - lowest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Points by number."""

    size: int
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return self.size

    def point(self, row: int) -> dict[str, Any]:
        """A point: path -> value."""
        return {path: column.at(row) for path, column in self.columns.items() if column.codes[row] != ABSENT}

    def points(self, rows: NDArray[np.intp] | None = None) -> Iterator[dict[str, Any]]:
        """These points in turn, or all."""
        rows = np.arange(self.size) if rows is None else rows
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            columns = [column.values_at(part) for column in self.columns.values()]
            for values in zip(*columns, strict=True) if columns else [()] * len(part):
                pairs = zip(self.columns, values, strict=True)
                yield {path: value for path, value in pairs if value is not MISSING}

    def take(self, rows: NDArray[np.intp]) -> Self:
        """The table of these points."""
        return type(self)(size=len(rows), columns={path: column.take(rows) for path, column in self.columns.items()})

    def distinct(self) -> Self:
        """The table without the points that an earlier one equals."""
        first = first_equal([column.codes for column in self.columns.values()], self.size)
        rows = np.flatnonzero(first == np.arange(self.size))
        return self if len(rows) == self.size else self.take(rows)


class PointsByRow(Mapping[int, Point]):
    """Points of a table by their row in a store; small when pickled. rows: (points,)."""

    def __init__(self, rows: NDArray[np.intp], table: Table) -> None:
        order = np.argsort(rows)
        self.rows, self._order, self.table = rows[order], order, table

    def __getitem__(self, row: int) -> Point:
        place = int(np.searchsorted(self.rows, row))
        if place == len(self.rows) or self.rows[place] != row:
            raise KeyError(row)
        return self.table.point(int(self._order[place]))

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self) -> Table:
        """The points in the order of their rows."""
        return self.table.take(self._order)

    def between(self, start: int, stop: int) -> "PointsByRow":
        """The points of the rows from `start` to before `stop`."""
        part = slice(*np.searchsorted(self.rows, [start, stop]))
        return PointsByRow(self.rows[part], self.table.take(self._order[part]))


def times(first: Table, second: Table) -> Table:
    """Every point of `first` with every point of `second`, whose points change fastest."""
    repeated = {
        path: Column(values=column.values, codes=np.repeat(column.codes, second.size))
        for path, column in first.columns.items()
    }
    tiled = {
        path: Column(values=column.values, codes=np.tile(column.codes, first.size))
        for path, column in second.columns.items()
    }
    return Table(size=first.size * second.size, columns=repeated | tiled)


def stacked(tables: Sequence[Table]) -> Table:
    """The points of all tables, one table after another. Paths that a table lacks are absent from its points."""
    paths = dict.fromkeys(path for table in tables for path in table.columns)
    return Table(size=sum(table.size for table in tables), columns={path: joined(path, tables) for path in paths})


def joined(path: str, tables: Sequence[Table]) -> Column:
    """The column of a path over the points of all tables."""
    columns = [table.columns.get(path) for table in tables]
    found = [column for column in columns if column is not None]
    every = Column.of(value for column in found for value in column.values_list())
    starts = np.cumsum([0, *(len(column.values) for column in found)])
    shifts = iter(starts.tolist())
    codes = []
    for column, table in zip(columns, tables, strict=True):
        if column is None:
            codes.append(np.full(table.size, ABSENT, np.intp))
        else:
            places = np.append(every.codes[(start := next(shifts)) : start + len(column.values)], ABSENT)
            codes.append(places[column.codes])  # ABSENT is the last place
    return Column(values=every.values, codes=np.concatenate(codes))


def table_of(points: Iterable[Point]) -> Table:
    """The table of these points."""
    columns: dict[str, list[Any]] = {}
    size = 0
    for point in points:
        for path in point:
            if path not in columns:
                columns[path] = [MISSING] * size
        for path, values in columns.items():
            values.append(point.get(path, MISSING))
        size += 1
    return Table(size=size, columns={path: Column.of(values) for path, values in columns.items()})


def first_equal(keys: Sequence[NDArray[Any]], size: int) -> NDArray[np.intp]:
    """For each row, the first row that is equal in all keys. keys: each (rows,). Returns (rows,)."""
    if not keys:
        return np.zeros(size, np.intp)
    order = np.lexsort(tuple(keys))  # stable: of equal rows, the first comes first
    fresh = np.ones(size, np.bool_)
    fresh[1:] = np.logical_or.reduce([key[order[1:]] != key[order[:-1]] for key in keys])
    first = np.empty(size, np.intp)
    first[order] = order[np.flatnonzero(fresh)][np.cumsum(fresh) - 1]
    return first


def grouped(keys: Sequence[NDArray[np.intp]], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A row of each distinct combination of codes, in order of appearance, and which of these every row has."""
    first = first_equal(keys, size)
    rows = np.flatnonzero(first == np.arange(size))
    number = np.empty(size, np.intp)
    number[rows] = np.arange(len(rows))
    return rows, number[first]


def compact(values: Iterable[Any]) -> Values:
    """The values as an array if they are all floats, all integers of 64 bits, or all booleans; else as a list."""
    if isinstance(values, np.ndarray):
        return values
    listed = list(values)
    kinds = set(map(type, listed))
    if kinds in ({float}, {bool}):
        return np.array(listed)
    if kinds == {int} and min(listed) >= -(2**63) and max(listed) < 2**63:
        return np.array(listed, np.int64)
    return listed


def single(values: Values, place: int) -> Any:
    """One value, as Python's own."""
    return values[place].item() if isinstance(values, np.ndarray) else values[place]


def picked(values: Values, places: NDArray[np.intp]) -> Values:
    """Some values, in this order."""
    return values[places] if isinstance(values, np.ndarray) else [values[place] for place in places.tolist()]


def hashable(value: Any) -> Any:
    """Something that stands for a value in a key. Kinds count: 1 and True are two values."""
    if isinstance(value, Part | str | int | float | None):
        return type(value), value
    return canonical(value) if isinstance(value, dict) else repr(value)
