"""Parquet files of days as workers write them, and the Iceberg table that they make, as another program reads it."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hrrr_dask.tables.iceberg_catalog import CATALOG_FILE
from hrrr_dask.tables.iceberg_target import IcebergTarget
from hrrr_dask.tables.targets import DayFile

TIME = pa.timestamp("us", tz="UTC")
LONG = pa.schema(
    {
        "init_time": TIME,
        "lead_time_h": pa.float64(),
        "valid_time": TIME,
        "point_id": pa.string(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "variable": pa.string(),
        "value": pa.float32(),
        "units": pa.string(),
        "source": pa.string(),
    }
)
ORIGIN = {"store": "s3://bucket/farms.zarr", "layout": "long", "gaps": "left out"}
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(4)]


def rows_of(day, seed, n=24):
    """Rows of one day in the long layout; another seed, other values."""
    random = np.random.default_rng([day.toordinal(), seed])
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    inits = [midnight + timedelta(hours=number % 24) for number in range(n)]
    return pa.table(
        {
            "init_time": pa.array(inits, TIME),
            "lead_time_h": np.full(n, 0.25),
            "valid_time": pa.array([init + timedelta(minutes=15) for init in inits], TIME),
            "point_id": [f"p{number % 3}" for number in range(n)],
            "latitude": random.uniform(30, 45, n),
            "longitude": random.uniform(-120, -80, n),
            "variable": ["t2m"] * n,
            "value": random.normal(280, 10, n).astype(np.float32),
            "units": ["K"] * n,
            "source": [f"s3://noaa-hrrr-bdp-pds/hrrr.{day:%Y%m%d}/conus/"] * n,
        },
        schema=LONG,
    )


def write(target, day, table, fingerprint="", put=None):
    """Write a day's file as a worker does, under the target's directory."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    data = buffer.getvalue()
    fingerprint = fingerprint or hashlib.sha256(data).hexdigest()[:16]
    url = f"{target.files_url}/init_date={day}/{fingerprint[:4]}-{fingerprint}.parquet"
    if put:
        put(url, data)
    else:
        path = Path(url.removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        url = str(path)
    return DayFile(day, url, table.num_rows, len(data), fingerprint)


def open_target(place, **changed):
    return IcebergTarget(str(place), **{"schema": LONG, "origin": ORIGIN} | changed)


def read(place, columns=("init_time", "point_id")):
    """All rows by pyiceberg, sorted."""
    with closing(local_catalog(place)) as catalog:
        table = catalog.load_table("hrrr.forecasts").scan().to_arrow()
    return table.sort_by([(name, "ascending") for name in columns])


def local_catalog(place):
    from pyiceberg.catalog import load_catalog

    return load_catalog("default", type="sql", uri=f"sqlite:///{place}/{CATALOG_FILE}")


def snapshots(place):
    with closing(local_catalog(place)) as catalog:
        return len(catalog.load_table("hrrr.forecasts").snapshots())


def check_equal(found, tables):
    """The same rows, in any order."""
    wanted = pa.concat_tables(tables).sort_by([("init_time", "ascending"), ("point_id", "ascending")])
    assert found.num_rows == wanted.num_rows
    for name in wanted.column_names:
        assert found[name].cast(wanted[name].type).equals(wanted[name]), name
