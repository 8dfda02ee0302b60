"""A study over SSH: an SSH server of our own on loopback, with keys of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from cimstudy.errors import InputError

KEYGEN = shutil.which("ssh-keygen")
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
SSH_FILE = Path(__file__).parents[2] / "cluster" / "ssh.yaml"

pytestmark = [
    pytest.mark.sshd,
    pytest.mark.slow,
    pytest.mark.skipif(SSHD is None or KEYGEN is None, reason="sshd is not installed (Debian: openssh-server)"),
]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@pytest.fixture
def ssh_options(tmp_path):
    """How to reach the server, as options of a cluster file."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where a server started by root shuts itself in
    for name in ("host", "user"):
        subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    with (tmp_path / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=log)
    try:
        end = time.monotonic() + 60
        while not answers(port):
            assert server.poll() is None, (tmp_path / "sshd.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        yield {"port": port, "client_keys": [str(tmp_path / "user")], "known_hosts": str(tmp_path / "known_hosts")}
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def cluster_file(ssh_options, tmp_path):
    """`cluster/ssh.yaml`, for three machines that are this one."""

    def write(**changes):
        values = yaml.safe_load(SSH_FILE.read_text()) | ssh_options | {"hosts": ["127.0.0.1"] * 3}
        python = f"env PYTHONPATH={os.pathsep.join(sys.path)} {sys.executable}"
        file = tmp_path / "ssh.yaml"
        file.write_text(yaml.safe_dump(values | {"remote_python": python} | changes))
        return file

    return write


def test_a_study_over_ssh_has_the_same_bits(cluster_file, study, two_workers, tmp_path):
    ds = study.run(tmp_path / "ssh.zarr", cluster=str(cluster_file()), block=(1, 2), progress=False)
    local = study.run(tmp_path / "local.zarr", cluster=two_workers, block=(1, 2), progress=False)
    for name in ("loss", "by_layer", "status"):
        np.testing.assert_array_equal(ds[name].values, local[name].values, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"remote_python": "/no/python"}, "failed to start; .*/no/python.*: No such file or directory"),
        ({"hosts": ["127.0.0.1", "no.invalid"]}, "Name or service not known|resolution"),
        ({"username": "nobody"}, "Permission denied"),
    ],
)
def test_machines_that_do_not_start_are_one_line(cluster_file, study, tmp_path, changes, message):
    with pytest.raises(InputError, match=rf"the cluster on 127.0.0.1, .* did not start: .*{message}") as raised:
        study.run(tmp_path / "s.zarr", cluster=cluster_file(**changes), progress=False)
    assert "\n" not in str(raised.value)
