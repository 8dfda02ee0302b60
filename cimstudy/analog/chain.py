"""The chain from inputs to converters as a description states it: its steps, its ranges, and what of it is linear.

Nothing here depends on a matrix or a chip. Currents are in cell units (one cell at g_max driven by a full-scale input).
"""

from cimstudy.analog import cells
from cimstudy.analog.levels import Slice, slices_of
from cimstudy.hardware import Crossbar, Dac, Differential, Hardware, Offset, Voting

SAME = 1e-9  # relative difference of a converter's step from a whole fraction of a level that is rounding, no more


def span(hardware: Hardware) -> float:
    """Current of a full digit above that of none, in cell units: the conductances of all cells that hold it."""
    device = hardware.device
    return (1 - device.g_min / device.g_max) * sum(hardware.crossbar.weights.cells)


def most_current(hardware: Hardware, rows: int) -> float:
    """The largest current at a converter of an array of so many rows, in cell units: all of them driven fully."""
    coding = hardware.crossbar.weights
    if isinstance(coding, Differential) and coding.subtraction == "current":
        return rows * span(hardware)
    return rows * sum(coding.cells)


def lines(hardware: Hardware) -> int:
    """Currents of a slice that are limited or converted, or have noise of their own: 1 or 2."""
    crossbar, coding = hardware.crossbar, hardware.crossbar.weights
    if isinstance(coding, Offset):
        return 1
    apart = crossbar.wires is None or not crossbar.wires.interleaved
    solved = has_source_lines(crossbar) or (crossbar.wires is not None and hardware.device.current is not None)
    alone = crossbar.current_limit is not None or cells.noise_is_exact(hardware.device) or solved
    return 2 if coding.subtraction == "digital" or (apart and alone) else 1


def has_source_lines(crossbar: Crossbar) -> bool:
    """Whether the current of a column is no product: its wires depend on which cells the inputs connect."""
    return crossbar.wires is not None and crossbar.wires.feed == "source_lines"


def currents_bend(hardware: Hardware) -> bool:
    """Whether currents bend with the drive of their rows, which pulses of one bit do not show unless wires do."""
    crossbar = hardware.crossbar
    levels = crossbar.dac is None or pulse_steps(crossbar.dac) > 1
    return hardware.device.current is not None and (levels or crossbar.wires is not None)


def pulses_meet(hardware: Hardware) -> bool:
    """Whether the pulses of an input are accumulated without meeting anything before: they are then one level."""
    crossbar = hardware.crossbar
    nothing = crossbar.current_limit is None and not has_source_lines(crossbar) and hardware.device.current is None
    return crossbar.adc is not None and not crossbar.adc.per_pulse and nothing


def pulse_steps(dac: Dac | None) -> int:
    """Largest digit of an input pulse: it drives a row fully."""
    if dac is None:
        return 1
    return dac.top if dac.serial_bits is None else int(2**dac.serial_bits - 1)


def converted_steps(crossbar: Crossbar) -> int:
    """Input levels of a full-scale input, as one conversion sees them: of a pulse, or of all pulses together."""
    dac = crossbar.dac
    if dac is None:
        return 1
    each = dac.serial_bits is not None and (crossbar.adc is None or crossbar.adc.per_pulse)
    return pulse_steps(dac) if each else dac.top


def current_step(hardware: Hardware, part: Slice) -> float:
    """Current of one level of a cell driven by one level of a conversion's inputs, in cell units."""
    return span(hardware) / (max(part.steps, 1) * converted_steps(hardware.crossbar))


def is_product(hardware: Hardware) -> bool:
    """Whether the currents of columns are a product of the inputs and what cells hold."""
    straight = not has_source_lines(hardware.crossbar) and not currents_bend(hardware)
    return straight and not cells.noise_is_exact(hardware.device)


def weight_planes(hardware: Hardware) -> int:
    """Numbers that are kept for each weight of a programmed matrix, at most."""
    crossbar = hardware.crossbar
    if crossbar.adc is None and crossbar.current_limit is None and is_product(hardware):
        return 1
    powers = 3 if currents_bend(hardware) else 1
    return crossbar.weights.slices * lines(hardware) * powers


def collapses(hardware: Hardware, rows: int) -> bool:
    """Whether all that follows the input converters is linear, for arrays of so many rows.

    It is without output converters, and with those that have a code for every current that perfect cells can give.
    """
    crossbar, exact = hardware.crossbar, cells.are_exact(hardware.device)
    limit = crossbar.current_limit
    if not is_product(hardware) or has_voted_slices(hardware):
        return False
    if limit is not None and not (exact and limit >= rows * sum(crossbar.weights.cells)):
        return False
    return crossbar.adc is None or (exact and has_every_code(hardware, rows))


def has_voted_slices(hardware: Hardware) -> bool:
    """Whether copies of some slices, but not of others, are voted on, so that slices count one by one."""
    redundancy = hardware.architecture.redundancy
    return isinstance(redundancy, Voting) and redundancy.slices is not None


def has_every_code(hardware: Hardware, rows: int) -> bool:
    """Whether the output converters neither clip nor round any current of perfect cells."""
    crossbar, adc, coding = hardware.crossbar, hardware.crossbar.adc, hardware.crossbar.weights
    if adc is None or adc.range == "calibrated" or coding.bits is None or crossbar.dac is None:
        return False
    bare = adc.is_perfect and crossbar.wires is None
    cancels = isinstance(coding, Differential) and coding.subtraction == "current"
    if not bare or (hardware.device.g_min > 0 and not cancels):
        return False
    ranges = described_ranges(hardware, rows)
    parts = zip(slices_of(coding), ranges, strict=True)
    return min(ranges) * (1 + SAME) >= most_current(hardware, rows) and all(
        is_whole(current_step(hardware, part) * adc.top / full) for part, full in parts
    )


def is_whole(codes: float) -> bool:
    """Whether a level's number of codes is a whole number, at least 1."""
    return codes > 0.5 and abs(codes / round(codes) - 1) < SAME


def described_ranges(hardware: Hardware, rows: int) -> list[float]:
    """Ranges of the output converters, a slice each, that are `full`, `granular` or numbers."""
    adc, parts = hardware.crossbar.adc, slices_of(hardware.crossbar.weights)
    assert adc is not None  # noqa: S101 - the caller's branch, for the type checker
    if adc.range == "full":
        return [most_current(hardware, rows)] * len(parts)
    if adc.range == "granular":
        return [adc.top * current_step(hardware, part) for part in parts]
    assert not isinstance(adc.range, str)  # noqa: S101 - calibrated ranges are no part of a description
    return list(adc.range) if isinstance(adc.range, tuple) else [adc.range] * len(parts)
