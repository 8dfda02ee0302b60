"""What products take at the points of a group: with static matrices step by step, and of attention by layers."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cimstudy.cost import dynamic, gain_cells, meeting, search
from cimstudy.cost.counts import total
from cimstudy.cost.run import Layers, Run, Setting
from cimstudy.cost.shapes import Product
from cimstudy.cost.static import Use, use_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken:
    """What a product takes in each phase."""

    product: Product
    setting: Setting
    uses: tuple[Use, Use]

    @property
    def alike(self) -> bool:
        """Whether both phases take the same."""
        return self.uses[0] is self.uses[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Taking:
    """Products side by side. count : of such steps, which wait for one another."""

    count: float
    products: tuple[Taken, ...]

    @property
    def alike(self) -> bool:
        """Whether both phases take the same."""
        return all(taken.alike for taken in self.products)

    @property
    def operator(self) -> str:
        """In which they are counted."""
        return self.products[0].product.operator

    @property
    def last_only(self) -> bool:
        """Whether it is of the last token alone, of a sequence that is read."""
        return self.products[0].product.last_only

    def time(self, phase: int) -> Any:
        """Of all of them, s: arrays work side by side, what the digital units and the memory do adds up."""
        own = [self.count * taken.uses[phase].time for taken in self.products if not taken.uses[phase].shared]
        return functools.reduce(np.maximum, [*own, *([self.shared(phase)] if len(own) < len(self.products) else [])])

    def shared(self, phase: int) -> Any:
        """Of the digital units and the memory, s."""
        return total(
            taken.product.steps * taken.uses[phase].time for taken in self.products if taken.uses[phase].shared
        )


Parts = Sequence[tuple[Layers, Mapping[str, dynamic.Attended]]]


def steps_of(run: Run) -> list[Taking]:
    """What each product takes in each phase."""
    return [
        Taking(count=step.count, products=tuple(taken_by(run, *each) for each in step.products)) for step in run.steps
    ]


def taken_by(run: Run, product: Product, setting: Setting) -> Taken:
    """What a product takes: the tokens of a sequence that is read meet each weight that is read."""
    batch = run.group.numbers["workload.batch"]
    use = use_of(product, setting.group, setting.events, batch)
    if not use.shared or product.last_only:
        return Taken(product=product, setting=setting, uses=(use, use))
    together = batch * np.maximum(run.tokens[0], 1)
    return Taken(product=product, setting=setting, uses=(use_of(product, setting.group, setting.events, together), use))


def attended(layers: Layers) -> dict[str, dynamic.Attended]:
    """What each product of attention takes."""
    found = {}
    for name in layers.products:
        shape, setting = layers.shape, layers.settings[name]
        if name == "search":
            found[name] = search.searched(layers.sought)
        elif meeting.holds_charges(setting.group):
            found[name] = gain_cells.attended(name, shape, setting.group, setting.events)
        else:
            found[name] = dynamic.attended(name, shape, setting.group, setting.events)
    return found
