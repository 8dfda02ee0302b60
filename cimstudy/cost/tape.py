"""A recorded calculation that is repeated at other points, in pieces that stay in a cache.

A cost is some hundreds of operations on arrays. On short arrays the calls that lead to them take longer than the
arithmetic does; on long ones every result goes through memory. Repeated from a tape, each operation is done once, those
that no result needs are not done at all, and what lies between functions of NumPy is one call of a compiled loop. They
are the operations of the calculation itself: results have the same bits, but for the sign of a zero that is the larger
or smaller of two zeros, which NumPy leaves to the processor.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from cimstudy.cost.kernels import BLOCK, FUNCTIONS, calculate
from cimstudy.cost.recording import Array, Function, Recorded, Recording, identity, recorded_in

FLOAT = np.dtype(np.float64)
Rows = Mapping[int, tuple[Any, int]]  # type of number and row of every recorded array
Call = tuple[Function, Sequence[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tape:
    """Calls that fill arrays, and the arrays that they begin and end with."""

    inputs: Sequence[Array]
    calls: Sequence[Call]
    results: Mapping[str, Any]

    def repeat(self, inputs: Sequence[Array]) -> Mapping[str, Any]:
        """The results at as many other points; the next call fills their arrays anew. Raises OtherWay."""
        for mine, values in zip(self.inputs, inputs, strict=True):
            mine[...] = values
        with np.errstate(all="ignore"):  # the recording warns, what repeats it does not
            for function, args in self.calls:
                function(*args)
        return self.results


def tape_of(recording: Recording, results: Mapping[str, Any]) -> Tape:
    """The tape of a calculation with these results."""
    steps = recording.steps(results.values())
    runs = [(arithmetic, list(run)) for arithmetic, run in groupby(steps, is_arithmetic)]
    shared = {
        identity(arg): np.ravel(arg)
        for arithmetic, run in runs
        for step in run
        for arg in step.args
        if arithmetic and not isinstance(arg, Recorded)
    }
    rows = allotted(recording.inputs, steps, results.values(), shared=len(shared))
    arrays = arrays_of(rows, points=recording.inputs[0].size)
    arrays[FLOAT][: len(shared), :BLOCK] = np.reshape(list(shared.values()), (-1, 1))
    held = {key: arrays[dtype][row] for key, (dtype, row) in rows.items()}
    places = {key: place for place, key in enumerate(shared)} | {key: row for key, (_, row) in rows.items()}
    calls: list[Call] = []
    for arithmetic, run in runs:
        if arithmetic:
            program = np.array([instruction(step, places) for step in run])
            calls.append((calculate, (program, arrays[FLOAT], len(shared))))
        else:
            calls.extend(filling(step, held) for step in run)
    return Tape(
        inputs=[held[id(array)] for array in recording.inputs],
        calls=calls,
        results={name: held.get(id(result), result) for name, result in results.items()},
    )


def allotted(inputs: Sequence[Recorded], steps: Sequence[Recorded], results: Iterable[Any], *, shared: int) -> Rows:
    """Where every array is. What no later step reads leaves its row to others: few rows, which stay in a cache.

    shared : rows ahead, of numbers that all points share.
    """
    last = {id(arg): step for step in steps for arg in step.args} | dict.fromkeys(map(id, results))  # these stay
    rows = {id(array): (FLOAT, shared + place) for place, array in enumerate(inputs)}
    used = Counter({FLOAT: shared + len(inputs)})
    free: dict[Any, list[int]] = defaultdict(list)
    for step in steps:
        dtype = step.value.dtype
        if not free[dtype]:
            free[dtype].append(used[dtype])
            used[dtype] += 1
        rows[id(step)] = (dtype, free[dtype].pop())
        for done in {id(arg) for arg in recorded_in(step.args) if last[id(arg)] is step}:
            free[rows[done][0]].append(rows[done][1])
    return rows


def arrays_of(rows: Rows, *, points: int) -> dict[Any, Array]:
    """An array for each type of number, (rows, points)."""
    counts: Counter[Any] = Counter()
    for dtype, row in rows.values():
        counts[dtype] = max(counts[dtype], row + 1)
    return {dtype: np.empty((count, points), dtype) for dtype, count in counts.items()}


def is_arithmetic(step: Recorded) -> bool:
    """Whether the compiled loop can do a step: its numbers are real ones."""
    return step.function in FUNCTIONS and all(
        arg.value.dtype == FLOAT if isinstance(arg, Recorded) else getattr(arg, "size", 1) == 1 for arg in step.args
    )


def instruction(step: Recorded, places: Mapping[Any, int]) -> tuple[int, int, int, int]:
    """A step for the compiled loop."""
    args = [places[identity(arg)] for arg in step.args]
    return FUNCTIONS.index(step.function), args[0], args[-1], places[id(step)]


def filling(step: Recorded, held: Mapping[int, Array]) -> Call:
    """A call that fills the array of a step."""
    return fill, (held[id(step)], step.function, *(held.get(id(arg), arg) for arg in step.args))


def fill(place: Array, function: Function, *args: Any) -> None:
    """Fill an array with the result of a function."""
    place[...] = function(*args)
