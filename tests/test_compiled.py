"""Machine code on disk is that of the sources at hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOOPS = """
from cimstudy.compiled import compiled
from room.constants import FACTOR

@compiled()
def scaled(x):
    return FACTOR * x
"""
CALL = "from room.loops import scaled; print(scaled(3), sum(scaled.stats.cache_hits.values()))"


@pytest.fixture
def room(tmp_path):
    """A package of two files, the second of which uses a number of the first."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").touch()
    (tmp_path / "room" / "constants.py").write_text("FACTOR = 2\n")
    (tmp_path / "room" / "loops.py").write_text(LOOPS)
    return tmp_path


def called(folder):
    """What the function returns in a new process, and how often its code came from the disk."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    said = subprocess.run(
        [sys.executable, "-B", "-c", CALL],
        cwd=folder,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in said.stdout.split()]


def test_code_is_kept(room):
    assert called(room) == [6, 0]
    assert called(room) == [6, 1]


def test_a_change_in_another_file_of_the_room_is_seen(room):
    called(room)
    (room / "room" / "constants.py").write_text("FACTOR = 5\n")
    assert called(room) == [15, 0]
    assert called(room) == [15, 1]
