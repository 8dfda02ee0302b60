"""Fixtures of the study room's tests: a study whose evaluations can be counted, and worker processes to share."""

import collections
import logging
import sys
import urllib.request
import uuid
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

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
def two_workers(object_store):
    """Two worker processes, which know the object store."""
    with connect(None, 2) as client:
        yield client


@pytest.fixture(scope="session")
def object_store():
    """The address of an S3 server on the loopback interface, which the environment names from now on."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", address)
        yield address
    server.stop()


@pytest.fixture
def bucket(object_store):
    """The URL of a new bucket."""
    name = f"tests-{uuid.uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(f"{object_store}/{name}", method="PUT"))  # noqa: S310 - our own
    return f"s3://{name}"


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
