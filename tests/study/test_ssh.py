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


def test_a_study_over_ssh_has_the_same_bits(ssh_options, study, two_workers, tmp_path):
    values = yaml.safe_load(SSH_FILE.read_text()) | ssh_options
    values |= {
        "hosts": ["127.0.0.1"] * 3,
        "remote_python": f"env PYTHONPATH={os.pathsep.join(sys.path)} {sys.executable}",
    }
    file = tmp_path / "ssh.yaml"
    file.write_text(yaml.safe_dump(values))
    ds = study.run(tmp_path / "ssh.zarr", cluster=str(file), block=(1, 2), progress=False)
    local = study.run(tmp_path / "local.zarr", cluster=two_workers, block=(1, 2), progress=False)
    for name in ("loss", "by_layer", "status"):
        np.testing.assert_array_equal(ds[name].values, local[name].values, strict=True)
