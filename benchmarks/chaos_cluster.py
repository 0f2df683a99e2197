"""A real scheduler, real workers and the real command, any of which is killed at random times."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["KINDS", "Cluster", "Ended"]

KINDS: Final = (*["worker"] * 7, "scheduler", "command", "term")
"""What is killed, weighted by repetition. Except for a worker, the command ends: ``term`` is SIGTERM, after which it
commits what is read."""

WORKERS: Final = 2
PATIENCE_S: Final = 240.0
"""Timeout for a command, and for a worker to come back [s]."""

_CLI: Final = str(Path(sys.executable).with_name("hrrr-dask"))


class Ended:
    """Result of a command."""

    def __init__(self, code: int, said: str, done: Sequence[str]) -> None:
        self.code = code
        self.said = said
        self.done = tuple(done)
        """Kinds of kills that happened."""


class Cluster:
    """A scheduler and two workers on this machine, restarted after kills.

    Parameters
    ----------
    work : Path
        Directory of their logs.
    environment : dict
        Environment of all processes.
    """

    def __init__(self, work: Path, environment: dict[str, str]) -> None:
        self._log = (work / "cluster.log").open("ab")
        self._environment = os.environ | environment
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._nannies: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(*self._nannies, *([self._scheduler] if self._scheduler else []))
        self._log.close()

    def run(self, store: Path, settings: dict[str, Any], kills: Sequence[str], chance: random.Random) -> Ended:
        """Run the command, kill processes at random times, and wait for its end."""
        local = "command" in kills
        if not local:
            self._ready()
        where = {"cluster": "local", "workers": WORKERS} if local else {"cluster": self.address}
        process = self._start(_words(settings | {"store": str(store)} | where), capture=True)
        done = self._kill(process, store, kills, chance, local)
        try:
            _, said = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGABRT)
            raise AssertionError(f"the command hangs after {', '.join(done)}; see {self._log.name}") from error
        if local:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return Ended(process.returncode, said.decode(errors="replace"), done)

    def _kill(
        self, process: subprocess.Popen[bytes], store: Path, kills: Sequence[str], chance: random.Random, local: bool
    ) -> list[str]:
        done: list[str] = []
        before, until = _entries(store), time.monotonic() + PATIENCE_S
        while kills and process.poll() is None and _entries(store) == before and time.monotonic() < until:
            time.sleep(0.02)  # so that the command is working
        for kind in kills:
            time.sleep(chance.uniform(0.0, 0.6))
            if process.poll() is None and self._kill_one(kind, process, local, chance):
                done.append(kind)
        return done

    def _kill_one(self, kind: str, process: subprocess.Popen[bytes], local: bool, chance: random.Random) -> bool:
        if kind == "term":
            process.send_signal(signal.SIGTERM)
        elif kind == "command":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind == "scheduler":
            assert self._scheduler is not None, "it was started"
            self._scheduler.kill()
        else:
            return self._kill_worker(process, local, chance)
        return True

    def _kill_worker(self, process: subprocess.Popen[bytes], local: bool, chance: random.Random) -> bool:
        """Wait for a worker if needed and kill it; False if the command ended before."""
        parents = [process.pid] if local else [nanny.pid for nanny in self._nannies]
        while process.poll() is None:
            if workers := [pid for parent in parents for pid in _workers_of(parent)]:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    return True
            time.sleep(0.02)
        return False

    def _ready(self) -> None:
        """Start what does not run."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            self._end(*self._nannies)  # workers without their scheduler are useless
            self._nannies = []
            port = self.address.rpartition(":")[2]
            words = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
            self._scheduler = self._start([sys.executable, "-m", "dask", *words])
        self._nannies = [nanny for nanny in self._nannies if nanny.poll() is None]
        while len(self._nannies) < WORKERS:
            words = [
                "worker",
                self.address,
                "--nthreads",
                "2",
                "--no-dashboard",
                "--local-directory",
                self._log.name + ".d",
            ]
            self._nannies.append(self._start([sys.executable, "-m", "dask", *words]))
        until = time.monotonic() + PATIENCE_S
        while sum(len(_workers_of(nanny.pid)) for nanny in self._nannies) < WORKERS:
            assert time.monotonic() < until, f"the workers do not start; see {self._log.name}"
            time.sleep(0.05)

    def _start(self, words: Sequence[str], *, capture: bool = False) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            env=self._environment,
            stdout=subprocess.DEVNULL if capture else self._log,
            stderr=subprocess.PIPE if capture else self._log,
            start_new_session=True,
        )

    def _end(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for process in processes:
            if process.stderr:
                process.stderr.close()


def _entries(store: Path) -> int:
    return sum(1 for _ in store.glob(".hrrr/ledger/*/*.parquet"))


def _workers_of(pid: int) -> list[int]:
    """Return the worker processes of a nanny, or of a command with its own cluster."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return [child for child in found if b"spawn_main" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _words(settings: dict[str, Any]) -> list[str]:
    """Build the command line of a backfill; nested settings are in the environment."""
    words = [_CLI, "backfill"]
    for name, value in settings.items():
        if name in ("fetch", "engine"):
            continue
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not False:
            given = ",".join(value) if name == "variables" else value
            for each in given if isinstance(given, list) else [given]:
                words += [f"--{name.replace('_', '-')}", str(each)]
    return words
