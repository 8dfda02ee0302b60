"""Prices: what an event takes, by component; and bills, which count events whose prices are shared by many."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cimstudy.cost.counts import total


@dataclass(frozen=True, kw_only=True, eq=False)
class Price:
    """Energy of an event, J."""

    energies: Mapping[str, Any]  # by component

    @cached_property
    def whole(self) -> Any:
        """Of all components: found once for all that happens at this price."""
        return total(self.energies.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Bill:
    """Energy of so many events of each price, J."""

    lines: tuple[tuple[Any, Price], ...]

    @property
    def whole(self) -> Any:
        """Of all components."""
        return total(count * price.whole for count, price in self.lines)

    def items(self) -> Iterable[tuple[str, Any]]:
        """By component."""
        found: dict[str, list[Any]] = defaultdict(list)
        for count, price in self.lines:
            for component, energy in price.energies.items():
                found[component].append(count * energy)
        return ((component, total(parts)) for component, parts in found.items())
