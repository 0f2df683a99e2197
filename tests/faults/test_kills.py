"""A kill at any moment loses nothing that was committed, and leaves nothing that falsely looks committed."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support.oracle import as_bits, cli_command, ledger_keys, object_digests, run_cli, without_dask, write_points

import hrrr_dask
from hrrr_dask.errors import StoreAccessError, StoreMismatchError
from hrrr_dask.ledger.ledger import Ledger, to_dataframe
from hrrr_dask.objects import objects as blobs
from hrrr_dask.outcomes import COMPLETE
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
    options["axis_start"] = "2024-01-01"
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
    """Start the command in a session of its own, which is killed at the end."""
    processes = []

    def start(**options):
        process = subprocess.Popen(
            cli_command("backfill", store=tmp_path / "x.zarr", **work[0] | options),
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
    """Wait until the first partition is committed; returns its keys."""
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
    assert object_digests(store) == object_digests(work[1])
    assert set(committed) < set(ledger_keys(store))
    assert len(ledger_keys(store)) == DAYS


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("the command", signal.SIGINT),
        ("its process group", signal.SIGINT),  # as a terminal does
        ("its process group", signal.SIGTERM),  # as timeout(1) and systemd do
        ("its process group", signal.SIGHUP),  # as the end of a connection does
    ],
)
def test_an_interrupt_commits_what_is_read_and_the_same_command_does_the_rest(work, started, tmp_path, whom, number):
    store = tmp_path / "x.zarr"
    # With one thread nothing is read while the first step is written.
    process = started(json=whom == "its process group", workers=1, threads=1)
    wait_for_a_commit(store, process)
    sent = time.monotonic()
    if whom == "the command":
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
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
    assert object_digests(store) == object_digests(work[1])


def test_a_terminal_that_is_closed_interrupts_the_command_although_nothing_can_be_printed(work, tmp_path):
    store = tmp_path / "x.zarr"
    options = work[0] | {"store": store, "workers": 1, "threads": 1, "json": False}
    controlled, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *cli_command("backfill", **options)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    threading.Thread(target=read_to_the_end, args=[controlled], daemon=True).start()
    try:
        wait_for_a_commit(store, process)
        os.close(controlled)  # SIGHUP to the process group, and every write to the terminal fails
        assert process.wait(timeout=60) == 1
    finally:
        kill_session(process)
    done = hrrr_dask.status(str(store)).files_complete
    assert 0 < done < FILES, "the signal came too late to show anything"
    assert finish(work, store)["files_done_before"] == done


ON_ITS_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def read_to_the_end(terminal):
    with suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass


def test_a_command_that_was_started_with_nohup_survives_the_end_of_its_terminal(work, started, tmp_path):
    store = tmp_path / "x.zarr"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
    try:
        process = started(workers=1, threads=1)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for_a_commit(store, process)
    os.killpg(process.pid, signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["files_read"] == FILES


# A kill before any write, in this process


class KillError(BaseException):
    """Simulates SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive with one run on each of four days."""
    root = tmp_path_factory.mktemp("small")
    inits = [datetime(2024, 1, day, 12) for day in (1, 2, 3, 4)]
    return write_archive(root / "archive", init_times=inits, lead_hours=[1], variables=FEW, decoys=False, window=WINDOW)


def fill(archive, store, *, start="2024-01-02", end="2024-01-03", **settings):
    points = pd.DataFrame(PLACES, columns=["latitude", "longitude"]).assign(point_id=["a", "b"])
    wanted = {"variables": FEW[:1], "cycles": [12], "lead_hours": [1], "partition_days": 1, "axis_start": "2024-01-01"}
    with without_dask() as client:
        return hrrr_dask.backfill(
            points, start, end, str(store), client=client, source=[str(archive.root)], **wanted | settings
        )


def grow_variables(archive, store):
    with without_dask() as client:
        return hrrr_dask.add_variables(store, FEW[1:], client=client, source=[str(archive.root)])


def grow_points(archive, store):
    latitude, longitude = WINDOW.latlon(np.array([3.0]), np.array([4.0]))
    new = pd.DataFrame({"point_id": ["c"], "latitude": latitude, "longitude": longitude})
    with without_dask() as client:
        return hrrr_dask.add_points(store, new, client=client, source=[str(archive.root)])


ACTIONS = {
    "a new store": (False, fill),
    "days after": (True, lambda archive, store: fill(archive, store, end="2024-01-04")),
    "days before": (True, lambda archive, store: fill(archive, store, start="2024-01-01")),
    "new variables": (True, grow_variables),
    "new points": (True, grow_points),
    "a compact ledger": (True, lambda _, store: hrrr_dask.compact(store)),
}
"""Action, and whether a store must exist before."""


@pytest.fixture
def writes(monkeypatch):
    """Record each write and deletion, and raise instead of one of them."""
    seen = SimpleNamespace(labels=[], limit=None, error=KillError)

    def watched(name):
        real = getattr(blobs.obstore, name)

        def one(store, key, *rest, **options):
            if seen.limit is not None and len(seen.labels) >= seen.limit:
                raise seen.error
            seen.labels.append(f"{name} {key if isinstance(key, str) else len(key)}")
            return real(store, key, *rest, **options)

        monkeypatch.setattr(blobs.obstore, name, one)

    for name in ("put", "delete"):
        watched(name)
    return seen


def test_the_steps_of_the_protocol_are_many_and_come_in_their_order(small, writes, tmp_path):
    fill(small, tmp_path / "x.zarr")
    labels = [label.removeprefix("put ") for label in writes.labels]
    kinds = ["temperature_2m/c/1/0/0", ".hrrr/ledger", "available_at/c/1/0", "quality/c/1/0", "status/c/1/0"]
    assert labels[0] == ".hrrr/growth/000000.json"
    root = labels.index("zarr.json")
    assert root > 20
    after = labels[root + 1 : root + 1 + len(kinds)]
    assert [next(kind for kind in kinds if label.startswith(kind)) for label in after] == kinds


@pytest.mark.parametrize("name", ACTIONS)
def test_a_kill_before_any_write_leaves_a_place_where_the_same_command_ends_alike(name, small, writes, tmp_path):
    continued, act = ACTIONS[name]
    if continued:
        fill(small, tmp_path / "before.zarr")

    def place(label):
        store = tmp_path / f"{label}.zarr"
        if continued:
            shutil.copytree(tmp_path / "before.zarr", store)
        return store

    undisturbed = place("undisturbed")
    writes.labels.clear()
    act(small, undisturbed)
    steps = list(writes.labels)
    assert len(steps) > (1 if "compact" in name else 6)
    for limit, step in enumerate(steps):
        store = place("killed")
        writes.labels.clear()
        writes.limit = limit
        with pytest.raises(KillError):
            act(small, store)
        writes.limit = None
        assert_nothing_false(store, undisturbed)
        act(small, store)
        assert object_digests(store) == object_digests(undisturbed), step
        assert known(store) == known(undisturbed), step
        shutil.rmtree(store)


def known(store):
    """The ledger's statement about each value, without job and time."""
    frame = to_dataframe(str(store))
    columns = ["init_time", "lead_hours", "variable", "outcome", "first_point", "n_points", "etag"]
    return sorted(map(str, frame[columns].drop_duplicates().itertuples(index=False)))


def assert_nothing_false(store, undisturbed):
    """Check that there is no store, or one whose ledger and status are true."""
    try:
        found = hrrr_dask.open_dataset(str(store))
    except StoreMismatchError:
        with pytest.raises(StoreMismatchError, match="holds no store"):
            hrrr_dask.status(str(store))
        return
    promised = to_dataframe(str(store)).query("outcome == 'complete'")
    with hrrr_dask.open_dataset(str(undisturbed)) as whole:
        for row in promised.itertuples():
            part = {"init_time": row.init_time, "lead_time": f"{row.lead_hours}h"}
            there = found[row.variable].sel(part)[row.first_point : row.n_points]
            right = whole[row.variable].sel(part)[row.first_point : row.n_points]
            assert np.array_equal(as_bits(there), as_bits(right))
            assert np.isfinite(there).all()
        for init, lead in np.argwhere(found.status.values == COMPLETE).tolist():
            # values of added points are only in the ledger until their first write
            same = {"init_time": found.init_time[init].values, "lead_time": found.lead_time[lead].values}
            assert np.array_equal(as_bits(found[FEW[0]][init, lead][:2]), as_bits(whole[FEW[0]].sel(same)[:2]))
    found.close()


def test_values_without_a_ledger_entry_are_kept_and_called_by_their_name(small, monkeypatch, tmp_path):
    """Shards are written but not committed, and the archive loses the file meanwhile: no value is removed again."""
    archive_root = tmp_path / "archive"
    shutil.copytree(small.root, archive_root)
    local = type(small)(archive_root, small.files, small.window, small.names)
    store = tmp_path / "x.zarr"

    def killed(*_):
        raise KillError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", killed)
        with pytest.raises(KillError):
            fill(local, store)
    assert "temperature_2m/c/1/0/0" in object_digests(store), "the shard was there before the commit"
    status = hrrr_dask.status(str(store))
    assert (status.files_complete, status.files_to_do) == (0, 2)

    delete(local, small.files[1])
    report = fill(local, store)
    assert report.gaps == {}
    with hrrr_dask.open_dataset(str(store)) as found:
        assert np.isfinite(found[FEW[0]]).all()
        assert (found.status == COMPLETE).all()
        assert np.isnat(found.available_at.values[0]).all(), "nobody knows since when"
    frame = to_dataframe(str(store))
    (row,) = frame[frame.init_time == pd.Timestamp(2024, 1, 2, 12)].itertuples()
    assert row.detail.startswith("of an attempt that did not commit; now not-published: ")


# A disk that is full


@pytest.mark.parametrize("limit", [0, 5, "first shard", "commit"])
def test_a_full_disk_is_said_in_words_and_commits_nothing(small, writes, tmp_path, limit):
    fill(small, tmp_path / "undisturbed.zarr", end="2024-01-02")
    at = {"first shard": "temperature_2m/c/1/0/0", "commit": ".hrrr/ledger/"}
    if limit in at:
        limit = next(k for k, label in enumerate(writes.labels) if label.startswith(f"put {at[limit]}"))
    writes.labels.clear()
    writes.limit = limit
    writes.error = OSError(28, "No space left on device")
    with pytest.raises(StoreAccessError, match="the disk is full; make room and run the same command again"):
        fill(small, tmp_path / "x.zarr", end="2024-01-02")
    writes.limit = None
    assert ledger_keys(tmp_path / "x.zarr") == []
    fill(small, tmp_path / "x.zarr", end="2024-01-02")
    assert object_digests(tmp_path / "x.zarr") == object_digests(tmp_path / "undisturbed.zarr")
