"""The examples of docs/tables.md run as they are printed."""

from __future__ import annotations

import re

import pytest
from support import needs
from support.paths import ROOT
from support.tables import frame_of, make_store

import hrrr_dask

PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


def blocks_of(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def directory(one_process, tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    store = make_store(root / "farms.zarr")
    needs.extra("duckdb")
    for to, kind in (("tables", "parquet"), ("farms.duckdb", "duckdb")):
        hrrr_dask.export(store.url, str(root / to), format=kind, client=one_process, progress=False)
    return root


def test_the_lines_of_python_read_every_value(directory, monkeypatch):
    monkeypatch.chdir(directory)
    (block,) = blocks_of("python")
    ran = {}
    exec(compile(block, "docs/tables.md", "exec"), ran)
    assert len(ran["frame"]) == len(frame_of(directory / "farms.zarr"))


def test_the_lines_of_sql_read_every_value(directory, monkeypatch):
    duckdb = needs.extra("duckdb")
    monkeypatch.chdir(directory)
    parquet, forecasts = blocks_of("sql")
    with duckdb.connect() as db:
        counts = db.execute(parquet).fetchall()
    assert sum(count for _, count, _ in counts) == len(frame_of(directory / "farms.zarr"))
    with duckdb.connect("farms.duckdb", read_only=True) as db:
        assert len(db.execute(forecasts).fetchall()) == 10


def test_the_partitions_are_a_table_without_the_manifest(directory, monkeypatch):
    duckdb = needs.extra("duckdb")
    monkeypatch.chdir(directory)
    pattern = re.search(r"`(tables/init_date=\S+)`", PAGE)[1]
    found = duckdb.execute("SELECT count(*) FROM read_parquet(?, hive_partitioning = true)", [pattern]).fetchall()
    assert found == [(len(frame_of(directory / "farms.zarr")),)]
