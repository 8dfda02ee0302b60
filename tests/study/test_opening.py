"""Interrupts while clusters and clients open."""

import signal
import socket
import threading

import pytest
from distributed import LocalCluster, Status

from cimstudy.study import cluster
from cimstudy.study.opening import Opened, held_back


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_a_client_that_is_interrupted_while_it_connects_is_closed():
    closed = []

    class Watched(Opened):
        def close(self):
            super().close()
            closed.append(self.status)

    with socket.create_server(("127.0.0.1", 0)) as silent:

        def await_caller():
            with silent.accept()[0]:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        caller = threading.Thread(target=await_caller)
        caller.start()
        with pytest.raises(KeyboardInterrupt):
            Watched(f"tcp://127.0.0.1:{silent.getsockname()[1]}", timeout="60s", set_as_default=False)
        caller.join()
    assert closed == ["closed"]


def test_what_fails_before_a_client_connects_is_told():
    with LocalCluster(n_workers=0, dashboard_address=None) as closed:
        pass
    with pytest.raises(RuntimeError, match="already closed"):
        Opened(closed)


def test_local_workers_that_are_interrupted_while_they_start_are_ended(monkeypatch):
    clusters = []
    start = cluster.start

    def interrupted(workers):
        interrupt()
        clusters.append(start(workers))
        return clusters[0]

    monkeypatch.setattr(cluster, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), cluster.local(1):
        pytest.fail("entered")
    assert clusters[0].status == Status.closed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def hold_back(*actions):
    with held_back():
        for action in actions:
            action()


def test_an_interrupt_is_held_back_until_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        hold_back(interrupt, lambda: done.append("all"))
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_is_not_held_back():
    with pytest.raises(KeyboardInterrupt):
        hold_back(interrupt, interrupt, lambda: pytest.fail("went on"))


def test_an_interrupt_comes_before_what_it_has_broken():
    def fail():
        raise RuntimeError("workers do not start")

    with pytest.raises(KeyboardInterrupt):
        hold_back(interrupt, fail)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_without_an_interrupt_nothing_changes(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        hold_back()
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing_back():
    seen = []

    def enter():
        with held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
