"""Time from process start to the first decoded points, by engine, with a warm and an empty cache of compiled code.

Run ``python -m benchmarks cold_start``. Every worker and every short command pays this once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

# The process that is measured loads this module: only the standard library here, or its imports would be everybody's.
from benchmarks.measuring import (
    NANNY,
    ROOT,
    clean_environment,
    cpu_s,
    describe_machine,
    describe_versions,
    medians,
    resident,
)
from benchmarks.running import Answer, Row, make_parser, run_alone, working

BASELINE: Final = "python, numpy"
"""Baseline of every engine's start."""

CACHES: Final = ("warm", "empty")

N_CELLS: Final = 500


@dataclass(frozen=True, slots=True)
class Start:
    """Start of one process."""

    wall_s: float
    """Time from the start of the process until the points are decoded [s]."""
    cpu_s: float
    """User and system time until then, all threads [s]."""
    peak_bytes: int
    """Peak resident memory until then [B]."""
    cached_bytes: int
    """Size of its cache of compiled code then [B]."""


def decode_first(engine: str, message: str) -> dict[str, Any]:
    """Run in the measured process: import the engine, decode, and report the costs."""
    import numpy as np

    values = b""
    if engine != BASELINE:
        from hrrr_dask.decode import get_engine

        data = Path(message).read_bytes()
        values = get_engine(engine).points(data, np.arange(N_CELLS, dtype=np.int64)).tobytes()
    return {"cpu_s": cpu_s(), "peak_bytes": resident("VmHWM"), "values": values.hex()}


def start_once(engine: str, message: Path, cache: Path) -> tuple[Start, str]:
    """Start a process like a worker, and wait for its report.

    Raises
    ------
    RuntimeError
        If the process fails.
    """
    code = "import sys; from benchmarks.measuring import call_here; call_here(*sys.argv[1:])"
    given = json.dumps({"engine": engine, "message": str(message)})
    command = [sys.executable, "-c", code, "benchmarks.cold_start.decode_first", given]
    environment = clean_environment(NANNY | {"NUMBA_CACHE_DIR": str(cache)})
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None, "it was asked for"
        line = process.stdout.readline()
        wall = time.perf_counter() - began
        words = process.communicate()[1]
    if process.returncode or not line:
        raise RuntimeError(f"{engine} failed:\n{words}")
    said = json.loads(line)
    cached = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return Start(wall, said["cpu_s"], said["peak_bytes"], cached), said["values"]


def race(engines: list[str], message: Path, repeats: int) -> dict[tuple[str, str], list[Start]]:
    """Start the engines in turn, with a warm and an empty cache, repeatedly.

    Raises
    ------
    RuntimeError
        If an engine's first values are not those of ecCodes.
    """
    found: dict[tuple[str, str], list[Start]] = {}
    with TemporaryDirectory(prefix="warm-") as warm:
        _, wanted = start_once("eccodes", message, Path(warm))
        for engine in engines:  # not measured: fills the cache
            start_once(engine, message, Path(warm))
        for _ in range(repeats):
            for engine in [BASELINE, *engines]:
                for state in CACHES:
                    with TemporaryDirectory(prefix="empty-") as empty:
                        start, values = start_once(engine, message, Path(warm if state == "warm" else empty))
                    found.setdefault((engine, state), []).append(start)
                    if engine != BASELINE and values != wanted:
                        raise RuntimeError(f"{engine} has other values than eccodes; no figure is worth printing")
    return found


def summarise(found: dict[tuple[str, str], list[Start]]) -> list[dict[str, Any]]:
    """Medians of each engine and cache, and their ratios to eccodes with a warm cache, or else to the first engine."""
    rows: dict[tuple[str, str], dict[str, float]] = {
        place: medians([asdict(start) for start in starts]) for place, starts in found.items()
    }
    first = ("eccodes", "warm") if ("eccodes", "warm") in rows else list(rows)[len(CACHES)]
    return [
        {
            "engine": engine,
            "cache": state,
            **row,
            **{f"{name}_ratio": row[name] / rows[first][name] for name in ("wall_s", "cpu_s", "peak_bytes")},
        }
        for (engine, state), row in rows.items()
    ]


# What every benchmark offers


def parser() -> argparse.ArgumentParser:
    """Its options."""
    from hrrr_dask.decode import ENGINES

    made = make_parser("cold_start", __doc__, repeats=7, quick="a small message")
    made.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="default: all")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    from hrrr_dask.records import GribFile
    from hrrr_dask.testing import DEFAULT_WINDOW, GridWindow
    from hrrr_dask.testing.messages import MESSAGES, encode_message

    window = DEFAULT_WINDOW if given.quick else GridWindow.whole()
    with working(None) as work:
        message = work / "message.grib2"
        file = GribFile(datetime(2024, 7, 1, 12), 6)
        message.write_bytes(encode_message(MESSAGES["temperature_2m"], file, window))
        found = race(given.engines, message, given.repeats)
    about = {
        "first": f"{N_CELLS} points of a message of {window.ny} x {window.nx} cells, complex packing",
        "cache": "NUMBA_CACHE_DIR: warm is filled by a run before, empty is a new directory each time",
        "repeats": f"{given.repeats}, in turn; medians; the files of the packages are in the page cache",
        "versions": describe_versions(["hrrr-dask", "eccodes", "numpy"]),
        "machine": describe_machine(),
    }
    every = {f"{engine}, {state} cache": [asdict(one) for one in starts] for (engine, state), starts in found.items()}
    return {"about": about, "medians": summarise(found), "measurements": every}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<9} {text}")
    head = f"{'wall s':>8}{'ratio':>7}{'CPU s':>8}{'ratio':>7}{'peak MB':>9}{'ratio':>7}{'cache kB':>10}"
    print(f"\n{'engine':<16}{'cache':<7}{head}")
    for row in answer["medians"]:
        times = "".join(f"{row[name]:8.3f}{row[f'{name}_ratio']:7.2f}" for name in ("wall_s", "cpu_s"))
        memory = f"{row['peak_bytes'] / 1e6:9.1f}{row['peak_bytes_ratio']:7.2f}{row['cached_bytes'] / 1e3:10.1f}"
        print(f"{row['engine']:<16}{row['cache']:<7}{times}{memory}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: the default engine, which compiles."""
    return [
        Row(
            f"start to first points, engine {row['engine']}, {row['cache']} cache",
            "engine eccodes",
            f"{row['wall_s_ratio']:.2f} x the time",
        )
        for row in answer["medians"]
        if row["engine"] == "auto"
    ]


if __name__ == "__main__":
    run_alone("cold_start")
