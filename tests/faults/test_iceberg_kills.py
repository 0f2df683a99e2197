"""Exports into a table of Iceberg that are killed while they commit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing

import numpy as np
from support import needs
from support.day_files import DAYS, check_equal, open_target, read, rows_of, snapshots, write

from hrrr_dask.tables.iceberg_catalog import CATALOG_FILE

needs.extra("pyiceberg.catalog.sql")


def commit_for_ever(place, days):
    """Replace all days, again and again, each time with the values of the next seed."""
    target = open_target(place)
    for seed in range(1, 300):
        target.commit([write(target, day, rows_of(day, seed)) for day in days], ())


def test_killed_at_any_moment_all_days_are_of_one_commit(tmp_path):
    target = open_target(tmp_path)
    target.commit([write(target, day, rows_of(day, 0)) for day in DAYS], ())
    for delay_s in np.random.default_rng(3).uniform(0.0, 0.5, 4):
        process = multiprocessing.get_context("forkserver").Process(target=commit_for_ever, args=(tmp_path, DAYS))
        process.start()
        count = snapshots(tmp_path)
        while snapshots(tmp_path) == count and process.is_alive():
            time.sleep(0.02)
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        found = read(tmp_path)
        latitudes = set(found["latitude"].to_pylist())
        [seed] = [seed for seed in range(300) if rows_of(DAYS[0], seed)["latitude"][0].as_py() in latitudes]
        check_equal(found, [rows_of(day, seed) for day in DAYS])
        assert set(open_target(tmp_path).read_fingerprints()) == set(DAYS)
    with closing(sqlite3.connect(tmp_path / CATALOG_FILE)) as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
