"""Fixtures of the study room's tests: a study whose evaluations can be counted, and worker processes to share."""

import collections
import sys
from pathlib import Path

import pytest

from cimstudy.study import load_study
from cimstudy.study.cluster import connect

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def logged_study():
    return load_study(HERE / "logged.py")


@pytest.fixture(scope="session")
def plain_study(logged_study):
    return sys.modules["logged"].plain


@pytest.fixture(scope="session")
def two_workers():
    with connect(None, 2) as client:
        yield client


class Log:
    """The evaluations that a study has made."""

    def __init__(self, file):
        self.file = file

    def lines(self):
        return self.file.read_text().splitlines() if self.file.exists() else []

    def cases(self):
        """How often each case was evaluated: (ADC bits, std, DAC bits, time, trial) -> count."""
        return collections.Counter(tuple(line.split()[:5]) for line in self.lines())


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "evaluations.log")


@pytest.fixture
def study(logged_study, log):
    """The logged study; its evaluations are in `log`."""
    return logged_study.replace("workload.log", str(log.file))
