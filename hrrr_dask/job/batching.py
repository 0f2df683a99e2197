"""How many files one task carries, and how much is in flight: decided from the size of the cluster. Pure.

A task costs the scheduler about as much whether it reads one file or twenty. On a laptop that is nothing beside
reading a file; with a thousand threads it is what bounds the run, and a task then carries several lead hours of a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.records import Reading

__all__ = ["ASSUMED_FILE_S", "InFlight", "files_per_task", "group", "has_room", "parse_files_per_task", "tasks_ahead"]

ASSUMED_FILE_S: Final = 0.3
"""What reading a file takes, until it has been measured [s]."""

TASKS_PER_S: Final = 600
"""Tasks that leave a scheduler under a third busy, at about 0.55 ms each [1/s]."""

TASKS_PER_THREAD: Final = 4
"""Tasks in the window for each thread, so that none waits for the next step to be submitted."""

AHEAD_S: Final = 12.0
"""Work in the window for each thread [s]: adaptive clusters add workers while there is more than
``distributed.adaptive.target-duration``, 5 s, and so grow to twice their size and a bit, again and again."""

MOST_PER_THREAD: Final = 500
"""Tasks in the window for each thread, however short they are."""

MOST_TASKS: Final = 50_000
"""In flight: what they cost the scheduler and the client stays under half a gigabyte."""

HELD_BYTES: Final = 25_000_000
"""Values in flight for each thread, read and not yet written, when writing is what takes the time [B]."""


def parse_files_per_task(text: str) -> int | None:
    """Read the setting ``files-per-task``.

    Parameters
    ----------
    text : str
        ``auto`` or a whole number from 1 on.

    Returns
    -------
    int or None
        None for ``auto``.

    Raises
    ------
    ConfigError
        If it is neither.

    Examples
    --------
    >>> parse_files_per_task("19"), parse_files_per_task("auto")
    (19, None)
    """
    word = text.strip().lower()
    if word == "auto":
        return None
    if not (word.isascii() and word.isdigit()) or int(word) < 1:
        raise ConfigError(f"setting files-per-task is 'auto' or a whole number from 1 on, not {text!r}")
    return int(word)


def files_per_task(n_threads: int, file_s: float, n_leads: int, files_left: int) -> int:
    """The fewest files that one task must carry for the scheduler to keep up with the threads.

    Parameters
    ----------
    n_threads : int
        Of the whole cluster.
    file_s : float
        What reading one file takes a thread [s].
    n_leads : int
        Lead hours of a run: a task reads one run only.
    files_left : int
        Files that are still to be handed out; near the end tasks get smaller, so that all threads have some.

    Examples
    --------
    >>> files_per_task(2, 0.3, 19, 500_000), files_per_task(1000, 0.3, 19, 500_000)
    (1, 6)
    >>> files_per_task(1000, 0.025, 19, 500_000), files_per_task(1000, 0.3, 19, 10_000)
    (19, 2)
    """
    enough = math.ceil(n_threads / (max(file_s, 1e-6) * TASKS_PER_S))
    parallel = files_left // (TASKS_PER_THREAD * max(n_threads, 1))
    return max(1, min(enough, n_leads, parallel))


def group(readings: Iterable[Reading], size: int) -> list[tuple[Reading, ...]]:
    """Put neighbours of the same run together, at most ``size`` of them and about equally many.

    Parameters
    ----------
    readings : iterable of Reading
        Ascending.
    size : int
        Most files of one task.

    Returns
    -------
    list of tuple of Reading
        Each reading once, in the same order.
    """
    groups: list[tuple[Reading, ...]] = []
    for _, neighbours in groupby(readings, lambda reading: reading.file.init_time):
        run = tuple(neighbours)
        parts = math.ceil(len(run) / size)
        bounds = [len(run) * part // parts for part in range(parts + 1)]
        groups += [run[start:stop] for start, stop in pairwise(bounds)]
    return groups


@dataclass(frozen=True, slots=True)
class InFlight:
    """What was submitted and is not committed yet."""

    steps: int
    """Steps of partitions."""
    tasks: int
    """Tasks that read."""
    files: int
    """Files, read or not."""
    unread: int
    """Of them, those that are still to be read."""


def tasks_ahead(n_threads: int, size: int, file_s: float) -> int:
    """Tasks that are to be in the window, still to be read: some for each thread, and enough to ask for more threads.

    Parameters
    ----------
    n_threads : int
        Of the whole cluster.
    size : int
        Files of one task.
    file_s : float
        What reading one file takes a thread [s].

    Examples
    --------
    >>> tasks_ahead(4, 1, 0.3), tasks_ahead(4, 1, 30.0), tasks_ahead(1_000, 6, 0.3)
    (160, 16, 6667)
    """
    each = min(max(TASKS_PER_THREAD, AHEAD_S / max(size * file_s, 1e-6)), MOST_PER_THREAD)
    return math.ceil(each * n_threads)


def has_room(flying: InFlight, n_threads: int, size: int, file_bytes: int, file_s: float = ASSUMED_FILE_S) -> bool:
    """Whether another step is to be submitted.

    The next step is always there while the oldest one is written. Beyond that the threads decide: there are tasks for
    each of them, and for those that would come if they were asked for. When writing falls behind, what is read and
    waits is bounded.

    Parameters
    ----------
    flying : InFlight
        What is in flight.
    n_threads : int
        Of the whole cluster.
    size : int
        Files of one task.
    file_bytes : int
        Values of one file [B].
    file_s : float
        What reading one file takes a thread [s].

    Examples
    --------
    >>> has_room(InFlight(1, 2_000, 2_000, 2_000), n_threads=2, size=1, file_bytes=4_400)
    True
    >>> has_room(InFlight(2, 4_000, 4_000, 3_000), n_threads=2, size=1, file_bytes=4_400)
    False
    >>> has_room(InFlight(12, 4_000, 24_000, 22_000), n_threads=1_000, size=6, file_bytes=4_400)
    True
    """
    if flying.steps < 2:
        return True
    if flying.tasks >= MOST_TASKS or flying.files * file_bytes >= n_threads * HELD_BYTES:
        return False
    return flying.unread < tasks_ahead(n_threads, size, file_s) * size
