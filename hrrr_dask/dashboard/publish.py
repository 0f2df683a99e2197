"""The client's side: registers the page with the scheduler, and publishes the figures of a run while it lasts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from distributed import Client

from hrrr_dask.dashboard.page import PATH, TOPIC, RunsPage
from hrrr_dask.display.progress import Progress
from hrrr_dask.objects.locations import plain_url
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.telemetry.logs import get_log
from hrrr_dask.telemetry.metrics import safe_label
from hrrr_dask.telemetry.notify import remove_secrets

__all__ = ["describe", "shown_on_page"]

_log = get_log("hrrr_dask.dashboard")

INTERVAL_S: Final = 1.0
"""Interval at which a run publishes its figures [s]."""

RATE_S: Final = 120.0
"""Time over which the speed is taken for the estimated end [s]."""

CLOSING_S: Final = 5.0
"""Longest wait for the last figures to arrive, where the scheduler hangs [s]."""


@contextmanager
def shown_on_page(client: Client, progress: Progress, store: str, dollars_per_core_hour: float) -> Iterator[None]:
    """Show a run on our page of the dashboard inside the block, and its last figures after it.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    progress : Progress
        Of the run; its ``page`` is set if the scheduler has the page.
    store : str
        URL of the store.
    dollars_per_core_hour : float
        Price of a thread of a worker [USD/h].
    """
    try:
        client.register_plugin(RunsPage())
    except Exception as error:  # noqa: BLE001  a page is never a reason to fail, as where hrrr_dask is older
        _log.info("the scheduler does not show the page of hrrr_dask", error=f"{type(error).__name__}: {error}")
        yield
        return
    if progress.dashboard.endswith("/status"):
        progress.page = progress.dashboard.removesuffix("/status") + PATH
    publisher = _Publisher(client, progress, store, dollars_per_core_hour)
    publisher.start()
    try:
        yield
    except BaseException as error:
        publisher.end(_ending(error))
        raise
    publisher.end("")


def _ending(error: BaseException) -> str:
    """Return how a run ended. The text of the error is left out: it may name what is secret."""
    return f"failed: {type(error).__name__}" if isinstance(error, Exception) else "interrupted"


class _Publisher(threading.Thread):
    """Publishes from a thread of its own, so that a scheduler that hangs does not delay the run."""

    def __init__(self, client: Client, progress: Progress, store: str, dollars_per_core_hour: float) -> None:
        super().__init__(name="hrrr-dask-page", daemon=True)
        self._client, self._progress, self._store, self._price = client, progress, store, dollars_per_core_hour
        self._seen: deque[tuple[float, int]] = deque(maxlen=round(RATE_S / INTERVAL_S))
        self._ended = threading.Event()
        self._ending = ""

    def run(self) -> None:
        try:
            while not self._ended.wait(INTERVAL_S if self._seen else 0.0):
                self._publish("")
            self._publish(self._ending or _last_state(self._progress))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the run tells of a lost scheduler itself
            _log.debug("the figures of the run were not published", error=f"{type(error).__name__}: {error}")

    def end(self, ending: str) -> None:
        """Publish the last figures; do not wait for long."""
        self._ending = ending
        self._ended.set()
        if self._client.status == "running":
            self.join(CLOSING_S)

    def _publish(self, state: str) -> None:
        self._seen.append((time.monotonic(), self._progress.files_done))
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        files_s = (last - first) / (now - began) if now > began else 0.0
        figures = describe(self._progress, self._store, self._price, files_s=files_s, state=state)
        self._client.log_event(TOPIC, figures)


def _last_state(progress: Progress) -> str:
    if progress.interrupted:
        return "interrupted"
    return "finished" if progress.committed.files >= progress.files_total else "waiting for files"


def describe(
    progress: Progress, store: str, dollars_per_core_hour: float, *, files_s: float = 0.0, state: str = ""
) -> dict[str, Any]:
    """Describe a run for the page, as values that msgpack and JSON have.

    Parameters
    ----------
    progress : Progress
        Of the run.
    store : str
        URL of the store.
    dollars_per_core_hour : float
        Price of a thread of a worker [USD/h].
    files_s : float
        Speed, for the estimated end [files/s].
    state : str
        How the run ended; empty while it lasts. Then the figures are those of what is committed, as in the report.

    Examples
    --------
    >>> run = describe(Progress(files_total=10, files_done=4, core_s=7200.0), "s3://bucket/store", 0.05, files_s=2.0)
    >>> run["dollars"], run["remaining_s"], run["state"]
    (0.1, 3.0, 'reading')
    """
    with progress.lock:
        done, committed = progress.files_done, progress.committed
        gaps = dict(committed.gaps if state else progress.gaps_by_reason)
        figures = {
            "files_done": committed.files if state else done,
            "gaps": gaps,
            "bytes_read": committed.bytes_read if state else progress.bytes_read,
            "requests": committed.requests if state else progress.requests,
            "bytes_written": committed.bytes_written,
            "steps_committed": progress.partitions_done,
        }
        seconds = {"source": progress.fetch_s, "decode": progress.decode_s, "store": progress.write_s}
        down = {safe_label(name): remove_secrets(cause) for name, cause in progress.sources_down.items()}
    left = progress.files_total - done
    remaining_s = left / files_s if files_s > 0 and left > 0 and not state else None
    dollars, dollars_s = (x * dollars_per_core_hour / 3600 for x in (progress.core_s, float(progress.threads)))
    return {
        **figures,
        "run": progress.run_id,
        "store": safe_label(plain_url(store)),
        "state": state or _state(progress),
        "ended": bool(state),
        "began": progress.began,
        "elapsed_s": time.time() - progress.began,
        "remaining_s": remaining_s,
        "files_total": progress.files_total,
        "files_s": files_s,
        "meanings": {reason: OUTCOMES[reason].meaning for reason in gaps if reason in OUTCOMES},
        "seconds": {**seconds, "other": max(progress.core_s - sum(seconds.values()), 0.0)},
        "slowest": max(seconds, key=lambda stage: seconds[stage]) if any(seconds.values()) else "",
        "threads": progress.threads,
        "core_hours": progress.core_s / 3600,
        "dollars_per_core_hour": dollars_per_core_hour,
        "dollars": dollars,
        "dollars_expected": dollars + dollars_s * remaining_s if remaining_s is not None else None,
        "sources_down": down,
        "notice": remove_secrets(progress.notice),
    }


def _state(progress: Progress) -> str:
    if progress.draining:
        return "committing what is read"
    if progress.interrupted:
        return "interrupted"
    if progress.waiting:
        return "waiting for workers"
    return "reading" if progress.files_done < progress.files_total else "committing"
