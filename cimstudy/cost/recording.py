"""A calculation on arrays that is recorded while it happens, so that a tape can repeat it at other points.

Arrays that differ from point to point are `Recorded` ones while a calculation is recorded: NumPy's functions and the
operators of Python give further ones, and are written down. A calculation may look at its numbers by `np.any` and
`np.all` and go one way or another; what it saw is written down, too, and where that differs the tape raises `OtherWay`.
Whatever else would look into a recorded array is refused.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[..., Any]
Given = ParamSpec("Given")
Found = TypeVar("Found")
OF_POINTS = {np.where, np.clip, np.interp}  # functions whose result at a point depends on this point alone
SEEN = {np.any: np.logical_or.reduce, np.all: np.logical_and.reduce}


class OtherWay(Exception):  # noqa: N818 - nothing is wrong with these points
    """The calculation goes another way at these points than where it was recorded."""


@dataclass(frozen=True)
class Seen:
    """What a calculation saw of its numbers."""

    function: Function
    found: bool

    def __call__(self, values: Array) -> bool:
        """The same of other numbers. Raises OtherWay."""
        if bool(self.function(values)) is not self.found:
            raise OtherWay
        return self.found


class Recorded(NDArrayOperatorsMixin):
    """An array of a recording: an input, or the result of a step."""

    __slots__ = ("args", "function", "recording", "value")

    def __init__(self, recording: "Recording", value: Any, function: Function | None, args: Sequence[Any]) -> None:
        self.recording = recording
        self.value = value  # at the points of the recording
        self.function = function  # None: an input
        self.args = args

    @property
    def size(self) -> int:
        """Points."""
        return int(self.value.size)

    def __array_ufunc__(self, function: np.ufunc, method: str, *args: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        return self.recording.step(function, args)

    def __array_function__(self, function: Function, types: Any, args: Sequence[Any], options: Any) -> Any:
        del types
        if options:
            return NotImplemented
        if function in SEEN:
            return self.recording.see(SEEN[function], *args)
        return self.recording.step(function, args) if function in OF_POINTS else NotImplemented

    # not np.power: the operator computes squares and roots by code of their own
    def __pow__(self, other: Any) -> Any:
        return self.recording.step(operator.pow, (self, other))

    def __rpow__(self, other: Any) -> Any:
        return self.recording.step(operator.pow, (other, self))

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a recorded array is not an array: what is done with it would not be recorded")

    def __bool__(self) -> NoReturn:
        raise TypeError("a recorded array is neither true nor false; np.any and np.all look into it")


def of_points(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A function whose result at a point depends on this point alone: one step of a recording."""

    @wraps(function)
    def step(*args: Given.args, **options: Given.kwargs) -> Any:
        recorded = next((arg for arg in args if isinstance(arg, Recorded)), None)
        return function(*args, **options) if recorded is None else recorded.recording.step(function, args)

    return step


class Recording:
    """A calculation while it is recorded. inputs : arrays that differ from point to point."""

    def __init__(self, inputs: Iterable[Array]) -> None:
        self.inputs = [Recorded(self, values, None, ()) for values in inputs]
        self._steps: dict[Any, Recorded] = {}  # by function and arguments: none is done twice
        self._seen: list[Recorded] = []

    def step(self, function: Function, args: Sequence[Any]) -> Recorded:
        """The result of a function."""
        key = (function, *map(identity, args))
        if key not in self._steps:
            value = function(*(arg.value if isinstance(arg, Recorded) else arg for arg in args))
            self._steps[key] = Recorded(self, np.asarray(value), function, args)
        return self._steps[key]

    def see(self, function: Function, values: Recorded) -> bool:
        """What a calculation sees of its numbers."""
        found = bool(function(values.value))
        self._seen.append(self.step(Seen(function, found), (values,)))
        return found

    def steps(self, results: Iterable[Any]) -> list[Recorded]:
        """All that leads to these results and to what was seen.

        Each step comes where it is first needed, so that few arrays are waited for at a time; first what was seen, as
        it may end a repetition.
        """
        found: dict[int, Recorded] = {}
        left = [result for result in (*self._seen, *results) if isinstance(result, Recorded)][::-1]
        while left:
            missing = [arg for arg in recorded_in(left[-1].args) if arg.function and id(arg) not in found]
            left.extend(reversed(missing))
            if not missing:
                step = left.pop()
                found[id(step)] = step
        return [step for step in found.values() if step.function]

    @staticmethod
    def values(results: Mapping[str, Any]) -> dict[str, Any]:
        """Results at the points of the recording."""
        return {name: result.value if isinstance(result, Recorded) else result for name, result in results.items()}


def recorded_in(args: Iterable[Any]) -> list[Recorded]:
    """Those of the arguments that differ from point to point."""
    return [arg for arg in args if isinstance(arg, Recorded)]


def identity(arg: Any) -> Any:
    """What tells an argument of a step from others."""
    if isinstance(arg, Recorded):
        return id(arg)
    if isinstance(arg, np.ndarray):
        return (arg.dtype, arg.tobytes()) if arg.size == 1 else id(arg)
    return type(arg), repr(arg)  # which tells -0.0 from 0.0
