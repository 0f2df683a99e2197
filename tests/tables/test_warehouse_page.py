"""The code of the page about warehouses runs, on a table as an export makes it."""

from __future__ import annotations

import json
import re
from datetime import date

from support import needs
from support.day_files import open_target, rows_of, write
from support.paths import ROOT

needs.extra("pyiceberg.catalog.sql")
needs.extra("duckdb")

PAGE = ROOT / "docs" / "warehouses.md"
DAYS = [date(2024, 1, 13), date(2024, 1, 14)]


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    target = open_target(tmp_path / "warehouse")
    for seed in (1, 2):
        target.commit([write(target, day, rows_of(day, seed)) for day in DAYS], ())
    files = [{"init_date": str(day), "path": f"init_date={day}/a.parquet", "bytes": 7} for day in DAYS]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "_manifest.json").write_text(json.dumps({"files": files}))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["day"].num_rows == 24
    assert names["day"]["value"].equals(rows_of(DAYS[1], 2)["value"])
    assert capsys.readouterr().out.count("t2m") == 3  # a line for each point
    (entry,) = json.loads((tmp_path / "redshift.json").read_text())["entries"]
    assert entry == {
        "url": "s3://my-bucket/tables/init_date=2024-01-14/a.parquet",
        "mandatory": True,
        "meta": {"content_length": 7},
    }
    names["catalog"].close()
    names["forecasts"].close()
