"""What is measured on a chip: workloads return named metrics for one case."""

from cimstudy.workloads.language_model import LanguageModel

__all__ = ["LanguageModel"]
