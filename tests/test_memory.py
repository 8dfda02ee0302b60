"""The memory that a process has held."""

import subprocess
import sys

HOLD = "held = b'1' * 400_000_000"
CHILD = """
from cimstudy import memory
memory.restart_peak()
before = memory.peak()
held = b"1" * 200_000_000
del held
filled = memory.peak()
memory.restart_peak()
print(before, filled, memory.peak())
"""


def peaks(parent: str) -> list[int]:
    """Bytes at the start, after 200 MB were filled and freed, and from then on, in a child of a process like this."""
    child = f"print(subprocess.check_output([sys.executable, '-c', {CHILD!r}]).decode())"
    start = f"import subprocess, sys\n{parent}\n{child}"
    return [int(size) for size in subprocess.check_output([sys.executable, "-c", start]).split()]


def test_a_peak_is_that_since_it_was_restarted():
    before, filled, after = peaks("")
    assert 1.9e8 < filled - before < 2.2e8
    assert abs(after - before) < 0.3e8


def test_the_memory_of_the_program_that_starts_another_is_not_that_ones():
    before, filled, after = peaks(HOLD)
    assert before < 1.5e8
    assert 1.9e8 < filled - before < 2.2e8
    assert abs(after - before) < 0.3e8
