"""Functions of a dataset as methods of what holds one, so that each is written, documented and typed once."""

from collections.abc import Callable
from types import MethodType
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import xarray as xr

P = ParamSpec("P")
R = TypeVar("R")


class HoldsDataset(Protocol):
    """What has a dataset."""

    @property
    def ds(self) -> xr.Dataset:
        """The dataset."""


class Method(Generic[P, R]):
    """`function(ds, ...)` as `holder.function(...)`, with its docstring and the rest of its signature."""

    def __init__(self, function: Callable[Concatenate[xr.Dataset, P], R]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, holder: None, owner: type) -> Callable[Concatenate[xr.Dataset, P], R]: ...
    @overload
    def __get__(self, holder: HoldsDataset, owner: type) -> Callable[P, R]: ...
    def __get__(
        self, holder: HoldsDataset | None, owner: type
    ) -> Callable[P, R] | Callable[Concatenate[xr.Dataset, P], R]:
        """The function, its first argument filled in if there is a holder."""
        return self.function if holder is None else MethodType(self.function, holder.ds)
