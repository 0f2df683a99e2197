"""Backfill by script and by command on a scheduler and two workers started as in cluster/README.md."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.testing import SyntheticArchive, write_archive

BIN = Path(sys.executable).parent
POINTS = "point_id,latitude,longitude\nroscoe,32.265,-100.345\nsweetwater,32.470,-100.406\n"
START, END = datetime(2024, 1, 1), datetime(2024, 1, 1, 12)
SELECTION = {"cycles": "0,12", "lead_hours": "0-2", "variables": "temperature_2m,surface_pressure"}
EXTRACTS = {f"extract-20240101T{cycle}-f{lead:02d}" for cycle in ("00", "12") for lead in (0, 1, 2)}


@dataclass(frozen=True)
class Cluster:
    address: str
    client: Client
    """Client of the test, which only observes."""


@contextmanager
def process(*command: object, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "log.txt").open("ab") as log:
        started = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=directory)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    file = directory / "scheduler.json"
    quiet = ("--no-dashboard", "--scheduler-file", file)
    with ExitStack() as stack:
        scheduler = (BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *quiet)
        worker = (BIN / "dask", "worker", "--nthreads", "1", *quiet)
        for command in (scheduler, worker, worker):
            stack.enter_context(process(*command, directory=directory))
        wait_for(file, directory / "log.txt")
        client = stack.enter_context(Client(scheduler_file=str(file), timeout=20))
        client.wait_for_workers(2, timeout=60)
        client.get_task_stream()  # starts the recording
        yield Cluster(client.scheduler.address, client)


def wait_for(file: Path, log: Path) -> None:
    for _ in range(300):
        if file.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"the scheduler did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SyntheticArchive:
    root = tmp_path_factory.mktemp("archive")
    names = SELECTION["variables"].split(",")
    return write_archive(root, init_times=[START, END], lead_hours=range(3), variables=names)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text(POINTS)
    return path


def run(*command: object) -> dict[str, object]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def assert_holds_the_archive(store: Path, archive: SyntheticArchive) -> None:
    ds = hrrr_dask.open_dataset(str(store)).load()
    for file in archive.files:
        one = ds.sel(init_time=file.init_time, lead_time=file.lead_time)
        for name in SELECTION["variables"].split(","):
            wanted = archive.expected(name, file)[one.cell_y.values, one.cell_x.values]
            np.testing.assert_array_equal(one[name].values, wanted, err_msg=f"{name} of {file.label}")


def stages(cluster: Cluster, since: float) -> dict[str, str]:
    """Key to worker of the tasks that started after a time."""
    return {record["key"]: record["worker"] for record in cluster.client.get_task_stream(start=since)}


def test_the_script_backfills_on_the_clusters_workers(cluster, archive, points, tmp_path):
    began, store = time.time(), tmp_path / "store.zarr"
    settings = [f"--setting={name}={value}" for name, value in {**SELECTION, "source": archive.root}.items()]
    command = (sys.executable, ROOT / "cluster" / "backfill.py")
    report = run(*command, cluster.address, points, START.date(), END.date(), store, "--workers", 2, *settings)
    assert report["outcome"] == "done"
    assert report["files_read"] == len(archive.files) == 6
    assert_holds_the_archive(store, archive)
    assert set(stages(cluster, began).values()) <= set(cluster.client.scheduler_info(n_workers=-1)["workers"])


def test_the_command_backfills_on_the_clusters_workers_with_readable_keys(cluster, archive, points, tmp_path):
    began, store = time.time(), tmp_path / "store.zarr"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SELECTION.items()]
    period = (f"--start={START.date()}", f"--end={END.date()}")
    paths = (f"--points={points}", f"--source={archive.root}", f"--store={store}", f"--cluster={cluster.address}")
    report = run(BIN / "hrrr-dask", "backfill", *period, *paths, *options, "--json")
    assert report["outcome"] == "done"
    assert_holds_the_archive(store, archive)
    keys = {key.rsplit("-", 2)[0] for key in stages(cluster, began) if not key.startswith("job-")}
    assert keys == {*EXTRACTS, "write-20240101"}
