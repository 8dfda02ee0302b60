"""A study file for the tests: each evaluation leaves a line in a file, and some cases misbehave on request."""

import functools
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
from pydantic import Field

from cimstudy.errors import InputError
from cimstudy.hardware import Device, Hardware, NormalOfRange, Part
from cimstudy.metric import Metric
from cimstudy.study import Grid, Study


@functools.cache
def model():
    """Stands for a model that a process loads once."""
    return np.linspace(0.5, 2, 3)


class Logged(Part):
    """Numbers that depend on nothing but the hardware, the seed and the trial."""

    log: str = ""  # a line for each evaluation; "": none
    sleep: float = Field(default=0.0, ge=0)
    jitter: float = Field(default=0.0, ge=0)  # s, the most that a case sleeps by chance
    time: float = Field(default=0.0, ge=0)
    raises: tuple[tuple[int, int], ...] = ()  # (ADC bits, trial) of cases that raise
    exits: tuple[tuple[int, int], ...] = ()  # of cases that end their process
    leaves: tuple[tuple[int, int], ...] = ()  # of cases that call sys.exit
    once: str = ""  # a file whose absence makes `raises` and `exits` raise
    refuses: int = 0  # ADC bits that `check` refuses
    complains: bool = False  # of its input, in every case
    infinite: bool = False  # results
    data: str = "v1"

    @property
    def metrics(self):
        return {
            "loss": Metric(long_name="mean loss", units="nat", better="lower"),
            "by_layer": Metric(long_name="loss by layer", units="nat", dims=("layer",)),
        }

    def reference(self):
        return {"loss": 1.25}

    def checksums(self):
        return {"data": self.data}

    def check(self, hardware):
        if hardware.crossbar.adc.bits == self.refuses:
            raise InputError(f"crossbar.adc.bits = {self.refuses}: not with this workload")

    def __call__(self, hardware, *, seed, trial):
        bits = hardware.crossbar.adc.bits
        std = hardware.device.programming.std
        time.sleep(self.sleep + self.jitter * random.random())  # noqa: S311 - never twice the same order
        if self.log:
            note(self.log, f"{bits} {std:g} {hardware.crossbar.dac.bits} {self.time:g} {trial} {os.getpid()}")
        case = (bits, trial)
        if self.complains:
            raise InputError(f"trial {trial} is not to my taste")
        if not (self.once and Path(self.once).exists()):
            if case in self.raises:
                raise ValueError(f"bits {bits}\nand trial {trial} do not get on")
            if case in self.exits:
                os._exit(3)
            if case in self.leaves:
                sys.exit("this is enough")
        draws = np.random.Generator(np.random.Philox(key=[seed, trial])).standard_normal(3)
        losses = model() + std * draws + 1 / bits + self.time
        return {"loss": np.inf if self.infinite else losses.mean(), "by_layer": losses}


def note(file, text):
    """Add a line, whole, whoever else does so."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def half(hardware, *, seed, trial):
    """A plain function as a workload."""
    return {"half": trial / 2 + seed, "bits": hardware.crossbar.adc.bits}


study = Study(
    name="logged",
    workload=Logged(),
    hardware=Hardware(device=Device(programming=NormalOfRange(std=0.1))),
    space=Grid({"device.programming.std": [0.0, 0.1], "crossbar.adc.bits": [5, 6, 7]}),
    trials=4,
    seed=7,
)
plain = study.replace("workload", half)
