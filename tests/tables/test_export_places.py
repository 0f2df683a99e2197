"""Tables in a bucket, of quarter-hour stores, and from the command line."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support.specs import SELECTION, SPAN, commit, make_spec, outcome, piece
from support.tables import frame_of, heal, make_store

import hrrr_dask
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.cli.commands import cli
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.tables import export as exporting
from hrrr_dask.tables.report import ExportReport
from hrrr_dask.testing import loopback_s3


@pytest.fixture(scope="module")
def s3():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield server


def read_bucket(s3, prefix):
    client = s3.client()

    def get(key):
        return client.get_object(Bucket="out", Key=f"{prefix}/{key}")["Body"].read()

    files = json.loads(get("_manifest.json"))["files"]
    tables = [pq.read_table(pa.BufferReader(get(file["path"]))).to_pandas() for file in files]
    return pd.concat(tables), {f"{prefix}/{file['path']}" for file in files}


def keys_of(s3, prefix):
    listed = s3.client().list_objects_v2(Bucket="out", Prefix=f"{prefix}/")["Contents"]
    return {each["Key"]: each["LastModified"] for each in listed}


def test_a_table_in_a_bucket_is_updated_as_one_in_a_directory(s3, one_process, tmp_path):
    store = make_store(tmp_path / "x.zarr")

    def run():
        return hrrr_dask.export(store.url, "s3://out/some/tables", client=one_process, progress=False)

    assert run().days_written == 4
    before = keys_of(s3, "some/tables")
    assert run().days_unchanged == 4
    assert keys_of(s3, "some/tables") == before
    heal(store)
    assert run().days_written == 1
    table, named = read_bucket(s3, "some/tables")
    expected = frame_of(store.url)
    assert len(table) == len(expected)
    sums = (
        frame.groupby("variable").value.agg(lambda v: v.astype("f8").sum()).to_dict() for frame in (table, expected)
    )
    assert next(sums) == next(sums)
    assert set(keys_of(s3, "some/tables")) == named | {"some/tables/_manifest.json"}, "nothing is left over"


def test_lead_times_of_quarter_hours_are_fractions(one_process, tmp_path):
    leads = (0, 15, 30, 45, 60)
    variables = parse_variables(["temperature_2m"])
    selection = replace(SELECTION, product="subh", lead_minutes=leads, variables=variables)
    store = Store(str(tmp_path / "q.zarr"), {}, make_spec(2, selection=selection)).make_or_grow(Growth())
    store.merge(0, {"temperature_2m": [piece("temperature_2m", row, k) for row in range(SPAN) for k in range(5)]})
    outcomes = []
    for row in range(SPAN):
        for lead in leads:
            one = outcome(row, -(-lead // 60), None, ("temperature_2m",))
            outcomes.append(replace(one, lead_minutes=lead))
    commit(store, *outcomes)
    hrrr_dask.export(store.url, str(tmp_path / "tables"), client=one_process, progress=False)
    files = sorted((tmp_path / "tables").glob("init_date=*/*.parquet"))
    table = pd.read_parquet(files, partitioning=None)
    assert sorted(table.lead_time_h.unique()) == [0, 0.25, 0.5, 0.75, 1]
    assert (table.valid_time - table.init_time == table.lead_time_h * np.timedelta64(3600, "s")).all()
    expected = frame_of(store.url).sort_values(["init_time", "lead_time_h", "point_id"])
    found = table.sort_values(["init_time", "lead_time_h", "point_id"])
    assert found.value.tolist() == expected.value.tolist()


REPORT = ExportReport("s.zarr", "t", "duckdb", "wide", 1, 2, 0, 30, 400, 0.5, interrupted=False)


def test_options_of_the_command_arrive_and_the_report_is_printed(monkeypatch):
    given = {}

    def export(**options):
        given.update(options)
        return REPORT

    monkeypatch.setattr(exporting, "export", export)
    words = "export --store s.zarr --to t --format duckdb --layout wide --start 2024-01-01 --end 2024-01-02 --with-gaps"
    more = "--variables a,b --to-option region=x --store-option endpoint=http://h --workers 2 --cluster local --json"
    done = CliRunner().invoke(cli, [*words.split(), *more.split()])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["days_written"] == 1
    assert given == {
        "store": "s.zarr",
        "to": "t",
        "format": "duckdb",
        "layout": "wide",
        "with_gaps": True,
        "progress": True,
        "start": "2024-01-01",
        "end": "2024-01-02",
        "variables": "a,b",
        "workers": 2,
        "cluster": "local",
        "to_options": {"region": "x"},
        "store_options": {"endpoint": "http://h"},
    }
    monkeypatch.setattr(exporting, "export", lambda **_: replace(REPORT, interrupted=True))
    done = CliRunner().invoke(cli, words.split())
    assert (done.exit_code, "interrupted" in done.stdout, "1 written, 2 unchanged" in done.stdout) == (1, True, True)


def test_an_error_of_the_command_is_one_line(tmp_path):
    done = CliRunner().invoke(cli, ["export", "--store", str(tmp_path / "none"), "--to", str(tmp_path / "t"), "--json"])
    assert done.exit_code == 2
    assert "holds no store" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "store-mismatch"
