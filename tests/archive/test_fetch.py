from __future__ import annotations

import threading
from datetime import datetime
from itertools import chain, repeat

import obstore
import pytest
from support import needs

from hrrr_dask.archive.fetch import Client, FetchSettings, Tally, get_client, max_pause_s
from hrrr_dask.archive.sources import Source, parse_source
from hrrr_dask.errors import (
    AccessDeniedError,
    ConfigError,
    HrrrDaskError,
    InventoryError,
    NotPublishedError,
    StoreAccessError,
    TruncatedError,
    UnreachableError,
)
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.records import ByteRange
from hrrr_dask.testing import FaultServer, loopback_s3

BODY = bytes(range(200))
NOW = FetchSettings(attempts=3, timeout_s=5, backoff_s=0)
PUBLISHED = datetime(2024, 1, 1, 7, 5, 9)


def serve(*modes, body=BODY, **more):
    return FaultServer({"/hrrr/file": body}, {"/hrrr/file": chain(modes)}, **more)


def client_of(server, settings=NOW):
    return Client(parse_source(f"{server.url}/hrrr"), settings)


def test_a_range_comes_exactly_with_what_is_known_of_its_object():
    tally = Tally()
    with serve() as server:
        response = client_of(server).read_range("file", ByteRange(10, 30), tally)
    assert response.data == BODY[10:30]
    assert response.size == 200
    assert response.etag.startswith('"')
    assert response.published == PUBLISHED
    assert (tally.requests, tally.bytes_read) == (1, 20)
    assert server.ranges == ["bytes=10-29"]


def test_an_open_range_runs_to_the_end():
    with serve() as server:
        assert client_of(server).read_range("file", ByteRange(190, None), Tally()).data == BODY[190:]
    assert server.ranges == ["bytes=190-"]


def test_a_whole_object_is_read():
    tally = Tally()
    with serve() as server:
        response = client_of(server).read_all("file", tally)
    assert (response.data, response.size, tally.bytes_read) == (BODY, 200, 200)


def test_an_empty_object_has_no_bytes():
    with serve(body=b"") as server:
        assert client_of(server).read_all("file", Tally()).data == b""


def test_a_source_without_tags_and_dates_is_read_all_the_same():
    with serve("bare") as server:
        response = client_of(server).read_range("file", ByteRange(0, 5), Tally())
    assert (response.data, response.etag, response.published) == (BODY[:5], "", None)


@pytest.mark.parametrize("fault", ["500", "503", "429", "400", "whole", "page", "short", "narrow", "liar", "reset"])
def test_what_may_pass_is_tried_again(fault):
    tally = Tally()
    with serve(fault, "503") as server:
        response = client_of(server).read_range("file", ByteRange(10, 30), tally)
    assert response.data == BODY[10:30]
    assert tally.requests == server.requests["/hrrr/file"] == 3
    assert tally.counts == (3, 2, tally.bytes_read)


def test_bytes_that_were_thrown_away_are_counted():
    tally = Tally()
    with serve("liar") as server:
        client_of(server).read_range("file", ByteRange(10, 30), tally)
    assert (tally.requests, tally.bytes_read) == (2, 30)


def test_a_stalled_answer_times_out_and_is_tried_again():
    tally = Tally()
    settings = FetchSettings(attempts=2, timeout_s=0.3, backoff_s=0)
    with serve("stall") as server:
        assert client_of(server, settings).read_range("file", ByteRange(0, 9), tally).data == BODY[:9]
    assert tally.requests == 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("503", "503 Service Unavailable"),
        ("429", "429 Too Many Requests"),
        ("whole", "the server ignores byte ranges"),
        ("reset", "error sending request"),
        ("short", "body error (interrupted)"),
        ("narrow", "Requested 10..30, got 10..20"),
        ("liar", "10 bytes were received instead of 20"),
    ],
)
def test_after_all_attempts_the_source_is_unreachable(fault, says):
    tally = Tally()
    with serve(*[fault] * 9) as server, pytest.raises(UnreachableError) as caught:
        client_of(server).read_range("file", ByteRange(10, 30), tally)
    text = str(caught.value)
    assert text.startswith(f"{server.url}/hrrr/file gave no complete response in 3 attempts, the last error was: ")
    assert says in text
    assert "\n" not in text
    assert "Debug source" not in text
    assert tally.requests == server.requests["/hrrr/file"] == 3
    assert caught.value.__cause__ is None


def test_a_timeout_is_named():
    settings = FetchSettings(attempts=1, timeout_s=0.2)
    with serve("stall") as server, pytest.raises(UnreachableError, match=r"\(timeout\)"):
        client_of(server, settings).read_range("file", ByteRange(0, 9), Tally())


def test_a_server_that_is_not_there_is_unreachable():
    tally = Tally()
    client = Client(parse_source("http://127.0.0.1:1"), NOW)
    with pytest.raises(UnreachableError, match=r"\(connect\)"):
        client.read_all("file", tally)
    assert tally.requests == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [("404", NotPublishedError), ("403", AccessDeniedError), ("401", AccessDeniedError), ("416", TruncatedError)],
)
def test_what_cannot_pass_is_not_tried_again(fault, error):
    tally = Tally()
    with serve(*[fault] * 9) as server, pytest.raises(error, match="/hrrr/file"):
        client_of(server).read_range("file", ByteRange(0, 9), tally)
    assert (tally.requests, tally.bytes_read) == (1, 0)


@pytest.mark.parametrize("fault", ["404", "403", "503", "page"])
def test_a_whole_object_fails_as_a_range_does(fault):
    kinds = {"404": NotPublishedError, "403": AccessDeniedError}
    with serve(*[fault] * 9) as server, pytest.raises(kinds.get(fault, UnreachableError)):
        client_of(server).read_all("file", Tally())


def test_a_redirect_is_judged_by_what_it_leads_to():
    with FaultServer({"/elsewhere": BODY}, {"/file": ["302"], "/elsewhere": ["page"]}) as server:
        tally = Tally()
        with pytest.raises(NotPublishedError):
            Client(parse_source(server.url), NOW).read_all("file", tally)
    assert tally.requests == 2


@pytest.mark.parametrize("byte_range", [ByteRange(190, 201), ByteRange(200, 210), ByteRange(200, None)])
def test_a_range_beyond_the_end_is_truncated(byte_range):
    tally = Tally()
    with serve() as server, pytest.raises(TruncatedError, match="the object is incomplete"):
        client_of(server).read_range("file", byte_range, tally)
    assert tally.requests == 1


def test_an_inventory_over_the_limit_is_refused_unread():
    tally = Tally()
    with serve() as server, pytest.raises(InventoryError, match="has 200 bytes, an inventory at most 199"):
        client_of(server).read_all("file", tally, limit_bytes=199)
    assert (tally.requests, tally.bytes_read) == (1, 0)


def test_ranges_come_in_the_order_they_were_asked_for():
    ranges = [ByteRange(start, start + 7) for start in range(0, 190, 10)] + [ByteRange(199, None)]
    tally = Tally()
    with serve("503", "ok", "reset") as server:
        responses = client_of(server).read_ranges("file", ranges[::-1], tally)
    assert [response.data for response in responses] == [BODY[r.start : r.stop] for r in ranges[::-1]]
    assert tally.requests == len(ranges) + 2
    assert tally.bytes_read == 19 * 7 + 1


def test_no_ranges_need_no_request():
    with serve() as server:
        assert client_of(server).read_ranges("file", [], Tally()) == []
    assert not server.requests


def test_the_cap_on_requests_holds_for_all_callers_together():
    settings = FetchSettings(concurrency=3, backoff_s=0)
    with serve(delay_s=0.03) as server:
        client = client_of(server, settings)
        ranges = [ByteRange(start, start + 1) for start in range(8)]
        callers = [threading.Thread(target=client.read_ranges, args=("file", ranges, Tally())) for _ in range(3)]
        for caller in callers:
            caller.start()
        client.read_all("file", Tally())
        for caller in callers:
            caller.join()
    assert server.most_at_once == 3
    assert server.requests["/hrrr/file"] == 25


def test_the_first_error_stops_the_rest():
    settings = FetchSettings(attempts=1, concurrency=1)
    with serve("ok", "404") as server:
        client = client_of(server, settings)
        with pytest.raises(NotPublishedError):
            client.read_ranges("file", [ByteRange(start, start + 1) for start in range(50)], Tally())
        assert client.read_range("file", ByteRange(0, 1), Tally()).data == BODY[:1]
    assert server.requests["/hrrr/file"] < 10


def test_an_error_does_not_wait_for_pauses():
    settings = FetchSettings(attempts=5, backoff_s=60, max_backoff_s=60, concurrency=2)
    with FaultServer({"/a": BODY}, {"/a": ["503", "404"]}, delay_s=0.02) as server:
        client = Client(parse_source(server.url), settings)
        with pytest.raises(NotPublishedError):
            client.read_ranges("a", [ByteRange(0, 1), ByteRange(1, 2)], Tally())


def test_an_object_replaced_since_its_tag_was_seen_is_an_error():
    tally = Tally()
    with serve("ok", "replaced") as server:
        client = client_of(server)
        etag = client.read_range("file", ByteRange(0, 9), tally).etag
        with pytest.raises(UnreachableError, match="was replaced while it was read"):
            client.read_range("file", ByteRange(9, 18), tally, etag=etag)
    assert tally.requests == 2


def test_an_object_replaced_between_its_ranges_is_an_error():
    settings = FetchSettings(concurrency=1)
    with serve("ok", "replaced") as server, pytest.raises(UnreachableError, match="was replaced while it was read"):
        client_of(server, settings).read_ranges("file", [ByteRange(0, 9), ByteRange(9, 18)], Tally())


def test_a_weak_tag_is_compared_here():
    with serve("weak", "weak", "ok") as server:
        client = client_of(server)
        etag = client.read_range("file", ByteRange(0, 9), Tally()).etag
        assert etag.startswith("W/")
        assert client.read_range("file", ByteRange(0, 9), Tally(), etag=etag).data == BODY[:9]
        with pytest.raises(UnreachableError, match="was replaced"):
            client.read_range("file", ByteRange(0, 9), Tally(), etag=etag)


@pytest.fixture
def local(tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    (tmp_path / "deep").mkdir()
    return Client(parse_source(str(tmp_path)), NOW)


def test_a_directory_is_read_like_a_bucket(local):
    tally = Tally()
    first, last = local.read_ranges("file", [ByteRange(0, 9), ByteRange(190, None)], tally)
    assert (first.data, last.data, first.size) == (BODY[:9], BODY[190:], 200)
    assert local.read_range("file", ByteRange(0, 3), tally, etag=first.etag).data == BODY[:3]
    assert local.read_all("file", tally).data == BODY
    assert tally.requests == 4


@pytest.mark.parametrize("key", ["other", "deep/other", "deep"])
def test_a_missing_file_is_not_published(local, key):
    with pytest.raises(NotPublishedError, match=key):
        local.read_all(key, Tally())


@pytest.mark.parametrize("byte_range", [ByteRange(190, 201), ByteRange(200, 210), ByteRange(200, None)])
def test_a_range_beyond_a_files_end_is_truncated(local, byte_range):
    tally = Tally()
    with pytest.raises(TruncatedError, match="the object is incomplete"):
        local.read_range("file", byte_range, tally)
    assert tally.requests == 1


def test_a_file_replaced_meanwhile_is_an_error(local, tmp_path):
    etag = local.read_range("file", ByteRange(0, 9), Tally()).etag
    (tmp_path / "file").write_bytes(BODY[:100])
    with pytest.raises(UnreachableError, match="was replaced"):
        local.read_range("file", ByteRange(0, 9), Tally(), etag=etag)


def test_a_directory_that_is_gone_says_nothing_about_its_files(local, tmp_path):
    tmp_path.rename(tmp_path.with_name("unmounted"))
    with pytest.raises(UnreachableError, match="is not there, so nothing can be said of file"):
        local.read_all("file", Tally())


def test_a_bucket_that_does_not_exist_says_nothing_about_its_files(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        source = parse_source("s3://no-such-bucket", {"anonymous": "true", "endpoint": f"http://{host}:{port}"})
        with pytest.raises(UnreachableError, match="s3://no-such-bucket is not there"):
            Client(source, NOW).read_all("file", Tally())
    finally:
        server.stop()


def test_a_process_has_one_client_of_a_source(tmp_path):
    source = parse_source(str(tmp_path))
    found = []
    threads = [threading.Thread(target=lambda: found.append(get_client(source, NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert get_client(source, FetchSettings()) is not found[0]


def test_a_worker_that_lacks_the_directory_says_so():
    with pytest.raises(StoreAccessError, match="every worker mounts it"):
        get_client(Source("gone", "file:///no/such/place"), NOW)


def test_pauses_double_up_to_the_longest():
    settings = FetchSettings(backoff_s=1, max_backoff_s=5)
    assert [max_pause_s(settings, attempt) for attempt in range(6)] == [0, 1, 2, 4, 5, 5]
    assert list(map(max_pause_s, repeat(NOW), range(4))) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("concurrency", 0),
        ("timeout_s", 0),
        ("timeout_s", float("inf")),
        ("connect_timeout_s", -1),
        ("backoff_s", -0.1),
        ("max_backoff_s", float("nan")),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"fetch.{name} is"):
        FetchSettings(**{name: value})


def test_a_tally_counts_from_many_threads():
    tally = Tally()
    threads = [threading.Thread(target=lambda: [tally.add(requests=1, bytes_read=2) for _ in range(500)])] * 1
    threads += [threading.Thread(target=lambda: [tally.add(requests=1) for _ in range(500)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tally.requests, tally.bytes_read) == (2000, 1000)


def test_queries_of_signed_urls_stay_out_of_messages():
    from hrrr_dask.archive.responses import Request, classify_error

    request = Request(Source("s", "https://example.org"), "file", ByteRange(0, 1))
    raised = OSError("error following redirect for url (https://cdn.example.org/x?X-Amz-Signature=hunter2)\n\nDebug")
    text = str(classify_error(request, raised))
    assert "cdn.example.org/x" in text
    assert "hunter2" not in text


def test_every_error_of_this_layer_travels():
    import pickle

    for error in (NotPublishedError("a"), UnreachableError("b"), TruncatedError("c")):
        assert isinstance(pickle.loads(pickle.dumps(error)), HrrrDaskError)


NAMES = [(run, f"hrrr.t{run:02d}z.wrf{name}.grib2") for run in (6, 12) for name in ("sfcf00", "subhf00")]
KEYS = {f"hrrr.20240102/conus/{name}": run for run, name in NAMES}
"""Key to size."""


def test_the_files_of_a_run_are_listed_with_one_request_for_a_directory(tmp_path):
    for key, size in KEYS.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    tally = Tally()
    client = Client(parse_source(str(tmp_path)), NOW)
    assert client.list_sizes("hrrr.20240102/conus/hrrr.t06z.wrfsfcf", tally) == {
        "hrrr.20240102/conus/hrrr.t06z.wrfsfcf00.grib2": 6
    }
    assert client.list_sizes("hrrr.20240103/conus/hrrr.t06z.wrfsfcf", tally) == {}
    assert tally.requests == 2


def test_the_files_of_a_run_are_listed_on_s3(monkeypatch):
    needs.extra("moto")
    with loopback_s3() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create_bucket("hrrr")
        source = parse_source("s3://hrrr", {"endpoint": server.endpoint})
        for key, size in KEYS.items():
            obstore.put(open_object_store(source.url, dict(source.options)), key, bytes(size))
        client = Client(source, NOW)
        assert client.list_sizes("hrrr.20240102/conus/hrrr.t06z.wrfsubhf", Tally()) == {
            "hrrr.20240102/conus/hrrr.t06z.wrfsubhf00.grib2": 6
        }
        with pytest.raises(UnreachableError, match="no-such-bucket"):
            Client(parse_source("s3://no-such-bucket", {"endpoint": server.endpoint}), NOW).list_sizes("a/b", Tally())


def test_a_web_server_is_not_listed():
    with serve() as server:
        assert client_of(server).list_sizes("hrrr.20240102/conus/hrrr.t06z", Tally()) is None
        assert not server.requests
