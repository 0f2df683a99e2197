"""Workers that are processes of this machine."""

from __future__ import annotations

import logging
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dask.config
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from hrrr_dask.clusters import signals
from hrrr_dask.clusters.spec import LocalSpec
from hrrr_dask.errors import RunError
from hrrr_dask.malloc import HEAPS

__all__ = ["started"]


@contextmanager
def started(spec: LocalSpec) -> Iterator[Client]:
    """Start worker processes of this machine, and stop them at the end.

    Yields
    ------
    distributed.Client

    Raises
    ------
    RunError
        If they do not start.
    """
    one_heap = {"distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": HEAPS}  # glibc reads it when a process starts
    with dask.config.set(one_heap), _cluster(spec) as local, Client(local) as client:
        client.register_plugin(_LeaveInterruptsToTheClient())  # for workers that are started later
        if spec.workers is not None and spec.workers.adaptive:
            local.adapt(minimum=spec.workers.minimum, maximum=spec.workers.maximum, interval="2s")
        yield client


@contextmanager
def _cluster(spec: LocalSpec) -> Iterator[LocalCluster]:
    """Worker processes that leave Ctrl-C to the client, which still needs them to commit what is extracted."""
    with ExitStack() as stack:
        with signals.ignored(signal.SIGINT):  # children inherit that, and a half-started cluster cannot be closed
            local = stack.enter_context(_start(spec))
        yield local


def _start(spec: LocalSpec) -> LocalCluster:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)  # then another one is taken
            return LocalCluster(
                n_workers=spec.workers.minimum if spec.workers else CPU_COUNT,
                threads_per_worker=spec.threads,
                processes=True,
                silence_logs=logging.CRITICAL,  # an interrupt cancels tasks, of which every worker complains
                dashboard_address=f"127.0.0.1:{8787 if _is_free(8787) else 0}",
            )
    except RuntimeError as error:
        raise RunError(
            "the workers of this machine did not start. In a script the call must stand below "
            "if __name__ == '__main__': because each worker imports the script"
        ) from error


class _LeaveInterruptsToTheClient(WorkerPlugin):  # type: ignore[misc]  # distributed says Any
    """A terminal's Ctrl-C and timeout(1) reach the workers of this machine too: they live on to commit what is read."""

    name = "hrrr-dask-leave-interrupts-to-the-client"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
