"""The accessor `ds.cim`: statistics and plots of a study's dataset, in a notebook."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from cimstudy.analysis import plots, statistics
from cimstudy.analysis.two_level import two_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plots:
    """Plots of one dataset: `ds.cim.plot.line(...)`."""

    ds: xr.Dataset

    def line(
        self,
        metric: str,
        x: str | None = None,
        hue: str | None = None,
        ax: "Axes | None" = None,
        select: Mapping[str, Any] | None = None,
    ) -> "Axes":
        """`cimstudy.analysis.line` of this dataset."""
        return plots.line(self.ds, metric, x, hue, ax, select)


@xr.register_dataset_accessor("cim")  # type: ignore[no-untyped-call]
@dataclass(frozen=True)
class Accessor:
    """Statistics and plots of a study's dataset, as `open_results` or plain `xr.open_zarr` gives it."""

    ds: xr.Dataset

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the results."""
        return statistics.metrics(self.ds)

    def summary(self, metric: str, confidence: float = 0.95) -> xr.Dataset:
        """`cimstudy.analysis.summary` of this dataset."""
        return statistics.summary(self.ds, metric, confidence)

    def table(self, metric: str, confidence: float = 0.95) -> pd.DataFrame:
        """`cimstudy.analysis.table` of this dataset."""
        return statistics.table(self.ds, metric, confidence)

    def two_level(self, metric: str) -> xr.Dataset:
        """`cimstudy.analysis.two_level` of this dataset."""
        return two_level(self.ds, metric)

    @property
    def plot(self) -> Plots:
        """Plots of this dataset."""
        return Plots(self.ds)
