"""Redundant arrays: a vote on what copies give, and places that have a sound cell in one of several arrays."""

from collections.abc import Sequence

import numpy as np

from cimstudy.analog import cells
from cimstudy.analog.levels import Array
from cimstudy.analog.mapping import Layout
from cimstudy.analog.random import Key
from cimstudy.hardware import FaultFree, Voting


def hold(targets: Array, layout: Layout, key: Key, place: cells.Place, time: float) -> cells.Cells:
    """Cells that were to hold `targets`; where an array's is faulty and others stand for it, a sound one of theirs.

    A place whose cells are faulty in every array has that of the last.  Arguments as `cells.hold`.
    """
    device, redundancy = layout.hardware.device, layout.hardware.architecture.redundancy
    arrays = redundancy.arrays(device.faults) if isinstance(redundancy, FaultFree) else 1
    if device.faults is None or arrays == 1:
        return cells.hold(targets, device, key, place, time)
    keys = [copy_key(key, number) for number in range(arrays)]
    found = cells.hold(targets, device, keys[-1], place, time)
    for own in reversed(keys[:-1]):
        faulty = cells.are_faulty(targets, device.faults, own, place)
        better = cells.hold(targets, device, own, place, time)
        found = cells.Cells(
            now=np.where(faulty, found.now, better.now), written=np.where(faulty, found.written, better.written)
        )
    return found


def copies(layout: Layout) -> range:
    """Numbers of the copies beside the first."""
    redundancy = layout.hardware.architecture.redundancy
    return range(1, redundancy.copies if isinstance(redundancy, Voting) else 1)


def first_voted(layout: Layout) -> int:
    """The least significant slice that has copies."""
    redundancy, slices = layout.hardware.architecture.redundancy, len(layout.targets.slices)
    return slices - redundancy.slices if isinstance(redundancy, Voting) and redundancy.slices is not None else 0


def copy_key(key: Key, number: int) -> Key:
    """The key of a copy's draws; the first has those of an array without copies."""
    return key.of(f"copy {number}") if number else key


def vote(found: Sequence[Array], layout: Layout) -> Array:
    """What is taken for the outputs of copies, each of the same shape."""
    if len(found) == 1:
        return found[0]
    redundancy = layout.hardware.architecture.redundancy
    mean = isinstance(redundancy, Voting) and redundancy.vote == "mean"
    taken: Array = (np.mean if mean else np.median)(found, axis=0).astype(found[0].dtype)
    return taken
