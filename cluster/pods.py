"""What the scripts here share: lines for a pod's log, an end in good order, exit codes that Kubernetes understands."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from hrrr_dask.errors import HrrrDaskError

if TYPE_CHECKING:
    from hrrr_dask.job.loop import Progress
    from hrrr_dask.report.results import Report

EVERY_S = 30.0
"""Between two lines about the progress [s]."""

WITH_GAPS = 3
"""Exit code of ``hrrr-dask`` when all is done and the archive lacked something."""


class LogLines:
    """Says how far a run is, a line now and then: a progress bar would not show in ``kubectl logs``."""

    def __init__(self, out: TextIO = sys.stderr, every_s: float = EVERY_S) -> None:
        self._out, self._every_s = out, every_s
        self._began = time.monotonic()
        self._said_at, self._state = -every_s, (False, False)

    def __call__(self, progress: Progress) -> None:
        """Say it if it is time, or if the workers went or came or the end began."""
        now, state = time.monotonic() - self._began, (progress.waiting, progress.draining)
        if now - self._said_at < self._every_s and state == self._state:
            return
        self._said_at, self._state = now, state
        doing = "committing what is read; " if progress.draining else "no workers; " if progress.waiting else ""
        gaps = f", {progress.gaps:,} values missing" if progress.gaps else ""
        rate = progress.files_done / max(now, 1e-3)
        self._out.write(
            f"{doing}{progress.files_done:,} of {progress.files_total:,} files{gaps}, {rate:.1f} files/s, "
            f"{progress.bytes_read / 1e9:.2f} GB in {now:.0f} s\n"
        )
        self._out.flush()


def answer(action: Callable[[], Report], *, gaps_are_done: bool) -> int:
    """Do it, print the report as JSON, and give the exit code.

    Parameters
    ----------
    action : callable
        Makes the report.
    gaps_are_done : bool
        Whether a run that ended with gaps succeeded, for Kubernetes knows only 0 and others.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the first process of a pod it would ignore it
    try:
        report = action()
    except HrrrDaskError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command again does the rest\n")
        return 1
    json.dump({"outcome": report.outcome, **dataclasses.asdict(report)}, sys.stdout)
    sys.stdout.write("\n")
    return 0 if gaps_are_done and report.exit_code == WITH_GAPS else report.exit_code


def settings(pairs: list[str]) -> dict[str, Any]:
    """``lead_hours=0-36`` or ``partition_days=7``, as ``hrrr_dask.backfill`` takes them."""
    return {name: _number_or_text(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
