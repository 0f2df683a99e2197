"""Progress as occasional events of the log, for where no bar is displayed."""

from __future__ import annotations

import threading
import time
from typing import Final

from hrrr_dask.display.progress import Progress
from hrrr_dask.telemetry.logs import get_log

__all__ = ["LogCount", "LogProgress"]

INTERVAL_S: Final = 30.0
"""Interval between two events of progress [s]."""

_log = get_log()


class LogProgress:
    """Logs the progress of a run; calls may come from several threads.

    Parameters
    ----------
    interval_s : float
        Interval between two events [s]. What the run waits for, and that it stops, is logged at once.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._began = time.monotonic()
        self._logged_at, self._state, self._notice = -interval_s, (False, False), ""
        self._dashboard = ""
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Log the progress if the interval has passed, or if workers were lost or came back, or the run stops."""
        with self._lock:
            now, state = time.monotonic() - self._began, (progress.waiting, progress.interrupted)
            if progress.dashboard != self._dashboard:
                self._dashboard = progress.dashboard
                _log.info("Dask dashboard", url=progress.dashboard, page=progress.page)
            if progress.notice != self._notice:
                self._notice = progress.notice
                _log.warning(progress.notice or "the run continues")
            if now - self._logged_at < self._interval_s and state == self._state:
                return
            self._logged_at, self._state = now, state
            _log.info(
                _doing(progress),
                files=progress.files_done,
                files_total=progress.files_total,
                gaps=progress.gaps,
                files_per_s=round(progress.files_done / max(now, 1e-3), 2),
                bytes_read=progress.bytes_read,
                seconds=round(now, 1),
            )


class LogCount:
    """Logs how many of something are done.

    Parameters
    ----------
    noun : str
        What is counted, in the plural.
    interval_s : float
        Interval between two events [s].
    """

    def __init__(self, noun: str, interval_s: float = INTERVAL_S) -> None:
        self._noun, self._interval_s = noun, interval_s
        self._logged_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Log the count if the interval has passed."""
        now = time.monotonic()
        if now - self._logged_at >= self._interval_s:
            self._logged_at = now
            _log.info(f"{self._noun} done", done=done, total=total)


def _doing(progress: Progress) -> str:
    if progress.draining:
        return "committing what is read"
    if progress.interrupted:
        return "interrupted"
    return "waiting for the cluster's workers" if progress.waiting else "reading"
