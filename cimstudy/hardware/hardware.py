"""Hardware: device + crossbar + architecture, and other parts for some operators: the thing under study."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from cimstudy.hardware.architecture import Architecture
from cimstudy.hardware.coding import Differential
from cimstudy.hardware.crossbar import Crossbar
from cimstudy.hardware.device import Device
from cimstudy.hardware.override import Override, named
from cimstudy.hardware.part import Part, replaced
from cimstudy.hardware.placement import ENGINES, OPERATORS, operator_kind, winners
from cimstudy.hardware.presets import load_preset
from cimstudy.hardware.redundancy import FaultFree, Voting


class Hardware(Part):
    """What is under study. Any part may be given by the name of a preset."""

    device: Annotated[Device, named(Device)] = Device()
    crossbar: Annotated[Crossbar, named(Crossbar)] = Crossbar()
    architecture: Annotated[Architecture, named(Architecture)] = Architecture()
    overrides: tuple[Override, ...] = Field(default=(), description="other parts for some operators; the last one wins")

    @field_validator("overrides")
    @classmethod
    def _distinct(cls, overrides: tuple[Override, ...]) -> tuple[Override, ...]:
        for name, count in Counter(override.name for override in overrides).items():
            if count > 1:
                raise ValueError(f"{count} overrides are named {name!r}; allowed: a name each, override(..., name=...)")
        return overrides

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found: list[Hardware] = [self, *(overridden(self, override) for override in self.overrides)]
        for hardware in found:
            check_solvable(hardware.device, hardware.crossbar)
            check_writable(hardware)
            check_redundancy(hardware)
        return self

    def override(self, pattern: str, **parts: Any) -> Self:
        """A copy with other parts for the operators whose names fit `pattern`, such as `layers.0-3.attention.*`.

        parts : fields of an Override; a dotted path, as in `{"crossbar.adc.bits": 6}`, changes a part of this hardware.
        Raises InputError for unknown parts and bad values.
        """
        whole = {path: value for path, value in parts.items() if "." not in path}
        for path, value in parts.items():
            root, _, rest = path.partition(".")
            if rest:
                base = whole.get(root) or self.at(root)
                if isinstance(base, str):
                    base = load_preset(base).build()
                whole[root] = replaced(base, rest, value)
        return self.replace("overrides", (*self.overrides, Override(pattern=pattern, **whole)))

    def engine(self, operator: str) -> str:
        """What the operator of this name runs on."""
        given = given_to(self, operator)
        found: str = given.get("engine", getattr(self.architecture.placement, operator_kind(operator)))
        return found

    def of(self, operator: str) -> "Hardware":
        """The hardware of the operator of this name: its overrides are made, and it has none."""
        return of_operator(self, operator)


EXACT = ("sram-cim", "near-memory", "cam")  # engines that multiply rounded numbers exactly


@lru_cache(maxsize=4096)
def of_operator(hardware: Hardware, operator: str) -> Hardware:
    """The hardware of one operator."""
    own = Override(pattern=operator, **given_to(hardware, operator))
    found = overridden(hardware, own)
    return integer_arithmetic(found) if hardware.engine(operator) in EXACT else found


def given_to(hardware: Hardware, operator: str) -> dict[str, Any]:
    """The parts that overrides give an operator."""
    parts = [override.parts for override in hardware.overrides]
    patterns = [override.pattern for override in hardware.overrides]
    last = winners(list(zip(patterns, parts, strict=True)), operator)
    return {part: parts[number][part] for part, number in last.items()}


def overridden(hardware: Hardware, override: Override) -> Hardware:
    """The hardware with an override's parts everywhere, and no overrides."""
    given = override.parts
    placement = hardware.architecture.placement
    if override.engine is not None:
        runs = {kind: override.engine for kind in OPERATORS if override.engine in ENGINES[kind]}
        placement = placement.model_copy(update=runs)
    inner = {name: value for name, value in given.items() if name in Architecture.model_fields} | {
        "placement": placement
    }
    return Hardware(
        device=given.get("device", hardware.device),
        crossbar=given.get("crossbar", hardware.crossbar),
        architecture=Architecture(**{**vars(hardware.architecture), **inner, "name": hardware.architecture.name}),
    )


def integer_arithmetic(hardware: Hardware) -> Hardware:
    """Hardware that rounds weights and inputs as the crossbar does, and multiplies them exactly."""
    crossbar = hardware.crossbar
    weights = Differential(
        bits=crossbar.weights.bits, scale=crossbar.weights.scale, percentile=crossbar.weights.percentile
    )
    exact = Crossbar(
        name=crossbar.name, rows=crossbar.rows, columns=crossbar.columns, weights=weights, dac=crossbar.dac, adc=None
    )
    return Hardware(device=Device(), crossbar=exact, architecture=hardware.architecture)


def check_solvable(device: Device, crossbar: Crossbar) -> None:
    """Raise ValueError for cells that are not ohmic behind wires that are not solved for them."""
    wires = crossbar.wires
    if device.current is None or wires is None:
        return
    if wires.interleaved or wires.feed != "rows" or len(crossbar.weights.cells) > 1:
        raise ValueError(
            "cells that are not ohmic (device.current) have wires only with wires.feed='rows', without "
            "wires.interleaved, and with one of weights.cells"
        )


def check_writable(hardware: Hardware) -> None:
    """Raise ValueError for arrays that are to be written at inference, of cells that cannot be."""
    if hardware.device.rewritable:
        return
    for kind, engine in hardware.architecture.placement:
        if engine == "dynamic-crossbar":
            raise ValueError(
                f"placement.{kind}='dynamic-crossbar' needs cells that are written at inference; "
                f"{hardware.device.name} has device.rewritable=False"
            )


def check_redundancy(hardware: Hardware) -> None:
    """Raise ValueError for redundancy that the crossbar or the cells cannot have."""
    redundancy, weights = hardware.architecture.redundancy, hardware.crossbar.weights
    if isinstance(redundancy, FaultFree):
        redundancy.arrays(hardware.device.faults)
    if isinstance(redundancy, Voting):
        if weights.subtraction == "reference_column":
            raise ValueError("redundancy of kind 'voting' is not for weights.subtraction='reference_column'")
        if (redundancy.slices or 0) > weights.slices:
            raise ValueError(
                f"redundancy.slices={redundancy.slices}; allowed: up to {weights.slices}, the slices there are"
            )


def assemble(names: Iterable[str]) -> Hardware:
    """Hardware of these presets, each a whole or one of its parts; later ones replace earlier ones."""
    found = Hardware()
    for name in names:
        part = load_preset(name).build()
        found = part if isinstance(part, Hardware) else found.replace(type(part).__name__.lower(), part)
    return found
