"""What will be done, as values: which runs, which files, in which partitions, and what it costs. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog import last_lead_hour
from hrrr_dask.config import Period, Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.records import GribFile, Partition

__all__ = ["Axis", "Layout", "Plan", "choose_layout", "iter_partitions", "make_plan", "offered"]

PARTITION_DAYS: Final = (30, 7, 1)
"""Choices of days per partition, longest first."""

PARTITION_BYTES: Final = 256_000_000
"""Most raw bytes of one partition, all variables [B]."""

PARTITION_FILES: Final = 10_000
"""Most files of one partition: what a kill may cost is bounded by it."""

CHUNK_POINTS: Final = 50
"""Points in one inner chunk."""

SHARD_POINTS: Final = 1_000
"""Most points in one shard."""

MESSAGE_BYTES: Final = 1_500_000
"""Typical size of a two-dimensional message of the full CONUS grid [B]."""

FIELD_BYTES: Final = 1799 * 1059 * 8
"""A decoded field of the full CONUS grid in double precision [B]."""

WORKER_BASE_BYTES: Final = 300_000_000
"""A worker process with its libraries loaded [B]."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of shards and inner chunks: fixed when a store is created."""

    partition_days: int
    """Days of init times in one shard [d]."""
    shard_points: int
    """Points in one shard."""
    chunk_points: int
    """Points in one inner chunk."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The regular init_time axis: a first day and the cycles of a day, so that an index is arithmetic."""

    first_day: datetime
    """Midnight before the first run, UTC."""
    cycles: tuple[int, ...]
    """Hours at which runs start [h UTC]."""

    def index(self, init_time: datetime) -> int:
        """Position of a run; may be negative or beyond the end.

        Raises
        ------
        PlanError
            If no run starts at that hour.

        Examples
        --------
        >>> Axis(datetime(2024, 1, 1), (0, 12)).index(datetime(2024, 1, 3, 12))
        5
        """
        if init_time.hour not in self.cycles:
            raise PlanError(
                f"{init_time:%Y-%m-%dT%H} is no init time of this store: its cycles are {list(self.cycles)}"
            )
        return (init_time - self.first_day).days * len(self.cycles) + self.cycles.index(init_time.hour)

    def init_time(self, index: int) -> datetime:
        """Init time at a position."""
        days, cycle = divmod(index, len(self.cycles))
        return self.first_day + timedelta(days=days, hours=self.cycles[cycle])

    def days_to(self, end: datetime) -> int:
        """Whole days from the first day to the end of the day of ``end`` [d]."""
        return (end - self.first_day).days + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    selection: Selection
    """What is wanted of every run."""
    period: Period
    """First and last init time."""
    layout: Layout
    """Sizes of shards and chunks."""
    n_points: int
    """Number of points."""
    n_runs: int
    """Init times in the period that have started."""
    n_files: int
    """Files that the archive is expected to have."""
    n_partitions: int
    """Partitions that the period touches."""
    skipped: dict[int, int]
    """Lead hour to the number of runs that do not reach it."""
    absent: tuple[str, ...]
    """Names of the variables that none of the files can have: they came later, or their window is longer."""
    not_started: int
    """Init times in the period that lie in the future."""
    n_done: int = 0
    """Of the files, those that the store has already."""

    @property
    def bytes_to_read(self) -> int:
        """Estimate of bytes from the archive [B]."""
        return (self.n_files - self.n_done) * len(self.selection.variables) * MESSAGE_BYTES

    @property
    def requests(self) -> int:
        """Estimate of requests to the archive: an inventory and about five ranges a file."""
        return (self.n_files - self.n_done) * (1 + min(5, len(self.selection.variables)))

    @property
    def partition_bytes(self) -> int:
        """Raw size of one partition, all variables [B]."""
        selection = self.selection
        inits = self.layout.partition_days * len(selection.cycles)
        return inits * len(selection.lead_hours) * self.n_points * 4 * len(selection.variables)

    @property
    def worker_bytes(self) -> int:
        """Projected peak memory of one worker [B]: extracts of a partition twice, one field, the messages of a file."""
        messages = len(self.selection.variables) * MESSAGE_BYTES
        return WORKER_BASE_BYTES + 3 * self.partition_bytes + 3 * FIELD_BYTES + 2 * messages


def choose_layout(selection: Selection, n_points: int, partition_days: int = 0) -> Layout:
    """Choose sizes from the number of points, lead times, cycles and variables.

    Parameters
    ----------
    selection : Selection
        What is wanted.
    n_points : int
        Number of points.
    partition_days : int, optional
        Days in a shard [d]; 0 takes the largest of 30, 7 and 1 whose partition stays under
        :data:`PARTITION_BYTES` and :data:`PARTITION_FILES`.

    Returns
    -------
    Layout
        One day when nothing fits; :attr:`Plan.worker_bytes` then tells.
    """
    files_a_day = len(selection.cycles) * len(selection.lead_hours)
    bytes_a_day = files_a_day * n_points * 4 * len(selection.variables)

    def fits(days: int) -> bool:
        return days * bytes_a_day <= PARTITION_BYTES and days * files_a_day <= PARTITION_FILES

    days = partition_days or next((days for days in PARTITION_DAYS if fits(days)), 1)
    chunk = min(CHUNK_POINTS, n_points)
    blocks = -(-n_points // chunk)
    return Layout(days, chunk * min(blocks, SHARD_POINTS // chunk), chunk)


def make_plan(
    selection: Selection,
    period: Period,
    *,
    n_points: int,
    layout: Layout,
    now: datetime,
    axis: Axis | None = None,
    continued: bool = False,
) -> Plan:
    """Count what a period holds.

    Parameters
    ----------
    selection, period : Selection, Period
        What is wanted, and when.
    n_points : int
        Number of points.
    layout : Layout
        Sizes of shards.
    now : datetime
        Runs that start later are left out, UTC.
    axis : Axis, optional
        The store's axis; by default it begins on the period's first day.
    continued : bool
        The store exists: its lead hours and variables are given, and a period that has none of them is no error.

    Raises
    ------
    PlanError
        If a lead hour is reached by none of the runs, no run has started yet, or none of them has the variables.
    """
    axis = axis or first_axis(selection, period)
    wanted = runs(period, selection.cycles)
    started = [init_time for init_time in wanted if init_time <= now]
    if not started:
        raise PlanError(
            f"no run between {period.start} and {period.end} has started yet: it is {now:%Y-%m-%dT%H:%M} UTC"
        )
    reaches = [last_lead_hour(time, selection.product, selection.domain) for time in started]
    skipped = {
        lead: count
        for lead in selection.lead_hours
        if (count := sum(1 for reach in reaches if reach is None or reach < lead))
    }
    there = offered(selection, started)
    if not continued:
        _refuse_unreachable(selection, started, skipped)
    if not continued and not there.any():
        raise PlanError(
            f"the archive has none of these variables at these lead hours between {started[0]:%Y-%m-%dT%H} and "
            f"{started[-1]:%Y-%m-%dT%H}: ask for later runs (some variables begin in 2016), lead hours or others"
        )
    span = layout.partition_days * len(selection.cycles)
    first, last = axis.index(started[0]) // span, axis.index(started[-1]) // span
    return Plan(
        selection=selection,
        period=Period(period.start, started[-1]),
        layout=layout,
        n_points=n_points,
        n_runs=len(started),
        n_files=int(np.any(there, axis=0).sum()),
        n_partitions=last - first + 1,
        skipped=skipped,
        absent=tuple(v.name for v, own in zip(selection.variables, there, strict=True) if not own.any()),
        not_started=len(wanted) - len(started),
    )


def first_axis(selection: Selection, period: Period) -> Axis:
    """The axis of a new store: it begins on the day of the first run asked for."""
    return Axis(period.start.replace(hour=0), selection.cycles)


def runs(period: Period, cycles: tuple[int, ...]) -> list[datetime]:
    """All init times of a period, ascending."""
    days = (period.end.date() - period.start.date()).days + 1
    midnight = period.start.replace(hour=0)
    times = (midnight + timedelta(days=day, hours=cycle) for day in range(days) for cycle in cycles)
    return [time for time in times if period.start <= time <= period.end]


def _refuse_unreachable(selection: Selection, started: list[datetime], skipped: dict[int, int]) -> None:
    unreachable = [lead for lead in selection.lead_hours if skipped.get(lead) == len(started)]
    if not unreachable:
        return
    reaches = {last_lead_hour(time, selection.product, selection.domain) for time in started}
    furthest = max((reach for reach in reaches if reach is not None), default=None)
    which = f"the run {started[0]:%Y-%m-%dT%H}" if len(started) == 1 else f"any of the {len(started)} runs"
    if furthest is None:
        raise PlanError(
            f"the archive has no {selection.domain} runs at these init times: alaska starts in 2018 and runs every 3 h"
        )
    raise PlanError(
        f"lead hours {', '.join(map(str, unreachable))} are not reached by {which}: "
        f"the furthest here is {furthest} h; ask for --lead-hours up to that"
    )


def offered(selection: Selection, init_times: Sequence[datetime]) -> NDArray[np.bool_]:
    """Which values the archive can have.

    Parameters
    ----------
    selection : Selection
        What is wanted.
    init_times : sequence of datetime
        Starts of runs, UTC.

    Returns
    -------
    ndarray of bool, dims (variable, init_time, lead_time)
        False for leads beyond the run's reach, and for variables that the era or the lead time does not have.
    """
    variables, leads = selection.variables, np.asarray(selection.lead_hours)
    reach = [last_lead_hour(time, selection.product, selection.domain) for time in init_times]
    reached = leads <= np.array([-1 if hours is None else hours for hours in reach])[:, None]
    since = np.array([[time >= variable.since for time in init_times] for variable in variables], dtype=bool)
    window = np.array([[variable.selector.window.exists_at(lead) for lead in leads.tolist()] for variable in variables])
    there: NDArray[np.bool_] = reached[None] & since[:, :, None] & window[:, None]
    return there


def iter_partitions(plan: Plan, axis: Axis, done: NDArray[np.bool_]) -> Iterator[Partition]:
    """Yield the partitions that have something left to read, oldest first.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    axis : Axis
        The store's axis.
    done : ndarray of bool, dims (init_time, lead_time)
        Files that need not be read again, along the store's axis.

    Yields
    ------
    Partition
        With the files that are wanted, offered and not done; never empty.
    """
    selection = plan.selection
    span = plan.layout.partition_days * len(selection.cycles)
    for number, group in groupby(runs(plan.period, selection.cycles), lambda init_time: axis.index(init_time) // span):
        init_times = list(group)
        wanted = np.any(offered(selection, init_times), axis=0)
        first = axis.index(init_times[0])
        known = done[first : first + len(init_times)]
        wanted[: len(known)] &= ~known
        files = tuple(
            GribFile(init_times[k], selection.lead_hours[lead], selection.product, selection.domain)
            for k, lead in np.argwhere(wanted).tolist()
        )
        if files:
            yield Partition(number, files)
