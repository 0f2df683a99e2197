"""The scheduler's side: a plugin that keeps what runs publish, and serves the page and its figures.

Loaded by the scheduler, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import secrets
import time
from importlib.resources import files
from typing import Any, Final

from distributed import Scheduler, SchedulerPlugin
from distributed.http.utils import RequestHandler

__all__ = ["PATH", "TOPIC", "RunsPage"]

TOPIC: Final = "hrrr-dask-runs"
"""Topic of the scheduler's events on which clients publish the figures of their runs."""

PATH: Final = "/hrrr"
"""Path of the page on the address of the dashboard; its figures are at ``/hrrr/data.json``."""

MAX_RUNS: Final = 20
"""Number of runs that are kept, those that published last."""


class RunsPage(SchedulerPlugin):  # type: ignore[misc]  # distributed says Any
    """Keeps the last figures of each run, and serves them."""

    name = "hrrr-dask-runs"
    idempotent = True

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Any]] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page to the scheduler's web server; a prefix of the dashboard's paths may come before."""
        given = {"dask_server": scheduler, "extra": {"runs_page": self}}
        routes = [(rf".*{PATH}/?", _PageHandler, given), (rf".*{PATH}/data\.json", _DataHandler, given)]
        scheduler.http_application.add_handlers(".*$", routes)

    def log_event(self, topic: str, msg: Any) -> None:
        """Keep the figures of a run; Dask calls this for every event."""
        if topic != TOPIC or not isinstance(msg, dict) or not isinstance(run := msg.get("run"), str):
            return
        self._runs.pop(run, None)  # the newest are at the end
        self._runs[run] = {**msg, "heard": time.time()}
        while len(self._runs) > MAX_RUNS:
            del self._runs[next(iter(self._runs))]

    def describe(self) -> dict[str, Any]:
        """Return the figures of all runs, the newest run first."""
        now = time.time()
        runs = [{**run, "silent_s": max(now - run["heard"], 0.0)} for run in self._runs.values()]
        return {"now": now, "runs": sorted(runs, key=lambda run: -run.get("began", 0.0))}


class _PageHandler(RequestHandler):  # type: ignore[misc]  # distributed says Any
    def get(self) -> None:
        nonce = secrets.token_urlsafe(16)
        own = f"'nonce-{nonce}'"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; connect-src 'self'; script-src {own}; style-src {own}; base-uri 'none'",
        )
        text = (files("hrrr_dask.dashboard") / "page.html").read_text(encoding="utf-8")
        self.write(text.replace("NONCE", nonce))


class _DataHandler(RequestHandler):  # type: ignore[misc]  # distributed says Any
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.write(json.dumps(self.extra["runs_page"].describe()))
