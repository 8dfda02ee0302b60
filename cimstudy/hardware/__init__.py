"""Descriptions of the hardware under study: frozen values, and presets with their sources. No arithmetic on arrays."""

from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.coding import Coding, Differential, Offset
from cimstudy.hardware.converters import Adc, Dac, Inl, Mismatch
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.curves import (
    Curve,
    Logarithm,
    Piecewise,
    Polynomial,
    Power,
    SaturatingExponential,
    Table,
)
from cimstudy.hardware.device import Device
from cimstudy.hardware.hardware import Hardware, assemble
from cimstudy.hardware.laws import (
    MAX_COEFFICIENTS,
    Cost,
    CurveOfTarget,
    Drift,
    ExponentialLeak,
    Faults,
    FlickerAbsolute,
    FlickerOfTarget,
    LognormalOfTarget,
    LogTimeShift,
    NormalAbsolute,
    NormalOfRange,
    NormalOfTarget,
    PolynomialOfTarget,
    PowerLaw,
    Programming,
    ReadNoise,
    ShotNoise,
    SquareRootWindow,
    Tabulated,
    ThermalNoise,
)
from cimstudy.hardware.part import Part
from cimstudy.hardware.presets import Preset, Source, load_preset, preset, presets
from cimstudy.hardware.wires import Wires

__all__ = [
    "MAX_COEFFICIENTS",
    "Adc",
    "Architecture",
    "Coding",
    "Cost",
    "Crossbar",
    "Curve",
    "CurveOfTarget",
    "Dac",
    "Device",
    "Differential",
    "Drift",
    "ExponentialLeak",
    "Faults",
    "FlickerAbsolute",
    "FlickerOfTarget",
    "Hardware",
    "Inl",
    "LogTimeShift",
    "Logarithm",
    "LognormalOfTarget",
    "Mismatch",
    "NormalAbsolute",
    "NormalOfRange",
    "NormalOfTarget",
    "Offset",
    "Part",
    "Piecewise",
    "Polynomial",
    "PolynomialOfTarget",
    "Power",
    "PowerLaw",
    "Preset",
    "Programming",
    "ReadNoise",
    "SaturatingExponential",
    "ShotNoise",
    "Source",
    "SquareRootWindow",
    "Table",
    "Tabulated",
    "ThermalNoise",
    "Wires",
    "assemble",
    "load_preset",
    "preset",
    "presets",
]
