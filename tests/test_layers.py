"""A file imports only the floors below its own; the rooms of arithmetic know nothing of clusters and stores."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cimstudy

PACKAGE = Path(cimstudy.__file__).parent
FLOORS = [
    "errors",
    "compiled",
    "memory",
    "metric",
    "hardware",
    "analog",
    "transformer",
    "cost",
    "workloads",
    "study",
    "analysis",
    "cli",
]
ARITHMETIC = {"hardware", "analog", "transformer", "cost"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    for name in imported(path):
        head, *rest = name.split(".")
        if head == "cimstudy" and rest and rest[0] in FLOORS:
            assert FLOORS.index(rest[0]) <= FLOORS.index(room), f"{room} imports {name}"
        if room in ARITHMETIC:
            assert head not in {"dask", "distributed", "zarr", "xarray"}, f"{room} imports {name}"
        if room != "study":
            assert head != "distributed", f"{room} imports {name}"


def test_the_engine_knows_no_network():
    rooms = {"analog", "transformer", "cost", "workloads"}
    for path in (PACKAGE / "study").rglob("*.py"):
        for name in imported(path):
            assert not any(name.startswith(f"cimstudy.{room}") for room in rooms), f"{path.name} imports {name}"


def test_every_room_has_its_floor():
    rooms = {room_of(path) for path in FILES} - {"__init__", "__main__"}
    assert rooms <= set(FLOORS)


def test_public_names_exist_and_are_few():
    assert len(cimstudy.__all__) <= 21
    assert all(getattr(cimstudy, name) is not None for name in cimstudy.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'; it has: Architecture"):
        cimstudy.nothing  # noqa: B018 - the access is the test


@pytest.mark.parametrize("room", ["analysis", "cost", "hardware", "study", "transformer"])
def test_rooms_are_found_by_their_names(room):
    asked = f"import cimstudy; print(cimstudy.{room}.__name__)"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout == f"cimstudy.{room}\n"
