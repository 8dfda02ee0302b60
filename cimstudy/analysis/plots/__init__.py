"""Plots for print: of a study's dataset, each a function that returns its Axes, and of a device's laws."""

from cimstudy.analysis.plots.along import drift, layers
from cimstudy.analysis.plots.breakdown import breakdown
from cimstudy.analysis.plots.converter import converter
from cimstudy.analysis.plots.device import device
from cimstudy.analysis.plots.figure import save
from cimstudy.analysis.plots.heatmap import heatmap
from cimstudy.analysis.plots.kinds import default_metric, of_kind
from cimstudy.analysis.plots.line import line
from cimstudy.analysis.plots.pareto import pareto
from cimstudy.analysis.plots.tornado import tornado
from cimstudy.analysis.plots.yield_curve import yield_curve

__all__ = [
    "breakdown",
    "converter",
    "default_metric",
    "device",
    "drift",
    "heatmap",
    "layers",
    "line",
    "of_kind",
    "pareto",
    "save",
    "tornado",
    "yield_curve",
]
