"""DuckDB files: the values of the store, a transaction for each commit, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import date

import numpy as np
import pandas as pd
import pytest
from support import needs
from support.specs import NAMES
from support.tables import frame_of, heal, make_store, source_of

import hrrr_dask
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.errors import ConfigError, StoreAccessError, StoreError, StoreMismatchError
from hrrr_dask.records import GribFile
from hrrr_dask.store.spec import Growth
from hrrr_dask.tables import duckdb_target

duckdb = needs.extra("duckdb")

VIEW = ["valid_time_utc", "run_time_utc", "latitude", "longitude", "variable", "value", "source_s3"]


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.zarr")


@pytest.fixture
def run(one_process, store, tmp_path):
    def one(to=tmp_path / "x.duckdb", **options):
        return hrrr_dask.export(store.url, str(to), format="duckdb", client=one_process, progress=False, **options)

    return one


def query(path, sql):
    with duckdb.connect(str(path), read_only=True) as db:
        return db.execute(sql).df()


@contextmanager
def held_by_another(path, mode):
    """Hold a DuckDB file open in another process."""
    opened = f"duckdb.connect({str(path)!r}, read_only={mode == 'read'})"
    code = f"import duckdb, sys; db = {opened}; print(1, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "1\n"
        yield
    finally:
        process.communicate()


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_the_view_has_the_columns_of_the_hand_written_command_and_every_value(run, store, tmp_path, layout):
    report = run(layout=layout)
    view = query(tmp_path / "x.duckdb", "SELECT * FROM hrrr_forecasts")
    assert list(view.columns) == VIEW
    assert report.days_written == 4
    expected = frame_of(store.url)
    assert len(view) == len(expected)
    keys = {"valid_time_utc": "valid_time", "run_time_utc": "init_time"}
    both = expected.merge(
        view.rename(columns=keys).astype({name: expected[name].dtype for name in keys.values()}),
        on=["valid_time", "init_time", "latitude", "longitude", "variable"],
        suffixes=("", "_view"),
    )
    assert len(both) == len(expected)
    assert (both.value == both.value_view).all()
    files = [
        GribFile(init.to_pydatetime(), int(lead)) for init, lead in zip(both.init_time, both.lead_time_h, strict=True)
    ]
    assert both.source_s3.tolist() == list(map(source_of, files))


def test_a_second_export_changes_nothing_and_a_healed_gap_one_day(run, store, tmp_path):
    path = tmp_path / "x.duckdb"
    run()
    before = path.read_bytes()
    assert run().days_unchanged == 4
    assert path.read_bytes() == before
    heal(store)
    assert (report := run()).days_written == 1
    assert report.rows == 2 * 2 * 5 + 2 * 5, "precipitation has no value at lead time 0"
    found = query(path, "SELECT variable, count(*) AS n, sum(value::DOUBLE) AS total FROM forecasts GROUP BY variable")
    expected = frame_of(store.url).groupby("variable").value.agg(["size", lambda v: v.astype("f8").sum()])
    assert {name: (n, total) for name, n, total in found.itertuples(index=False)} == {
        name: tuple(row) for name, row in zip(expected.index, expected.to_numpy().tolist(), strict=True)
    }
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.duckdb", "x.zarr"], "workers' files are removed"


def test_gaps_are_rows_of_the_table_and_not_of_the_view(run, tmp_path):
    run(with_gaps=True)
    gaps = query(tmp_path / "x.duckdb", "SELECT gap, count(*) AS n FROM forecasts WHERE value IS NULL GROUP BY gap")
    assert gaps.to_dict("list") == {"gap": ["truncated"], "n": [5]}
    assert query(tmp_path / "x.duckdb", "SELECT count(*) AS n FROM hrrr_forecasts WHERE value IS NULL").n[0] == 0


def test_a_variable_that_is_added_is_a_new_column_of_a_wide_table(run, store, tmp_path):
    run(layout="wide")
    store.grow(Growth(variables=parse_variables(["dewpoint_2m"])))
    assert run(layout="wide").days_written == 4
    found = query(
        tmp_path / "x.duckdb", "SELECT count(dewpoint_2m) AS dew, count(temperature_2m) AS warm FROM forecasts"
    )
    assert (found.dew[0], found.warm[0]) == (0, 8 * 2 * 5)
    assert set(query(tmp_path / "x.duckdb", "SELECT DISTINCT variable FROM hrrr_forecasts").variable) == set(NAMES)


def test_times_are_utc_whatever_the_time_zone_of_the_reader(run, tmp_path):
    run()
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as db:
        db.execute("SET TimeZone = 'America/Denver'")
        first = db.execute("SELECT min(run_time_utc), min(valid_time_utc) FROM hrrr_forecasts").fetchone()
    assert first == (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01"))


def test_a_transaction_that_fails_changes_nothing(run, store, tmp_path, monkeypatch):
    run()
    before = query(tmp_path / "x.duckdb", "SELECT * FROM forecasts ORDER BY ALL")
    heal(store)
    monkeypatch.setattr(duckdb_target, "_DAYS", "no_such_table")
    monkeypatch.setattr(duckdb_target.DuckdbTarget, "_read", lambda *_: {date(2024, 1, 1): "old"})
    monkeypatch.setattr(duckdb_target.DuckdbTarget, "_define", lambda *_: None)
    with pytest.raises(StoreError, match=r"cannot be written: .*no_such_table.*as before this commit"):
        run()
    monkeypatch.undo()
    pd.testing.assert_frame_equal(query(tmp_path / "x.duckdb", "SELECT * FROM forecasts ORDER BY ALL"), before)
    assert run().days_written == 1


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_file_that_another_process_holds_open_is_waited_for_and_then_named(run, store, tmp_path, monkeypatch, mode):
    run()
    heal(store)
    monkeypatch.setattr(duckdb_target, "LOCK_WAIT_S", 0.3)
    with (
        held_by_another(tmp_path / "x.duckdb", mode),
        pytest.raises(StoreAccessError, match=r"another program has .*x\.duckdb open .*close it"),
    ):
        run()
    assert run().days_written == 1


@pytest.mark.parametrize(
    ("to", "error", "message"),
    [
        ("s3://bucket/x.duckdb", ConfigError, "not on a disk.*copy it when it is done, or export --format parquet"),
        ("", ConfigError, "URL is empty"),
    ],
)
def test_a_place_where_no_duckdb_file_can_be(run, to, error, message):
    with pytest.raises(error, match=message):
        run(to)


def test_files_of_others_are_left_alone(run, tmp_path):
    with pytest.raises(StoreMismatchError, match="is a directory: give the path of a file"):
        run(tmp_path)
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(StoreMismatchError, match="cannot be opened as a DuckDB file"):
        run(tmp_path / "text.duckdb")
    with duckdb.connect(str(tmp_path / "own.duckdb")) as db:
        db.execute("CREATE TABLE forecasts (mine INTEGER)")
    with pytest.raises(StoreMismatchError, match="has a table forecasts of its own"):
        run(tmp_path / "own.duckdb")


def test_tables_of_the_user_in_the_same_file_stay(run, tmp_path):
    with duckdb.connect(str(tmp_path / "x.duckdb")) as db:
        db.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    run()
    assert query(tmp_path / "x.duckdb", "SELECT answer FROM mine").answer.tolist() == [42]
    with pytest.raises(StoreMismatchError, match="its layout is long, not wide"):
        run(layout="wide")


def test_duckdb_that_is_not_installed_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=r"pip install 'hrrr-dask\[tables\]'"):
        run()


def test_a_thousand_random_values_are_those_of_plain_xarray(run, store, tmp_path):
    import xarray as xr

    run()
    table = query(tmp_path / "x.duckdb", "SELECT * FROM hrrr_forecasts")
    chance = np.random.default_rng(17)
    with xr.open_zarr(store.url, chunks=None) as ds:
        ids = {place: k for k, place in enumerate(zip(ds.latitude.values, ds.longitude.values, strict=True))}
        for row in table.iloc[chance.integers(len(table), size=1000)].itertuples():
            lead = row.valid_time_utc - row.run_time_utc
            found = ds[row.variable].sel(init_time=row.run_time_utc, lead_time=lead)[ids[row.latitude, row.longitude]]
            assert found.item() == row.value
