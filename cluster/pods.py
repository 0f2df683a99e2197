"""Shared by the scripts: progress as log lines, a clean stop on SIGTERM, and exit codes for Kubernetes."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from hrrr_dask.errors import HrrrDaskError

if TYPE_CHECKING:
    from hrrr_dask.display.progress import Progress
    from hrrr_dask.report.results import Report
    from hrrr_dask.report.watched import WatchReport

INTERVAL_S = 30.0
"""Interval between two lines of progress [s]."""

EXIT_WITH_GAPS = 3
"""Exit code of ``hrrr-dask`` if everything is done and the archive has gaps."""


class LogLines:
    """Writes progress as occasional lines, because ``kubectl logs`` does not display a progress bar."""

    def __init__(self, out: TextIO = sys.stderr, interval_s: float = INTERVAL_S) -> None:
        self._out, self._interval_s = out, interval_s
        self._start_time = time.monotonic()
        self._written_at, self._state = -interval_s, (False, False, "")

    def __call__(self, progress: Progress) -> None:
        """Write a line if the interval has passed, or at once if workers were lost or came back, or the run stops."""
        now, state = time.monotonic() - self._start_time, (progress.waiting, progress.interrupted, progress.notice)
        if now - self._written_at < self._interval_s and state == self._state:
            return
        if progress.notice not in ("", self._state[-1]):
            self._out.write(f"{progress.notice}\n")
        self._written_at, self._state = now, state
        stopping = "committing what is read; " if progress.draining else "interrupted; "
        doing = stopping if progress.interrupted else "no workers; " if progress.waiting else ""
        gaps = f", {progress.gaps:,} values missing" if progress.gaps else ""
        rate = progress.files_done / max(now, 1e-3)
        self._out.write(
            f"{doing}{progress.files_done:,} of {progress.files_total:,} files{gaps}, {rate:.1f} files/s, "
            f"{progress.bytes_read / 1e9:.2f} GB in {now:.0f} s\n"
        )
        self._out.flush()


def run_and_report(action: Callable[[], Report | WatchReport], *, gaps_are_done: bool) -> int:
    """Run an action, print its report as JSON, and return the exit code.

    Parameters
    ----------
    action : callable
        Returns the report.
    gaps_are_done : bool
        Whether gaps are a success: for Kubernetes, every exit code except 0 is a failure.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it by default
    try:
        report = action()
    except HrrrDaskError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("stopped; run the same command again to do the rest\n")
        return 1
    json.dump({"outcome": report.outcome, **dataclasses.asdict(report)}, sys.stdout, default=datetime.isoformat)
    sys.stdout.write("\n")
    return 0 if gaps_are_done and report.exit_code == EXIT_WITH_GAPS else report.exit_code


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Parse settings such as ``lead_hours=0-36`` into keyword arguments of ``hrrr_dask.backfill``."""
    return {name: _number_or_text(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
