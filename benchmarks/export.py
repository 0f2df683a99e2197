"""Measures how fast two workers export a year of a store as Parquet, and whether their memory stays flat.

Run ``python -m benchmarks export``. The store has hourly runs of eleven variables at 500 points; its values are
synthetic and written without decoding. DuckDB, if it is installed, reads the tables back: nothing is
printed unless the number of rows and the sums are those of the store.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.hourly_child import make_spec, values_of
from benchmarks.measuring import cpu_s, describe_machine, describe_versions, resident
from benchmarks.running import Answer, Row, make_parser, run_alone, say, working

RUNS: Final = 24
PARTITION_DAYS: Final = 8
WORKERS: Final = 2
PARTS: Final = 10
"""Parts of the time in which the peak of memory is noted."""

LOOK_S: Final = 0.1


class Watch:
    """Looks at processes again and again, and notes what each has."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._seen: list[list[int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(LOOK_S):
            self._seen.append([resident("VmRSS", pid) for pid in self._pids])

    def peaks(self, parts: int = PARTS) -> list[int]:
        """Most memory of any of the processes in each part of the time [B]."""
        return [int(part.max()) for part in np.array_split(np.array(self._seen), parts) if part.size]


def write_store(url: str, n_days: int, n_points: int, n_leads: int) -> dict[str, Any]:
    """Write a store through the pipeline's ``write_partition``, unless it is there; its rows and sums by variable."""
    about = Path(url).with_suffix(".json")
    if about.exists():
        known: dict[str, Any] = json.loads(about.read_text())
        return known
    from dataclasses import replace

    from hrrr_dask.archive.fetch import FetchSettings
    from hrrr_dask.job.pipeline import Job, write_partition
    from hrrr_dask.records import Partition, Reading
    from hrrr_dask.store.spec import Growth
    from hrrr_dask.store.store import Store

    spec = replace(make_spec(n_points, n_leads, PARTITION_DAYS), n_days=n_days)
    store = Store(url, {}, spec).make_or_grow(Growth())
    names = [variable.name for variable in spec.selection.variables]
    days = PARTITION_DAYS * RUNS
    template = [np.stack([values_of(spec, v, run) for v in range(len(names))], axis=1) for run in range(min(days, 48))]
    sums, rows = np.zeros(len(names)), 0
    for number in range(-(-n_days // PARTITION_DAYS)):
        runs = range(number * days, min((number + 1) * days, n_days * RUNS))
        extracts = []
        for run in runs:
            values = template[run % len(template)] + np.float32(run / 16)
            sums += values.sum(axis=(0, 2), dtype=np.float64)
            rows += values.size
            extracts += list(_extracts(store.spec, run, values))
        readings = tuple(Reading.of(extract.outcome.file, names) for extract in extracts)
        job = Job("export", store.spec, url, (), (), FetchSettings(), "eccodes", 0, "0")
        write_partition(Partition(number, readings), extracts, job)
        say(f"{runs.stop // RUNS} of {n_days} days of the store are written")
    found = {"rows": rows, "sums": dict(zip(names, sums.tolist(), strict=True))}
    about.write_text(json.dumps(found))
    return found


def _extracts(spec: Any, run: int, values: Any) -> Iterator[Any]:
    from hrrr_dask.records import Extract, FileOutcome, GribFile, Origin

    names = tuple(variable.name for variable in spec.selection.variables)
    for lead, own in zip(spec.selection.lead_minutes, values, strict=True):
        file = GribFile(spec.axis.init_time(run), lead // 60)
        source = f"s3://noaa-hrrr-bdp-pds/hrrr.{file.init_time:%Y%m%d/conus/hrrr.t%Hz}.wrfsfcf{lead // 60:02d}.grib2"
        origin = Origin(source=source, published=datetime(2024, 1, 1))
        yield Extract(
            np.ascontiguousarray(own), FileOutcome(file, lead, names, {}, origin=origin, n_points=own.shape[1])
        )


def run_export(url: str, to: str, layout: str) -> dict[str, Any]:
    """Export on two worker processes of one thread, and watch them."""
    import hrrr_dask
    from hrrr_dask.clusters import open_client
    from hrrr_dask.clusters.spec import LocalSpec, Workers

    with open_client(LocalSpec(Workers(WORKERS, WORKERS), 1)) as client:
        pids = list(client.run(os.getpid).values())
        base = max(resident("VmRSS", pid) for pid in pids)
        began, cpu_before = time.perf_counter(), sum(map(cpu_s, pids))
        with Watch(pids) as watch:
            report = hrrr_dask.export(url, to, layout=layout, client=client, progress=_say_days())
        seconds, cpu = time.perf_counter() - began, sum(map(cpu_s, pids)) - cpu_before
        began = time.perf_counter()
        again = hrrr_dask.export(url, to, layout=layout, client=client, progress=False)
        again_s = time.perf_counter() - began
    if again.days_written:
        raise RuntimeError(f"a second export wrote {again.days_written} days")
    return {
        "rows": report.rows,
        "days": report.days_written,
        "bytes": report.bytes,
        "seconds": seconds,
        "cpu_s": cpu,
        "second_export_s": again_s,
        "base_bytes": base,
        "peaks": watch.peaks(),
    }


def _say_days() -> Any:
    said = [time.monotonic()]

    def show(done: int, total: int) -> None:
        if time.monotonic() - said[0] > 20:
            said[0] = time.monotonic()
            say(f"{done} of {total} days are exported")

    return show


def check(to: str, layout: str, wanted: dict[str, Any]) -> str:
    """Compare the tables with what was written to the store, by DuckDB.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    try:
        import duckdb
    except ImportError:
        return "not compared: DuckDB is not installed"
    files = [f"{to}/{file['path']}" for file in json.loads(Path(to, "_manifest.json").read_text())["files"]]
    names = list(wanted["sums"])
    if layout == "long":
        found = dict(
            duckdb.execute(
                "SELECT variable, sum(value::DOUBLE) FROM read_parquet(?) GROUP BY variable", [files]
            ).fetchall()
        )
    else:
        sums = ", ".join(f"sum({name}::DOUBLE)" for name in names)
        found = dict(
            zip(names, duckdb.execute(f"SELECT {sums} FROM read_parquet(?)", [files]).fetchall()[0], strict=True)
        )
    (rows,) = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchall()[0]
    expected = wanted["rows"] // (1 if layout == "long" else len(names))
    if rows != expected or not all(np.isclose(found[name], wanted["sums"][name], rtol=1e-9) for name in names):
        raise RuntimeError(
            f"the tables have {rows:,} rows with the sums {found}, the store {expected:,}: {wanted['sums']}"
        )
    return f"{rows:,} rows and the sums of {len(names)} variables are equal to the store's, read by DuckDB"


# What every benchmark offers


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("export", __doc__, quick="2 days at 20 points", work="the store")
    made.add_argument("--days", type=int, default=366, metavar="N", help="default 366, a year")
    made.add_argument("--points", type=int, default=500, metavar="N", help="default 500")
    made.add_argument("--layout", choices=("long", "wide"), default="long", help="default long")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    n_days, n_points, n_leads = (2, 20, 3) if given.quick else (given.days, given.points, 19)
    with working(given.work) as work, working(None) as tables:
        url, to = str(work / f"export-{n_days}-{n_points}-{n_leads}.zarr"), str(tables / "tables")
        wanted = write_store(url, n_days, n_points, n_leads)
        found = run_export(url, to, given.layout)
        checked = check(to, given.layout, wanted)
    about = {
        "store": f"{n_days} days of hourly runs, {n_leads} lead times, {n_points} points, eleven variables",
        "tables": f"Parquet, {given.layout}, by {WORKERS} worker processes of one thread",
        "compared": checked,
        "versions": describe_versions(["hrrr-dask", "dask", "pyarrow", "zarr", "numpy"]),
        "machine": f"{describe_machine()}, load {os.getloadavg()[0]:.1f} at the end",
    }
    return {"about": about, "found": found}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<10} {text}")
    found = answer["found"]
    print(
        f"\n{found['rows']:,} rows of {found['days']:,} days in {found['seconds']:.0f} s: "
        f"{found['rows'] / found['seconds']:,.0f} rows/s, {found['bytes'] / found['rows']:.2f} B a row"
    )
    print(f"{found['rows'] / found['cpu_s']:,.0f} rows a second of the workers' CPU time")
    print(f"a second export, which writes nothing: {found['second_export_s']:.1f} s")
    print(f"peak of a worker's memory, {found['base_bytes'] / 1e6:.0f} MB before the export, by tenths of the time:")
    print("  " + " ".join(f"{size / 1e6:.0f}" for size in found["peaks"]) + " MB")
    print(f"  last half over first half {flatness(found['peaks']):.2f}")


def flatness(peaks: list[int]) -> float:
    """The peak of the second half of the time over that of the first."""
    half = max(len(peaks) // 2, 1)
    return max(peaks[half:] or peaks) / max(peaks[:half])


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: how memory stands."""
    found = answer["found"]
    what = f"a worker's memory while {found['days']:,} days are exported as tables"
    return [Row(what, "the first half", f"{flatness(found['peaks']):.2f} x")]


if __name__ == "__main__":
    run_alone("export")
