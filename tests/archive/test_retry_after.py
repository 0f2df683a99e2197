from __future__ import annotations

import time

import pytest

from hrrr_dask.archive import retry_after
from hrrr_dask.archive.fetch import Client, FetchSettings, Tally
from hrrr_dask.archive.retry_after import public_url
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.errors import UnreachableError
from hrrr_dask.records import ByteRange
from hrrr_dask.testing import FaultServer
from hrrr_dask.testing import fault_server as served

BODY = bytes(range(200))
QUICK = FetchSettings(attempts=3, timeout_s=5, backoff_s=1e-6)


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("https://h.org/hrrr", {}, "https://h.org/hrrr/a/b%20c"),
        ("s3://mine/pre/fix", {"anonymous": "true", "endpoint": "http://h:1"}, "http://h:1/mine/pre/fix/a/b%20c"),
        (
            "s3://mine",
            {"anonymous": "true", "endpoint": "http://mine.h", "virtual_hosted_style": "true"},
            "http://mine.h/a/b%20c",
        ),
        ("s3://b", {"anonymous": "true", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/b/a/b%20c"),
        ("gs://mine", {"anonymous": "true"}, "https://storage.googleapis.com/mine/a/b%20c"),
        ("gs://mine", {}, None),
        ("s3://mine", {}, None),
        ("file:///tmp", {}, None),
    ],
)
def test_the_url_of_an_object_that_anyone_may_read(url, options, expected, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert public_url(parse_source(url, options), "a/b c") == expected


@pytest.mark.parametrize("status", ["503", "429"])
def test_the_pause_that_an_overloaded_server_asks_for_is_kept(status):
    tally = Tally()
    with FaultServer({"/file": BODY}, {"/file": [status]}) as server:
        began = time.monotonic()
        response = Client(parse_source(server.url), QUICK).read_range("file", ByteRange(0, 9), tally)
        assert time.monotonic() - began >= 1.0, "the server sends Retry-After: 1"
    assert response.data == BODY[:9]
    assert (server.requests["/file"], server.head_requests, tally.requests) == (2, 1, 3)


def test_other_errors_are_not_asked_about():
    with FaultServer({"/file": BODY}, {"/file": ["500", "reset"]}) as server:
        Client(parse_source(server.url), QUICK).read_range("file", ByteRange(0, 9), Tally())
    assert server.head_requests == 0


def test_a_long_pause_means_that_the_source_is_skipped(monkeypatch):
    monkeypatch.setitem(served._EXTRA_HEADERS, "503", {"Retry-After": "120"})
    with FaultServer({"/file": BODY}, {"/file": ["503"] * 9}) as server:
        client = Client(parse_source(server.url), QUICK)
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="it asks for a pause of 120 s"):
            client.read_range("file", ByteRange(0, 9), Tally())
        assert time.monotonic() - began < 60
        assert 100 < client.breaker.retry_in_s <= 120
    assert server.requests["/file"] == 1


def test_a_server_is_asked_once_for_many_failures(monkeypatch):
    monkeypatch.setattr(retry_after, "ASK_EVERY_S", 100)
    with FaultServer({f"/{k}": BODY for k in range(4)}, {f"/{k}": ["503"] for k in range(4)}) as server:
        client = Client(parse_source(server.url), FetchSettings(backoff_s=1e-6, concurrency=1))
        for k in range(4):
            client.read_range(str(k), ByteRange(0, 9), Tally())
    assert server.head_requests == 1


def test_a_server_that_does_not_say_or_is_gone_is_not_waited_for(monkeypatch):
    monkeypatch.setitem(served._EXTRA_HEADERS, "503", {})
    with FaultServer({"/file": BODY}, {"/file": ["503"]}) as server:
        assert retry_after.ask_retry_after(f"{server.url}/file", 1) is None
        client = Client(parse_source(server.url), QUICK)
        assert client.read_range("file", ByteRange(0, 9), Tally()).data == BODY[:9]
    assert retry_after.ask_retry_after(f"{server.url}/file", 1) is None
