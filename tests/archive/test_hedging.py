from __future__ import annotations

import time

import pytest
from support.clock import Clock

from hrrr_dask.archive import hedging
from hrrr_dask.archive.fetch import Client, FetchSettings, Tally
from hrrr_dask.archive.hedging import KNOWN, LATE_S, SHARE, Hedges, Waiting
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.errors import NotPublishedError
from hrrr_dask.records import ByteRange
from hrrr_dask.testing import FaultServer

BODY = bytes(range(200))
RANGES = [ByteRange(start, start + 5) for start in range(0, 190, 5)]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hedges(clock):
    return Hedges(clock)


def respond(hedges, clock, times, seconds=0.01):
    for _ in range(times):
        waiting = Waiting()
        hedges.sent(waiting)
        clock.now += seconds
        hedges.responded(waiting)


def late(hedges, clock, seconds):
    waiting = Waiting()
    hedges.sent(waiting)
    clock.now += seconds
    return hedges.send_again(waiting)


def test_a_request_is_late_after_a_second_if_others_are_quick(hedges, clock):
    respond(hedges, clock, KNOWN)
    assert not late(hedges, clock, LATE_S - 0.01)
    assert late(hedges, clock, LATE_S)


def test_a_slow_source_is_given_its_time(hedges, clock):
    respond(hedges, clock, KNOWN, seconds=2.0)
    assert not late(hedges, clock, 9.0)
    assert late(hedges, clock, 11.0)


def test_nothing_is_late_before_it_is_known_how_long_responses_take(hedges, clock):
    respond(hedges, clock, KNOWN - 1)
    assert not late(hedges, clock, 100.0)


def test_a_request_that_was_answered_or_not_sent_is_not_late(hedges, clock):
    respond(hedges, clock, KNOWN)
    answered = Waiting()
    hedges.sent(answered)
    hedges.responded(answered)
    clock.now += 100
    assert not hedges.send_again(answered)
    assert not hedges.send_again(Waiting())


def test_few_requests_are_sent_again(hedges, clock):
    respond(hedges, clock, 200)
    assert sum(late(hedges, clock, 50.0) for _ in range(200)) == SHARE * 200


class Forgetful(FaultServer):
    """Never responds to some requests."""

    forget_next = False

    def begin(self, path, byte_range):
        mode = super().begin(path, byte_range)
        with self._lock:
            forgotten, self.forget_next = self.forget_next, False
        return "silent" if forgotten else mode


def test_a_request_that_is_forgotten_is_sent_again_and_the_first_response_counts(monkeypatch):
    monkeypatch.setattr(hedging, "LATE_S", 0.2)
    tally = Tally()
    with Forgetful({"/file": BODY}) as server:
        client = Client(parse_source(server.url), FetchSettings(read_timeout_s=20))
        for _ in range(2):
            client.read_ranges("file", RANGES, tally)
        server.forget_next = True
        began = time.monotonic()
        responses = client.read_ranges("file", RANGES, tally)
        assert time.monotonic() - began < 15, "the timeout is 20 s"
    assert [response.data for response in responses] == [BODY[r.start : r.stop] for r in RANGES]
    assert 1 <= tally.requests - 3 * len(RANGES) <= SHARE * tally.requests + 1


def test_the_error_of_a_request_counts_if_its_copy_fails_too(monkeypatch):
    monkeypatch.setattr(hedging, "LATE_S", 0.2)
    with Forgetful({"/file": BODY}) as server:
        client = Client(parse_source(server.url), FetchSettings(read_timeout_s=1))
        for _ in range(2):
            client.read_ranges("file", RANGES, Tally())
        server.forget_next = True
        with pytest.raises(NotPublishedError):
            client.read_all("missing", Tally())
