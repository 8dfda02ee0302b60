"""What a point is: the hardware and the workload there, and a name for both."""

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticSerializationError

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.hardware.part import UnknownPathError, step_into
from cimstudy.study.codec import bare, canonical, describe, type_name
from cimstudy.study.setting import settle
from cimstudy.study.table import MISSING, Column, Point, Table, first_equal, grouped, hashable

MOST = 10_000  # parts that are kept; spaces of random points share none
SHOWN = 8  # messages of bad points that one error line lists
ROOTS = ("workload", *Hardware.model_fields)
Identities = NDArray[np.uint64]  # (points, 2)
LANES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)  # odd, without pattern: order of parts counts


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a point is."""

    hardware: Hardware
    workload: Any

    @functools.cached_property
    def identity(self) -> str:
        """32 hexadecimal digits, the same for equal points, and for no others."""
        return combined([identities(digest(part)) for part in self.parts().values()]).tobytes().hex()

    def parts(self) -> dict[str, Any]:
        """The workload and the parts of the hardware."""
        return {"workload": self.workload} | {root: getattr(self.hardware, root) for root in Hardware.model_fields}

    def at(self, path: str) -> Any:
        """The value at an axis's path."""
        return inside(self.parts()[root_of(path)], path)


class Resolver:
    """Points of one base, resolved. Neighbouring points share most of their parts, so each part is made once."""

    def __init__(self, hardware: Hardware, workload: Any) -> None:
        self._hardware, self._workload = hardware, workload
        self._made: dict[Any, Any] = {}  # by root and changes

    def __call__(self, point: Point) -> Resolved:
        """What this point is. Raises InputError, naming what is allowed, if there is no such hardware or workload."""
        changes: dict[str, dict[str, Any]] = defaultdict(dict)
        for path, value in point.items():
            changes[root_of(path)][path] = value
        for root in changes.keys() - set(ROOTS):
            settle(self._hardware, changes[root])  # an unknown root: raises
        parts = {root: self.part(root, changes.get(root, {})) for root in ROOTS}
        workload = parts.pop("workload")
        return Resolved(hardware=Hardware(**parts), workload=workload)

    def part(self, root: str, changes: Mapping[str, Any]) -> Any:
        """The workload or a part of the hardware, with these changes. Raises InputError as above."""
        key = (root, *((path, hashable(value)) for path, value in sorted(changes.items())))
        if key not in self._made:
            if len(self._made) > MOST:
                self._made.clear()
            self._made[key] = self.make(root, changes)
        return self._made[key]

    def make(self, root: str, changes: Mapping[str, Any]) -> Any:
        """What `part` gives, made anew unless it is whole."""
        inner = {path[len(root) + 1 :]: value for path, value in changes.items() if path != root}
        if not inner:
            return self._whole(root, changes)
        whole = self.part(root, {root: changes[root]} if root in changes else {})
        try:
            return settle(whole, inner)
        except InputError as error:
            raise InputError(f"{root}.{error}") from None

    def _whole(self, root: str, changes: Mapping[str, Any]) -> Any:
        if root in changes:
            return getattr(self._hardware.replace(root, changes[root]), root)
        return self._workload if root == "workload" else getattr(self._hardware, root)


@dataclass(frozen=True, kw_only=True, eq=False)
class Resolution(Sequence[Resolved]):
    """What every point of a table is. A point's hardware is made when it is asked for."""

    table: Table
    identities: Identities
    resolver: Resolver
    found: Mapping[str, Column] = field(default_factory=dict)  # settings that are known already, by path

    def __len__(self) -> int:
        return self.table.size

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self.resolver(self.table.point(place % len(self)))

    def take(self, rows: NDArray[np.intp]) -> "Resolution":
        """What these points are."""
        return Resolution(
            table=self.table.take(rows),
            identities=self.identities[rows],
            resolver=self.resolver,
            found={path: column.take(rows) for path, column in self.found.items()},
        )

    def settings(self, paths: Iterable[str]) -> Table:
        """What `paths` are at all points, as JSON values: from these settings, the same base gives the same points.

        A part that has axes inside is what it was before these changed it: a preset keeps its name and its values.
        """
        paths = list(paths)
        return Table(size=len(self), columns={path: self._setting(path, paths) for path in paths})

    def _setting(self, path: str, paths: Sequence[str]) -> Column:
        if path in self.found:
            return self.found[path]
        root = root_of(path)
        mine = {name: column for name, column in self.table.columns.items() if root_of(name) == root}
        if is_outer(path, [*paths, *mine]):
            mine = {name: column for name, column in mine.items() if not is_outer(path, [name])}
        rows, codes = grouped([column.codes for column in mine.values()], len(self))
        points = Table(size=len(self), columns=mine).points(rows)
        return column_of([inside(self.resolver.make(root, point), path) for point in points], codes)


def resolve_table(resolver: Resolver, table: Table, check: Callable[[Resolved], object] | None = None) -> Resolution:
    """What every point is; `check` may refuse some. Each distinct part is made and validated once.

    Raises one InputError with the distinct messages of all bad points.
    """
    complaints = Complaints(table.size)
    parts: list[Identities] = []
    makers: dict[str, Maker] = {}
    found: dict[str, Column] = {}
    for root in ROOTS:
        mine = {path: column for path, column in table.columns.items() if root_of(path) == root}
        rows, codes = grouped([column.codes for column in mine.values()], table.size)
        names, values, messages = made(resolver, root, mine, rows)
        parts.append(names[codes])
        makers[root] = Maker(resolver, root, Table(size=table.size, columns=mine).take(rows), codes)
        found |= {path: column_of(listed, codes) for path, listed in values.items() if not messages}
        complaints.add(messages, codes)
    if check is not None or Hardware.__pydantic_decorators__.model_validators:  # some parts may not go together
        complaints.ask(check, makers)
    complaints.settle()
    return Resolution(table=table, identities=combined(parts), resolver=resolver, found=found)


def made(
    resolver: Resolver, root: str, columns: Mapping[str, Column], rows: NDArray[np.intp]
) -> tuple[Identities, dict[str, list[Any]], dict[int, str]]:
    """Digests of the parts at these rows, the settings that they show, and what is wrong with those that cannot be."""
    names = bytearray()
    values: dict[str, list[Any]] = {path: [] for path in columns if not is_outer(path, columns)}
    messages: dict[int, str] = {}
    size = max((len(column.codes) for column in columns.values()), default=1)
    for number, point in enumerate(Table(size=size, columns=columns).points(rows)):
        try:
            part = resolver.make(root, point)
            names += digest(part)
        except InputError as error:
            messages[number] = str(error)
            names += bytes(16)
            continue
        for path, listed in values.items():
            listed.append(inside(part, path))
    return identities(names), values, messages


class Maker:
    """Makes the parts of one kind, those of neighbouring points once. distinct: their settings.  codes: (points,)."""

    def __init__(self, resolver: Resolver, root: str, distinct: Table, codes: NDArray[np.intp]) -> None:
        self._codes = codes
        self._part = functools.lru_cache(MOST)(lambda code: resolver.make(root, distinct.point(code)))

    def parts(self, rows: NDArray[np.intp]) -> Iterator[Any]:
        """The parts at these points in turn."""
        return map(self._part, self._codes[rows].tolist())


class Complaints:
    """What is wrong with a table's points."""

    def __init__(self, points: int) -> None:
        self._bad = np.zeros(points, np.bool_)
        self._messages: Counter[str] = Counter()

    def add(self, messages: Mapping[int, str], codes: NDArray[np.intp]) -> None:
        """Messages by code, and the codes of all points."""
        if not messages:
            return
        counts = np.bincount(codes)
        for code, text in messages.items():
            self._messages[text] += int(counts[code])
        self._bad |= np.isin(codes, list(messages))

    def ask(self, check: Callable[[Resolved], object] | None, makers: Mapping[str, Maker]) -> None:
        """Make every point whose parts are sound, and check it. makers: by the names of all parts."""
        sound = np.flatnonzero(~self._bad)
        for row, *parts in zip(sound.tolist(), *(maker.parts(sound) for maker in makers.values()), strict=True):
            named = dict(zip(makers, parts, strict=True))
            workload = named.pop("workload")
            try:
                resolved = Resolved(hardware=Hardware(**named), workload=workload)
                if check is not None:
                    check(resolved)
            except InputError as error:
                self._messages[str(error)] += 1
                self._bad[row] = True

    def settle(self) -> None:
        """Raise InputError if there are any."""
        if not self._messages:
            return
        texts = [f"{text} ({counted(count)})" for text, count in list(self._messages.items())[:SHOWN]]
        more = f"; and {len(self._messages) - SHOWN} more" if len(self._messages) > SHOWN else ""
        bad = int(np.count_nonzero(self._bad))
        raise InputError(f"{bad} of {counted(len(self._bad))} cannot be: {'; '.join(texts)}{more}")


def counted(points: int) -> str:
    """A number of points, for people."""
    return f"{points} point{'' if points == 1 else 's'}"


def root_of(path: str) -> str:
    """The part that a path starts in."""
    return path.partition(".")[0]


def is_outer(path: str, others: Iterable[str]) -> bool:
    """Whether any of the others lies within `path`."""
    return any(other.startswith(f"{path}.") for other in others)


def inside(part: Any, path: str) -> Any:
    """The value at a path that starts with the part's own name; MISSING if the part has no such field here."""
    try:
        return functools.reduce(step_into, path.split(".")[1:], part)
    except UnknownPathError:
        return MISSING


def column_of(values: Sequence[Any], codes: NDArray[np.intp]) -> Column:
    """The column of these values, in JSON form, chosen by `codes`."""
    every = Column.of(map(bare, values))
    return Column(values=every.values, codes=every.codes[codes])


def digest(part: Any) -> bytes:
    """A name for a part: 16 bytes."""
    return hashlib.sha256(spelled(part).encode()).digest()[:16]


def identities(names: bytes | bytearray) -> Identities:
    """Names, one after another, as numbers."""
    return np.frombuffer(names, "<u8").astype(np.uint64).reshape(-1, 2)


def spelled(part: Any) -> str:
    """One text for equal parts. Raises InputError for what cannot be written as JSON."""
    if isinstance(part, tuple):
        return f"({', '.join(map(spelled, part))})"
    if not isinstance(part, Part):
        return canonical(describe(part))
    try:
        return f"{type_name(type(part))} {part.model_dump_json()}"
    except PydanticSerializationError:
        return canonical(describe(part))  # says what is wrong


def combined(parts: Sequence[Identities]) -> Identities:
    """A name for each row of parts. parts: each (points, 2)."""
    total = np.zeros_like(parts[0])
    for names in parts:
        total = total * LANES + names  # modulo 2**64
    return total


def first_same(identities: Identities) -> NDArray[np.intp]:
    """For each point, the first that is the same. (points,)."""
    return first_equal(list(identities.T), len(identities))
