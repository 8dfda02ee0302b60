"""The online softmax of attention in blocks: what each block after a query's first one takes."""

from typing import Any

import numpy as np

from cimstudy.cost import counts, meeting
from cimstudy.cost.design import Group
from cimstudy.cost.latency import Span
from cimstudy.cost.shapes import Attention, ModelShape

STATISTICS = 6  # operations: a comparison and an exponential for the maximum, a product and a sum for the sum
RESCALED = 2  # operations of an output: a product and a sum


def is_online(group: Group) -> bool:
    """Whether softmax is computed block by block."""
    return meeting.kind_of(group) == "blocked"


def operations(shape: ModelShape) -> int:
    """Operations of a query and a block, of all heads."""
    return shape.heads * (RESCALED * shape.head_width + STATISTICS)


def elements(shape: ModelShape) -> int:
    """Elements of a query and a block that vector units take, one after another."""
    return shape.heads * (shape.head_width + 1)


def later(span: Span, layer: Attention, size: Any, *, together: bool) -> Any:
    """Blocks after the first of all queries of a span, in one layer.

    Blocks begin at multiples of `size`. together : whether queries come in blocks, too, as those that are read do.
    """
    if layer.window is None or not span.causal:
        return span.blocks(layer, size) - span.tokens
    if together:
        most = size * (1 + np.ceil((layer.window - 1) / size))
        return counts.tiles_seen(span.stop, most, size) - counts.tiles_seen(span.start, most, size) - span.tokens
    left = counts.floors(np.maximum(span.stop - layer.window, 0) + 1, size)
    left = left - counts.floors(np.maximum(span.start - layer.window, 0) + 1, size)
    return counts.floors(span.stop, size) - counts.floors(span.start, size) - left
