import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimstudy.study.progress import Lines, Silent, State, clock, moved, reporting

START = State(name="x", total=100, finished=20, failed=0, at_start=20, started=1000.0)


def test_the_time_left_follows_from_the_rate_of_this_run_alone():
    assert START.line(1010.0) == "20/100 cases"
    assert moved(START, 20, 3).line(1010.0) == "40/100 cases, 2/s, 0:00:30 left, 3 failed"


@given(st.integers(0, 10**6))
def test_a_clock_reads_hours_minutes_seconds(seconds):
    hours, minutes, rest = map(int, clock(seconds).split(":"))
    assert hours * 3600 + minutes * 60 + rest == seconds
    assert minutes < 60
    assert rest < 60


def test_where_there_is_no_terminal_lines_are_few_but_the_last_is_written(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    report = Lines()
    report.stage("x: starting")
    for finished in range(20, 101):
        report.show(moved(START, finished - 20, 0))
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["x: starting", "x: 20/100 cases"]
    assert lines[2].startswith("x: 100/100 cases, ")
    assert len(lines) == 3


@pytest.mark.parametrize(("wanted", "kind"), [(False, Silent), (True, Lines)])
def test_nothing_is_written_unless_wanted(wanted, kind, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with reporting(wanted=wanted) as report:
        assert isinstance(report, kind)
        report.stage("x")
        report.show(START)
    assert bool(out.getvalue()) is wanted


def test_in_a_terminal_a_bar_shows_names_as_they_are(monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with reporting(wanted=True) as report:
        report.show(
            State(name="x [red]", total=4, finished=1, failed=1, at_start=0, started=0.0, dashboard="http://h:1")
        )
    assert "x [red]" in out.getvalue()
    assert "1/4 cases" in out.getvalue()
    assert "1 failed  http://h:1" in out.getvalue()
