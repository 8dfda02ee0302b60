"""How busy the arrays of a network are, from what went through them."""

from collections.abc import Mapping

from cimstudy import memory
from cimstudy.analog.activity import mean_level, mean_square_drive
from cimstudy.hardware import Hardware
from cimstudy.transformer.blocks import blocks_of
from cimstudy.transformer.calibration import map_model
from cimstudy.transformer.chunks import cell_bytes
from cimstudy.transformer.model import Model
from cimstudy.transformer.operators import placed_matrices
from cimstudy.transformer.watch import Array

Busy = tuple[float, float, int]  # mean square of drives, mean level of cells, weights


def activity(
    model: Model, hardware: Hardware, calibration: Array | None, inputs: Mapping[str, Array]
) -> dict[str, Busy]:
    """For each matrix in arrays that has met inputs: its mean square drive, its cells' mean level, and its size.

    inputs : by matrix, (vectors, n_in).  Nothing is told of a model that does not fit into memory.
    """
    if cell_bytes(model, hardware, placed_matrices(model.config, hardware)) > memory.limit() / 4:
        return {}
    found = {}
    for name, mapped in map_model(model, hardware, calibration).items():
        if name not in inputs:
            continue
        parts = [
            (mean_square_drive(matrix, inputs[name][:, block.rows]), mean_level(matrix), matrix.shape[0])
            for matrix, block in zip(mapped, blocks_of(model, hardware, name), strict=True)
        ]
        rows = sum(size for _, _, size in parts)
        drive, level = (sum(part[place] * part[2] for part in parts) / rows for place in (0, 1))
        found[name] = (drive, level, rows * mapped[0].shape[1])
    return found
