"""What a point is: the hardware and the workload there, and a name for both."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cimstudy.errors import InputError
from cimstudy.hardware import Hardware, Part
from cimstudy.study.codec import canonical, describe, digest
from cimstudy.study.setting import settle
from cimstudy.study.space import Point

MOST = 10_000  # parts that are kept; spaces of random points share none


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a point is. `identity` is the same for equal points, and for no others."""

    hardware: Hardware
    workload: Any
    identity: str

    def at(self, path: str) -> Any:
        """The value at an axis's path."""
        root, _, rest = path.partition(".")
        return self.workload.at(rest) if root == "workload" else self.hardware.at(path)


class Resolver:
    """Points of one base, resolved. Neighbouring points share most of their parts, so each part is made once."""

    def __init__(self, hardware: Hardware, workload: Any) -> None:
        self._hardware, self._workload = hardware, workload
        self._made: dict[Any, tuple[Any, str]] = {}  # by root and changes: the part, its digest

    def __call__(self, point: Point) -> Resolved:
        """What this point is. Raises InputError, naming what is allowed, if there is no such hardware or workload."""
        changes: dict[str, dict[str, Any]] = defaultdict(dict)
        for path, value in point.items():
            changes[path.partition(".")[0]][path] = value
        workload, name = self._once("workload", changes.pop("workload", {}), self._settled_workload)
        parts, names = {}, [name]
        for root in Hardware.model_fields:
            parts[root], name = self._once(root, changes.pop(root, {}), self._settled_part)
            names.append(name)
        if changes:
            settle(self._hardware, next(iter(changes.values())))  # an unknown root: raises
        identity = hashlib.sha256(" ".join(names).encode()).hexdigest()[:32]
        return Resolved(hardware=Hardware(**parts), workload=workload, identity=identity)

    def _once(
        self, root: str, changes: Mapping[str, Any], make: Callable[[str, Mapping[str, Any]], Any]
    ) -> tuple[Any, str]:
        key = (root, *((path, hashable(value)) for path, value in sorted(changes.items())))
        if key not in self._made:
            if len(self._made) > MOST:
                self._made.clear()
            made = make(root, changes)
            self._made[key] = made, digest(describe(made))
        return self._made[key]

    def _settled_part(self, root: str, changes: Mapping[str, Any]) -> Any:
        return getattr(settle(self._hardware, changes), root)

    def _settled_workload(self, _root: str, changes: Mapping[str, Any]) -> Any:
        inner = {path.partition(".")[2]: value for path, value in changes.items()}
        if not inner:
            return self._workload
        try:
            return settle(self._workload, inner)
        except InputError as error:
            raise InputError(f"workload.{error}") from None


def hashable(value: Any) -> Any:
    """Something that stands for a value in a key. Kinds count: 1 and True are two values."""
    if isinstance(value, Part | str | int | float | None):
        return type(value), value
    return canonical(value) if isinstance(value, dict) else repr(value)
