"""Spaces: which points a study visits.

A space is a frozen value that knows its `axes` and yields `points()`, each a mapping from an axis's path to its value.
The order of points has no meaning: results are found by what a point is. Spaces combine: `*` gives every point of one
with every point of the other, `+` the points of both.
"""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, field_validator, model_validator
from scipy.stats import qmc

from cimstudy.errors import InputError
from cimstudy.hardware import Part
from cimstudy.study.axis import Axis, Range, Varied, as_axes, as_varied, check_distinct, check_once
from cimstudy.study.table import Column, Point, Table, compact, stacked, times

MOST_SOBOL = 2**30  # points of a sequence, whose coordinates have 30 bits


class Composable(Part):
    """What all spaces share."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    def varied(self) -> tuple[Varied, ...]:
        """The axes, in order."""
        axes: tuple[Varied, ...] = getattr(self, "axes", ())
        return axes

    def table(self) -> Table:
        """The points, column by column."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.table())

    def names(self) -> dict[str, str]:
        """The axes: path -> name of the dimension or coordinate."""
        return {axis.path: axis.dimension for axis in self.varied()}

    def points(self) -> Iterator[dict[str, Any]]:
        """The points, each a mapping from path to value."""
        return self.table().points()

    def __mul__(self, other: Any) -> "Grid | Product":
        """Every point of this space with every point of `other`, which changes fastest."""
        if not isinstance(other, Composable):
            return NotImplemented
        if isinstance(self, Grid) and isinstance(other, Grid):
            return Grid([*self.axes, *other.axes])
        return Product(terms=[*terms_of(self, Product), *terms_of(other, Product)])

    def __add__(self, other: Any) -> "Sum":
        """The points of this space and those of `other`."""
        if not isinstance(other, Composable):
            return NotImplemented
        return Sum(terms=[*terms_of(self, Sum), *terms_of(other, Sum)])


class Grid(Composable):
    """Every combination of the axes' values, the last axis fastest. Without axes: one point, the base hardware."""

    kind: Literal["grid"] = "grid"
    axes: tuple[Axis, ...] = ()

    def __init__(self, axes: Mapping[str, Iterable[Any]] | Iterable[Any] = (), *, kind: str = "grid") -> None:
        super().__init__(kind=kind, axes=as_axes(axes))

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        check_distinct(axes)
        for axis in axes:
            check_once(axis)
        return axes

    def __len__(self) -> int:
        count = 1
        for axis in self.axes:
            count *= len(axis.values)
        return count

    def table(self) -> Table:
        """The points, column by column."""
        table = Table(size=1, columns={})
        for axis in self.axes:
            column = Column(values=compact(axis.values), codes=np.arange(len(axis.values)))
            table = times(table, Table(size=len(axis.values), columns={axis.path: column}))
        return table


class Zip(Composable):
    """Axes side by side: the first point has the first value of each, the second the second, and so on."""

    kind: Literal["zip"] = "zip"
    axes: tuple[Axis, ...] = Field(min_length=1)

    def __init__(self, axes: Mapping[str, Iterable[Any]] | Iterable[Any], *, kind: str = "zip") -> None:
        super().__init__(kind=kind, axes=as_axes(axes))

    @field_validator("axes")
    @classmethod
    def _even(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        check_distinct(axes)
        counts = {axis.path: len(axis.values) for axis in axes}
        if len(set(counts.values())) > 1:
            given = ", ".join(f"{path} has {count}" for path, count in counts.items())
            raise InputError(f"axes of a Zip differ in length: {given}; allowed: the same number of values each")
        return axes

    def table(self) -> Table:
        """The points, column by column."""
        return side_by_side(self.axes)


class Points(Composable):
    """Points one by one: a list of mappings from path to value, a DataFrame with a column for each path, or a CSV file.

    Every point gives the same paths. `names`: of coordinates, path -> name, where the usual ones do not suit.
    """

    kind: Literal["points"] = "points"
    axes: tuple[Axis, ...] = Field(min_length=1)

    def __init__(
        self, points: Any = None, *, names: Mapping[str, str] | None = None, kind: str = "points", axes: Any = None
    ) -> None:
        if axes is None:
            columns, names = columns_of(points), names or {}
            strange = [path for path in names if path not in columns]
            if strange:
                raise InputError(f"names: {strange[0]!r} is no path of these points; they give: {', '.join(columns)}")
            axes = [Axis(path, values, names.get(path)) for path, values in columns.items()]
        super().__init__(kind=kind, axes=axes)

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        check_distinct(axes)
        return axes

    def table(self) -> Table:
        """The points, column by column."""
        return side_by_side(self.axes)


class LatinHypercube(Composable):
    """`n` points, of which each axis has one in each n-th of its range, at places drawn from `seed`.

    Axes are `(low, high)`, `(low, high, "log")`, `(low, high, "integer")`, a `Range`, or a list of values to pick from.
    A hypercube cannot grow: other `n` are other points. `Sobol` can.
    """

    kind: Literal["latin_hypercube"] = "latin_hypercube"
    axes: tuple[Axis | Range, ...] = Field(min_length=1)
    n: int = Field(ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def __init__(self, axes: Any, *, n: int, seed: int = 0, kind: str = "latin_hypercube") -> None:
        super().__init__(kind=kind, axes=as_varied(axes), n=n, seed=seed)

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[Varied, ...]) -> tuple[Varied, ...]:
        return check_sampled(axes)

    def __len__(self) -> int:
        return self.n

    def table(self) -> Table:
        """The points, column by column."""
        return sampled(
            self.axes, qmc.LatinHypercube(len(self.axes), rng=np.random.default_rng(self.seed)).random(self.n)
        )


class Sobol(Composable):
    """The first `n` points, a power of two, of a Sobol sequence scrambled by `seed`; axes as in `LatinHypercube`.

    The first n of 2 n points are the n points: a study with a larger `n` keeps all it has.
    """

    kind: Literal["sobol"] = "sobol"
    axes: tuple[Axis | Range, ...] = Field(min_length=1)
    n: int = Field(ge=1, le=MOST_SOBOL)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def __init__(self, axes: Any, *, n: int, seed: int = 0, kind: str = "sobol") -> None:
        super().__init__(kind=kind, axes=as_varied(axes), n=n, seed=seed)

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[Varied, ...]) -> tuple[Varied, ...]:
        return check_sampled(axes)

    @field_validator("n")
    @classmethod
    def _power_of_two(cls, n: int) -> int:
        if n & (n - 1):
            lower = 1 << (n.bit_length() - 1)
            raise InputError(f"n = {n}; allowed: powers of two, such as {lower} or {2 * lower}")
        return n

    def __len__(self) -> int:
        return self.n

    def table(self) -> Table:
        """The points, column by column."""
        engine = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng(self.seed))
        return sampled(self.axes, engine.random_base2(self.n.bit_length() - 1))


class Product(Composable):
    """Every point of each term with every point of the others, the last term's fastest. Written `one * other`."""

    kind: Literal["product"] = "product"
    terms: tuple["Space", ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        check_distinct(self.axes)
        return self

    @property
    def axes(self) -> tuple[Varied, ...]:
        """The axes of all terms."""
        return tuple(axis for term in self.terms for axis in term.varied())

    def __len__(self) -> int:
        count = 1
        for term in self.terms:
            count *= len(term)
        return count

    def table(self) -> Table:
        """The points, column by column."""
        table = Table(size=1, columns={})
        for term in self.terms:
            table = times(table, term.table())
        return table


class Sum(Composable):
    """The points of all terms, those that several terms have once. Written `one + other`.

    A term that lacks an axis of another leaves it at the base's value.
    """

    kind: Literal["sum"] = "sum"
    terms: tuple["Space", ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        named: dict[str, str] = {}
        for axis in (axis for term in self.terms for axis in term.varied()):
            if named.setdefault(axis.path, axis.dimension) != axis.dimension:
                both = f"{named[axis.path]} in one term, {axis.dimension} in another"
                raise InputError(f"axis {axis.path} is named {both}; allowed: one name")
        check_distinct(self.axes)
        return self

    @property
    def axes(self) -> tuple[Varied, ...]:
        """The axes of all terms, one for each path."""
        found: dict[str, Varied] = {}
        for term in self.terms:
            for axis in term.varied():
                found.setdefault(axis.path, axis)
        return tuple(found.values())

    def table(self) -> Table:
        """The points, column by column."""
        return stacked([term.table() for term in self.terms]).distinct()


Space = Annotated[
    Union[Grid, Zip, Points, LatinHypercube, Sobol, Product, Sum],  # noqa: UP007 - `Space` refers to itself
    Field(discriminator="kind"),
]

Product.model_rebuild()
Sum.model_rebuild()


def space_of(description: Mapping[str, Any]) -> Any:
    """The space of this JSON form."""
    return TypeAdapter(Space).validate_python(description)


def terms_of(space: Any, kind: type[Any]) -> Sequence[Any]:
    """The terms of a product or sum if it is one, else the space itself."""
    return space.terms if isinstance(space, kind) else (space,)


def leaves(space: Any) -> Iterator[Composable]:
    """The spaces that a space is made of."""
    if isinstance(space, Product | Sum):
        yield from itertools.chain.from_iterable(map(leaves, space.terms))
    else:
        yield space


def side_by_side(axes: Sequence[Axis]) -> Table:
    """The points whose columns are the axes' values."""
    columns = {axis.path: Column.of(axis.values) for axis in axes}
    return Table(size=len(axes[0].values), columns=columns)


def sampled(axes: Sequence[Varied], shares: NDArray[np.float64]) -> Table:
    """The points at these shares of the axes. shares: (points, axes), in [0, 1)."""
    columns = {axis.path: axis.spread(share) for axis, share in zip(axes, shares.T, strict=True)}
    return Table(size=len(shares), columns=columns)


def check_sampled(axes: tuple[Varied, ...]) -> tuple[Varied, ...]:
    """The axes. Raises InputError if two are alike, or if one has a value twice."""
    check_distinct(axes)
    for axis in axes:
        check_once(axis)
    return axes


def columns_of(points: Any) -> Mapping[str, Sequence[Any]]:
    """Path -> values of all points, from a list of mappings, a DataFrame or a CSV file."""
    if isinstance(points, str | Path):
        return turned(read_csv(Path(points)))
    if hasattr(points, "columns") and hasattr(points, "to_dict"):
        return {str(path): points[path].tolist() for path in points.columns}
    if isinstance(points, Iterable) and not isinstance(points, Mapping):
        return turned(points)
    raise InputError(
        f"points are {points!r}; allowed: a list of {{path: value}}, a DataFrame, or the path of a CSV file"
    )


def turned(points: Iterable[Any]) -> dict[str, list[Any]]:
    """Columns from rows. Raises InputError unless every row gives the same paths."""
    columns: dict[str, list[Any]] = {}
    for number, point in enumerate(points):
        if not isinstance(point, Mapping):
            raise InputError(f"point {number} is {point!r}; allowed: {{path: value}}")
        if number == 0:
            columns = {str(path): [] for path in point}
        if point.keys() != columns.keys():
            odd = sorted(point.keys() ^ columns.keys())
            raise InputError(f"point {number} and point 0 differ in {odd[0]}; allowed: the same paths in every point")
        for path, value in point.items():
            columns[path].append(value)
    if not columns:
        raise InputError("there are no points; allowed: one or more, each with one path or more")
    return columns


def read_csv(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file whose header names paths. Cells are JSON where they can be, else text."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            for row in rows:
                if len(row) != len(header):
                    raise InputError(f"{file}, line {rows.line_num}: {len(row)} cells; allowed: {len(header)}")
                yield dict(zip(header, map(cell, row), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); allowed: a CSV file whose header names paths") from None


def cell(text: str) -> Any:
    """The value of a cell."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


__all__ = ["Grid", "LatinHypercube", "Point", "Points", "Product", "Sobol", "Space", "Sum", "Zip"]
