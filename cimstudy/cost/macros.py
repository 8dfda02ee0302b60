"""Published macros in closed form, from their own geometry, cycle and stated energies: nothing is fitted."""

from collections.abc import Callable, Mapping

from cimstudy.cost.coefficients import table

Row = Mapping[str, str]  # of a table of published results, as text
OPERATIONS = 2  # of a multiply-accumulate


def throughput(row: Row) -> float:
    """Operations a second of all arrays: those of a cycle over its length."""
    return float(row["ops_per_cycle"]) / CYCLES[row["macro"].split()[0]](row)


def jia_cycle(row: Row) -> float:
    """Seconds, at the row's supply."""
    data = table("macros")["jia"]
    return float(data["cycle"] * (data["at_voltage"] / float(row["vdd_V"])) ** data["exponent"])


def sinangil_cycle(row: Row) -> float:
    """Seconds, at the row's supply."""
    data = table("macros")["sinangil"]
    falls = (data["at_voltage"] / float(row["vdd_V"])) ** data["exponent"]
    return float(data["cycle"] * (data["floor"] + (1 - data["floor"]) * falls))


def neurram_phases(row: Row) -> list[int]:
    """Bits of the input's magnitude that are converted together, in one phase or two."""
    magnitude = max(1, int(row["in_bits"]) - 1)
    return [magnitude] if magnitude <= 3 else [-(-magnitude // 2), magnitude // 2]


def neurram_cycle(row: Row) -> float:
    """Seconds: pulses of the input's magnitude, in one phase or two, and the steps of the converters."""
    data = table("macros")["neurram"]
    phases, outputs = neurram_phases(row), int(row["out_bits"])
    steps = outputs + (max(outputs - phases[0], 0) if len(phases) > 1 else 0)
    pulses = sum(2**bits - 1 for bits in phases)
    return float(data["pulse"] * pulses + data["step"] * steps + data["phase"] * len(phases))


CYCLES: Mapping[str, Callable[[Row], float]] = {"Jia": jia_cycle, "Sinangil": sinangil_cycle, "Wan": neurram_cycle}


def jia_efficiency(row: Row) -> float | None:
    """Operations per joule of a column with its converter."""
    energy = sum(table("macros")["jia"][f"energy_{float(row['vdd_V']):g}"])
    return OPERATIONS * float(row["rows"]) / float(energy)


def sinangil_efficiency(row: Row) -> float | None:
    """Operations per joule; None at supplies for which no energy is stated."""
    data = table("macros")["sinangil"]
    if float(row["vdd_V"]) != data["at_voltage"]:
        return None
    energy = data["energy_" + row["quantity"].rpartition("=")[2]]
    return float(row["ops_per_cycle"]) / float(energy)


def neurram_efficiency(row: Row) -> float | None:
    """Operations per joule."""
    return 1 / float(sum(table("macros")["neurram"][f"energy_{row['out_bits']}"]))


EFFICIENCIES: Mapping[str, Callable[[Row], float | None]] = {
    "Jia": jia_efficiency,
    "Sinangil": sinangil_efficiency,
    "Wan": neurram_efficiency,
}


def isaac_tile() -> tuple[float, float]:
    """Power in W and area in m2 of a tile of ISAAC, the sums of its parts."""
    data = table("macros")["isaac"]
    parts = data["tile"].values()
    power = sum(part[0] for part in parts) + data["imas"] * sum(part[0] for part in data["ima"].values())
    area = sum(part[1] for part in parts) + data["imas"] * sum(part[1] for part in data["ima"].values())
    return power * 1e-3, area * 1e-6


def isaac_chip() -> tuple[float, float]:
    """Power in W and area in m2 of ISAAC's chip: its tiles and links."""
    data, (power, area) = table("macros")["isaac"], isaac_tile()
    return data["tiles"] * power + data["links"][0] * 1e-3, data["tiles"] * area + data["links"][1] * 1e-6
