"""Backfill processes without a cluster that are killed, forked from one that has imported everything.

Only modules that start no threads are imported before a fork.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

__all__ = ["Answer", "Kill", "Task", "Verb", "Where", "prepare"]

Verb = Literal["backfill", "compact"]
Where = Literal["write", "written", "commit", "committed", "file", "moment"]

LEDGER: Final = ".hrrr/ledger/"


@dataclass(frozen=True, slots=True)
class Kill:
    """Place or time at which a process is killed."""

    where: Where
    """Before a write or after one whose result is lost, between store and ledger or ledger and status, before a file
    is read, or at any time.
    """
    number: float
    """Number of the write, the commit or the file, from 0; for a time, seconds after the start [s]."""


@dataclass(frozen=True, slots=True)
class Task:
    """Work of a process."""

    verb: Verb
    """Name of the command."""
    settings: dict[str, Any]
    """Arguments of the command."""
    kill: Kill | None
    """None for a process that is not killed."""
    log: Path
    """Gets a line before and after each write of a ledger entry."""
    seed: int
    """Seed of the order in which files are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a process."""

    killed: bool
    """Whether it was killed."""
    outcome: str = ""
    """Outcome of a backfill, or class of the exception."""
    text: str = ""
    """Text of the exception."""


IMPORTED: Final = ("api", "audit.status", "decode.eccodes_engine", "job.backfill")
"""Modules that import everything that a command needs."""


def prepare() -> Callable[[Task], Answer]:
    """Import everything that a process needs; returns the function that runs one."""
    for name in IMPORTED:
        import_module(f"hrrr_dask.{name}")
    return run_one


def run_one(task: Task) -> Answer:
    """Fork, let the child work, and kill it at its time."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _be_the_child(task, writing)
    os.close(writing)
    status = _wait(child, task.kill)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    if os.WIFSIGNALED(status):
        killed = os.WTERMSIG(status) == signal.SIGKILL
        return Answer(killed, "signal", f"the process ended by signal {os.WTERMSIG(status)}")
    answer: Answer = pickle.loads(said)
    return answer


def _wait(child: int, kill: Kill | None) -> int:
    if kill is None or kill.where != "moment":
        return os.waitpid(child, 0)[1]
    until = time.monotonic() + kill.number
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _be_the_child(task: Task, answers: int) -> None:
    try:
        answer = _work(task)
    except BaseException:  # noqa: BLE001  reported to the parent, which fails
        answer = Answer(killed=False, outcome="crash", text=traceback.format_exc())
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(pickle.dumps(answer))
    os._exit(0)


def _work(task: Task) -> Answer:
    import hrrr_dask
    from hrrr_dask.errors import HrrrDaskError
    from hrrr_dask.job import backfill as job_backfill
    from hrrr_dask.job.loop import RunResult

    guard = _Guard(task)
    guard.watch_writes()

    def serial(client: Any, job: Any, partitions: Iterator[Any], progress: Any, show: Any) -> RunResult:
        del client, progress, show
        return RunResult(tuple(guard.one_step(partition, job) for partition in partitions), interrupted=False)

    vars(job_backfill).update(run=serial, _cluster=lambda *_: nullcontext(SimpleNamespace(dashboard_link="")))
    try:
        if task.verb == "compact":
            hrrr_dask.compact(task.settings["store"])
            return Answer(killed=False, outcome="compacted")
        return Answer(killed=False, outcome=hrrr_dask.backfill(**task.settings).outcome)
    except HrrrDaskError as error:
        return Answer(killed=False, outcome=type(error).__name__, text=str(error))


def _extract(reading: Any, job: Any) -> Sequence[Any]:
    """Read one file; wait while all servers ask for a pause, as a worker does."""
    from hrrr_dask.errors import SourceDownError
    from hrrr_dask.job.pipeline import extract_file

    give_up = time.monotonic() + job.fetch.outage_limit_s
    while True:
        try:
            return extract_file(reading, job)
        except SourceDownError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


class _Guard:
    """Kills its own process at the given place."""

    def __init__(self, task: Task) -> None:
        self._kill = task.kill
        self._log = os.open(task.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._chance = random.Random(task.seed)
        self._lock = threading.Lock()
        self._seen = {"write": 0, "commit": 0, "file": 0}

    def watch_writes(self) -> None:
        """Count writes and deletions."""
        import obstore as library

        obstore: Any = library

        def watched(real: Callable[..., Any]) -> Callable[..., Any]:
            def one(store: Any, key: Any, *rest: Any, **options: Any) -> Any:
                entry = isinstance(key, str) and key.startswith(LEDGER) and real is put
                number, commit = self._at("write"), 0
                if entry:
                    commit = self._at("commit")
                    os.write(self._log, f"begun {key.removeprefix(LEDGER)}\n".encode())
                done = real(store, key, *rest, **options)
                if entry:
                    os.write(self._log, f"done {key.removeprefix(LEDGER)}\n".encode())
                    self._end_if("committed", commit)
                self._end_if("written", number)
                return done

            return one

        put = obstore.put
        obstore.put, obstore.delete = watched(obstore.put), watched(obstore.delete)

    def one_step(self, partition: Any, job: Any) -> Any:
        """Read and write one step of a partition, in random order."""
        from hrrr_dask.job.pipeline import write_partition

        extracts: list[Any] = []
        for reading in self._mixed(partition.readings):
            self._at("file")
            extracts += _extract(reading, job)
        return write_partition(partition, self._mixed(extracts), job)

    def _mixed(self, things: Sequence[Any]) -> list[Any]:
        return self._chance.sample(things, len(things))

    def _at(self, place: str) -> int:
        with self._lock:
            number = self._seen[place]
            self._seen[place] += 1
        self._end_if(place, number)
        return number

    def _end_if(self, place: str, number: int) -> None:
        if self._kill is not None and (self._kill.where, self._kill.number) == (place, number):
            os.kill(os.getpid(), signal.SIGKILL)
