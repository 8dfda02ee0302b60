"""Studies in an object store: a real S3 server on the loopback interface, real worker processes."""

import contextlib
import functools
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import obstore
import pytest
import xarray as xr

from cimstudy.errors import InputError
from cimstudy.study import Axis, Grid, StoreLostError, lease, open_results, remote, store_status
from cimstudy.study.plan import DONE
from cimstudy.study.remote import bucket as client_of


@pytest.fixture
def run(two_workers):
    def running(study, store, **options):
        return study.run(store, cluster=two_workers, progress=False, **options)

    return running


def same_metrics(one, other):
    """Equal in every bit."""
    xr.testing.assert_equal(one[["loss", "by_layer"]].load(), other[["loss", "by_layer"]].load())


def names(url):
    """The objects under a URL."""
    return [entry["path"] for page in obstore.list(client_of(url)) for entry in page]


def test_a_study_in_an_object_store_grows_without_repetition_to_what_a_local_one_holds(
    run, study, log, bucket, tmp_path
):
    url = f"{bucket}/results/s.zarr"
    longer = study.replace("trials", 6)
    larger = longer.replace("space", Grid([*study.space.axes, Axis("workload.time", [0.0, 3.0])]))
    for grown, cases in ((study, 24), (longer, 36), (larger, 72), (larger, 72)):
        ds = run(grown, url, block=(2, 2))
        assert len(log.lines()) == cases
        assert (ds.status == DONE).all()
    assert set(log.cases().values()) == {1}
    same_metrics(ds, run(larger, tmp_path / "s.zarr"))
    assert store_status(f"{url}/").done == 72
    assert names(f"{url}.lock") == []


def test_failures_in_an_object_store_are_values_and_may_be_tried_again(run, study, bucket, tmp_path):
    mended = tmp_path / "mended"
    broken = study.replace("workload.raises", ((6, 2),)).replace("workload.once", str(mended))
    url = f"{bucket}/s.zarr"
    run(broken, url)
    assert [failure.error for failure in store_status(url).failures] == [
        "ValueError: bits 6; and trial 2 do not get on"
    ] * 2
    mended.touch()
    same_metrics(run(broken, url, retry_failed=True), run(study, tmp_path / "whole.zarr"))


def test_a_bucket_that_does_not_exist_is_refused_before_work_starts(study, log, object_store):
    for use in (functools.partial(study.run, progress=False), study.dry_run, open_results, store_status):
        with pytest.raises(
            InputError, match=r"^s3://no-such-bucket/s\.zarr(\.lock)?: there is no bucket no-such-bucket; a"
        ):
            use("s3://no-such-bucket/s.zarr")
    assert not log.lines()


def test_what_lies_in_a_bucket_is_never_overwritten(study, log, bucket):
    obstore.put(client_of(f"{bucket}/data"), "notes.txt", b"mine")
    with pytest.raises(
        InputError, match=r"/data exists and is not a store of results; allowed: a new path, or a store"
    ):
        study.run(f"{bucket}/data", progress=False)
    with pytest.raises(InputError, match=r"is all of a bucket; allowed: a name in it, such as s3://"):
        study.run(f"{bucket}/", progress=False)
    assert names(f"{bucket}/data") == ["notes.txt"]
    assert not log.lines()


@pytest.fixture
def guarded(object_store):
    """From here to the end of the test the server knows nobody's credentials."""
    url = f"{object_store}/moto-api/reset-auth"

    def allow(requests):
        plain = {"content-type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(url, requests, plain, method="POST"))  # noqa: S310 - our own server

    yield lambda: allow(b"0")
    allow(b"Infinity")


def test_missing_permission_is_one_line(study, log, bucket, guarded):
    guarded()
    for use in (functools.partial(study.run, progress=False), open_results):
        with pytest.raises(InputError, match=r"^s3://.*: permission denied \(InvalidAccessKeyId\); allowed: .*[^\n]\Z"):
            use(f"{bucket}/s.zarr")
    assert not log.lines()


@pytest.fixture
def impatient(monkeypatch):
    """Fewer retries, so that a test need not wait for all of them."""
    monkeypatch.setattr(remote, "RETRIES", 1)


def test_a_service_that_does_not_answer_is_one_line(study, log, object_store, monkeypatch, impatient):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for use in (functools.partial(study.run, progress=False), open_results):
        with pytest.raises(
            StoreLostError, match=r"^s3://nobody/s\.zarr(\.lock)?: the object store fails \(.*127\.0\.0\.1:9.*\)\Z"
        ):
            use("s3://nobody/s.zarr")
    assert not log.lines()


RUNNER = """
import sys
from cimstudy.study import StoreLostError, Study, load_study, remote
remote.RETRIES = 1  # in workers the full number holds
load_study(sys.argv[1])
try:
    Study.from_json(sys.argv[2]).run(sys.argv[3], workers=2, block=(1, 1), progress=False)
except StoreLostError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_a_service_that_goes_away_ends_the_run_with_one_line(study, log, object_store, request):
    file = str(request.path.parent / "logged.py")
    with server_of_its_own() as (server, address):
        urllib.request.urlopen(urllib.request.Request(f"{address}/held", method="PUT"))  # noqa: S310 - our own server
        text = study.replace("workload.sleep", 0.5).replace("trials", 40).to_json()
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, file, text, "s3://held/s.zarr"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"AWS_ENDPOINT_URL": address},
        )
        waited_for(lambda: len(log.lines()) > 6)
        server.kill()
        _, errors = runner.communicate(timeout=240)
    assert runner.returncode == 1
    assert re.fullmatch(r"s3://held/s\.zarr(\.lock)?: the object store fails \(.*error sending request\)\n", errors)


@contextlib.contextmanager
def server_of_its_own():
    """An S3 server that can be killed, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        waited_for(answers)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def test_results_may_be_read_over_http(run, study, tmp_path):
    expected = run(study, tmp_path / "s.zarr")
    handler = functools.partial(Silent, directory=tmp_path)
    with serving(handler) as address:
        same_metrics(open_results(f"{address}/s.zarr"), expected)
        assert store_status(f"{address}/s.zarr").done == 24


class Silent(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *_):
        pass


class Heedless(Silent):
    """Takes every put, whatever its condition."""

    def do_PUT(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("etag", '"one"')
        self.end_headers()

    def do_POST(self):  # a deletion
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<DeleteResult><Deleted><Key>probe</Key></Deleted></DeleteResult>")


@contextlib.contextmanager
def serving(handler):
    """The address of a server on the loopback interface."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()


def test_a_service_that_heeds_no_conditions_is_refused(object_store, monkeypatch):
    with serving(Heedless) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(InputError, match=r"does not heed If-None-Match; allowed: one with conditional puts"):
            lease.take("s3://heedless/s.zarr.lock", "0")


@pytest.fixture
def folder(bucket):
    return f"{bucket}/s.zarr.lock"


@pytest.fixture
def elsewhere(monkeypatch):
    """Let what this process holds look as if another machine held it, or not."""

    def switch(machine):
        monkeypatch.setattr(lease, "this_machine", lambda: machine)

    return switch


def test_a_lease_has_one_holder_until_it_is_given_back(folder):
    first = lease.take(folder, "5")
    assert first.is_held()
    assert lease.take(folder, "5") is None
    lease.take(folder, "6").give_back()
    first.give_back()
    assert names(folder) == []
    again = lease.take(folder, "5")
    assert again.is_held()
    again.give_back()


def test_of_many_that_try_at_once_one_gets_a_lease(folder):
    with ThreadPoolExecutor(8) as pool:
        found = [taken for taken in pool.map(lambda _: lease.take(folder, "5"), range(16)) if taken]
    assert len(found) == 1
    found[0].give_back()


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0

    def monotonic(self):
        return self.now


def test_a_lease_that_is_renewed_lasts_and_one_that_is_not_is_anybodys(folder, elsewhere, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    monkeypatch.setattr(lease, "RENEWAL", 0.05)
    elsewhere("there")
    held = lease.take(folder, "5")
    elsewhere("here")
    for _ in range(4):
        assert lease.take(folder, "5") is None
        said = lease.read(folder, "5").text
        clock.now += 0.9 * lease.LIFETIME
        waited_for(lambda said=said: lease.read(folder, "5").text != said)
    waited_for(held.is_held)
    held._over.set()  # as if its process had stopped
    held._renewing.join()
    assert lease.take(folder, "5") is None
    clock.now += 0.9 * lease.LIFETIME
    assert not held.is_held()
    assert lease.take(folder, "5") is None
    clock.now += 0.2 * lease.LIFETIME
    taken = lease.take(folder, "5")
    held.give_back()  # which no longer means anything
    assert names(folder) == ["5"]
    assert taken.is_held()
    taken.give_back()


def test_a_lease_that_another_has_taken_is_lost(folder, elsewhere, monkeypatch):
    monkeypatch.setattr(lease, "RENEWAL", 0.05)
    held = lease.take(folder, "5")
    obstore.put(client_of(folder), "5", lease.label("another", 0).encode())
    waited_for(lambda: not held.is_held())
    held.give_back()
    assert lease.read(folder, "5").text == lease.label("another", 0)


def waited_for(condition, seconds=60):
    """What a condition is once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def test_a_put_that_was_sent_twice_does_not_conflict_with_itself(folder):
    version = lease.write(folder, "5", "mine", None)
    assert lease.write(folder, "5", "mine", None) == version
    assert lease.write(folder, "5", "other", None) is None
