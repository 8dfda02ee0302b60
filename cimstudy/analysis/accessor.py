"""The accessor `ds.cim`: statistics and plots of a study's dataset, in a notebook."""

from dataclasses import dataclass

import xarray as xr

from cimstudy.analysis import dataset, plots, statistics
from cimstudy.analysis.export import export
from cimstudy.analysis.knee import knee
from cimstudy.analysis.method import Method
from cimstudy.analysis.paired import claim, compare
from cimstudy.analysis.pareto import pareto
from cimstudy.analysis.quantiles import quantile
from cimstudy.analysis.report import report
from cimstudy.analysis.sensitivity import sensitivity
from cimstudy.analysis.tidy import failures, tidy
from cimstudy.analysis.two_level import two_level
from cimstudy.analysis.yields import yield_


@dataclass(frozen=True)
class Plots:
    """Plots of one dataset: `ds.cim.plot.line(...)` is `cimstudy.analysis.plots.line(ds, ...)`."""

    ds: xr.Dataset

    line = Method(plots.line)
    heatmap = Method(plots.heatmap)
    layers = Method(plots.layers)
    drift = Method(plots.drift)
    breakdown = Method(plots.breakdown)
    pareto = Method(plots.pareto)
    yield_curve = Method(plots.yield_curve)
    tornado = Method(plots.tornado)


@xr.register_dataset_accessor("cim")  # type: ignore[no-untyped-call]
@dataclass(frozen=True)
class Accessor:
    """Statistics and plots of a study's dataset, as `open_results` or plain `xr.open_zarr` gives it.

    Each method is the function of this name in `cimstudy.analysis`, of this dataset.
    """

    ds: xr.Dataset

    summary = Method(statistics.summary)
    table = Method(statistics.table)
    quantile = Method(quantile)
    yield_ = Method(yield_)
    compare = Method(compare)
    claim = Method(claim)
    pareto = Method(pareto)
    knee = Method(knee)
    sensitivity = Method(sensitivity)
    two_level = Method(two_level)
    tidy = Method(tidy)
    failures = Method(failures)
    report = Method(report)
    export = Method(export)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the results."""
        return dataset.metrics(self.ds)

    @property
    def plot(self) -> Plots:
        """Plots of this dataset."""
        return Plots(self.ds)
