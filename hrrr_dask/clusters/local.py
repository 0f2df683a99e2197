"""Runs workers as processes of this machine."""

from __future__ import annotations

import logging
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker

import dask.config
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from hrrr_dask.clusters import signals
from hrrr_dask.clusters.spec import LocalSpec
from hrrr_dask.errors import RunError
from hrrr_dask.malloc import HEAPS

__all__ = ["start_cluster"]


@contextmanager
def start_cluster(spec: LocalSpec) -> Iterator[Client]:
    """Start worker processes of this machine, and stop them at the end.

    Yields
    ------
    distributed.Client

    Raises
    ------
    RunError
        If the workers do not start.
    """
    one_heap = {"distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": HEAPS}  # glibc reads it at process start
    with dask.config.set(one_heap), _silent_dask(), _cluster(spec) as local, Client(local) as client:
        client.register_plugin(IgnoreInterrupts())  # for workers that start later
        if spec.workers is not None and spec.workers.adaptive:
            local.adapt(minimum=spec.workers.minimum, maximum=spec.workers.maximum, interval="2s")
        yield client


@contextmanager
def _silent_dask() -> Iterator[None]:
    """Silence Dask's own log: ``silence_logs`` changes its handlers only, not those of a program or of ours."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _cluster(spec: LocalSpec) -> Iterator[LocalCluster]:
    """Start worker processes that leave Ctrl-C to the client, which needs them to commit what is extracted."""
    with signals.ignore_signals(signal.SIGHUP):  # a tracker that a closed terminal ends would print a traceback
        resource_tracker.ensure_running()
    with ExitStack() as stack:
        with signals.ignore_signals(signal.SIGINT):  # children inherit it, and a half-started cluster cannot be closed
            local = stack.enter_context(_start(spec))
        yield local


def _start(spec: LocalSpec) -> LocalCluster:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)  # another port is taken then
            return LocalCluster(
                n_workers=spec.workers.minimum if spec.workers else CPU_COUNT,
                threads_per_worker=spec.threads,
                processes=True,
                silence_logs=logging.CRITICAL,  # an interrupt cancels tasks, about which every worker logs an error
                dashboard_address=f"127.0.0.1:{8787 if _is_free(8787) else 0}",
            )
    except RuntimeError as error:
        raise RunError(
            "the workers of this machine did not start. In a script the call must be below "
            "if __name__ == '__main__': because each worker imports the script"
        ) from error


class IgnoreInterrupts(WorkerPlugin):  # type: ignore[misc]  # distributed says Any
    """Ignores signals to stop in workers, which a terminal or timeout(1) signals too: they must commit first."""

    name = "hrrr-dask-leave-interrupts-to-the-client"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        for number in signals.stop_signals():
            signal.signal(number, signal.SIG_IGN)
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # an interrupt cancels tasks: see _start


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
