"""CPU time of a file with and without metrics and JSON logs, in turn, in one process.

Run ``python -m benchmarks.telemetry_cost --files 2000``. Half of the files are read with both and half without, in
short blocks, so that both see the same machine. In a small window the rest of a file is cheap: the worst ratio. At the
level debug, each file is an event of the log.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import time
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from benchmarks.case import prepare
from benchmarks.running import make_parser, working
from hrrr_dask.job import tasks
from hrrr_dask.job.pipeline import Job, extract_file
from hrrr_dask.records import Reading
from hrrr_dask.telemetry import logs, metrics
from hrrr_dask.testing import GridWindow

BLOCK: Final = 25
"""Files of a block."""

GOAL: Final = 0.03
"""Largest share of a file's CPU time."""


def measure(files: int, window: GridWindow, engine: str, level: str, work: Path) -> dict[str, Any]:
    """Read a file again and again, and return the CPU time of one with and without telemetry [s], from medians."""
    reading, job = pickle.loads((prepare(work, window, engine) / "job.pickle").read_bytes())
    metrics.prepare()
    _read(reading, job)
    blocks: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(max(files // (2 * BLOCK), 1)):
        for counted in (True, False) if pair % 2 else (False, True):
            blocks[counted].append(_block(reading, job, work, level if counted else ""))
    differences = [on - off for on, off in zip(blocks[True], blocks[False], strict=True)]
    off_s = statistics.median(blocks[False])
    error_s = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return {
        "files": 2 * BLOCK * len(differences),
        "without_s": off_s,
        "with_s": statistics.median(blocks[True]),
        "share": statistics.median(differences) / off_s,
        "standard_error": error_s / off_s,
    }


def _block(reading: Reading, job: Job, work: Path, level: str) -> float:
    """CPU time of a file, all threads, with logs of that level and metrics, or without both [s]."""
    with (
        patch.object(metrics, "_made", metrics._made if level else {}),  # noqa: SLF001  as without prometheus_client
        (work / "log").open("a") as stream,
    ):
        logs.reset_logs()
        if level:
            logs.configure_logs("json", level, stream=stream)
        began = time.process_time()
        for _ in range(BLOCK):
            _read(reading, job)
        return (time.process_time() - began) / BLOCK


def _read(reading: Reading, job: Job) -> None:
    """Read a file as a task does."""
    tasks.read_file(extract_file, reading, job)


def parser() -> argparse.ArgumentParser:
    """Give the options."""
    made = make_parser("telemetry_cost", __doc__, work="the file")
    made.add_argument("--files", type=int, default=2000)
    made.add_argument("--engine", default="numba")
    made.add_argument("--log-level", choices=logs.LEVELS, default="info")
    made.add_argument("--window", type=int, nargs=4, default=(288, 794, 24, 32), help="row, column, rows, columns")
    return made


def main() -> None:
    """Measure and print."""
    given = parser().parse_args()
    with working(given.work) as work:
        found = measure(given.files, GridWindow(*given.window), given.engine, given.log_level, work)
    without_ms, with_ms = (found[f"{name}_s"] * 1e3 for name in ("without", "with"))
    print(
        f"{found['files']:,} files, CPU a file: {without_ms:.3f} ms without metrics and logs, {with_ms:.3f} ms with: "
        f"{found['share']:+.2%} (standard error {found['standard_error']:.2%}, goal {GOAL:.0%})"
    )


if __name__ == "__main__":
    main()
