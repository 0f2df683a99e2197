"""A ledger of millions of files for :mod:`benchmarks.scale`, written directly from columns, then reduced."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.measuring import resident
from hrrr_dask.config.settings import Selection, parse_selection, resolve_settings
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.parquet import encode_tables
from hrrr_dask.ledger.rows import SCHEMA, Attempt
from hrrr_dask.ledger.state import COLUMNS, reduce_rows
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.planning.layout import Axis

__all__ = ["compact_ledger", "fold_ledger", "write_ledger"]

START: Final = datetime(2014, 7, 30)
ENTRY_FILES: Final = 2_000
PARTITION_FILES: Final = 30 * 24 * 19
N_POINTS: Final = 3
GAP_EVERY: Final = 997
"""Of the values, one in so many is missing."""

SIZE: Final = "n_files.txt"


def write_ledger(url: str, n_files: int) -> dict[str, Any]:
    """Write an entry for every 2,000 files."""
    ledger, selection = Ledger(Blobs(url, {})), parse_selection(resolve_settings())
    began = time.perf_counter()
    for number, first in enumerate(range(0, n_files, ENTRY_FILES)):
        files = np.arange(first, min(first + ENTRY_FILES, n_files))
        moment = datetime(2026, 1, 1) + timedelta(seconds=number)
        who = Attempt(first // PARTITION_FILES, "scale", number, moment, "eccodes", "1.2.3")
        ledger.write(who, encode_tables([entry_table(files, selection, who)], SCHEMA))
    Path(url, SIZE).write_text(str(n_files))
    size = sum(path.stat().st_size for path in Path(url).rglob("*.parquet"))
    return {"files": n_files, "entries": number + 1, "disk_bytes": size, "write s": time.perf_counter() - began}


def entry_table(files: NDArray[np.int64], selection: Selection, who: Attempt) -> pa.Table:
    """The rows of an entry, as :func:`hrrr_dask.ledger.rows.encode_entry` has them."""
    names = [variable.name for variable in selection.variables]
    runs, leads = np.divmod(files, len(selection.lead_minutes))
    file = np.repeat(np.arange(len(files)), len(names))
    n_rows = len(file)
    value = (files[0] * len(names) + np.arange(n_rows)) % GAP_EVERY
    times = (np.datetime64(START, "s") + runs * np.timedelta64(3600, "s"))[file]
    same = np.zeros(n_rows, dtype=np.int32)
    missing = (value == 0).astype(np.int32)
    columns = {
        "init_time": times,
        "lead_hours": leads[file].astype(np.int16),
        "lead_minutes": (60 * leads[file]).astype(np.int16),
        "variable": _words(np.tile(np.arange(len(names), dtype=np.int32), len(files)), names),
        "outcome": _words(missing, ["complete", "not-published"]),
        "detail": _words(missing, ["", "the archive has no such object"]),
        "first_point": same,
        "n_points": np.full(n_rows, N_POINTS, np.int32),
        "attempt": np.full(n_rows, 1, np.int32),
        "source": _words(file.astype(np.int32), [f"https://archive.example/hrrr/file-{k:09d}.grib2" for k in files]),
        "etag": _words(file.astype(np.int32), [f"{k * 2654435761 % 2**128:032x}-9" for k in files.tolist()]),
        "published": times + np.timedelta64(5000, "s"),
        "ingested": np.full(n_rows, np.datetime64(who.ingested, "s")),
        "inventory": _words(same, ["idx"]),
        "file_bytes_read": 9_000_000 + 7919 * files[file] % 1_000_000,
        "file_requests": np.full(n_rows, 6, np.int32),
        "file_seconds": (0.2 + files[file] % 1009 / 1e4).astype(np.float32),
        "checksum": (files[file] * 11 + np.arange(n_rows) % 11) * 2654435761 % 2**32,
        "flags": same,
        "engine": _words(same, [who.engine]),
        "package_version": _words(same, [who.package_version]),
        "job": _words(same, [who.job]),
        "entry": _words(same, [who.entry]),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _words(indices: NDArray[np.int32], words: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(words, pa.string()))


def fold_ledger(url: str) -> dict[str, Any]:
    """Reduce it to how each value stands."""
    selection = parse_selection(resolve_settings())
    axis, ledger, n_files = Axis(START, selection.cycles), Ledger(Blobs(url, {})), int(Path(url, SIZE).read_text())
    inits = slice(0, -(-n_files // len(selection.lead_minutes)))
    base, began = resident("VmRSS"), time.perf_counter()
    states = reduce_rows(ledger.tables(None, COLUMNS), selection, axis, inits, (N_POINTS,))
    seconds = time.perf_counter() - began
    complete, rows = int((states.codes == COMPLETE).sum()), n_files * len(selection.variables)
    if complete != rows - -(-rows // GAP_EVERY):
        raise RuntimeError(f"{complete} of {rows} values are complete after folding: one in {GAP_EVERY} should not be")
    return {
        "seconds": seconds,
        "base_bytes": base,
        "peak_bytes": resident("VmHWM"),
        "rows": rows,
        "complete": complete,
    }


def compact_ledger(url: str) -> dict[str, Any]:
    """Gather its entries."""
    base, began = resident("VmRSS"), time.perf_counter()
    before, after = Ledger(Blobs(url, {})).compact(datetime(2026, 2, 1))
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in Path(url).rglob("*.parquet"))
    return {
        "seconds": seconds,
        "base_bytes": base,
        "peak_bytes": resident("VmHWM"),
        "objects_before": before,
        "objects_after": after,
        "disk_bytes": size,
    }
