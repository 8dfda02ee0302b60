"""What a design costs: energy, time, area and wear of a transformer on compute-in-memory hardware, over many points."""

from cimstudy.cost.design import CHOICES, NUMBERS
from cimstudy.cost.gpu import Roofline, gpus, roofline
from cimstudy.cost.kv import crossover, lifetime
from cimstudy.cost.model import Costs, Work, cost
from cimstudy.cost.overrides import Overrides, Own
from cimstudy.cost.quantities import BREAKDOWN, QUANTITIES, Quantity
from cimstudy.cost.shapes import Attention, ModelShape, Product, model_shape, shapes
from cimstudy.cost.validity import REASONS, explained

__all__ = [
    "BREAKDOWN",
    "CHOICES",
    "NUMBERS",
    "QUANTITIES",
    "REASONS",
    "Attention",
    "Costs",
    "ModelShape",
    "Overrides",
    "Own",
    "Product",
    "Quantity",
    "Roofline",
    "Work",
    "cost",
    "crossover",
    "explained",
    "gpus",
    "lifetime",
    "model_shape",
    "roofline",
    "shapes",
]
