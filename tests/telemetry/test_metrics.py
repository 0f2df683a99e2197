"""What is counted is what was done; nothing is counted, and nothing fails, without prometheus_client."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from distributed import Client, LocalCluster
from support import needs
from support.oracle import write_points
from support.outcomes import hourly_outcome
from support.prometheus import by_label, read_url, samples, total

import hrrr_dask
from hrrr_dask.archive.breaker import Breaker
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import GribFile, Origin
from hrrr_dask.telemetry import metrics
from hrrr_dask.telemetry.definitions import COMMAND_METRICS, REASONS, WORKER_METRICS
from hrrr_dask.testing import GridWindow, delete, drop_message, write_archive

prometheus_client = needs.extra("prometheus_client")

WINDOW = GridWindow(288, 794, 8, 10)
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
NAMES = ["temperature_2m", "relative_humidity_2m"]
FILE = GribFile(datetime(2024, 1, 1, 6), 5)


@pytest.fixture
def page(monkeypatch):
    """Text of a registry of the test's own, in which the module counts."""
    registry = prometheus_client.CollectorRegistry()
    live = {name: metrics.make(metric, registry) for name, metric in WORKER_METRICS.items()}
    monkeypatch.setattr(metrics, "_made", live)
    monkeypatch.setattr(metrics, "_newest", {})
    return lambda: prometheus_client.generate_latest(registry).decode()


ALL = {**WORKER_METRICS, **COMMAND_METRICS}


@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
def test_a_name_follows_the_conventions_of_prometheus(metric):
    assert re.fullmatch(r"hrrr_dask_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert (
        (metric.kind == "histogram")
        == bool(metric.buckets)
        == (metric.name.endswith("_seconds") and not metric.name.endswith(("timestamp_seconds", "duration_seconds")))
    )
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")
    assert metric.unit
    if "byte" in metric.unit:
        assert "_bytes" in metric.name


@needs.program("promtool")
def test_promtool_finds_no_fault_in_what_is_exposed(page):
    done = subprocess.run(["promtool", "check", "metrics"], input=page(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_reasons_are_those_that_a_value_can_have():
    assert set(REASONS) == set(OUTCOMES) - {"not-ingested", "complete", "partial"}


def test_series_that_are_known_start_with_zero(page):
    for metric in WORKER_METRICS.values():
        for value in metric.values:
            assert total([page()], metric.name, **{metric.labels[0]: value}) == 0
            assert f'{metric.labels[0]}="{value}"' in page()


def test_a_file_is_counted_by_its_values(page):
    metrics.count_file([hourly_outcome(FILE, NAMES, {}), hourly_outcome(FILE, NAMES, {})])
    metrics.count_file([hourly_outcome(FILE, NAMES, {NAMES[0]: "truncated"})])
    metrics.count_file(
        [hourly_outcome(FILE, NAMES, dict.fromkeys(NAMES, "truncated")), hourly_outcome(FILE, NAMES, {})]
    )
    metrics.count_file([hourly_outcome(FILE, NAMES, dict.fromkeys(NAMES, "unreachable"))])
    assert by_label([page()], "hrrr_dask_files_total", "outcome") == {"complete": 1, "partial": 2, "missing": 1}


def test_a_commit_counts_values_gaps_bytes_and_the_newest_run(page):
    older = GribFile(datetime(2023, 1, 1), 0)
    for outcomes in (
        [hourly_outcome(FILE, NAMES, {NAMES[0]: "truncated"}), hourly_outcome(older, NAMES, {})],
        [hourly_outcome(older, NAMES, {})],  # does not make the newest run older
        [hourly_outcome(GribFile(datetime(2025, 1, 1), 0), NAMES, dict.fromkeys(NAMES, "unreachable"))],  # no value
    ):
        metrics.count_commit("s3://me:hunter2@bucket/a.zarr?key=hunter2", outcomes, 100, 0.3)
    found = page()
    assert total([found], "hrrr_dask_values_written_total") == 5
    assert by_label([found], "hrrr_dask_values_missing_total", "reason") == {"truncated": 1, "unreachable": 2}
    assert total([found], "hrrr_dask_written_bytes_total") == 300
    assert total([found], "hrrr_dask_write_seconds_count") == 3
    newest = by_label([found], "hrrr_dask_newest_run_timestamp_seconds", "store")
    assert newest == {"s3://bucket/a.zarr": datetime(2024, 1, 1, 6, tzinfo=UTC).timestamp()}
    assert "hunter2" not in found


def test_only_files_published_lately_have_a_latency(page):
    now = datetime.now(UTC).replace(tzinfo=None)
    for age in (timedelta(minutes=50), timedelta(days=3), timedelta(days=-1)):
        origin = Origin("file", published=now - age)
        metrics.count_commit("s", [hourly_outcome(FILE, NAMES, {}, origin=origin)], 0, 0.1)
    metrics.count_commit("s", [hourly_outcome(FILE, NAMES, {})], 0, 0.1)  # publication unknown
    name = "hrrr_dask_publication_to_store_seconds"
    assert total([page()], f"{name}_count") == 1
    assert total([page()], f"{name}_sum") == pytest.approx(3000, abs=60)
    assert total([page()], f"{name}_bucket", le="1800.0") == 0
    assert total([page()], f"{name}_bucket", le="3600.0") == 1


def test_a_source_is_down_from_the_breakers_opening_to_the_next_response(page):
    breaker = Breaker("https://me:hunter2@mirror.example/hrrr?sig=hunter2")
    breaker.responded()
    assert by_label([page()], "hrrr_dask_source_down", "source") == {}
    breaker.pause("it asks for a pause", 10)
    assert by_label([page()], "hrrr_dask_source_down", "source") == {"https://mirror.example/hrrr": 1}
    breaker.responded()
    assert by_label([page()], "hrrr_dask_source_down", "source") == {}
    assert "hunter2" not in page()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("aws", "aws"),
        ("gs://bucket/prefix/", "gs://bucket/prefix"),
        ("http://user:hunter2@host:8080/a?b=hunter2#hunter2", "http://host:8080/a"),
        ("/srv/archive?x=hunter2", "/srv/archive"),
        ("http://[broken", "malformed"),
    ],
)
def test_a_label_has_no_secret(url, label):
    assert metrics.safe_label(url) == label


def test_what_a_child_process_counts_is_counted_by_its_parent(page, monkeypatch):
    monkeypatch.setattr(metrics, "_kept", None)
    kept = metrics.keep()
    metrics.count_reading("aws", (3, 1, 1000), fetch_s=0.2, decode_s=0.01)
    assert total([page()], "hrrr_dask_requests_total") == 0
    monkeypatch.setattr(metrics, "_kept", None)
    metrics.replay(pickle.loads(pickle.dumps(kept)))
    assert total([page()], "hrrr_dask_requests_total", source="aws") == 3
    assert total([page()], "hrrr_dask_retries_total", source="aws") == 1
    assert total([page()], "hrrr_dask_read_bytes_total", source="aws") == 1000
    assert total([page()], "hrrr_dask_fetch_seconds_bucket", le="0.25") == 1


def test_without_prometheus_client_nothing_is_counted_and_nothing_fails():
    code = (
        "import json, sys\n"
        "sys.modules['prometheus_client'] = None\n"
        "from hrrr_dask.telemetry import metrics\n"
        "metrics.prepare()\n"
        "metrics.count_reading('aws', (1, 0, 1), fetch_s=1.0, decode_s=1.0)\n"
        "metrics.count_file([])\n"
        "metrics.count_commit('s', [], 0, 0.0)\n"
        "metrics.note_source('aws', down=True)\n"
        "print(json.dumps(dict(metrics._made)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {}


def test_the_workers_own_pages_have_what_the_report_says(tmp_path):
    archive = write_archive(
        tmp_path / "archive", init_times=[datetime(2024, 1, 1, h) for h in range(6)], lead_hours=[0, 1], window=WINDOW
    )
    delete(archive, GribFile(datetime(2024, 1, 1, 1), 0))
    drop_message(archive, GribFile(datetime(2024, 1, 1, 2), 1), NAMES[0])
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "n_workers": 2, "threads_per_worker": 2}
    with LocalCluster(**here) as cluster, Client(cluster) as client:
        report = hrrr_dask.backfill(
            write_points(tmp_path / "p.csv", PLACES),
            datetime(2024, 1, 1),
            datetime(2024, 1, 1, 5),
            tmp_path / "s.zarr",
            client=client,
            progress=False,
            source=[str(archive.root)],
            variables=NAMES,
            lead_hours=(0, 1),
        )
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        pages = [read_url(f"http://127.0.0.1:{worker['services']['dashboard']}/metrics") for worker in workers]
    assert len(pages) == 2
    assert by_label(pages, "hrrr_dask_files_total", "outcome") == {"complete": 10, "partial": 1, "missing": 1}
    assert report.files_read == 12
    assert report.newest_run == datetime(2024, 1, 1, 5)
    assert (
        report.gaps
        == by_label(pages, "hrrr_dask_values_missing_total", "reason")
        == {
            "not-published": 2,
            "message-not-found": 1,
        }
    )
    assert total(pages, "hrrr_dask_values_written_total") == sum(report.decoded_by.values()) == 24 - 3
    source = archive.root.as_uri()
    assert by_label(pages, "hrrr_dask_requests_total", "source") == {source: report.requests}
    assert by_label(pages, "hrrr_dask_read_bytes_total", "source") == {source: report.bytes_read}
    assert total(pages, "hrrr_dask_written_bytes_total") == report.bytes_written
    assert total(pages, "hrrr_dask_fetch_seconds_count") == total(pages, "hrrr_dask_decode_seconds_count") == 12
    assert {name for page in pages for name, _ in samples(page)} >= {
        series for metric in WORKER_METRICS.values() for series in metric.series
    }
