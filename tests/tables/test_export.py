"""Tables of a store: every value, only what changed, and nothing half-written. Read with DuckDB and pandas."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import needs
from support.specs import NAMES, all_pieces, attempt, make_points, outcome, piece, values_at
from support.tables import GAP, frame_of, heal, make_store, outcomes_of, source_of

import hrrr_dask
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.errors import ConfigError, PlanError, RunError, StoreConflictError, StoreError, StoreMismatchError
from hrrr_dask.ledger.ledger import LEDGER_PREFIX
from hrrr_dask.ledger.rows import encode_entry
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.records import GribFile
from hrrr_dask.store.spec import Growth
from hrrr_dask.tables import day_files
from hrrr_dask.tables import export as exporting
from hrrr_dask.tables.parquet_target import MANIFEST, ParquetTarget

KEY = ["init_time", "lead_time_h", "point_id", "variable"]


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.zarr")


@pytest.fixture
def run(one_process, store, tmp_path):
    def one(to=tmp_path / "tables", **options):
        return hrrr_dask.export(store.url, str(to), client=one_process, progress=False, **options)

    return one


def manifest_of(directory):
    return json.loads((Path(directory) / MANIFEST).read_text())


def files_of(directory):
    return [Path(directory) / file["path"] for file in manifest_of(directory)["files"] if file["path"]]


def table_of(directory):
    return pd.read_parquet(files_of(directory), partitioning=None)


def snapshot(directory):
    """Path to time of the last write, of all files but locks."""
    files = (path for path in Path(directory).rglob("*") if path.is_file() and ".hrrr" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files}


def assert_equal_to_store(table, store, names=NAMES):
    """Compare a long table with the store, value by value."""
    expected = frame_of(store.url)
    expected = expected[expected.variable.isin(names)]
    found = table.assign(init_time=table.init_time.dt.tz_convert(None), valid_time=table.valid_time.dt.tz_convert(None))
    assert len(found) == len(expected)
    both = expected.merge(found, on=[*KEY, "valid_time"], suffixes=("", "_table"), validate="one_to_one")
    assert len(both) == len(expected)
    assert (both.value == both.value_table).all()
    assert (both.latitude == both.latitude_table).all()
    assert (both.longitude == both.longitude_table).all()


# What the rows are


def test_a_long_table_has_every_value_of_the_store_once(run, store, tmp_path):
    report = run()
    table = table_of(tmp_path / "tables")
    assert (report.days_written, report.days_unchanged, report.rows, report.outcome) == (4, 0, len(table), "done")
    assert_equal_to_store(table, store)
    assert list(table.columns) == [
        *("init_time", "lead_time_h", "valid_time", "point_id", "latitude", "longitude"),
        *("variable", "value", "units", "source"),
    ]
    assert set(zip(table.variable, table.units, strict=True)) == {
        ("temperature_2m", "K"),
        ("precipitation_1h", "kg m-2"),
    }
    for init, lead, source in table[["init_time", "lead_time_h", "source"]].itertuples(index=False):
        assert source == source_of(GribFile(init.to_pydatetime(), int(lead)))
    assert report.bytes == sum(path.stat().st_size for path in files_of(tmp_path / "tables"))


def test_a_wide_table_has_a_column_for_each_variable(run, store, tmp_path):
    run(layout="wide")
    table = table_of(tmp_path / "tables")
    long = table.melt(
        [name for name in table if name not in NAMES], list(NAMES), var_name="variable", value_name="value"
    ).dropna(subset="value")
    assert_equal_to_store(long, store)
    assert len(table) == 8 * 2 * 5
    assert table.source.nunique() == 8 * 2


def test_duckdb_counts_and_sums_as_xarray_does(run, store, tmp_path):
    duckdb = needs.extra("duckdb")
    run()
    expected = frame_of(store.url).groupby("variable").value.agg(["size", lambda v: v.astype("f8").sum(), "max"])
    db = duckdb.connect()
    db.execute(
        "SET VARIABLE files = (SELECT list($1 || '/' || file.path) FROM "
        "(SELECT unnest(files) AS file FROM read_json($1 || '/_manifest.json')))",
        [str(tmp_path / "tables")],
    )
    found = db.sql(
        "SELECT variable, count(*), sum(value::DOUBLE), max(value), count(DISTINCT init_date) "
        "FROM read_parquet(getvariable('files'), hive_partitioning=true) GROUP BY variable ORDER BY variable"
    ).fetchall()
    assert [(name, n, total, top) for name, n, total, top, _ in found] == [
        (name, *row) for name, row in zip(expected.index, expected.to_numpy().tolist(), strict=True)
    ]
    assert {days for *_, days in found} == {4}


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_gaps_are_rows_if_they_are_wanted(run, store, tmp_path, layout):
    run(layout=layout, with_gaps=True)
    table = table_of(tmp_path / "tables")
    gaps = table[table.gap.notna()]
    assert set(gaps.gap) == {"truncated"}
    assert sorted(gaps.point_id) == [f"p{k}" for k in range(5)]
    assert set(gaps.init_time) == {pd.Timestamp("2024-01-01T12", tz="UTC")}
    assert set(gaps.lead_time_h) == {1.0}
    if layout == "long":
        assert gaps.value.isna().all()
        assert set(gaps.source) == {source_of(GribFile(datetime(2024, 1, 1, 12), 1))}
        assert_equal_to_store(table[table.gap.isna()], store)
    else:
        assert gaps.precipitation_1h.isna().all()
        assert gaps.temperature_2m.notna().all()


def test_values_that_no_entry_calls_complete_are_no_rows(one_process, tmp_path):
    store = make_store(tmp_path / "x.zarr")
    store.merge(0, {"precipitation_1h": [piece("precipitation_1h", *GAP)]})  # and the commit is missing
    hrrr_dask.export(store.url, str(tmp_path / "tables"), client=one_process, progress=False)
    table = table_of(tmp_path / "tables")
    assert len(table) == len(frame_of(store.url)) - 5


def test_only_some_days_and_variables(run, store, tmp_path):
    report = run(variables="temperature_2m", start="2024-01-02", end="2024-01-03")
    table = table_of(tmp_path / "tables")
    assert report.days_written == 2
    assert set(table.variable) == {"temperature_2m"}
    assert set(table.init_time.dt.day) == {2, 3}
    run(variables="temperature_2m")
    assert_equal_to_store(table_of(tmp_path / "tables"), store, ["temperature_2m"])


def test_row_groups_are_small_and_the_rows_are_the_same(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr(day_files, "GROUP_ROWS", 5)
    monkeypatch.setattr(day_files, "TASK_BYTES", 1)
    run()
    sizes = [
        file.metadata.row_group(k).num_rows
        for file in map(pq.ParquetFile, files_of(tmp_path / "tables"))
        for k in range(file.metadata.num_row_groups)
    ]
    assert max(sizes) < 5 + 8, "rows are written when there are enough, a lead time of one run at a time"
    assert_equal_to_store(table_of(tmp_path / "tables"), store)


def test_the_bytes_of_a_day_are_always_the_same(run, tmp_path):
    run(tmp_path / "one")
    run(tmp_path / "two")
    one, two = ([path.read_bytes() for path in files_of(tmp_path / name)] for name in ("one", "two"))
    assert one == two


# Only what has changed


def test_a_second_export_writes_nothing(run, tmp_path):
    run()
    before = snapshot(tmp_path / "tables")
    report = run()
    assert (report.days_written, report.days_unchanged, report.rows) == (0, 4, 0)
    assert snapshot(tmp_path / "tables") == before


def test_a_second_export_starts_no_cluster(run, store, tmp_path, monkeypatch):
    run()
    monkeypatch.setattr(exporting, "open_client", None)
    assert hrrr_dask.export(store.url, str(tmp_path / "tables"), progress=False).days_unchanged == 4


def test_a_healed_gap_writes_its_day_only(run, store, tmp_path):
    run()
    before = snapshot(tmp_path / "tables")
    heal(store)
    report = run()
    assert (report.days_written, report.days_unchanged) == (1, 3)
    assert_equal_to_store(table_of(tmp_path / "tables"), store)
    after = snapshot(tmp_path / "tables")
    assert len(after) == len(before), "the file of the day before is removed"
    changed = {path.parent.name for path in before.keys() ^ after.keys()}
    assert changed == {"init_date=2024-01-01"}
    assert run().days_written == 0


def test_a_gap_that_is_tried_again_in_vain_writes_nothing(run, store):
    run()
    run(store.url + "-gaps", with_gaps=True)
    (again,) = [each for each in outcomes_of([GAP[0]]) if each.reasons]
    who = attempt(second=90)
    store.ledger.write(who, encode_entry([again], who, np.ones(2, np.int32)))
    assert run().days_written == 0
    assert run(store.url + "-gaps", with_gaps=True).days_written == 0


def test_a_compacted_ledger_writes_nothing(run, store):
    run()
    store.ledger.compact(datetime(2024, 5, 1))
    assert store.ledger.n_entries() == 0
    assert run().days_written == 0


def test_points_that_are_added_write_the_days_that_have_their_values(run, store, tmp_path):
    run()
    grown = store.grow(Growth(points=make_points(range(7))))
    assert run().days_written == 0, "nothing of them is read yet"
    grown.merge(1, {"temperature_2m": [piece("temperature_2m", row, 0, partition=1, points=(5, 7)) for row in (0, 1)]})
    rows = [outcome(4 + row, 0, None, NAMES[:1], (5, 7)) for row in (0, 1)]
    who = attempt(1, second=90)
    store.ledger.write(who, encode_entry(rows, who))
    report = run()
    assert (report.days_written, report.days_unchanged) == (1, 3)
    table = table_of(tmp_path / "tables")
    assert_equal_to_store(table, store)
    assert Counter(table.point_id)["p6"] == 2
    assert set(table[table.point_id == "p6"].value) == {values_at(NAMES[0], init, 0, 6) for init in (4, 5)}


def test_variables_that_are_added_write_the_days_that_have_them(run, store, tmp_path):
    run()
    run(tmp_path / "wide", layout="wide")
    grown = store.grow(Growth(variables=parse_variables(["dewpoint_2m"])))
    grown.merge(0, all_pieces(0, ["dewpoint_2m"]))
    who = attempt(0, second=90)
    store.ledger.write(who, encode_entry(outcomes_of(range(4), names=["dewpoint_2m"], gap=None), who))
    assert run().days_written == 2
    assert_equal_to_store(table_of(tmp_path / "tables"), store, [*NAMES, "dewpoint_2m"])
    assert run(tmp_path / "wide", layout="wide").days_written == 4, "all files of a wide table have its columns"
    assert table_of(tmp_path / "wide").dewpoint_2m.notna().sum() == 4 * 2 * 5


def test_a_day_that_the_store_lost_is_dropped(run, store, tmp_path):
    run()
    store.blobs.delete([key for key in store.blobs.keys(LEDGER_PREFIX) if "/000001/" in key])
    report = run()
    assert (report.days_removed, report.days_unchanged) == (2, 2)
    assert set(table_of(tmp_path / "tables").init_time.dt.day) == {1, 2}
    assert "2 removed" in repr(report)


# Nothing half


def test_a_missing_shard_is_an_error_and_not_an_absent_row(run, store, tmp_path):
    store.blobs.delete(["temperature_2m/c/1/0/1"])
    with pytest.raises(StoreError, match=r"temperature_2m/c/1/0/1 is missing.*ledger"):
        run()
    tables = tmp_path / "tables"
    assert not (tables / MANIFEST).exists() or len(manifest_of(tables)["files"]) <= 2
    # Another task may end after the error: its files stay in _staging, where nobody reads, until an export a day later.
    assert not list(tables.glob("_staging/2024-01-0[34]*")), "a file that was begun is removed"


def test_readers_see_an_old_manifest_until_the_new_files_are_there(run, store, tmp_path, monkeypatch):
    run()
    old = table_of(tmp_path / "tables")
    heal(store)
    monkeypatch.setattr(ParquetTarget, "_write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run()
    pd.testing.assert_frame_equal(table_of(tmp_path / "tables"), old)
    monkeypatch.undo()
    assert len(list((tmp_path / "tables").glob("init_date=*/*"))) == 5
    assert run().days_written == 1
    assert len(list((tmp_path / "tables").glob("init_date=*/*"))) == 4
    assert_equal_to_store(table_of(tmp_path / "tables"), store)


def test_what_a_kill_after_the_commit_left_is_removed_by_the_next_export(run, store, tmp_path, monkeypatch):
    run()
    heal(store)
    monkeypatch.setattr(ParquetTarget, "_delete", lambda *_: None)
    run()
    monkeypatch.undo()
    assert len(list((tmp_path / "tables").glob("init_date=*/*"))) == 5
    assert run().days_written == 0
    assert len(list((tmp_path / "tables").glob("init_date=*/*"))) == 4
    assert_equal_to_store(table_of(tmp_path / "tables"), store)


def test_of_two_exports_at_once_one_commits(run, store, tmp_path, monkeypatch):
    move, others = Blobs.move, []

    def late(self, key, target):
        if not others:
            others.append(key)
            run()
        move(self, key, target)

    monkeypatch.setattr(Blobs, "move", late)
    with pytest.raises(StoreConflictError, match="another export committed"):
        run()
    assert_equal_to_store(table_of(tmp_path / "tables"), store)
    assert sorted((tmp_path / "tables").glob("init_date=*/*")) == sorted(files_of(tmp_path / "tables"))


def test_an_export_whose_moved_files_another_one_removed_commits_nothing(run, store, tmp_path, monkeypatch):
    run()
    heal(store)
    write, opened = ParquetTarget._write_manifest, []
    origin = manifest_of(tmp_path / "tables")["origin"]

    def late(self, days):
        if not opened:
            opened.append(self)
            ParquetTarget(str(tmp_path / "tables"), schema=pa.schema([]), origin=origin)  # finds files nobody names
        write(self, days)

    monkeypatch.setattr(ParquetTarget, "_write_manifest", late)
    with pytest.raises(StoreConflictError, match="another export committed"):
        run()
    monkeypatch.undo()
    assert all(path.exists() for path in files_of(tmp_path / "tables"))
    assert run().days_written == 1
    assert_equal_to_store(table_of(tmp_path / "tables"), store)


def test_a_worker_that_fails_is_an_error_and_what_was_written_stays(run, store, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("too much")

    monkeypatch.setattr(day_files, "make_rows", fail)
    with pytest.raises(RunError, match=r"MemoryError: too much.*run the same command again"):
        run()
    monkeypatch.undo()
    assert run().days_written == 4


def test_a_signal_commits_what_is_written_and_the_same_call_does_the_rest(
    run, store, one_process, tmp_path, monkeypatch
):
    monkeypatch.setattr(exporting, "COMMIT_DAYS", 1)
    monkeypatch.setattr(exporting, "TASKS_PER_THREAD", 0.5)  # one at a time
    sent = []

    def stop(done, _):
        if done and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    report = hrrr_dask.export(store.url, str(tmp_path / "tables"), client=one_process, progress=stop)
    assert (report.outcome, report.exit_code) == ("interrupted", 1)
    assert 0 < report.days_written < 4
    assert len(files_of(tmp_path / "tables")) == report.days_written
    assert run().days_written == 4 - report.days_written
    assert_equal_to_store(table_of(tmp_path / "tables"), store)


# Wrong requests


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"variables": "temperature"}, ConfigError, "no variable 'temperature': take some of temperature_2m"),
        ({"variables": ""}, ConfigError, "no variables are named"),
        ({"layout": "tall"}, ConfigError, "layout 'tall' is unknown: take one of long, wide"),
        ({"format": "csv"}, ConfigError, "format 'csv' is unknown: take one of parquet, duckdb"),
        ({"start": "2024-02-01"}, PlanError, "has no day from 2024-02-01 to its last: it has runs from 2024-01-01"),
        ({"start": "2024-01-01T06"}, PlanError, "is not a date"),
    ],
)
def test_a_wrong_request_writes_nothing(run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        run(**options)
    assert not (tmp_path / "tables").exists()


def test_a_table_of_something_else_is_left_alone(run, store, tmp_path):
    run()
    with pytest.raises(StoreMismatchError, match=r"of another export \(its layout is long, not wide\)"):
        run(layout="wide")
    with pytest.raises(StoreMismatchError, match=r"its gaps is|gaps"):
        run(with_gaps=True)
    with pytest.raises(StoreMismatchError, match=r"not empty, and there is no export \(it holds \.hrrr|not empty"):
        run(store.url)
    (tmp_path / "tables" / MANIFEST).write_text("{}")
    with pytest.raises(StoreMismatchError, match="cannot be read"):
        run()


def test_a_store_that_is_none(tmp_path):
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.export(str(tmp_path / "none"), str(tmp_path / "tables"))


def test_the_report_is_short_and_has_a_table(run):
    report = run()
    assert repr(report).startswith("<hrrr_dask.ExportReport: done>\n  store")
    assert "4 written, 0 unchanged" in report._repr_html_()
    assert report.exit_code == 0
