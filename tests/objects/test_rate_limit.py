"""A limit on requests is kept by all processes of a machine together."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrrr_dask.objects.rate_limit import BURST, RateLimit, next_slot


@settings(deadline=None)
@given(st.integers(1, 1000), st.lists(st.floats(0, 20), min_size=1, max_size=200))
def test_no_minute_has_more_requests_than_the_limit_and_a_burst(per_minute, pauses):
    now, full_at, starts = 1e9, 0.0, []
    for pause in pauses:
        now += pause
        start, full_at = next_slot(now, full_at, per_minute)
        assert start >= now
        starts.append(start)
        now = start
    for first in starts:
        within = sum(first <= start < first + 60 for start in starts)
        assert within <= per_minute + min(BURST, per_minute) + 1


def test_a_clock_that_was_set_back_stops_nobody_for_long():
    start, _ = next_slot(now=1000.0, full_at=1e9, per_minute=60)
    assert start - 1000 <= 600


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_processes_share_a_limit(place):
    code = (
        "import sys, tempfile, threading, time; from hrrr_dask.objects.rate_limit import RateLimit\n"
        "tempfile.tempdir = sys.argv[1]; limit, never = RateLimit('https://a/b', 1200), threading.Event()\n"
        "for _ in range(15): assert not limit.wait(never)"
    )
    began = time.monotonic()
    children = [subprocess.Popen([sys.executable, "-c", code, str(place)]) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert time.monotonic() - began >= (30 - BURST - 1) * 60 / 1200, "each alone would wait a quarter of that"
    (shared,) = place.iterdir()
    assert shared.stat().st_mode & 0o777 == 0o600


def test_a_process_that_can_share_nothing_keeps_the_limit_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    limit, stop = RateLimit("nomads", 6), threading.Event()
    assert not any(limit.wait(stop) for _ in range(6))
    stop.set()
    assert limit.wait(stop), "the seventh would have to wait for ten seconds"


def test_a_link_in_the_limits_place_is_not_followed(place):
    RateLimit("nomads", 6)
    (shared,) = place.iterdir()
    shared.unlink()
    shared.symlink_to(place / "somebody-elses")
    assert not RateLimit("nomads", 6).wait(threading.Event())
    assert not (place / "somebody-elses").exists()
