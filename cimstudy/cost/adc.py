"""What an output converter costs, by three models that disagree about tenfold: choosing one is part of a result."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cimstudy.cost.coefficients import table
from cimstudy.cost.counts import entry
from cimstudy.cost.technology import area_ratio, energy_ratio

Array = NDArray[np.float64]
MOST_BITS = 64
PICO = math.log(1e-12)
Model = Callable[["Converter"], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Converter:
    """An output converter: numbers or arrays of them. SI units."""

    bits: Any  # effective
    rate: Any  # conversions a second, of one converter
    node: Any  # m
    voltage: Any = 0.8  # V


def survey(converter: Converter) -> tuple[Any, Any]:
    """Energy of a conversion, J, and area of a converter, m2, of the best published ones; from 4 bits up.

    The source rounds bits up in one place, so that its energies fall where a converter gets a little better. Here they
    are the source's at whole bits and rise in between.
    """
    fit = table("adc")["survey"]
    bits, log_rate = np.maximum(converter.bits, fit["least_bits"]), np.log(converter.rate)
    log_node = np.log(np.multiply(converter.node, 1e9))
    fom = np.minimum(
        fit["fom_intercept"] + fit["fom_per_log_rate"] * log_rate,
        fit["fom_most_intercept"] + fit["fom_most_per_bit"] * bits,
    )
    log_energy = (
        (np.log(0.5 * 1.5) + PICO + fit["energy_intercept"])  # half of 10^((SNDR - FOM) / 10), SNDR = 6.02 bits + 1.76
        + np.log(10) / 10 * (20 * np.log10(2) * bits - fom)
        + fit["energy_log_node"] * log_node
        + fit["energy_log_bits"] * log_between(bits)
    )
    log_area = (
        (fit["area_intercept"] + PICO - fit["area_log_energy"] * PICO)
        + fit["area_log_node"] * log_node
        + fit["area_log_rate"] * log_rate
        + fit["area_log_energy"] * log_energy
    )
    return np.exp(log_energy), np.exp(log_area)


def log_between(bits: Any) -> Any:
    """Logarithm of whole numbers, and straight lines between them. bits : at least 1, at most `MOST_BITS`."""
    known, whole = logarithms(), np.floor(bits)
    below = entry(known, whole)
    return below + (bits - whole) * (entry(known, whole + 1) - below)


@cache
def logarithms() -> Array:
    """Logarithms of 0 (which is not used), 1, 2, ... and of the number after the most bits."""
    return np.log(np.maximum(np.arange(MOST_BITS + 2), 1))


def zigzag28(converter: Converter) -> tuple[Any, Any]:
    """Energy of a conversion, J, and area of a converter, m2, of three arrays of 28 nm, scaled to the node."""
    fit, bits = table("adc")["zigzag28"], np.multiply(converter.bits, 1.0)
    energy = (fit["linear"] * bits + fit["exponential"] * 4.0**bits) * np.square(converter.voltage) * 1e-15
    area = np.where(
        bits > 1, 10.0 ** (fit["area_log10_slope"] * bits + fit["area_log10_intercept"]) * 2.0**bits * 1e-12, 0.0
    )
    return energy * np.multiply(converter.node, 1 / 28e-9), area * area_ratio(converter.node, 28e-9)


def zigzag28_time(bits: Any, rows: Any) -> Any:
    """Time of a conversion at 28 nm, s."""
    fit = table("adc")["zigzag28"]
    return np.multiply(bits, fit["time_per_row"] * np.asarray(rows) + fit["time_per_bit"]) * 1e-9


def isaac_table(converter: Converter) -> tuple[Any, Any]:
    """Energy of a conversion, J, and area of a converter, m2, of ISAAC's at 4 to 10 bits, scaled to the node.

    Below and above the resolution of the nearest entry counts.
    """
    data = table("adc")["table"]
    node = data["node_nm"] * 1e-9
    energy = np.interp(converter.bits, data["bits"], data["energy_pJ"]) * 1e-12
    area = np.interp(converter.bits, data["bits"], data["area_um2"]) * 1e-12
    return (
        energy * energy_ratio(converter.node, node, converter.voltage),
        area * area_ratio(converter.node, node),
    )


MODELS: Mapping[str, Model] = {"survey": survey, "zigzag28": zigzag28, "table": isaac_table}
