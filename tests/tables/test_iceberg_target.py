"""Tables of Iceberg, read back by pyiceberg and by DuckDB; what was put in is kept as Arrow tables."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import needs
from support.day_files import (
    DAYS,
    LONG,
    ORIGIN,
    check_equal,
    local_catalog,
    open_target,
    read,
    rows_of,
    snapshots,
    write,
)

from hrrr_dask.errors import ConfigError, StoreAccessError, StoreConflictError, StoreMismatchError
from hrrr_dask.tables.iceberg_catalog import CATALOG_FILE, unquoted_url
from hrrr_dask.tables.targets import DayFile
from hrrr_dask.testing import loopback_s3

needs.extra("pyiceberg.catalog.sql")
needs.extra("duckdb")


def test_days_are_read_back_by_pyiceberg_and_duckdb_as_they_were_put_in(tmp_path):
    target = open_target(tmp_path / "my warehouse")
    assert target.read_fingerprints() == {}
    tables = {day: rows_of(day, 1) for day in DAYS}
    files = [write(target, day, table) for day, table in tables.items()]
    target.commit(files, ())
    assert target.read_fingerprints() == {file.day: file.fingerprint for file in files}
    check_equal(read(tmp_path / "my warehouse"), tables.values())

    with closing(local_catalog(tmp_path / "my warehouse")) as catalog:
        table = catalog.load_table("hrrr.forecasts")
        assert [str(field.transform) for field in table.spec().fields] == ["day"]
        assert [field.doc for field in table.schema().fields if not field.doc] == []
        one_day = table.scan("init_time >= '2024-01-02T00:00:00+00:00' and init_time < '2024-01-03T00:00:00+00:00'")
        assert [Path(task.file.file_path).parent.name for task in one_day.plan_files()] == ["init_date=2024-01-02"]
        connection = table.scan().to_duckdb("forecasts")
    everything = np.concatenate([table["value"].to_numpy() for table in tables.values()]).astype(float)
    [(count, total)] = connection.sql("select count(*), sum(value::double) from forecasts").fetchall()
    assert count == len(everything)
    assert total == pytest.approx(everything.sum(), rel=1e-12)
    random = np.random.default_rng(5)
    for day, row in zip(random.choice(DAYS, 50), random.integers(0, 24, 50), strict=True):
        wanted = tables[day].slice(int(row), 1).to_pylist()[0]
        found = connection.execute(
            "select value, latitude, source from forecasts where init_time = ? and point_id = ?",
            [wanted["init_time"], wanted["point_id"]],
        ).fetchall()
        assert found == [(wanted["value"], wanted["latitude"], wanted["source"])]
    connection.close()


def test_replaced_days_change_and_the_others_keep_their_files(tmp_path):
    target = open_target(tmp_path)
    tables = {day: rows_of(day, 1) for day in DAYS}
    files = [write(target, day, table) for day, table in tables.items()]
    target.commit(files, ())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}

    tables[DAYS[1]] = rows_of(DAYS[1], 2)
    later = rows_of(DAYS[3] + timedelta(days=1), 2)
    new = [write(target, DAYS[1], tables[DAYS[1]]), write(target, DAYS[3] + timedelta(days=1), later)]
    target.commit(new, {DAYS[0]})
    del tables[DAYS[0]]
    check_equal(read(tmp_path), [*tables.values(), later])
    assert set(target.read_fingerprints()) == {*DAYS[1:], DAYS[3] + timedelta(days=1)}
    assert target.read_fingerprints()[DAYS[1]] == new[0].fingerprint

    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert before.items() <= after.items()  # what the first snapshot refers to is there, and not written again
    assert len(after) == len(before) + 2
    with closing(local_catalog(tmp_path)) as catalog:
        table = catalog.load_table("hrrr.forecasts")
        first, second = table.snapshots()
        old = table.scan(snapshot_id=first.snapshot_id).to_arrow()
        check_equal(
            old.sort_by([("init_time", "ascending"), ("point_id", "ascending")]), [rows_of(day, 1) for day in DAYS]
        )
    assert (second.summary["added-data-files"], second.summary["deleted-data-files"]) == ("2", "2")
    assert second.summary["total-records"] == str(4 * 24)


def test_a_second_run_commits_nothing(tmp_path):
    target = open_target(tmp_path)
    files = [write(target, day, rows_of(day, 1)) for day in DAYS]
    target.commit(files, ())
    there = sorted(path for path in tmp_path.rglob("*"))
    again = open_target(tmp_path)
    again.commit(files, {date(2020, 1, 1)})
    again.commit([], ())
    assert snapshots(tmp_path) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == there


def test_a_commit_of_nothing_makes_no_table(tmp_path):
    open_target(tmp_path).commit([], {DAYS[0]})
    with closing(local_catalog(tmp_path)) as catalog:
        assert catalog.list_namespaces() == []


def test_a_day_without_rows_is_held_and_can_get_rows_later(tmp_path):
    target = open_target(tmp_path)
    empty = write(target, DAYS[0], LONG.empty_table())
    target.commit([empty, write(target, DAYS[1], rows_of(DAYS[1], 1))], ())
    assert target.read_fingerprints()[DAYS[0]] == empty.fingerprint
    assert read(tmp_path).num_rows == 24
    target.commit([empty], ())
    assert snapshots(tmp_path) == 1
    filled = write(target, DAYS[0], rows_of(DAYS[0], 1))
    target.commit([filled], ())
    assert target.read_fingerprints()[DAYS[0]] == filled.fingerprint
    target.commit([replace(empty, fingerprint="0000")], ())
    assert target.read_fingerprints()[DAYS[0]] == "0000"
    assert read(tmp_path).num_rows == 24
    target.commit([], {DAYS[0]})
    assert set(target.read_fingerprints()) == {DAYS[1]}


def test_after_a_roll_back_the_fingerprints_are_of_the_older_snapshot(tmp_path):
    target = open_target(tmp_path)
    first, second = (write(target, DAYS[0], rows_of(DAYS[0], seed)) for seed in (1, 2))
    target.commit([first], ())
    target.commit([second], ())
    assert target.read_fingerprints() == {DAYS[0]: second.fingerprint}
    with closing(local_catalog(tmp_path)) as catalog:
        table = catalog.load_table("hrrr.forecasts")
        table.manage_snapshots().set_current_snapshot(table.snapshots()[0].snapshot_id).commit()
    assert target.read_fingerprints() == {DAYS[0]: first.fingerprint}


def test_a_day_that_another_program_rewrote_is_not_taken_for_ours(tmp_path):
    target = open_target(tmp_path)
    target.commit([write(target, day, rows_of(day, 1)) for day in DAYS[:2]], ())
    with closing(local_catalog(tmp_path)) as catalog:
        path = write(target, DAYS[0], rows_of(DAYS[0], 7)).url
        catalog.load_table("hrrr.forecasts").add_files([path])
    assert target.read_fingerprints()[DAYS[0]] == ""
    again = write(target, DAYS[0], rows_of(DAYS[0], 1))
    target.commit([again], ())
    check_equal(read(tmp_path), [rows_of(day, 1) for day in DAYS[:2]])


def wide(*names, day=DAYS[0], seed=1):
    table = rows_of(day, seed).drop_columns(["variable", "value", "units"])
    for number, name in enumerate(names):
        table = table.append_column(name, pa.array(np.arange(24, dtype=np.float32) + 100 * number + seed))
    return table


def test_variables_that_the_store_got_become_columns(tmp_path):
    origin = {**ORIGIN, "layout": "wide"}
    one = wide("t2m")
    target = open_target(tmp_path, schema=one.schema, origin=origin)
    target.commit([write(target, DAYS[0], one)], ())
    two = wide("t2m", "u10", day=DAYS[1])
    target = open_target(tmp_path, schema=two.schema, origin=origin)
    target.commit([write(target, DAYS[1], two)], ())
    found = read(tmp_path)
    assert found["u10"].null_count == 24
    assert found["u10"].drop_null().to_pylist() == pytest.approx(two.sort_by("init_time")["u10"].to_pylist())
    assert found["t2m"].null_count == 0
    fewer = wide("t2m", day=DAYS[2])  # a selection of variables: the others are empty
    target = open_target(tmp_path, schema=fewer.schema, origin=origin)
    target.commit([write(target, DAYS[2], fewer)], ())
    assert read(tmp_path)["u10"].null_count == 48


def test_a_column_of_another_type_is_refused_and_nothing_is_committed(tmp_path):
    target = open_target(tmp_path)
    target.commit([write(target, DAYS[0], rows_of(DAYS[0], 1))], ())
    other = rows_of(DAYS[1], 1)
    other = other.set_column(7, "value", other["value"].cast(pa.string()))
    with pytest.raises(StoreMismatchError, match=r"do not fit the table hrrr\.forecasts .* export into another table"):
        target.commit([write(target, DAYS[1], other)], ())
    assert snapshots(tmp_path) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"layout": "wide"}, r"of another export \(its layout is long, not wide\): give another name"),
        ({"store": "/data/b.zarr"}, r"its store is s3://bucket/farms\.zarr, not /data/b\.zarr"),
    ],
)
def test_a_table_of_another_layout_or_store_is_refused(tmp_path, changed, words):
    target = open_target(tmp_path)
    target.commit([write(target, DAYS[0], rows_of(DAYS[0], 1))], ())
    with pytest.raises(StoreMismatchError, match=words):
        open_target(tmp_path, origin=ORIGIN | changed)
    open_target(tmp_path, origin=ORIGIN | changed, table="hrrr.other")


def test_a_table_of_another_program_is_refused(tmp_path):
    open_target(tmp_path)
    with closing(local_catalog(tmp_path)) as catalog:
        catalog.create_namespace("hrrr")
        catalog.create_table("hrrr.forecasts", LONG, location=f"file://{tmp_path}/x")
    with pytest.raises(StoreMismatchError, match="was not made by an export: give another name by --table"):
        open_target(tmp_path)


@pytest.mark.parametrize("name", ["forecasts", "hrrr.", ".forecasts", "", "a..b"])
def test_a_name_without_a_namespace_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"write namespace\.name"):
        open_target(tmp_path, table=name)


def test_nested_namespaces(tmp_path):
    target = open_target(tmp_path, table="weather.hrrr.forecasts")
    target.commit([write(target, DAYS[0], rows_of(DAYS[0], 1))], ())
    assert set(open_target(tmp_path, table="weather.hrrr.forecasts").read_fingerprints()) == {DAYS[0]}


def test_places_that_cannot_be_a_warehouse_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="leave out icechunk"):
        unquoted_url("icechunk+/data/x")
    with pytest.raises(ConfigError, match="has '#' in it"):
        open_target(tmp_path / "a#b")
    with pytest.raises(ConfigError, match=r"no Iceberg catalogue is known for s3://bucket.*--catalog uri="):
        open_target("s3://bucket/warehouse")
    with pytest.raises(ConfigError, match="'prod' is not in pyiceberg's configuration"):
        open_target(tmp_path, catalog={"name": "prod"})


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog.sql", None)
    with pytest.raises(ConfigError, match=r"needs pyiceberg .*pip install 'hrrr-dask\[tables\]'"):
        open_target(tmp_path)


def test_no_secret_of_the_catalogue_is_told():
    with pytest.raises(ConfigError, match="cannot make the catalogue") as caught:
        open_target("s3://bucket/w", catalog={"type": "pigeon", "credential": "id:hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_damaged_catalogue_is_an_error_of_ours(tmp_path):
    (tmp_path / CATALOG_FILE).write_bytes(b"no database, but long enough to be looked at" * 100)
    with warnings.catch_warnings():  # SQLAlchemy leaves this connection to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(StoreAccessError, match="file is not a database"):
            open_target(tmp_path)
        gc.collect()


def test_a_catalogue_that_does_not_answer_is_an_error_of_ours():
    with pytest.raises(StoreAccessError, match="cannot open the catalogue of"):
        open_target("s3://bucket/w", catalog={"uri": "http://127.0.0.1:9"})


def test_a_file_of_other_rows_or_another_name_is_refused(tmp_path):
    target = open_target(tmp_path)
    with pytest.raises(ValueError, match="has rows of 2024-01-02, not of 2024-01-01"):
        target.commit([write(target, DAYS[0], rows_of(DAYS[1], 1))], ())
    with pytest.raises(ValueError, match="does not end with the fingerprint"):
        target.commit([replace(write(target, DAYS[0], rows_of(DAYS[0], 1)), fingerprint="other")], ())
    assert target.read_fingerprints() == {}


@pytest.mark.parametrize("same_day", [True, False])
@pytest.mark.parametrize("table_is_there", [True, False])
def test_of_two_committers_at_once_one_tries_again(tmp_path, monkeypatch, same_day, table_is_there):
    from pyiceberg.catalog.sql import SqlCatalog

    first, second = open_target(tmp_path), open_target(tmp_path)
    if table_is_there:
        first.commit([write(first, DAYS[3], rows_of(DAYS[3], 1))], ())
    commit_table, turns = SqlCatalog.commit_table, []

    def interrupted(self, *args):
        turns.append("")
        if len(turns) == 1:  # between what the first has planned and its commit
            second.commit([write(second, DAYS[0], rows_of(DAYS[0], 2))], ())
        return commit_table(self, *args)

    monkeypatch.setattr(SqlCatalog, "commit_table", interrupted)
    day = DAYS[0] if same_day else DAYS[1]
    first.commit([write(first, day, rows_of(day, 1))], ())
    assert len(turns) >= 3
    others = [rows_of(DAYS[3], 1)] if table_is_there else []
    check_equal(read(tmp_path), [rows_of(day, 1), *others] + ([] if same_day else [rows_of(DAYS[0], 2)]))


def test_two_threads_of_committers_lose_no_day(tmp_path):
    days = [date(2024, 3, 1) + timedelta(days=n) for n in range(8)]
    errors = []

    def commit(mine):
        try:
            target = open_target(tmp_path)
            for day in mine:
                target.commit([write(target, day, rows_of(day, 1))], ())
        except Exception as error:  # noqa: BLE001  told below
            errors.append(error)

    threads = [threading.Thread(target=commit, args=(days[k::2],)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_equal(read(tmp_path), [rows_of(day, 1) for day in days])


def test_a_committer_that_always_loses_says_so(tmp_path, monkeypatch):
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitFailedException

    target = open_target(tmp_path)
    file = write(target, DAYS[0], rows_of(DAYS[0], 1))

    def lost(self, *args):
        raise CommitFailedException("changed by another process")

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(StoreConflictError, match=r"8 times .* run the same command again"):
        target.commit([file], ())


def test_a_commit_whose_answer_was_lost_is_found_made_by_the_next_run(tmp_path, monkeypatch):
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitStateUnknownException

    target = open_target(tmp_path)
    file = write(target, DAYS[0], rows_of(DAYS[0], 1))
    commit_table = SqlCatalog.commit_table

    def without_answer(self, *args):
        commit_table(self, *args)
        raise CommitStateUnknownException("504")

    with monkeypatch.context() as patch:
        patch.setattr(SqlCatalog, "commit_table", without_answer)
        with pytest.raises(StoreAccessError, match=r"cannot say whether the commit .* run the same command again"):
            target.commit([file], ())
    target.commit([file], ())
    check_equal(read(tmp_path), [rows_of(DAYS[0], 1)])
    assert snapshots(tmp_path) == 1


@pytest.fixture
def bucket(monkeypatch):
    needs.extra("moto")
    with loopback_s3() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create_bucket("tables")
        yield server


def test_a_warehouse_on_s3_takes_endpoint_and_keys_from_the_environment(tmp_path, bucket):
    client = bucket.client()

    def put(url, data):
        client.put_object(Bucket="tables", Key=url.removeprefix("s3://tables/"), Body=data)

    catalog = {"uri": f"sqlite:///{tmp_path}/catalog.db"}
    target = open_target("s3://tables/warehouse/", catalog=catalog)
    assert target.files_url == "s3://tables/warehouse/hrrr/forecasts/data"
    target.commit([write(target, day, rows_of(day, 1), put=put) for day in DAYS], ())
    new = write(target, DAYS[2], rows_of(DAYS[2], 2), put=put)
    target.commit([new], {DAYS[3]})
    again = open_target("s3://tables/warehouse", catalog=catalog)
    assert set(again.read_fingerprints()) == set(DAYS[:3])
    assert again.read_fingerprints()[DAYS[2]] == new.fingerprint

    from pyiceberg.catalog import load_catalog

    catalog |= {"s3.endpoint": bucket.endpoint, "s3.region": "us-east-1"}
    with closing(load_catalog("default", **catalog)) as opened:
        found = opened.load_table("hrrr.forecasts").scan().to_arrow()
    found = found.sort_by([("init_time", "ascending"), ("point_id", "ascending")])
    check_equal(found, [rows_of(DAYS[0], 1), rows_of(DAYS[1], 1), rows_of(DAYS[2], 2)])


def test_a_catalogue_in_glue(bucket):
    client = bucket.client()

    def put(url, data):
        client.put_object(Bucket="tables", Key=url.removeprefix("s3://tables/"), Body=data)

    catalog = {"type": "glue", "glue.endpoint": bucket.endpoint, "glue.region": "us-east-1"}
    target = open_target("s3://tables/warehouse/", catalog=catalog)
    target.commit([write(target, day, rows_of(day, 1), put=put) for day in DAYS[:2]], ())
    new = write(target, DAYS[1], rows_of(DAYS[1], 2), put=put)
    target.commit([new], {DAYS[0]})
    assert open_target("s3://tables/warehouse", catalog=catalog).read_fingerprints() == {DAYS[1]: new.fingerprint}


def test_a_catalogue_named_in_the_environment(tmp_path, bucket):
    # pyiceberg reads its configuration once, when it is imported.
    code = (
        "from support.day_files import open_target\n"
        "target = open_target('s3://tables/warehouse', catalog={'name': 'prod'})\n"
        "print(target.read_fingerprints())\n"
    )
    environment = {
        **os.environ,
        "PYICEBERG_CATALOG__PROD__URI": f"sqlite:///{tmp_path}/prod.db",
        "PYTHONPATH": os.pathsep.join(["tests", *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("{}\n", "")
    assert (tmp_path / "prod.db").exists()


def test_a_bucket_that_is_missing_is_an_error_of_ours(tmp_path, bucket):
    target = open_target("s3://nowhere/warehouse", catalog={"uri": f"sqlite:///{tmp_path}/catalog.db"})
    with pytest.raises(StoreAccessError, match=r"cannot commit to the table hrrr\.forecasts in s3://nowhere"):
        target.commit([DayFile(DAYS[0], f"{target.files_url}/a-b.parquet", 1, 1, "b")], ())
