"""The reading benchmark runs on a loopback S3 and a directory, and counts requests and bytes."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmarks import store_read
from benchmarks.counting import Counts, RequestFraming, run_proxy
from benchmarks.gateway import GatewayError, _Node
from benchmarks.layouts import LAYOUTS, OURS, VARIABLE, Case, documents_of, encode, synthetic_values, write_layout
from benchmarks.running import run_alone
from benchmarks.store_read import BUCKET, Place, compare_on_server, measure, reads_of, sent_to
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.store.shards import encode_shard, shard_shape
from hrrr_dask.testing import loopback_s3

CASE = Case(n_days=1, n_leads=2, n_points=110)


@pytest.fixture(scope="module")
def answer() -> dict:
    with loopback_s3() as server:
        return compare_on_server(server, CASE, [1], repeats=1)


def requests_of(answer: dict, read: str, layout: str) -> float:
    return answer["latencies"]["1"]["medians"][read][layout]["requests"]


def test_each_object_costs_a_request_and_each_shard_two(answer):
    runs, leads, _ = CASE.shape
    everything, _, one_lead, all_points, one_run = (read.name for read in reads_of(CASE))
    opening = requests_of(answer, one_run, "chunk per run") - 1
    shards = -(-CASE.n_days // CASE.spec().layout.partition_days)
    assert opening > 0
    assert CASE.spec().layout.requests_per_shard == 2
    assert requests_of(answer, everything, OURS) == opening + 2 * shards
    for read in (everything, one_lead, all_points):
        assert requests_of(answer, read, "chunk per run") == opening + runs
    assert requests_of(answer, everything, "object per file") == opening + runs * leads
    assert requests_of(answer, one_lead, "object per file") == opening + runs
    assert requests_of(answer, one_run, "object per file") == opening + leads


@pytest.mark.parametrize(
    ("n_points", "days", "requests"), [(8, 32, 9 + 12), (60, 8, 9 + 46), (1_000, 16, 9 + 2 * 23)], ids=str
)
def test_a_points_year_is_at_most_sixty_requests_with_the_default_layout(n_points, days, requests):
    case = Case(n_days=365, n_leads=12 if n_points < 1_000 else 1, n_points=n_points)
    assert case.spec().layout.partition_days == days
    read, values = reads_of(case)[0], synthetic_values(case)
    with loopback_s3() as server, sent_to(server):
        server.create_bucket(BUCKET)
        direct = Place(f"s3://{BUCKET}", {"endpoint": server.endpoint})
        write_layout(direct.open(OURS, create=True), case.spec(), OURS, values)
        with run_proxy(server.port) as proxy:
            store = Place(direct.url, {"endpoint": proxy.endpoint}).open(OURS)
            found = measure(read, store, proxy.counts, np.ascontiguousarray(values[read.index]))
    assert found.counts is not None
    assert found.counts.requests == requests <= 60


def test_objects_are_counted_and_ratios_are_to_our_layout(answer):
    runs, leads, _ = CASE.shape
    assert [one["objects"] for one in answer["stored"].values()] == [1, runs, runs * leads]
    for rows in answer["latencies"]["1"]["medians"].values():
        assert rows[OURS]["requests_ratio"] == rows[OURS]["wall_s_ratio"] == 1
        assert all(row["bytes_received"] > 0 for row in rows.values())


def test_a_directory_is_timed_and_nothing_is_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store_read, "QUICK", CASE)
    report = tmp_path / "report.json"
    run_alone(
        "store_read", ["--quick", "--directory", str(tmp_path / "stores"), "--repeats", "1", "--json", str(report)]
    )
    lines = capsys.readouterr().out.splitlines()
    assert sum("one point, all runs and leads" in line for line in lines) == 1
    found = json.loads(report.read_text())["store_read"]
    assert found["latencies"]["0"]["medians"]["all points, one run"][OURS].keys() == {"wall_s", "wall_s_ratio", "times"}


def test_the_layouts_hold_equal_values_and_differ_in_chunks_alone(tmp_path):
    spec, values = CASE.spec(), synthetic_values(CASE)
    documents = {layout: documents_of(spec, layout) for layout in LAYOUTS}
    for layout in LAYOUTS:
        different = {key for key, data in documents[layout].items() if data != documents[OURS][key]}
        assert different == (set() if layout == OURS else {f"{VARIABLE}/zarr.json", "zarr.json"})
        store = open_object_store(str(tmp_path / layout), create=True)
        write_layout(store, spec, layout, values)
        for read in reads_of(CASE):
            measure(read, store, None, np.ascontiguousarray(values[read.index]))


def test_other_values_than_were_written_are_refused(tmp_path):
    values = synthetic_values(CASE)
    store = open_object_store(str(tmp_path), create=True)
    write_layout(store, CASE.spec(), OURS, values)
    read = reads_of(CASE)[0]
    with pytest.raises(RuntimeError, match="'one point, all runs and leads' gives other values"):
        measure(read, store, None, values[:, :, 0] + np.float32(1 / 16))


def test_our_layout_has_the_bytes_that_the_package_writes():
    spec, values = CASE.spec(), synthetic_values(CASE)
    document = documents_of(spec, OURS)[f"{VARIABLE}/zarr.json"]
    ((key, data),) = next(encode(document, values, spec.span)).items()
    shape = shard_shape(json.loads(document))
    padding = [(0, whole - n) for whole, n in zip(shape, values.shape, strict=True)]
    assert key == "c/0/0/0"
    assert data == encode_shard(json.loads(document), np.pad(values, padding, constant_values=np.nan))


def test_later_spans_are_later_objects():
    document = documents_of(CASE.spec(), "chunk per run")[f"{VARIABLE}/zarr.json"]
    keys = [sorted(part) for part in encode(document, synthetic_values(CASE)[:5], 2)]
    assert keys == [["c/0/0/0", "c/1/0/0"], ["c/2/0/0", "c/3/0/0"], ["c/4/0/0"]]


def test_temperatures_come_in_sixteenths_and_are_the_same_each_time():
    values = synthetic_values(CASE)
    np.testing.assert_array_equal(values * 16, np.round(values * 16))
    assert 230 < values.min() < values.max() < 330
    np.testing.assert_array_equal(values, synthetic_values(CASE))


def test_requests_are_counted_however_their_bytes_arrive():
    stream = (
        b"GET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\ncontent-length: 7\r\n\r\nGET /x\n" + b"HEAD /c HTTP/1.1\r\n\r\n"
    )
    for size in range(1, len(stream) + 1):
        framing = RequestFraming()
        assert sum(framing.feed(stream[k : k + size]) for k in range(0, len(stream), size)) == 3
    assert Counts(5, 100) - Counts(3, 60) == Counts(2, 40)


def test_a_body_in_chunks_is_refused_by_the_count():
    with pytest.raises(ValueError, match="in chunks"):
        RequestFraming().feed(b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_without_ceph_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"apt-get install --no-install-recommends radosgw ceph-mon ceph-osd"):
        run_alone("store_read", ["--quick"])


def daemon_at(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = directory / "some-daemon"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_daemons_are_stopped_when_something_fails(tmp_path, monkeypatch):
    daemon_at(tmp_path, monkeypatch, "exec sleep 100")
    started = []

    def start_and_fail() -> None:
        with ExitStack() as stack:
            started.append(_Node(tmp_path, stack).spawn("some-daemon").process)
            assert started[0].poll() is None
            raise GatewayError("no")

    with pytest.raises(GatewayError, match="no"):
        start_and_fail()
    assert started[0].returncode is not None


def test_a_daemon_that_ends_at_once_is_reported_with_its_words(tmp_path, monkeypatch):
    daemon_at(tmp_path, monkeypatch, "echo no room; exit 1")
    with ExitStack() as stack:
        node = _Node(tmp_path, stack)
        with pytest.raises(GatewayError, match=r"some-daemon did not start[^:]*:\s+no room"):
            node.wait(node.spawn("some-daemon"), lambda: False)
