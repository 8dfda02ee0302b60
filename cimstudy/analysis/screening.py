"""Morris screening: elementary effects, from all pairs of points that differ in one axis and are neighbours there.

Any set of points has them in any order: trajectories of a Morris design, or a grid (Morris, Technometrics 33, 161,
1991; Campolongo, Cariboni and Saltelli, Environmental Modelling and Software 22, 1509, 2007).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cimstudy.analysis.shares import Floats


def elementary_effects(codes: Sequence[NDArray[np.intp]], axis: int, response: Floats) -> Floats:
    """Change of the response over the whole of an axis, were it everywhere as between two neighbours.

    codes : the level of each point on each axis, from 0.  response : (points, chips).  Returns (effects, chips).
    """
    others = [code for number, code in enumerate(codes) if number != axis]
    order = np.lexsort([codes[axis], *others])
    same = codes[axis][order[1:]] != codes[axis][order[:-1]]
    for code in others:
        same &= code[order[1:]] == code[order[:-1]]
    before, after = order[:-1][same], order[1:][same]
    steps = (codes[axis][after] - codes[axis][before]) / max(codes[axis].max(), 1)
    found: Floats = (response[after] - response[before]) / steps[:, None]
    return found
