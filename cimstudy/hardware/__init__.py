"""Descriptions of the hardware under study: frozen values, and presets with their sources. No arithmetic on arrays."""

from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.crossbar import Adc, Crossbar, Dac, Differential
from cimstudy.hardware.device import MAX_COEFFICIENTS, Device, Law, NormalOfRange, NormalOfTarget, PolynomialOfTarget
from cimstudy.hardware.hardware import Hardware, assemble
from cimstudy.hardware.part import Part
from cimstudy.hardware.presets import Preset, Source, load_preset, preset, presets

__all__ = [
    "MAX_COEFFICIENTS",
    "Adc",
    "Architecture",
    "Crossbar",
    "Dac",
    "Device",
    "Differential",
    "Hardware",
    "Law",
    "NormalOfRange",
    "NormalOfTarget",
    "Part",
    "PolynomialOfTarget",
    "Preset",
    "Source",
    "assemble",
    "load_preset",
    "preset",
    "presets",
]
