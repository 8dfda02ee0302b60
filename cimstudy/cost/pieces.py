"""Many points of a group, piece by piece: totals as one piece's are recorded, with the breakdown one after another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cimstudy.cost.design import Group
from cimstudy.cost.point import evaluate
from cimstudy.cost.recording import OtherWay, Recording
from cimstudy.cost.shapes import ModelShape
from cimstudy.cost.tape import Tape, tape_of

# Points of a piece: of one that is evaluated, so many that calls take little of the time; of one on which a recording
# is repeated, so few that its arrays stay in a cache. No powers of two, whose arrays would lie in the same places of it
EVALUATED = 20000
REPEATED = 3000

Found = tuple[slice, Mapping[str, Any]]  # a piece's points, and every quantity of them


def parted(shape: ModelShape, group: Group) -> Iterator[Found]:
    """Totals and breakdown of all points of a group."""
    for start in range(0, group.points, EVALUATED):
        piece = slice(start, start + EVALUATED)
        yield piece, evaluate(shape, group.part(piece), breakdown=True)


def totals(shape: ModelShape, group: Group) -> Iterator[Found]:
    """Totals of all points of a group."""
    inputs = group.varied
    if group.points <= EVALUATED or not inputs:
        yield slice(None), evaluate(shape, group, breakdown=False)
        return
    tapes: list[Tape] = []  # one for each way that the calculation goes
    for start in range(0, group.points, REPEATED):
        piece = slice(min(start, group.points - REPEATED), start + REPEATED)  # the last meets some points once more
        mine = [values[piece] for values in inputs]
        found = repeated(tapes, mine)
        if found is None:
            found, tape = recorded(shape, group.part(piece))
            tapes.append(tape)
        yield piece, found


def repeated(tapes: Sequence[Tape], inputs: Sequence[NDArray[Any]]) -> Mapping[str, Any] | None:
    """Totals by the first tape that goes the way of these points; None if there is none."""
    for tape in tapes:
        try:
            return tape.repeat(inputs)
        except OtherWay:
            continue
    return None


def recorded(shape: ModelShape, group: Group) -> tuple[Mapping[str, Any], Tape]:
    """Totals, and how to find them."""
    recording = Recording(group.varied)
    inputs = iter(recording.inputs)
    results = evaluate(shape, group.changed(lambda _: next(inputs)), breakdown=False)
    return recording.values(results), tape_of(recording, results)
