"""A kill at any moment loses nothing that was committed, and leaves nothing that looks committed and is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracle import bits, command, ledger_keys, objects, run_cli, without_dask, write_points

import hrrr_dask
from hrrr_dask import blobs
from hrrr_dask.errors import StoreAccessError, StoreMismatchError
from hrrr_dask.ledger import Ledger
from hrrr_dask.testing import GridWindow, delete, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
FEW = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m"]
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
DAYS = 6
FILES = 24 * 2 * DAYS


# A few hundred files, several partitions, from the command line


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The command's options, and the store of an undisturbed run."""
    root = tmp_path_factory.mktemp("kills")
    start, end = datetime(2024, 1, 1), datetime(2024, 1, DAYS, 23)
    write_archive(root / "archive", start=start, end=end, lead_hours=[0, 1], variables=FEW, decoys=False, window=WINDOW)
    points = write_points(root / "points.csv", PLACES)
    shared = {"points": points, "start": "2024-01-01", "end": f"2024-01-{DAYS:02}"}
    options = {"source": root / "archive", "lead_hours": "0-1", "variables": ",".join(FEW), "partition_days": 1}
    with without_dask() as client:
        report = hrrr_dask.backfill(
            **shared,
            store=str(root / "undisturbed.zarr"),
            client=client,
            **{**options, "source": [str(options["source"])]},
        )
    assert (report.outcome, report.files_read, report.partitions_written) == ("done", FILES, DAYS)
    return shared | options | {"workers": 2, "json": True}, root / "undisturbed.zarr"


@pytest.fixture
def started(work, tmp_path):
    """Start the command in a session of its own; whatever is left of that session is killed at the end."""
    processes = []

    def start(**options):
        process = subprocess.Popen(
            command("backfill", store=tmp_path / "x.zarr", **work[0] | options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        kill_session(process)
        process.communicate()


def kill_session(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_for_a_commit(store, process):
    """Until the first partition is committed; its keys."""
    deadline = time.monotonic() + 120
    while not ledger_keys(store):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def finish(work, store):
    code, report, stderr = run_cli("backfill", store=store, **work[0])
    assert code == 0, stderr
    assert report["outcome"] == "done"
    return report


def test_a_run_that_was_killed_is_completed_bit_identically_and_reads_nothing_twice(work, started, tmp_path):
    store = tmp_path / "x.zarr"
    process = started()
    wait_for_a_commit(store, process)
    kill_session(process)
    assert process.wait(timeout=20) == -signal.SIGKILL
    committed = ledger_keys(store)
    assert 0 < len(committed) < DAYS, "the kill came too late to show anything"
    with xr.open_zarr(store) as opened:
        assert opened.sizes["init_time"] == 24 * DAYS
    assert hrrr_dask.status(str(store)).files_complete == 48 * len(committed)

    report = finish(work, store)
    assert report["files_done_before"] == 48 * len(committed)
    assert report["files_read"] == FILES - 48 * len(committed)
    assert objects(store) == objects(work[1])
    assert set(committed) < set(ledger_keys(store))
    assert len(ledger_keys(store)) == DAYS


@pytest.mark.parametrize("whom", ["the command", "its process group"])
def test_an_interrupt_commits_what_is_read_and_the_same_command_does_the_rest(work, started, tmp_path, whom):
    store = tmp_path / "x.zarr"
    process = started(json=whom == "its process group")
    wait_for_a_commit(store, process)
    sent = time.monotonic()
    if whom == "the command":
        process.send_signal(signal.SIGINT)
    else:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - sent < 20
    assert process.returncode == 1, stderr
    assert "Traceback" not in stderr
    if whom == "the command":
        assert "interrupted: run the same command again for the rest" in stdout
    else:
        assert json.loads(stdout)["outcome"] == "interrupted"
    status = hrrr_dask.status(str(store))
    assert 0 < status.files_complete < FILES, "the interrupt came too late to show anything"
    with xr.open_zarr(store) as opened:
        assert int((opened.status == 1).sum()) == status.files_complete

    report = finish(work, store)
    assert report["files_done_before"] == status.files_complete
    assert objects(store) == objects(work[1])


# A kill between any two writes, in this process


class KillError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three files; two partitions of a day."""
    root = tmp_path_factory.mktemp("small")
    inits = [datetime(2024, 1, 1), datetime(2024, 1, 1, 12), datetime(2024, 1, 2)]
    return write_archive(root / "archive", init_times=inits, lead_hours=[1], variables=FEW, decoys=False, window=WINDOW)


def fill(archive, store, *, end="2024-01-02T00", **settings):
    points = pd.DataFrame(PLACES, columns=["latitude", "longitude"])
    wanted = {"variables": FEW, "cycles": [0, 12], "lead_hours": [1], "partition_days": 1} | settings
    with without_dask() as client:
        return hrrr_dask.backfill(
            points, "2024-01-01", end, str(store), client=client, source=[str(archive.root)], **wanted
        )


@pytest.fixture
def writes(monkeypatch):
    """Counts what is written, and kills, or fails, after so many writes."""
    counted = SimpleNamespace(count=0, limit=None, error=KillError)
    put = blobs.obstore.put

    def counting(store, key, data, **options):
        if counted.limit is not None and counted.count >= counted.limit:
            raise counted.error
        counted.count += 1
        return put(store, key, data, **options)

    monkeypatch.setattr(blobs.obstore, "put", counting)
    return counted


def test_a_kill_after_any_write_leaves_a_place_where_the_same_command_ends_alike(small, writes, tmp_path):
    assert fill(small, tmp_path / "undisturbed.zarr").outcome == "done"
    wanted, n_writes = objects(tmp_path / "undisturbed.zarr"), writes.count
    assert n_writes > 30
    openable = 0
    for limit in range(n_writes):
        store = tmp_path / f"{limit}.zarr"
        writes.count, writes.limit = 0, limit
        with pytest.raises(KillError):
            fill(small, store)
        writes.limit = None
        openable += assert_nothing_false(store, tmp_path / "undisturbed.zarr")
        report = fill(small, store)
        assert report.outcome == "done", limit
        assert report.files_read + report.files_done_before == 3
        assert objects(store) == wanted, limit
        shutil.rmtree(store)
    assert 0 < openable < n_writes


def assert_nothing_false(store, undisturbed):
    """Either no store, or one whose ledger promises only what is there; says which."""
    try:
        status = hrrr_dask.status(str(store))
    except StoreMismatchError:
        with pytest.raises(StoreMismatchError, match="holds no store"):
            hrrr_dask.open_dataset(str(store))
        return False
    assert status.files_complete in (0, 2, 3)
    with xr.open_zarr(store) as found, xr.open_zarr(undisturbed) as whole:
        here = slice(0, status.files_complete)
        for name in FEW:
            assert np.array_equal(bits(found[name][here]), bits(whole[name][here]))
    return True


def test_a_kill_while_a_store_grows_leaves_it_openable_and_to_be_grown(small, writes, tmp_path):
    fill(small, tmp_path / "undisturbed.zarr")
    fill(small, tmp_path / "day1.zarr", end="2024-01-01")
    wanted, before = objects(tmp_path / "undisturbed.zarr"), writes.count
    shutil.copytree(tmp_path / "day1.zarr", tmp_path / "grown.zarr")
    fill(small, tmp_path / "grown.zarr")
    assert objects(tmp_path / "grown.zarr") == wanted
    for limit in range(writes.count - before):
        store = tmp_path / f"{limit}.zarr"
        shutil.copytree(tmp_path / "day1.zarr", store)
        writes.count, writes.limit = 0, limit
        with pytest.raises(KillError):
            fill(small, store)
        writes.limit = None
        with xr.open_zarr(store) as found:
            assert found.sizes["init_time"] in (2, 4)
            assert np.isfinite(found[FEW[0]][:2]).all()
        report = fill(small, store)
        assert (report.files_done_before + report.files_read, report.outcome) == (3, "done")
        assert objects(store) == wanted, limit


def test_values_without_a_ledger_entry_do_not_count(small, monkeypatch, tmp_path):
    """Shards are written, the commit is not; meanwhile the archive loses the file: nothing of it may remain."""
    archive_root = tmp_path / "archive"
    shutil.copytree(small.root, archive_root)
    archive = SimpleNamespace(root=archive_root, path=None)
    store = tmp_path / "x.zarr"

    def killed(*_):
        raise KillError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", killed)
        with pytest.raises(KillError):
            fill(archive, store)
    shards = [key for key in objects(store) if key.startswith("temperature_2m/c/0")]
    assert shards, "the shards were there before the commit"
    status = hrrr_dask.status(str(store))
    assert (status.files_complete, status.files_to_do) == (0, 4)

    local = type(small)(archive_root, small.files, small.window, small.names)
    delete(local, small.files[0])
    report = fill(archive, store)
    assert report.gaps == {"not-published": 3}
    with xr.open_zarr(store) as found:
        assert np.isnan(found[FEW[0]][0]).all()
        assert np.isfinite(found[FEW[0]][1:3]).all()
    never_killed = tmp_path / "never_killed.zarr"
    fill(archive, never_killed)
    assert objects(store) == objects(never_killed)


# A disk that is full


@pytest.mark.parametrize("limit", [0, 5, "first shard", "commit"])
def test_a_full_disk_is_said_in_words_and_commits_nothing(small, writes, tmp_path, limit):
    fill(small, tmp_path / "undisturbed.zarr", end="2024-01-01")
    shards = len(FEW) + 1
    limit = {"first shard": writes.count - shards - 1, "commit": writes.count - 1}.get(limit, limit)
    writes.count, writes.limit = 0, limit
    writes.error = OSError(28, "No space left on device")
    with pytest.raises(StoreAccessError, match="the disk is full; make room and run the same command again"):
        fill(small, tmp_path / "x.zarr", end="2024-01-01")
    writes.limit = None
    assert ledger_keys(tmp_path / "x.zarr") == []
    fill(small, tmp_path / "x.zarr", end="2024-01-01")
    assert objects(tmp_path / "x.zarr") == objects(tmp_path / "undisturbed.zarr")
