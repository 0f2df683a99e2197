"""Decides how many files one task reads and how many tasks are in flight, from the size of the cluster. Pure.

A task costs the scheduler about the same whether it reads one file or twenty. On a laptop that is negligible; with a
thousand threads it limits the run, and each task then reads several lead times of a run.
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
"""Time to read a file, assumed until it is measured [s]."""

TASKS_PER_S: Final = 600
"""Tasks per second that keep a scheduler less than one third busy, at about 0.55 ms each [1/s]."""

TASKS_PER_THREAD: Final = 4
"""Tasks in flight for each thread, so that no thread waits for the next step to be submitted."""

AHEAD_S: Final = 12.0
"""Seconds of work in flight for each thread. Adaptive clusters add workers while there is more work than
``distributed.adaptive.target-duration``, 5 s; with this they can double repeatedly [s]."""

MAX_TASKS_PER_THREAD: Final = 500
"""Maximum number of tasks in flight for each thread."""

MAX_TASKS_IN_FLIGHT: Final = 50_000
"""Maximum number of tasks in flight: they take under half a gigabyte in the scheduler and in the client."""

MAX_UNWRITTEN_BYTES: Final = 25_000_000
"""Maximum bytes of values for each thread that are read and not yet written, when writing is the bottleneck [B]."""


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


def files_per_task(n_threads: int, file_s: float, files_of_a_run: int, files_left: int) -> int:
    """Return the smallest number of files for each task with which the scheduler keeps up with the threads.

    Parameters
    ----------
    n_threads : int
        Threads of the whole cluster.
    file_s : float
        Time that a thread needs to read one file [s].
    files_of_a_run : int
        Lead hours of a run: a task reads one run only.
    files_left : int
        Files that are not submitted yet. Near the end tasks become smaller, so that all threads have work.

    Examples
    --------
    >>> files_per_task(2, 0.3, 19, 500_000), files_per_task(1000, 0.3, 19, 500_000)
    (1, 6)
    >>> files_per_task(1000, 0.025, 19, 500_000), files_per_task(1000, 0.3, 19, 10_000)
    (19, 2)
    """
    enough = math.ceil(n_threads / (max(file_s, 1e-6) * TASKS_PER_S))
    parallel = files_left // (TASKS_PER_THREAD * max(n_threads, 1))
    return max(1, min(enough, files_of_a_run, parallel))


def group(readings: Iterable[Reading], size: int) -> list[tuple[Reading, ...]]:
    """Group consecutive files of the same run into groups of about equal size, at most ``size``.

    Parameters
    ----------
    readings : iterable of Reading
        In ascending order.
    size : int
        Maximum number of files in a group.

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
    """Counts of what is submitted and not yet committed."""

    steps: int
    """Steps of partitions."""
    tasks: int
    """Tasks that read files."""
    files: int
    """Files, read or not."""
    unread: int
    """Files that are not read yet."""


def tasks_ahead(n_threads: int, size: int, file_s: float) -> int:
    """Return how many unread tasks to keep in flight: some for each thread, and enough to make adaptive clusters grow.

    Parameters
    ----------
    n_threads : int
        Threads of the whole cluster.
    size : int
        Files for each task.
    file_s : float
        Time that a thread needs to read one file [s].

    Examples
    --------
    >>> tasks_ahead(4, 1, 0.3), tasks_ahead(4, 1, 30.0), tasks_ahead(1_000, 6, 0.3)
    (160, 16, 6667)
    """
    each = min(max(TASKS_PER_THREAD, AHEAD_S / max(size * file_s, 1e-6)), MAX_TASKS_PER_THREAD)
    return math.ceil(each * n_threads)


def has_room(in_flight: InFlight, n_threads: int, size: int, file_bytes: int, file_s: float = ASSUMED_FILE_S) -> bool:
    """Return whether to submit another step.

    One step is always read ahead while the oldest one is written. Beyond that there are enough tasks for all threads,
    and for those that an adaptive cluster would add. When writing falls behind, the bytes that are read and wait to
    be written are bounded.

    Parameters
    ----------
    in_flight : InFlight
        Counts of what is in flight.
    n_threads : int
        Threads of the whole cluster.
    size : int
        Files for each task.
    file_bytes : int
        Bytes of the values of one file [B].
    file_s : float
        Time that a thread needs to read one file [s].

    Examples
    --------
    >>> has_room(InFlight(1, 2_000, 2_000, 2_000), n_threads=2, size=1, file_bytes=4_400)
    True
    >>> has_room(InFlight(2, 4_000, 4_000, 3_000), n_threads=2, size=1, file_bytes=4_400)
    False
    >>> has_room(InFlight(12, 4_000, 24_000, 22_000), n_threads=1_000, size=6, file_bytes=4_400)
    True
    """
    if in_flight.steps < 2:
        return True
    if in_flight.tasks >= MAX_TASKS_IN_FLIGHT or in_flight.files * file_bytes >= n_threads * MAX_UNWRITTEN_BYTES:
        return False
    return in_flight.unread < tasks_ahead(n_threads, size, file_s) * size
