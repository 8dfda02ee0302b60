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


class Poison(Part):
    """Does what the trial's number says."""

    hungry: bool = False  # takes memory until it is ended

    def __call__(self, hardware, *, seed, trial):
        kind = KINDS[trial] if not self.hungry else "hungry" if trial == 1 else "fine"
        loss = hardware.crossbar.adc.bits + trial + seed
        match kind:
            case "raises":
                raise ValueError("no")
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                signal.signal(signal.SIGSEGV, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGSEGV)
            case "no memory":
                raise MemoryError
            case "hangs":
                while True:
                    time.sleep(0.1)
            case "unpicklable":
                raise UnpicklableError
            case "hungry":
                held = []
                while True:
                    held.append(np.ones(2_000_000))  # 16 MB
                    time.sleep(0.01)
        if kind == "nan":
            return {"loss": np.nan}
        if kind == "shape":
            return {"loss": [loss, loss]}
        return {"loss": loss}


study = Study(name="poison", workload=Poison(), space=Grid({"crossbar.adc.bits": [5, 6]}), trials=len(KINDS), seed=3)
