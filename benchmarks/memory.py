"""Measures the memory of one worker process after 50, 500, 1,000 and 2,000 full-size files.

Run ``python -m benchmarks memory``. At the end, memory should be at most a fifth above that after the first fifty.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.case import FILE, scatter_points
from benchmarks.measuring import describe_machine, describe_versions, resident, spawn
from benchmarks.patched import serve_patched, write_template
from benchmarks.running import Answer, Row, default_engine, make_parser, run_alone, say, working
from hrrr_dask.config.settings import FILES_AT_ONCE
from hrrr_dask.decode import ENGINES
from hrrr_dask.testing import GridWindow

LEADS: Final = 16
"""Lead hours of each run, from 1."""

MARKS: Final = (50, 100, 200, 500, 1000, 1500, 2000)
"""After so many files memory is looked at; the last one is the number of files."""

GOAL: Final = 1.2
"""Most that memory at the end may be, over that after the first mark."""

LOOK_S: Final = 0.02

SPAN: Final = 25
"""Memory at a mark is the median of what was seen while the files before it were read: some are always at work."""


class Watch:
    """Looks at a process again and again, and notes what it has at each mark."""

    def __init__(self, pid: int, marks: Sequence[int]) -> None:
        self.progress: Any = None
        self.found: dict[int, int] = {}
        self.peak = 0
        self._pid, self._marks = pid, marks
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def __call__(self, progress: Any) -> None:
        """Follow a run."""
        self.progress = progress

    def _look(self) -> None:
        seen: deque[tuple[int, int]] = deque()
        left = list(self._marks)
        while left and not self._end.wait(LOOK_S):
            done = self.progress.files_done if self.progress else 0
            seen.append((done, resident("VmRSS", self._pid)))
            self.peak = max(self.peak, seen[-1][1])
            while done - seen[0][0] > SPAN and len(seen) > 1:
                seen.popleft()
            if done >= left[0]:
                self.found[left.pop(0)] = int(statistics.median(size for _, size in seen))
                say(f"{done} files: {self.found[max(self.found)] / 1e6:.0f} MB")


def run_through(url: str, window: Sequence[Any], n_files: int, how: dict[str, Any], store: str) -> dict[str, Any]:
    """Backfill so many files on one worker, and watch it."""
    import dask.config

    from hrrr_dask import api
    from hrrr_dask.clusters import open_client
    from hrrr_dask.clusters.spec import LocalSpec, Workers

    marks = [mark for mark in MARKS if mark < n_files] + [n_files]
    runs = -(-n_files // LEADS)
    first, last = FILE.init_time, FILE.init_time + timedelta(hours=runs - 1)
    as_in_pods = {"distributed.worker.preload": ["hrrr_dask.preload"]}
    with dask.config.set(as_in_pods), open_client(LocalSpec(Workers(1, 1), how["threads"])) as client:
        (pid,) = client.run(os.getpid).values()
        began, base = time.perf_counter(), resident("VmRSS", pid)
        with Watch(pid, marks) as watch:
            report = api.backfill(
                scatter_points(GridWindow(*window)),
                first,
                last,
                store,
                client=client,
                progress=watch,
                source=[url],
                engine=how["engine"],
                lead_hours=list(range(1, LEADS + 1)),
                axis_start=f"{first:%Y-%m-%d}",
                partition_days=how["partition_days"],
            )
            _wait(watch, n_files)
        seconds = time.perf_counter() - began
    if report.gaps or report.files_read != runs * LEADS:
        raise RuntimeError(f"{report.files_read} files were read, with the gaps {report.gaps}")
    after = {str(mark): size for mark, size in watch.found.items()}
    return {
        "files": report.files_read,
        "seconds": seconds,
        "bytes_read": report.bytes_read,
        "base_bytes": base,
        "after": after,
        "peak_bytes": watch.peak,
        "ratio": after[str(marks[-1])] / after[str(marks[0])],
    }


def _wait(watch: Watch, n_files: int) -> None:
    """The last events of a worker may come after the report."""
    deadline = time.monotonic() + 10
    while n_files not in watch.found:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker told of {watch.progress.files_done} files")
        time.sleep(LOOK_S)


# What every benchmark offers


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("memory", __doc__, quick="96 small files", work="the file that stands for all (24 MB)")
    made.add_argument("--files", type=int, default=MARKS[-1], metavar="N", help=f"default {MARKS[-1]:,}")
    made.add_argument("--engine", choices=ENGINES, default=default_engine(), help=f"default {default_engine()}")
    made.add_argument("--threads", type=int, default=FILES_AT_ONCE, metavar="N", help=f"default {FILES_AT_ONCE}")
    made.add_argument("--partition-days", type=int, default=1, metavar="N", help="of 384 files each (default 1)")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    window = GridWindow(288, 794, 40, 50) if given.quick else GridWindow.whole()
    sizes = (window.row, window.column, window.ny, window.nx)
    with working(given.work) as work, working(None) as stores:
        path = work / f"template-{'-'.join(map(str, sizes))}.pickle"
        template = write_template(path, window)
        with serve_patched(path) as url:
            found = spawn(
                "benchmarks.memory.run_through",
                url=url,
                window=sizes,
                n_files=96 if given.quick else given.files,
                how={"engine": given.engine, "threads": given.threads, "partition_days": given.partition_days},
                store=str(Path(stores) / "store.zarr"),
            )
    about = {
        "files": f"{found['files']:,} of {template.size / 1e6:.1f} MB: the eleven default variables and another one, "
        f"{window.ny} x {window.nx} cells, each file under its own times",
        "worker": f"one process of {given.threads} threads with hrrr_dask.preload, engine {given.engine}, 500 points, "
        "from a web server",
        "versions": describe_versions(["hrrr-dask", "dask", "obstore", "zarr", "numpy"]),
        "machine": f"{describe_machine()}, load {os.getloadavg()[0]:.1f} at the end",
    }
    return {"about": about, "found": found}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<10} {text}")
    found = answer["found"]
    print(f"\n{found['seconds']:.0f} s, {found['bytes_read'] / found['files'] / 1e6:.1f} MB read of each file")
    print(f"{'before':>12}{found['base_bytes'] / 1e6:9.0f} MB")
    for mark, size in found["after"].items():
        print(f"{'after ' + mark:>12}{size / 1e6:9.0f} MB")
    print(f"{'peak':>12}{found['peak_bytes'] / 1e6:9.0f} MB")
    print(f"{'last/first':>12}{found['ratio']:9.2f}   goal <= {GOAL}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: how memory stands."""
    found = answer["found"]
    first, *_, last = found["after"]
    return [Row(f"a worker's memory after {int(last):,} full-size files", f"after {first}", f"{found['ratio']:.2f} x")]


if __name__ == "__main__":
    run_alone("memory")
