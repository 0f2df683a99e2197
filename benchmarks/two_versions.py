"""Compare the stores of two checkouts of hrrr_dask, bit for bit: ``python -m benchmarks.two_versions ../other``.

The same commands make a store and let it grow: with the other checkout, with this one, and with this one on a store
that the other made. All objects are compared, except what differs from run to run: the job and the time of day in the
ledger, the seconds that a file took, and the wording of errors. Settings in the root document are equal if they say the
same, as an object or as a string of JSON.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from hrrr_dask.ledger.rows import decode_entry
from hrrr_dask.store.settings_attribute import encode_root
from hrrr_dask.store.template import ROOT_KEY
from hrrr_dask.testing import GridWindow, delete, drop_message, truncate, write_archive

__all__ = ["OVER_TIME", "compare_stores", "main"]

HERE: Final = Path(__file__).parents[1]
WINDOW: Final = GridWindow(288, 794, 40, 40)
CYCLES: Final = (0, 6, 12, 18)
LEAD_HOURS: Final = (0, 1, 2, 3)

OVER_TIME: Final = ("detail", "entry", "file_seconds", "ingested", "job")
"""Columns of the ledger that no two runs have alike."""

STEPS: Final = {
    "make": "hrrr_dask.backfill(POINTS[:3], '2024-01-02', '2024-01-03', store, source=[archive], cycles='0,6,12,18', "
    "lead_hours='0-3', method='bilinear', partition_days=1, client=client)",
    "later and earlier": "for day in ('2024-01-04', '2024-01-01'): "
    "hrrr_dask.backfill(None, day, day, store, client=client)",
    "grow": "hrrr_dask.add_points(store, POINTS, client=client); "
    "hrrr_dask.add_variables(store, 'wind_gust_surface,precipitation_1h', client=client)",
    "again": "hrrr_dask.backfill(None, '2024-01-01', '2024-01-04', store, retry_gaps=True, client=client)",
}
"""What is done to a store, one process each."""

_SCRIPT: Final = """\
import sys
import pandas as pd
from distributed import Client
import hrrr_dask

checkout, archive, store, points, step = sys.argv[1:]
assert hrrr_dask.__file__.startswith(checkout), hrrr_dask.__file__
POINTS = pd.read_csv(points)
with Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as client:
    exec(step)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, compare, print; exit 1 where anything differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.two_versions", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("other", type=Path, help="directory of the other checkout, the one that holds hrrr_dask/")
    other = parser.parse_args(arguments).other.resolve()
    if not (other / "hrrr_dask" / "__init__.py").exists():
        parser.error(f"{other} has no hrrr_dask/: give the directory of a checkout")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        archive, points = _write_archive(work / "archive"), _write_points(work / "points.csv")
        mixed = {step: other if step == "make" else HERE for step in STEPS}
        for name, by in (
            ("other", dict.fromkeys(STEPS, other)),
            ("this", dict.fromkeys(STEPS, HERE)),
            ("mixed", mixed),
        ):
            for step, checkout in by.items():
                _run(step, checkout, archive, work / f"{name}.zarr", points)
        found = [compare_stores(work / "other.zarr", work / f"{name}.zarr") for name in ("this", "mixed")]
    for name, (objects, rows, differences) in zip(("this", "made by the other, grown by this"), found, strict=True):
        print(f"{name}: {objects} objects, {rows:,} ledger rows, {len(differences)} different")
        for line in differences:
            print(f"  {line}")
    if any(differences for _, _, differences in found):
        sys.exit(1)


def compare_stores(one: Path, other: Path) -> tuple[int, int, list[str]]:
    """Compare two stores on disk.

    Parameters
    ----------
    one, other : Path
        Their directories.

    Returns
    -------
    objects : int
        Objects compared, the ledger's aside.
    rows : int
        Rows of the ledger compared.
    differences : list of str
        What differs, a line each.
    """
    there, here = dict(_objects(one)), dict(_objects(other))
    differences = [
        f"{key}: {'differs' if key in there and key in here else 'is only in one'}"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    rows, own = _ledger(one), _ledger(other)
    differences += [f"ledger: {row}" for row in sorted(set(rows) ^ set(own))[:20]]
    if not there or not rows:
        differences.append("there is nothing to compare")
    return len(there), len(rows), differences


def _objects(store: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(store.rglob("*")):
        key = path.relative_to(store).as_posix()
        if path.is_file() and not key.startswith(".hrrr/ledger/"):
            yield key, encode_root(path.read_bytes()) if key == ROOT_KEY else path.read_bytes()


def _ledger(store: Path) -> list[str]:
    tables = [decode_entry(path.read_bytes()) for path in sorted((store / ".hrrr" / "ledger").rglob("*.parquet"))]
    rows = [row for table in tables for row in table.drop_columns(list(OVER_TIME)).to_pylist()]
    return sorted(map(repr, rows))


def _run(step: str, checkout: Path, archive: Path, store: Path, points: Path) -> None:
    command = [sys.executable, "-P", "-W", "ignore", "-c", _SCRIPT]
    names = [str(checkout), str(archive), str(store), str(points), STEPS[step]]
    subprocess.run([*command, *names], env={**os.environ, "PYTHONPATH": str(checkout)}, check=True)


def _write_points(path: Path) -> Path:
    latitude, longitude = WINDOW.latlon([3.2, 11.7, 20.1, 33.3, 8.8], [4.1, 30.3, 17.6, 25.2, 12.9])
    lines = (f"p{k},{lat},{lon}" for k, (lat, lon) in enumerate(zip(latitude, longitude, strict=True)))
    path.write_text("point_id,latitude,longitude\n" + "\n".join(lines) + "\n")
    return path


def _write_archive(root: Path) -> Path:
    """Four days, of which a file is missing, one is cut, one lacks a message and some have no inventory."""
    archive = write_archive(
        root,
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 4, 18),
        cycles=CYCLES,
        lead_hours=LEAD_HOURS,
        window=WINDOW,
    )
    delete(archive, archive.files[9])
    truncate(archive, archive.files[21], archive.path(archive.files[21]).stat().st_size // 2)
    drop_message(archive, archive.files[33], "temperature_2m")
    for file in archive.files[40:44]:
        archive.inventory_path(file).unlink()
    return root


if __name__ == "__main__":
    main()
