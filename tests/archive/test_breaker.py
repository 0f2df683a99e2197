from __future__ import annotations

import threading
import time

import pytest
from support.clock import Clock

from hrrr_dask.archive.breaker import (
    DENIED_OBJECTS,
    FAILED,
    FAILED_OBJECTS,
    FIRST_PAUSE_S,
    MAX_PAUSE_S,
    SILENT,
    SILENT_AT_FIRST,
    Breaker,
    find_outage,
    get_breaker,
)
from hrrr_dask.archive.fetch import Client, FetchSettings, Tally, get_client
from hrrr_dask.archive.sources import Source, parse_source
from hrrr_dask.errors import AccessDeniedError, NotPublishedError, UnreachableError
from hrrr_dask.records import ByteRange
from hrrr_dask.testing import FaultServer

BODY = bytes(200)


@pytest.fixture
def clock():
    return Clock(now=1000.0)


@pytest.fixture
def breaker(clock):
    return Breaker("aws", clock)


def silence(breaker, times):
    for _ in range(times):
        breaker.admit()
        breaker.no_response("operation timed out")


def refuses(breaker):
    try:
        breaker.admit()
    except UnreachableError:
        return True
    breaker.abandoned()
    return False


def test_a_source_without_a_response_is_refused_and_the_error_says_why(breaker):
    silence(breaker, SILENT_AT_FIRST)
    with pytest.raises(UnreachableError, match="source aws is skipped, 2 requests in a row had no response") as caught:
        breaker.admit()
    assert "operation timed out" in str(caught.value)
    assert breaker.cause.endswith("operation timed out")


def test_a_source_that_responded_before_may_be_silent_once_more(breaker):
    breaker.responded()
    silence(breaker, SILENT - 1)
    assert not refuses(breaker)
    silence(breaker, 1)
    assert refuses(breaker)


def test_a_response_in_between_resets_the_count(breaker):
    for _ in range(10):
        silence(breaker, 1)
        breaker.responded()
    assert not refuses(breaker)


def test_failed_responses_for_one_object_do_not_refuse_the_source(breaker):
    for _ in range(20):
        breaker.failed("bad", "503")
    assert not refuses(breaker)


def test_failed_responses_for_several_objects_refuse_the_source(breaker):
    for number in range(FAILED):
        assert not refuses(breaker)
        breaker.failed(f"file {number % FAILED_OBJECTS}", "503 Service Unavailable")
    assert refuses(breaker)
    assert breaker.cause == "5 requests in a row failed, the last error was: 503 Service Unavailable"


@pytest.mark.parametrize("before", [False, True])
def test_denied_access_refuses_a_source_only_if_it_never_returned_an_object(breaker, before):
    if before:
        breaker.responded()
    for number in range(2 * DENIED_OBJECTS):
        breaker.denied(f"file {number}")
    assert refuses(breaker) is not before


def test_one_request_is_let_through_after_the_pause_and_a_response_closes(breaker, clock):
    silence(breaker, 2)
    clock.now += FIRST_PAUSE_S - 0.1
    assert refuses(breaker)
    assert breaker.retry_in_s == pytest.approx(0.1)
    clock.now += 0.2
    breaker.admit()
    assert refuses(breaker), "only one at a time"
    breaker.responded()
    assert not refuses(breaker)
    assert (breaker.cause, breaker.down_s, breaker.retry_in_s) == ("", 0.0, 0.0)


def test_the_pause_doubles_with_each_failure_up_to_a_limit(breaker, clock):
    silence(breaker, 2)
    pauses = []
    for _ in range(9):
        pauses.append(breaker.retry_in_s)
        clock.now += breaker.retry_in_s
        silence(breaker, 1)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == MAX_PAUSE_S
    assert breaker.down_s == pytest.approx(sum(pauses))


def test_the_pause_doubles_when_the_source_goes_down_soon_again(breaker, clock):
    breaker.responded()
    pauses = []
    for _ in range(3):
        silence(breaker, SILENT)
        pauses.append(breaker.retry_in_s)
        clock.now += breaker.retry_in_s
        breaker.admit()
        breaker.responded()
    clock.now += 100
    silence(breaker, SILENT)
    assert [*pauses, breaker.retry_in_s] == [5, 10, 20, 5]


def test_the_state_shows_an_outage_that_is_over(breaker, clock):
    calm = breaker.state
    assert calm == (0, False)
    silence(breaker, 2)
    assert breaker.state == (1, True)
    clock.now += FIRST_PAUSE_S
    breaker.admit()
    breaker.responded()
    assert breaker.state == (1, False) != calm


def test_an_abandoned_request_lets_the_next_one_through(breaker, clock):
    silence(breaker, 2)
    clock.now += FIRST_PAUSE_S
    breaker.admit()
    breaker.abandoned()
    breaker.admit()


def test_what_another_process_found_is_believed_once_for_each_job(breaker, clock):
    breaker.suspect("3 requests in a row had no response", "job 1")
    assert refuses(breaker)
    clock.now += FIRST_PAUSE_S
    breaker.admit()
    breaker.responded()
    breaker.suspect("3 requests in a row had no response", "job 1")
    assert not refuses(breaker)
    breaker.suspect("3 requests in a row had no response", "job 2")
    assert refuses(breaker)
    clock.now += FIRST_PAUSE_S * 2
    breaker.admit()
    breaker.responded()
    breaker.suspect("3 requests in a row had no response", "job 1")
    assert not refuses(breaker), "two jobs at once do not open it in turns"


def test_a_slow_source_is_no_outage():
    source = Source("slow", "http://slow.invalid")
    for _ in range(2):
        get_breaker(source, QUICK).responded(4000, 8.0)
    outage = find_outage([source], QUICK)
    assert (list(outage.causes), outage.down, outage.total) == (["slow"], (), False)


def test_slow_responses_put_a_source_last_for_a_while_but_do_not_refuse_it(breaker, clock):
    breaker.responded(4000, 8.0)
    assert breaker.slow_cause == ""
    breaker.responded(4000, 8.0)
    assert breaker.slow_cause == "it is slow: the last 4,000 bytes took 8 s"
    assert not refuses(breaker)
    assert breaker.cause == ""
    assert breaker.is_read_later()
    clock.now += 61
    assert not breaker.is_read_later(), "one file tries it"
    assert breaker.is_read_later(), "the others wait for what it finds"
    breaker.responded(4000, 8.0)
    clock.now += 61
    assert breaker.is_read_later(), "the pause has doubled"
    clock.now += 60
    assert not breaker.is_read_later()
    breaker.responded(100_000, 0.1)
    assert breaker.slow_cause == ""
    assert not breaker.is_read_later()


def test_a_process_that_hears_of_a_slow_source_reads_it_later_from_the_first_file_on(breaker, clock):
    breaker.suspect("it is slow", "job", slow=True)
    assert breaker.is_read_later()
    assert not refuses(breaker)
    breaker.responded(100_000, 0.1)
    breaker.suspect("it is slow", "job", slow=True)
    assert not breaker.is_read_later(), "once for each job"


@pytest.mark.parametrize(
    ("n_bytes", "seconds"), [(100_000, 9.0), (2_000_000, 30.0), (300, 0.6)], ids=["large", "larger", "short"]
)
def test_a_response_of_many_bytes_or_little_time_is_not_slow(breaker, n_bytes, seconds):
    for _ in range(9):
        breaker.responded(n_bytes, seconds)
    assert breaker.slow_cause == ""


QUICK = FetchSettings(attempts=3, timeout_s=5, read_timeout_s=0.2, backoff_s=0)


def test_a_server_that_never_responds_costs_two_requests_and_the_others_are_refused_at_once():
    with FaultServer({"/file": BODY}, {"/file": ["stall"] * 9}) as server:
        client, tally = Client(parse_source(server.url), QUICK), Tally()
        for _ in range(20):
            with pytest.raises(UnreachableError, match=r"had no response|is skipped"):
                client.read_range("file", ByteRange(0, 9), tally)
    assert tally.requests == SILENT_AT_FIRST


def test_a_source_is_used_again_when_it_responds(monkeypatch):
    monkeypatch.setattr("hrrr_dask.archive.breaker.FIRST_PAUSE_S", 0.1)
    with FaultServer({"/file": BODY}, {"/file": ["stall"] * 2}) as server:
        client = Client(parse_source(server.url), QUICK)
        with pytest.raises(UnreachableError):
            client.read_range("file", ByteRange(0, 9), Tally())
        time.sleep(0.15)
        assert client.read_range("file", ByteRange(0, 9), Tally()).data == BODY[:9]
        assert client.breaker.cause == ""


def test_missing_objects_are_responses():
    with FaultServer({}) as server:
        client = Client(parse_source(server.url), QUICK)
        for number in range(20):
            with pytest.raises(NotPublishedError):
                client.read_all(f"file {number}", Tally())


def test_a_source_that_denies_everything_is_refused():
    tally = Tally()
    with FaultServer({}, {f"/{number}": ["403"] for number in range(20)}) as server:
        client = Client(parse_source(server.url), QUICK)
        for number in range(20):
            with pytest.raises((AccessDeniedError, UnreachableError)):
                client.read_all(str(number), tally)
    assert tally.requests == DENIED_OBJECTS


def test_a_small_object_has_a_shorter_timeout():
    settings = FetchSettings(attempts=1, timeout_s=30, small_timeout_s=0.3, read_timeout_s=30)
    with FaultServer({"/file": BODY}, {"/file": ["stall"]}) as server:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="timeout"):
            Client(parse_source(server.url), settings).read_all("file", Tally())
        assert time.monotonic() - began < 10


def test_an_outage_is_total_when_every_source_is_down():
    with FaultServer({"/file": BODY}) as server:
        sources = parse_source("http://127.0.0.1:1/one"), parse_source(server.url)
        with pytest.raises(UnreachableError):
            get_client(sources[0], QUICK).read_all("file", Tally())
        outage = find_outage(sources, QUICK)
        assert list(outage.causes) == ["http://127.0.0.1:1/one"]
        assert not outage.total
        assert find_outage(sources[:1], QUICK).total
        assert find_outage(sources[:1], QUICK).retry_in_s > 0


def test_sources_are_not_opened_to_find_out_whether_they_are_down():
    missing = Source("gone", "file:///no/such/place")
    outage = find_outage([missing, Source("private", "s3://nobody-has-credentials-for-it")], QUICK)
    assert (outage.causes, outage.total) == ({}, False)
    assert [get_breaker(missing, QUICK).cause] == [""]


def test_threads_that_wait_for_a_silent_source_stop_together():
    tally = Tally()
    with FaultServer({"/file": BODY}, {"/file": ["stall"] * 99}) as server:
        client = Client(parse_source(server.url), QUICK)

        def read():
            with pytest.raises(UnreachableError):
                client.read_range("file", ByteRange(0, 9), tally)

        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tally.requests <= 6 + SILENT_AT_FIRST
