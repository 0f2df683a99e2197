"""Write ``docs/ledger.md``: the columns of the ledger, taken from ``hrrr_dask.ledger.rows.SCHEMA``, and all outcomes.

Usage: python docs/ledger.py
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hrrr_dask.ledger.rows import SCHEMA
from hrrr_dask.outcomes import OUTCOMES

PAGE = Path(__file__).with_suffix(".md")

MEANINGS = {
    "init_time": "Start of the run, UTC.",
    "lead_hours": "Hour in the file's name [h].",
    "lead_minutes": "Lead time [min].",
    "variable": "Name of the array.",
    "outcome": "What came of the attempt: see below.",
    "detail": "What exactly was found, for a gap.",
    "first_point": "Position of the first point that the row is about.",
    "n_points": "The row is about the points from `first_point` to before this one.",
    "attempt": "Number of the attempt at the value, from 1 on.",
    "source": "URL of the file.",
    "etag": "The file's ETag.",
    "published": "Since when the file was in the archive (its Last-Modified), UTC.",
    "ingested": "Time of the commit, UTC.",
    "inventory": "Where the byte ranges are from: `idx`, the published inventory, or `walk`, the file itself.",
    "file_bytes_read": "Bytes that were read of the file [B].",
    "file_requests": "Requests for the file.",
    "file_seconds": "How long reading the file took [s].",
    "checksum": "CRC-32C of the values as little-endian float32; null for a gap, and where it is unknown.",
    "flags": "Flags of implausible values, see [quality](quality.md).",
    "engine": "Engine that decoded the value.",
    "package_version": "Version of hrrr_dask.",
    "job": "Identifier of the command.",
    "entry": "Name of the ledger's entry, which is one commit.",
}

HEAD = """\
# The ledger

The ledger has a row for each attempt at a value: one variable of one lead time of one run, at a range of points. Rows
are never changed; `status` in the arrays is the state that follows from all of them. `python docs/ledger.py` writes
this page from `hrrr_dask/ledger/rows.py`; a test checks that it is up to date.

```python
from hrrr_dask.ledger import to_dataframe

to_dataframe("farms.zarr").query("outcome != 'complete'")
```

It is Parquet below `.hrrr/ledger`, so that DuckDB, Polars or Spark can read it, too.

## Columns

| column | type | meaning |
| --- | --- | --- |
"""

OUTCOMES_HEAD = """
## Outcomes

`status` in the arrays has the largest number of a file's variables.

| outcome | number | meaning |
| --- | --- | --- |
"""


def spell(kind: pa.DataType) -> str:
    """A column's type, without how it is compressed."""
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def write() -> str:
    """The page."""
    rows = [f"| `{field.name}` | {spell(field.type)} | {MEANINGS[field.name]} |\n" for field in SCHEMA]
    outcomes = [f"| `{one.name}` | {one.number} | {one.meaning} |\n" for one in OUTCOMES.values()]
    return "".join([HEAD, *rows, OUTCOMES_HEAD, *outcomes])


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
