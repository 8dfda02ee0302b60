"""What is measured on a chip: workloads return named metrics for one case."""

from cimstudy.workloads.classification import Classification
from cimstudy.workloads.cost import Cost
from cimstudy.workloads.costing import Costing, Spread, Uncertainty
from cimstudy.workloads.embedding import Embedding
from cimstudy.workloads.generation import Generation
from cimstudy.workloads.language_model import LanguageModel
from cimstudy.workloads.masked_language_model import MaskedLanguageModel
from cimstudy.workloads.multiple_choice import MultipleChoice

__all__ = [
    "Classification",
    "Cost",
    "Costing",
    "Embedding",
    "Generation",
    "LanguageModel",
    "MaskedLanguageModel",
    "MultipleChoice",
    "Spread",
    "Uncertainty",
]
