"""The benchmark of exports runs, compares the tables with the store, and measures memory."""

from __future__ import annotations

import json
import os

import pytest
from support import needs

from benchmarks import export
from benchmarks.running import run_alone


def test_a_small_case_is_exported_and_compared(tmp_path, capsys):
    needs.extra("duckdb")
    run_alone("export", ["--quick", "--json", str(tmp_path / "report.json")])
    answer = json.loads((tmp_path / "report.json").read_text())["export"]
    assert answer["found"]["rows"] == 2 * 24 * 3 * 20 * 11
    assert "are equal to the store's" in answer["about"]["compared"]
    assert "rows/s" in capsys.readouterr().out
    assert "x" in export.readme_rows(answer)[0].ratio


def test_other_tables_than_the_store_s_are_an_error(tmp_path):
    needs.extra("duckdb")
    wanted = export.write_store(str(tmp_path / "x.zarr"), 1, 3, 2)
    assert export.write_store(str(tmp_path / "x.zarr"), 1, 3, 2) == wanted
    export.run_export(str(tmp_path / "x.zarr"), str(tmp_path / "tables"), "wide")
    assert "equal" in export.check(str(tmp_path / "tables"), "wide", wanted)
    wanted["sums"]["temperature_2m"] += 1
    with pytest.raises(RuntimeError, match="the tables have"):
        export.check(str(tmp_path / "tables"), "wide", wanted)


def test_peaks_are_those_of_parts_of_the_time():
    watch = export.Watch([os.getpid()])
    watch._seen = [[1, 2], [5, 3], [4, 4], [9, 1]]
    assert watch.peaks(2) == [5, 9]
    assert export.flatness([5, 9]) == 1.8
