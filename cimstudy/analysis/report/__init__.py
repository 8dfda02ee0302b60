"""The report of a study: one self-contained HTML page."""

from cimstudy.analysis.report.page import report

__all__ = ["report"]
