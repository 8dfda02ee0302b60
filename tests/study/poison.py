"""A study file for the tests: every case but the first of each point does something nasty."""

import os
import signal
import threading
import time

import numpy as np

from cimstudy.hardware import Part
from cimstudy.study import Grid, Study

KINDS = ("fine", "raises", "killed", "segfault", "no memory", "hangs", "nan", "shape", "unpicklable", "fine")


class UnpicklableError(Exception):
    """Holds what no other process can have."""

    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def raise_value():
    raise ValueError("no")


def segfault():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def run_out():
    raise MemoryError


def hang():
    while True:
        time.sleep(0.1)


def raise_unpicklable():
    raise UnpicklableError


def fill_memory():
    held = []
    while True:
        held.append(np.ones(2_000_000))  # 16 MB
        time.sleep(0.01)


DEEDS = {
    "raises": raise_value,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": segfault,
    "no memory": run_out,
    "hangs": hang,
    "unpicklable": raise_unpicklable,
    "hungry": fill_memory,
}


class Poison(Part):
    """Does what the trial's number says."""

    kinds: tuple[str, ...] = KINDS

    def __call__(self, hardware, *, seed, trial):
        kind = self.kinds[trial]
        if kind in DEEDS:
            DEEDS[kind]()
        loss = hardware.crossbar.adc.bits + trial + seed
        return {"loss": {"nan": np.nan, "shape": [loss, loss]}.get(kind, loss)}


study = Study(name="poison", workload=Poison(), space=Grid({"crossbar.adc.bits": [5, 6]}), trials=len(KINDS), seed=3)
