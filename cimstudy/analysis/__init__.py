"""Statistics and plots of a study's dataset. Importing it gives datasets the accessor `ds.cim`."""

from cimstudy.analysis import plots
from cimstudy.analysis.accessor import Accessor
from cimstudy.analysis.convergence import HalfWidths, half_widths
from cimstudy.analysis.dataset import first_metric, metrics
from cimstudy.analysis.export import export
from cimstudy.analysis.knee import knee
from cimstudy.analysis.paired import claim, compare
from cimstudy.analysis.pareto import pareto
from cimstudy.analysis.partners import Baseline
from cimstudy.analysis.quantiles import quantile
from cimstudy.analysis.report import report
from cimstudy.analysis.sensitivity import sensitivity
from cimstudy.analysis.statistics import CollapseWarning, summary, table
from cimstudy.analysis.tables import Answer, TextTable, compared, front, sensitivities, shown, text_table
from cimstudy.analysis.tidy import failures, tidy
from cimstudy.analysis.two_level import two_level
from cimstudy.analysis.yields import yield_

__all__ = [
    "Accessor",
    "Answer",
    "Baseline",
    "CollapseWarning",
    "HalfWidths",
    "TextTable",
    "claim",
    "compare",
    "compared",
    "export",
    "failures",
    "first_metric",
    "front",
    "half_widths",
    "knee",
    "metrics",
    "pareto",
    "plots",
    "quantile",
    "report",
    "sensitivities",
    "sensitivity",
    "shown",
    "summary",
    "table",
    "text_table",
    "tidy",
    "two_level",
    "yield_",
]
