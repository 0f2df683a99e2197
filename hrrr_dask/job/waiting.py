"""Counts the cluster's threads, and finds why nothing happens: no worker, paused workers, a scheduler that hangs.

The run loop shows the cause, and stops after a limit if no worker can work.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from distributed import Client

from hrrr_dask.errors import RunError

__all__ = ["LOST", "Cause", "Watch", "find_cause"]

LOOK_S: Final = 3.0
"""Interval between two counts of the cluster's threads [s]."""

SAY_AFTER_S: Final = 5.0
"""Time after which a cause is shown: a single worker that is started again is away for less [s]."""

RESPONSE_S: Final = 10.0
"""Time after which the scheduler hangs, and its last response is not waited for [s]."""

QUIET_S: Final = 10.0
"""Time without a file or a commit after which workers are asked whether they are paused [s]."""

STALLED_S: Final = 120.0
"""Time without a file or a commit that is unusual, and shown [s]."""

LOST: Final = (
    "the connection to the cluster's scheduler was lost: look whether it runs, then give the same command again; "
    "what was committed stays"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why nothing is read or written."""

    found: str
    """What is the case."""
    remedy: str
    """What to do."""
    can_work: bool = False
    """Whether workers can work, so that the run never stops because of this."""


def find_cause(statuses: Sequence[str] | None, address: str, dashboard: str, quiet_s: float) -> Cause | None:
    """Find why nothing is read or written.

    Parameters
    ----------
    statuses : sequence of str, optional
        Status of each worker; None if the scheduler does not respond.
    address : str
        Address of the scheduler.
    dashboard : str
        URL of its dashboard; can be empty.
    quiet_s : float
        Time since the last file or commit [s].

    Returns
    -------
    Cause or None
        None if all is well, as far as can be seen.

    Examples
    --------
    >>> find_cause([], "tcp://10.0.0.5:8786", "", 0.0).found
    'no worker is connected to the scheduler tcp://10.0.0.5:8786'
    """
    if statuses is None:
        return Cause(f"the scheduler {address} does not respond", "look whether it hangs, and at its memory and CPU")
    if not statuses:
        return Cause(
            f"no worker is connected to the scheduler {address}",
            f"start some (dask worker {address}), or look at the logs, pods or jobs of those that were started",
        )
    if all(status == "paused" for status in statuses):
        return Cause(
            f"all {len(statuses)} workers are paused",
            "their memory is full, or the disk to which they spill: give them more of it, or fewer threads",
        )
    if quiet_s >= STALLED_S:
        where = f"the dashboard, {dashboard}, shows" if dashboard else "the dashboard shows"
        return Cause(
            f"no file was read or written for {STALLED_S:.0f} s, by {len(statuses)} workers",
            f"the archive or the store is slow, or workers hang: {where} what they do, their logs say more",
            can_work=True,
        )
    return None


class Watch:
    """Looks at the cluster from time to time, for as long as a run lasts.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    limit_s : float
        Time without a worker that can work after which the run stops; 0 for never [s].
    dashboard : str
        URL of the scheduler's dashboard; the client would wait for the scheduler to know it.
    """

    def __init__(self, client: Client, limit_s: float, dashboard: str = "") -> None:
        self._client = client
        self._dashboard = dashboard
        self._limit_s = limit_s
        now = time.monotonic()
        self._looked_at, self._changed_at, self._counts = now - LOOK_S, now, (0, 0)
        self._idle_since: float | None = None
        self.threads = 1
        """Threads of all workers, at least one."""
        self.paid_threads = 0
        """Threads of all workers, also of those that cannot work."""
        self.no_worker = False
        """Whether no worker can work."""
        self.notice = ""
        """Why nothing happens, for how long that is waited for, and what to do; empty if all is well."""

    def look(self, files_done: int, partitions_done: int) -> bool:
        """Look at the cluster if that is due; return whether there is news.

        Raises
        ------
        RunError
            If no worker can work for longer than the limit, or the scheduler is lost.
        """
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return False
        if self._counts != (files_done, partitions_done):
            self._counts, self._changed_at = (files_done, partitions_done), now
        before = (self.no_worker, self.notice)
        quiet_s = now - self._changed_at
        cause = find_cause(self._statuses(quiet_s), self._client.scheduler.address, self._dashboard, quiet_s)
        self.no_worker = cause is not None and not cause.can_work
        if not self.no_worker:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        self.notice = "" if cause is None else self._text(cause, now)
        self._looked_at = time.monotonic()
        return before != (self.no_worker, self.notice)

    def _text(self, cause: Cause, now: float) -> str:
        """Return what to show of a cause, nothing at first."""
        if self._idle_since is None:
            return f"{cause.found}: {cause.remedy}"
        waited_s = now - self._idle_since
        if self._limit_s and waited_s >= self._limit_s:
            raise RunError(
                f"{cause.found}, for {self._limit_s:g} s (setting worker-timeout-s): {cause.remedy}. Then give the "
                f"same command again; what was committed stays"
            )
        if waited_s < SAY_AFTER_S:
            return ""
        limit = f"up to {self._limit_s:g} s (setting worker-timeout-s)" if self._limit_s else "without a limit"
        return f"{cause.found}, waiting {limit}: {cause.remedy}"

    def _statuses(self, quiet_s: float) -> Sequence[str] | None:
        """Return the status of each worker, None if the scheduler hangs. If work goes on, they are not asked for it."""
        try:
            threads: Mapping[str, int] = self._client.sync(
                self._client.scheduler.ncores, workers=None, callback_timeout=RESPONSE_S
            )
        except TimeoutError:
            return None
        except OSError as error:
            raise RunError(LOST) from error
        self.paid_threads = sum(threads.values())
        self.threads = max(self.paid_threads, 1)
        if not threads or quiet_s < QUIET_S:
            return ["running"] * len(threads)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return [str(worker["status"]) for worker in workers.values()]
