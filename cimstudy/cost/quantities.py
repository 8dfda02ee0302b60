"""What comes out: names, dimensions, units and meanings."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One output."""

    meaning: str
    units: str = "1"
    dims: tuple[str, ...] = ("point",)
    better: str | None = None  # "lower" or "higher"
    dtype: Any = np.float64


QUANTITIES = {
    "energy_prefill": Quantity(meaning="energy of reading a sequence", units="J", better="lower"),
    "energy_per_token": Quantity(meaning="energy of a written token, on average", units="J", better="lower"),
    "first_token_stream": Quantity(
        meaning="time until the first token, one token after another", units="s", better="lower"
    ),
    "first_token_pipelined": Quantity(
        meaning="time until the first token, all stages at work", units="s", better="lower"
    ),
    "time_per_token": Quantity(
        meaning="time of a written token of one sequence, on average", units="s", better="lower"
    ),
    "tokens_per_second_stream": Quantity(
        meaning="written tokens a second, one after another", units="1/s", better="higher"
    ),
    "tokens_per_second_pipelined": Quantity(
        meaning="written tokens a second with as many sequences as there are stages", units="1/s", better="higher"
    ),
    "power": Quantity(meaning="mean power while tokens are written, or while one is read", units="W", better="lower"),
    "static_power": Quantity(meaning="power that leaks", units="W", better="lower"),
    "area": Quantity(meaning="area of all chips, and of the memory beside them", units="m2", better="lower"),
    "arrays": Quantity(meaning="arrays, those that hold keys and values included", better="lower"),
    "chips": Quantity(meaning="chips that hold them", better="lower"),
    "utilisation": Quantity(meaning="share of the cells of weight arrays that hold weights", better="higher"),
    "kv_traffic": Quantity(meaning="keys and values read for a written token, on average", units="B", better="lower"),
    "programming_energy": Quantity(meaning="energy of writing all weights once", units="J", better="lower"),
    "lifetime": Quantity(meaning="time until cells that hold keys and values are worn out", units="s", better="higher"),
    "valid": Quantity(meaning="whether the design can be and all of it has coefficients", better="higher"),
    "invalid_reason": Quantity(meaning="sum of the codes of what is wrong, 0: nothing"),
}
BREAKDOWN = {
    "energy": Quantity(
        meaning="energy of a sequence",
        units="J",
        dims=("phase", "operation", "component", "point"),
        dtype=np.float32,
    ),
    "latency": Quantity(
        meaning="time of a sequence, one token after another",
        units="s",
        dims=("phase", "operation", "point"),
        dtype=np.float32,
    ),
    "conversions": Quantity(
        meaning="conversions of a sequence", dims=("phase", "operation", "point"), dtype=np.float32
    ),
    "macs": Quantity(
        meaning="multiply-accumulates of a sequence",
        dims=("phase", "operation", "point"),
        dtype=np.float32,
    ),
    "area_of": Quantity(meaning="area of each part", units="m2", dims=("part", "point"), dtype=np.float32),
}
