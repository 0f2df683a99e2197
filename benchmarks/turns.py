"""Processes that measure in turn: each belongs to one contender, and is idle while others work.

Only the standard library here, as in :mod:`benchmarks.measuring`.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar

from benchmarks.measuring import ROOT, clean_environment, function_at, reset_peak, resident

__all__ = ["Player", "Turn", "play", "take_turn"]

Result = TypeVar("Result")

TURN_S: Final = 0.1
"""A turn ends after this [s] ..."""

MOST_CALLS: Final = 40
"""... or after so many calls, and has at least one."""


@dataclass(frozen=True, slots=True)
class Turn(Generic[Result]):
    """What came of one turn."""

    cpu_s: float
    """User and system time of one call, all threads; the median of the turn's calls [s]."""
    wall_s: float
    """Of one call; the median of the turn's calls [s]."""
    peak_bytes: int
    """Most resident memory during the turn [B]."""
    result: Result
    """Of the last call."""


def take_turn(work: Callable[[], Result]) -> Turn[Result]:
    """Do some work once or, where it is short, several times."""
    reset_peak()
    cpu, wall, began = [], [], time.perf_counter()
    while True:
        before = (time.process_time(), time.perf_counter())
        result = work()
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
        if len(cpu) == MOST_CALLS or time.perf_counter() - began > TURN_S:
            return Turn(_median(cpu), _median(wall), resident("VmHWM"), result)


class Player:
    """A process that answers one request after the other.

    Parameters
    ----------
    place : str
        Full name of a function that prepares and gives the function that answers; see :func:`play`.
    environment : mapping of str to str
        As for :func:`benchmarks.measuring.spawn`.
    **arguments
        Of the function, as JSON carries them.
    """

    def __init__(self, place: str, environment: Mapping[str, str], **arguments: Any) -> None:
        code = "import sys; from benchmarks.turns import play; play(*sys.argv[1:])"
        self._name = f"{place} with {arguments}"
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, place, json.dumps(arguments)],
            env=clean_environment(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._words:
            self._process.kill()
            self._process.communicate()

    def ask(self, request: Any) -> Any:
        """Send a request and wait for the answer, both as pickle carries them.

        Raises
        ------
        RuntimeError
            If the process has failed, with its words.
        """
        assert self._process.stdin is not None, "it was asked for"
        assert self._process.stdout is not None, "it was asked for"
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (EOFError, OSError) as error:
            self._process.wait()
            self._words.seek(0)
            raise RuntimeError(f"{self._name} failed:\n{self._words.read().decode(errors='replace')}") from error


def play(place: str, arguments: str) -> None:
    """Answer the parent's requests until it closes stdin; what is printed meanwhile goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        answer = function_at(place)(**json.loads(arguments))
        while True:
            try:
                request = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            pickle.dump(answer(request), answers)
            answers.flush()


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
