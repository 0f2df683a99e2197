"""Where the workers are: on this machine, or behind a scheduler's address."""

from __future__ import annotations

import logging
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Worker, WorkerPlugin

import hrrr_dask
from hrrr_dask.config import FILES_AT_ONCE
from hrrr_dask.errors import ConfigError, RunError

__all__ = ["check_cluster", "check_workers", "open_client"]

CONNECT_TIMEOUT_S = 20
"""For a scheduler to answer [s]."""


@contextmanager
def open_client(cluster: str = "local", workers: int = 0, threads: int = FILES_AT_ONCE) -> Iterator[Client]:
    """Connect to a cluster, or start one on this machine; what was started here is stopped at the end.

    Parameters
    ----------
    cluster : str
        ``local``, or a scheduler's address such as ``tcp://10.0.0.5:8786``.
    workers : int
        Worker processes of a local cluster; 0 takes one for each core.
    threads : int
        Files that each of them reads at once: while one is decoded, others are on their way.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ConfigError
        If ``cluster`` is neither.
    RunError
        If no scheduler answers, or its workers run another version.
    """
    if cluster == "local":
        with _local_cluster(workers, threads) as local, Client(local) as client:
            client.register_plugin(_LeaveInterruptsToTheClient())  # for workers that are started again
            yield client
        return
    check_cluster(cluster)
    try:
        client = Client(cluster, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        raise RunError(
            f"no Dask scheduler answers at {cluster}: check the address and that it runs ({error})"
        ) from error
    with client:
        check_workers(client)
        yield client


def check_cluster(cluster: str) -> None:
    """Refuse what is neither ``local`` nor an address, before anything is started or read.

    Raises
    ------
    ConfigError
        Saying what to write.
    """
    if cluster != "local" and not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://\S+:\d+", cluster):
        raise ConfigError(f"cluster {cluster!r} is unknown: write 'local' or a scheduler's address, tcp://HOST:8786")


def check_workers(client: Client) -> None:
    """Refuse workers that have no hrrr_dask, or another version of it.

    Raises
    ------
    RunError
        Naming them.
    """
    found: dict[str, str] = client.run(_installed_version)
    other = {address: version for address, version in found.items() if version != hrrr_dask.__version__}
    if other:
        some = ", ".join(f"{address} has {version or 'none'}" for address, version in list(other.items())[:3])
        raise RunError(
            f"{len(other)} of {len(found)} workers do not have hrrr_dask {hrrr_dask.__version__}: {some}; "
            f"install the same version there"
        )


@contextmanager
def _local_cluster(workers: int, threads: int) -> Iterator[LocalCluster]:
    """Worker processes that leave Ctrl-C to the client, which still needs them to commit what is extracted."""
    with ExitStack() as stack:
        with _interrupts_ignored():
            local = stack.enter_context(_started(workers, threads))
        yield local


def _started(workers: int, threads: int) -> LocalCluster:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)  # then another one is taken
            return LocalCluster(
                n_workers=workers or CPU_COUNT,
                threads_per_worker=max(threads, 1),
                processes=True,
                silence_logs=logging.CRITICAL,  # an interrupt cancels tasks, of which every worker complains
                dashboard_address=f"127.0.0.1:{8787 if _is_free(8787) else 0}",
            )
    except RuntimeError as error:
        raise RunError(
            "the workers of this machine did not start. In a script the call must stand below "
            "if __name__ == '__main__': because each worker imports the script"
        ) from error


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT for the seconds of a start: children inherit that, and a half-started cluster cannot be closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class _LeaveInterruptsToTheClient(WorkerPlugin):  # type: ignore[misc]  # distributed says Any
    """A terminal's Ctrl-C reaches the workers of this machine too: they must live on to commit what is read."""

    name = "hrrr-dask-leave-interrupts-to-the-client"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  runs on the worker

    try:
        return version("hrrr-dask")
    except PackageNotFoundError:
        return ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
