"""Backfills from sources that are down: the next source is read at once, and without any source the run ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import dask
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from support.oracle import content_digests

import hrrr_dask
from hrrr_dask.errors import SourceDownError, UnreachableError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.testing import FaultServer, GridWindow, Script, write_archive
from hrrr_dask.testing.fault_scripts import FOREVER, keys_of

WINDOW = GridWindow(288, 794, 14, 18)
ASKED = {
    "cycles": [0, 6, 12, 18],
    "lead_hours": [0, 1],
    "variables": ["temperature_2m"],
    "axis_start": "2024-01-01",
    "partition_days": 1,
}
QUICK = {"hrrr.fetch": {"attempts": 3, "backoff-s": 0, "read-timeout-s": 0.5, "outage-limit-s": 1}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    days = {"start": pd.Timestamp("2024-01-01").to_pydatetime(), "end": pd.Timestamp("2024-01-02T18").to_pydatetime()}
    return write_archive(
        tmp_path_factory.mktemp("archive"), window=WINDOW, variables=["temperature_2m"], decoys=False,
        cycles=ASKED["cycles"], lead_hours=ASKED["lead_hours"], **days,
    )  # fmt: skip


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def points():
    latitude, longitude = WINDOW.latlon([3.2, 8.1], [4.4, 9.3])
    return pd.DataFrame({"point_id": ["a", "b"], "latitude": latitude, "longitude": longitude})


@pytest.fixture(autouse=True)
def _quick():
    with dask.config.set(QUICK):
        yield


def fill(points, store, client, *sources, day="2024-01-01", **more):
    return hrrr_dask.backfill(points, day, "2024-01-02", str(store), client=client, source=[*sources], **ASKED, **more)


def closed_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def whole(archive, client, points, tmp_path_factory):
    store = tmp_path_factory.mktemp("whole") / "x.zarr"
    assert fill(points, store, client, str(archive.root)).outcome == "done"
    return store


@pytest.mark.parametrize("fault", ["refused", "silent", "503", "short", "slow"])
def test_the_next_source_is_read_while_the_first_is_down(fault, archive, client, points, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("hrrr_dask.archive.breaker.SLOW_S", 0.3)
    script = Script(dict.fromkeys(keys_of(archive), (fault, FOREVER)) if fault != "refused" else {})
    with FaultServer(archive, script) as server:
        bad = closed_port() if fault == "refused" else server.url
        shown = []
        report = fill(points, tmp_path / "x.zarr", client, bad, str(archive.root), progress=shown.append)
    assert (report.outcome, report.files_read) == ("done", 16)
    assert list(report.skipped_sources) == [bad]
    assert ("it is slow" if fault == "slow" else "requests in a row") in report.skipped_sources[bad]
    assert sum(server.requests.values()) < 40, "not every file asks the source that is down"
    assert content_digests(tmp_path / "x.zarr", dates=False) == content_digests(whole, dates=False)
    rows = to_dataframe(str(tmp_path / "x.zarr"))
    assert set(rows.outcome) == {"complete"}
    assert rows.detail.str.contains("is skipped").any() is not (fault == "slow"), "a slow source is read last"
    assert shown[-1].skipped_sources == report.skipped_sources


def test_a_new_store_is_not_made_without_a_source(client, points, tmp_path):
    with pytest.raises(UnreachableError, match=r"is skipped, .* requests in a row had no response"):
        fill(points, tmp_path / "x.zarr", client, closed_port())
    assert not (tmp_path / "x.zarr").exists()


def test_a_run_ends_when_the_only_source_goes_down_and_the_rest_follows_later(archive, client, points, whole, tmp_path):
    store = tmp_path / "x.zarr"
    keys = [key for key in keys_of(archive) if "hrrr.20240102" in key]
    # The probe of the grid reads the first day; the second day never responds.
    with FaultServer(archive, Script(dict.fromkeys(keys, ("silent", FOREVER)))) as server:
        with pytest.raises(SourceDownError, match="no source of the archive responds") as caught:
            fill(points, store, client, server.url)
        assert "What was committed stays; run the same command again later" in str(caught.value)
    first = to_dataframe(str(store))
    assert set(first.outcome) == {"complete"}, "a source that is down says nothing of a file"
    assert set(first.init_time.dt.day) <= {1}
    report = fill(points, store, client, str(archive.root))
    assert report.outcome == "done"
    assert report.files_read == 16 - len(first)
    assert content_digests(store, dates=False) == content_digests(whole, dates=False)


class Outage(FaultServer):
    """Does not respond to twelve requests in the middle of a run."""

    def begin(self, path, byte_range):
        mode = super().begin(path, byte_range)
        return "silent" if 12 <= sum(self.requests.values()) < 24 else mode


def test_an_outage_shorter_than_the_limit_leaves_no_gaps(archive, client, points, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("hrrr_dask.archive.breaker.FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr("hrrr_dask.archive.breaker.MAX_PAUSE_S", 0.1)
    with dask.config.set({"hrrr.fetch.outage-limit-s": 60}), Outage(archive) as server:
        report = fill(points, tmp_path / "x.zarr", client, server.url)
    assert sum(server.requests.values()) > 24
    assert list(report.skipped_sources) == [server.url]
    assert (report.outcome, report.gaps) == ("done", {})
    assert content_digests(tmp_path / "x.zarr", dates=False) == content_digests(whole, dates=False)


def test_the_command_says_that_no_source_responds_and_exits_with_1(archive, points, tmp_path):
    table, store = tmp_path / "points.csv", tmp_path / "x.zarr"
    points.to_csv(table, index=False)
    keys = [key for key in keys_of(archive) if "hrrr.20240102" in key]
    script = Script(dict.fromkeys(keys, ("silent", FOREVER)))
    config = tmp_path / "hrrr.yaml"
    config.write_text(json.dumps({"hrrr": {"fetch": QUICK["hrrr.fetch"]}}))
    with FaultServer(archive, script) as server:
        command = [
            sys.executable, "-c", "from hrrr_dask.cli import main; main()", "backfill", "--points", str(table),
            "--store", str(store),
            "--start", "2024-01-01", "--end", "2024-01-02", "--source", server.url, "--cycles", "0,6,12,18",
            "--lead-hours", "0,1", "--variables", "temperature_2m", "--workers", "1",
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=100,
            env=os.environ | {"DASK_CONFIG": str(config)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no source of the archive responds" in done.stderr
    assert "source http://127.0.0.1" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_workers_never_read_a_source_that_the_command_has_found_slow(tmp_path, points):
    window = GridWindow(288, 794, 60, 60)  # so that what the probe of the grid reads takes more than two seconds
    init_times = [pd.Timestamp(f"2024-01-01T{hour:02}").to_pydatetime() for hour in ASKED["cycles"]]
    own = write_archive(
        tmp_path / "archive", init_times=init_times, lead_hours=[0, 1], window=window, variables=["temperature_2m"],
        decoys=False,
    )  # fmt: skip
    slow = Script(dict.fromkeys(keys_of(own.root), ("slow", FOREVER)))
    with (
        FaultServer(own, slow) as bad,
        FaultServer(own) as good,
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster,
        Client(cluster) as processes,
    ):
        report = hrrr_dask.backfill(
            points, "2024-01-01", "2024-01-01", str(tmp_path / "x.zarr"), client=processes, source=[bad.url, good.url],
            **ASKED,
        )  # fmt: skip
        assert (report.files_read, report.gaps) == (8, {})
        sources = set(to_dataframe(str(tmp_path / "x.zarr")).source)
        assert all(source.startswith(good.url) for source in sources)
