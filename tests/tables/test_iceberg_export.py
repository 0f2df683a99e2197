"""From files of the archive to a table of Iceberg: the command, its second run, growth, gaps that heal, and S3."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner
from support import needs
from support.day_files import local_catalog, snapshots

import hrrr_dask
from hrrr_dask.cli.commands import cli
from hrrr_dask.errors import ConfigError
from hrrr_dask.grid.points import Points
from hrrr_dask.testing import GridWindow, loopback_s3, write_archive

needs.extra("pyiceberg.catalog.sql")
needs.extra("duckdb")

WINDOW = GridWindow(288, 794, 14, 18)
KEY = ["init_time", "lead_time_h", "point_id", "variable"]
START, END = datetime(2024, 1, 1), datetime(2024, 1, 2, 12)
NAMES = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m"]


@pytest.fixture
def archive(tmp_path):
    """Two days of two runs with two lead times; one file is not there yet."""
    days = {"start": START, "end": END, "cycles": (0, 12), "lead_hours": (0, 1)}
    made = write_archive(tmp_path / "archive", window=WINDOW, variables=NAMES, decoys=False, **days)
    late = {path: path.read_bytes() for path in made.root.rglob("*t12z*f01.grib2*") if "20240101" in str(path)}
    assert late
    for path in late:
        path.unlink()
    return made, late


@pytest.fixture
def points():
    latitude, longitude = WINDOW.latlon(np.array([2.0, 7.3, 11.0]), np.array([3.0, 9.1, 14.0]))
    ids = ("kboi", "roscoe", "seoul")
    return Points(point_id=ids, name=ids, latitude=latitude, longitude=longitude)


@pytest.fixture
def store(tmp_path, archive, points, one_process):
    url = str(tmp_path / "x.zarr")
    selection = {"cycles": "0,12", "lead_hours": "0,1", "variables": NAMES[:2], "source": str(archive[0].root)}
    hrrr_dask.backfill(points, START, END, url, client=one_process, progress=False, **selection)
    return url


def frame_of(store):
    """Rows of a store by plain xarray."""
    with xr.open_zarr(store, chunks=None) as ds:
        names = [name for name in ds.data_vars if ds[name].dims == ("init_time", "lead_time", "point")]
        parts = [ds[name].to_dataframe(name="value").reset_index().assign(variable=name) for name in names]
    frame = pd.concat(parts).dropna(subset="value")
    frame["lead_time_h"] = frame.lead_time / np.timedelta64(1, "h")
    return frame.sort_values(KEY, ignore_index=True)


def check_equal(table, store):
    """The table has the rows of the store, and no other."""
    found = table.to_pandas().sort_values(KEY, ignore_index=True)
    wanted = frame_of(store)
    assert len(found) == len(wanted) > 0
    for name in ("lead_time_h", "point_id", "variable", "value", "latitude", "longitude"):
        np.testing.assert_array_equal(found[name].to_numpy(), wanted[name].to_numpy(), err_msg=name)
    np.testing.assert_array_equal(
        found.init_time.dt.tz_localize(None).to_numpy("M8[us]"), wanted.init_time.to_numpy("M8[us]")
    )


def scan(warehouse):
    with closing(local_catalog(warehouse)) as catalog:
        return catalog.load_table("hrrr.forecasts").scan().to_arrow()


def test_the_command_exports_updates_and_then_has_nothing_to_do(tmp_path, store, archive, one_process):
    warehouse = tmp_path / "warehouse"
    options = ["--store", store, "--format", "iceberg", "--to", str(warehouse), "--json"]

    def export():
        done = CliRunner().invoke(cli, ["export", *options, "--cluster", one_process.scheduler.address])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    first = export()
    assert (first["days_written"], first["rows"]) == (2, 2 * 3 * 7)
    check_equal(scan(warehouse), store)
    files = sorted(warehouse.rglob("*"))
    assert export()["days_written"] == 0
    assert sorted(warehouse.rglob("*")) == files

    for path, data in archive[1].items():
        path.write_bytes(data)
    hrrr_dask.backfill(None, START, END, store, client=one_process, progress=False, retry_gaps=True)
    healed = export()
    assert (healed["days_written"], healed["days_unchanged"]) == (1, 1)
    check_equal(scan(warehouse), store)
    assert snapshots(warehouse) == 2

    with closing(local_catalog(warehouse)) as catalog:
        connection = catalog.load_table("hrrr.forecasts").scan().to_duckdb("f")
    wanted = frame_of(store).groupby("variable").value
    found = connection.sql("select variable, count(*), sum(value::double) from f group by all order by all").fetchall()
    connection.close()
    assert [row[:2] for row in found] == [(name, int(n)) for name, n in wanted.count().items()]
    np.testing.assert_allclose(
        [row[2] for row in found], [group.astype(float).sum() for _, group in wanted], rtol=1e-12
    )


def test_a_wide_table_grows_with_the_store_and_gaps_are_rows_if_wanted(tmp_path, store, archive, one_process):
    warehouse = tmp_path / "warehouse"
    options = {"format": "iceberg", "layout": "wide", "with_gaps": True, "client": one_process, "progress": False}
    hrrr_dask.export(store, warehouse, **options)
    found = scan(warehouse).to_pandas()
    assert len(found) == 8 * 3
    assert found.temperature_2m.isna().sum() == 3
    assert set(found.gap.dropna()) == {"not-published"}
    hrrr_dask.add_variables(store, NAMES[2], client=one_process, progress=False)
    hrrr_dask.export(store, warehouse, **options)
    found = scan(warehouse).to_pandas().sort_values(["init_time", "lead_time_h", "point_id"], ignore_index=True)
    assert len(found) == 8 * 3
    with xr.open_zarr(store, chunks=None) as ds:
        for name in NAMES:
            wanted = ds[name].sel(init_time=slice(START, END)).to_numpy().ravel()
            np.testing.assert_array_equal(found[name].to_numpy("f4"), wanted, err_msg=name)


def test_a_bucket(tmp_path, store, one_process, monkeypatch):
    needs.extra("moto")
    with loopback_s3() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create_bucket("tables")
        catalog = {"uri": f"sqlite:///{tmp_path}/catalog.db"}
        options = {"format": "iceberg", "table": "weather.hrrr", "catalog": catalog, "client": one_process}
        assert hrrr_dask.export(store, "s3://tables/w", progress=False, **options).days_written == 2
        assert hrrr_dask.export(store, "s3://tables/w", progress=False, **options).days_written == 0

        from pyiceberg.catalog import load_catalog

        io = {"s3.endpoint": server.endpoint, "s3.region": "us-east-1"}
        with closing(load_catalog("default", **catalog, **io)) as opened:
            check_equal(opened.load_table("weather.hrrr").scan().to_arrow(), store)


def test_options_of_iceberg_are_refused_for_other_formats(tmp_path, store):
    with pytest.raises(ConfigError, match="a table's name is only for format iceberg, not for parquet"):
        hrrr_dask.export(store, tmp_path / "t", table="hrrr.x")
    with pytest.raises(ConfigError, match="a catalogue is only for format iceberg"):
        hrrr_dask.export(store, tmp_path / "t", catalog={"type": "glue"})


def test_a_name_that_cannot_be_a_table_ends_with_a_short_error(tmp_path, store):
    words = ["--store", store, "--format", "iceberg", "--to", str(tmp_path / "w"), "--table", "forecasts"]
    done = CliRunner().invoke(cli, ["export", *words])
    assert done.exit_code == 2
    assert "write namespace.name" in done.output
