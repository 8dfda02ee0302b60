"""Statistics and plots of a study's dataset. Importing it gives datasets the accessor `ds.cim`."""

from cimstudy.analysis import plots
from cimstudy.analysis.accessor import Accessor
from cimstudy.analysis.statistics import first_metric, metrics, summary, table
from cimstudy.analysis.tables import TextTable, document, text_table
from cimstudy.analysis.two_level import two_level

__all__ = [
    "Accessor",
    "TextTable",
    "document",
    "first_metric",
    "metrics",
    "plots",
    "summary",
    "table",
    "text_table",
    "two_level",
]
