"""An export that is killed at any moment: readers see whole commits only, and the next export does the rest."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from support import needs
from support.oracle import CLI, cli_command, run_cli
from support.specs import LAYOUT, SPAN, all_pieces, commit, make_spec
from support.tables import frame_of, outcomes_of

from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

DAYS = 40
KILLS = 4

SMALL_COMMITS = """\
import time
from hrrr_dask.cli import main
from hrrr_dask.tables import export

def commit_and_wait(run, *gone):
    commit(run, *gone)
    time.sleep(0.3)

commit, export._Run.commit, export.COMMIT_DAYS = export._Run.commit, commit_and_wait, 2
main()
"""
"""The command with so many commits, and such pauses between them, that kills come before its end."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of forty days, in partitions of two."""
    made = Store(str(tmp_path_factory.mktemp("killed") / "x.zarr"), {}, make_spec(DAYS, layout=LAYOUT))
    made = made.make_or_grow(Growth())
    for partition in range(DAYS // 2):
        made.merge(partition, all_pieces(partition))
        rows = range(partition * SPAN, (partition + 1) * SPAN)
        commit(made, *outcomes_of(rows, gap=None), partition=partition)
    return made


class Reader:
    """Reads the tables in a loop, and notes how many days and rows of a day it sees."""

    def __init__(self, read):
        self._read, self._end = read, threading.Event()
        self.seen, self.errors = [], []
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _loop(self):
        while not self._end.is_set():
            try:
                table = self._read()
            except Exception as error:  # noqa: BLE001  the test shows it
                self.errors.append(error)
                return
            if table is not None:
                sizes = table.groupby(table.init_time.dt.date).size()
                self.seen.append((len(sizes), {*sizes}))
            time.sleep(0.02)


def read_parquet(directory):
    manifest = Path(directory) / "_manifest.json"
    if not manifest.exists() or not (files := json.loads(manifest.read_text())["files"]):
        return None
    return pd.read_parquet([Path(directory) / file["path"] for file in files], partitioning=None)


def read_duckdb(path):
    duckdb = needs.extra("duckdb")
    if not path.exists():
        return None
    try:
        with duckdb.connect(str(path), read_only=True) as db:
            return db.execute("SELECT init_time AT TIME ZONE 'UTC' AS init_time FROM forecasts").df()
    except duckdb.Error as error:
        if "lock" in str(error) or "does not exist" in str(error):
            return None
        raise


@pytest.mark.timeout(200)
@pytest.mark.parametrize("kind", ["parquet", "duckdb"])
def test_an_export_killed_again_and_again_is_never_seen_half(store, tmp_path, kind):
    if kind == "duckdb":
        needs.extra("duckdb")
    to = tmp_path / ("tables" if kind == "parquet" else "x.duckdb")
    read = {"parquet": read_parquet, "duckdb": read_duckdb}[kind]
    chance = random.Random(17)
    options = {"store": store.url, "to": to, "format": kind, "workers": 1, "threads": 1, "json": True}
    with Reader(lambda: read(to)) as reader:
        for _ in range(KILLS):
            process = subprocess.Popen(
                [sys.executable, "-c", SMALL_COMMITS, *cli_command("export", **options)[len(CLI) :]],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            seen, deadline = reader.seen[-1:], time.monotonic() + 60
            while process.poll() is None and reader.seen[-1:] == seen and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.4))
            assert process.poll() is None, "it is killed at work"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        code, report, stderr = run_cli("export", **options)
        assert code == 0, stderr
    assert not reader.errors
    assert reader.seen
    assert set().union(*(sizes for _, sizes in reader.seen)) == {2 * 3 * 5}, "a day is there as a whole"
    days = [number for number, _ in reader.seen]
    assert days == sorted(days), "no day disappears"
    assert report["days_written"] + report["days_unchanged"] == DAYS
    assert report["days_unchanged"] > 0, "what was committed before the kills is not written again"
    code, report, _ = run_cli("export", **options)
    assert (code, report["days_written"], report["days_unchanged"]) == (0, 0, DAYS)
    assert len(read(to)) == len(frame_of(store.url))
    if kind == "parquet":
        named = {file["path"] for file in json.loads((to / "_manifest.json").read_text())["files"]}
        assert {path.relative_to(to).as_posix() for path in to.glob("init_date=*/*")} == named
