"""Overrides of a design: entries that some operators see in place of those of all others."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.errors import InputError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Own:
    """Entries of their own for the operators whose names fit a pattern.

    parts : by name (`device`, `crossbar`, `redundancy`, `softmax`, `norm`, `activation`) the entries of each by path,
    one value each; a part comes whole from the last of the overrides that fit.  engine : for those of the operators
    that can run there.
    """

    pattern: str
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    engine: str | None = None

    def __iter__(self) -> Iterator[tuple[str, str, Any]]:
        """Part, path and value of every entry."""
        return ((part, path, value) for part, values in self.parts.items() for path, value in values.items())


@dataclass(frozen=True, kw_only=True, eq=False)
class Overrides:
    """The overrides of many points: distinct ones, and which of them each point has, (1,) or (points,)."""

    distinct: Sequence[Sequence[Own]]
    which: Codes

    @classmethod
    def of(cls, given: Any) -> "Overrides":
        """These, or one sequence of overrides for all points. Raises InputError for what is neither."""
        if isinstance(given, Overrides):
            return given
        if not isinstance(given, Sequence) or not all(isinstance(own, Own) for own in given):
            raise InputError(f"overrides = {given!r}; allowed: a tuple of cimstudy.cost.Own")
        return cls(distinct=(tuple(given),), which=np.zeros(1, np.intp))

    def repeated(self, times: int) -> "Overrides":
        """The same with every point so many times in turn."""
        which = np.repeat(self.which, times) if self.which.size > 1 else self.which
        return Overrides(distinct=self.distinct, which=which)

    @property
    def forms(self) -> Codes:
        """What the overrides of each point are but for numbers, as a code."""
        known: dict[Any, int] = {}
        codes = [known.setdefault(form_of(overrides), len(known)) for overrides in self.distinct]
        found: Codes = np.array(codes, np.intp)[self.which]
        return found

    def at(self, rows: Codes) -> list["Applied"]:
        """The overrides of points that have the same form."""
        chosen, places = np.unique(self.which[rows] if self.which.size > 1 else self.which, return_inverse=True)
        return [
            Applied.of([self.distinct[each][number] for each in chosen], places)
            for number in range(len(self.distinct[chosen[0]]))
        ]


def form_of(overrides: Sequence[Own]) -> Any:
    """What overrides are but for numbers."""
    return tuple(
        (
            own.pattern,
            own.engine,
            *((part, path, value if isinstance(value, str) else None) for part, path, value in own),
        )
        for own in overrides
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Applied:
    """An override of a group's points: the numbers of its parts are (1,) or (points,).

    differing : parts in which not all points have what operators see that no override reaches.
    """

    pattern: str
    engine: str | None
    numbers: Mapping[str, Mapping[str, Array]]
    choices: Mapping[str, Mapping[str, str]]
    differing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, alike: Sequence[Own], places: Codes) -> "Applied":
        """The override of many points. alike : those of the same form.  places : which of them each point has."""
        first = alike[0]
        numbers: dict[str, dict[str, Array]] = {part: {} for part in first.parts}
        choices: dict[str, dict[str, str]] = {part: {} for part in first.parts}
        for part, path, value in first:
            if isinstance(value, str):
                choices[part][path] = value
                continue
            values = np.array([own.parts[part][path] for own in alike], np.float64)
            numbers[part][path] = values[places] if len(alike) > 1 else values
        return cls(pattern=first.pattern, engine=first.engine, numbers=numbers, choices=choices)

    @property
    def given(self) -> dict[str, Any]:
        """Parts and engine, by name."""
        parts: dict[str, Any] = dict.fromkeys(self.numbers)
        return parts if self.engine is None else {**parts, "engine": self.engine}

    def differences(self, numbers: Mapping[str, Array], choices: Mapping[str, str]) -> dict[str, Any]:
        """Where each part has other entries than these, (1,) or (points,)."""
        found = {}
        for part, own in self.numbers.items():
            named = any(choices[path] != name for path, name in self.choices[part].items())
            found[part] = functools.reduce(
                np.logical_or, [unlike(values, numbers[path]) for path, values in own.items()], np.array([named])
            )
        return found

    def differing_in(self, parts: Iterable[str]) -> "Applied":
        """The same, of which it is known in which parts it differs."""
        return replace(self, differing=frozenset(parts))

    def within(self, places: Codes, factors: Mapping[str, Array]) -> "Applied":
        """Some of the points. factors : what entries are multiplied by, of these."""
        numbers = {
            part: {path: taken(values, places) * factors.get(path, 1.0) for path, values in own.items()}
            for part, own in self.numbers.items()
        }
        return replace(self, numbers=numbers)


def unlike(first: Array, second: Array) -> NDArray[np.bool_]:
    """Where two entries differ; where neither says anything, they do not."""
    found: NDArray[np.bool_] = (first != second) & ~(np.isnan(first) & np.isnan(second))
    return found


def taken(values: NDArray[Any], rows: Any) -> NDArray[Any]:
    """The values of some points: (1,) of all, or one for each."""
    return values[rows] if values.size > 1 else values
