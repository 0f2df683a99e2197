"""Preload for Dask: configures logs, loads the decoder at start, and shuts workers down without losing results.

Use it as ``dask worker --preload hrrr_dask.preload --preload-nanny hrrr_dask.preload``. For ``dask scheduler --preload
hrrr_dask.preload``, it configures the logs.

A worker loads the decoder before it registers with the scheduler. On SIGTERM (a pod is deleted, a spot instance is
reclaimed, a cluster shrinks) or SIGHUP (its terminal is closed) it accepts no more tasks, finishes running ones, hands
its results to other workers, returns tasks that it has not started, and exits with code 0. ``dask worker`` alone does
none of this: its results are lost and their files are read again.

The signal arrives at the first process. With a nanny that is the nanny, which asks its worker to drain and waits for
it; with ``--no-nanny`` it is the worker.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from distributed import Nanny, Scheduler, Status, Worker

from hrrr_dask.errors import ConfigError
from hrrr_dask.telemetry.logs import configure_from_environment

__all__ = ["GRACE_VARIABLE", "Drain", "dask_setup", "dask_teardown", "grace_s"]

GRACE_VARIABLE: Final = "HRRR_DASK_GRACE_S"
"""Environment variable with the time that a worker has to drain; must be less than
``terminationGracePeriodSeconds``."""

_GRACE_S: Final = 25.0
"""Default time to drain: a pod has 30 s before it is killed [s]."""

_HANDING_OVER: Final = 0.25
"""Share of that time reserved for handing over results and for closing."""

_LOOK_S: Final = 0.05
"""Interval at which running tasks are checked; longer than a result takes to reach the scheduler [s]."""

_ENGINE: Final = "auto"

_DRAIN: Final = "hrrr_dask_drain"
"""Name of the handler with which a nanny asks its worker to drain."""

_log = logging.getLogger("distributed.hrrr_dask")  # the logger of workers


async def dask_setup(server: Worker | Nanny | Scheduler) -> None:
    """Configure the logs, load the decoder in a worker, and install the handlers of signals."""
    configure_from_environment()
    if isinstance(server, Scheduler):
        return
    if not isinstance(server, Worker):
        _on_hangup(signal.raise_signal, signal.SIGTERM)
        return
    from hrrr_dask.job.tasks import WarmStart  # noqa: PLC0415  a nanny does not need what a worker loads

    drain = Drain(server, grace_s())
    server.handlers[_DRAIN] = drain.once
    await WarmStart(_ENGINE).setup(server)
    await asyncio.to_thread(_load_writing)
    if threading.current_thread() is threading.main_thread():  # signal handlers are possible here only
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drain.begin_to_end)
    _on_hangup(drain.begin_to_end)


def _on_hangup(callback: Callable[..., None], *arguments: object) -> None:
    """Call a function when the terminal is closed, unless this process ignores that, as under nohup."""
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, callback, *arguments)


def _load_writing() -> None:
    """Load what the first commit needs: pyarrow imports pandas with its first array, which takes 60 MB."""
    import pyarrow as pa  # noqa: PLC0415  see dask_setup

    pa.array([0])


async def dask_teardown(server: Worker | Nanny | Scheduler) -> None:
    """Let a nanny's worker drain before the nanny stops it."""
    if not isinstance(server, Nanny) or not server.is_alive() or not server.worker_address:
        return
    async with server.rpc(server.worker_address) as worker:
        asked = getattr(worker, _DRAIN)()
        try:
            await asyncio.wait_for(asked, grace_s())
        except (OSError, TimeoutError) as error:
            _log.warning("the worker did not drain: %r", error)


def grace_s() -> float:
    """Return the time that a worker has to drain [s].

    Raises
    ------
    ConfigError
        If the environment variable is not a number.
    """
    text = os.environ.get(GRACE_VARIABLE, str(_GRACE_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{GRACE_VARIABLE} is a number of seconds from 0 on, not {text!r}")
    return seconds


class Drain:
    """Drains and closes a worker, once.

    Parameters
    ----------
    worker : distributed.Worker
        Worker of this process.
    allowed_s : float
        Time to drain; tasks that are still running shortly before its end are returned [s].
    """

    def __init__(self, worker: Worker, allowed_s: float) -> None:
        self._worker = worker
        self._allowed_s = allowed_s
        self._draining: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def once(self) -> None:
        """Finish tasks, hand over results, and leave the scheduler; concurrent calls wait for the same drain."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        await asyncio.shield(self._draining)

    def begin_to_end(self) -> None:
        """Drain and close the worker. Repeated signals, as from a process group and a nanny, have no further effect."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await self.once()
        # A nanny, if there is one, stops by itself or starts another worker, as it was told.
        await self._worker.close(nanny=False, executor_wait=False, reason="drained")

    async def _drain(self) -> None:
        worker, began = self._worker, time.monotonic()
        if worker.status not in (Status.running, Status.paused, Status.closing_gracefully):
            return
        worker.status = Status.closing_gracefully  # neither the scheduler nor the worker starts another task
        until = began + self._allowed_s * (1 - _HANDING_OVER)
        while worker.state.executing_count and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)
        given_back = worker.state.executing_count
        await asyncio.sleep(_LOOK_S)
        handed_over = await _hand_over(worker, began + self._allowed_s - time.monotonic())
        _log.info(
            "drained in %.1f s: %d tasks given back unfinished, results %s",
            time.monotonic() - began,
            given_back,
            "handed over" if handed_over else "not handed over, their files are read again",
        )


async def _hand_over(worker: Worker, allowed_s: float) -> bool:
    """Let the scheduler move the results to other workers and remove the worker; False if no worker takes them."""
    asked = worker.scheduler.retire_workers(workers=[worker.address], close_workers=False, remove=True)
    try:
        return bool(await asyncio.wait_for(asked, max(allowed_s, _LOOK_S)))
    except (OSError, TimeoutError) as error:
        _log.warning("the scheduler did not retire %s: %r", worker.address, error)
        return False
