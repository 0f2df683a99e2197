"""Chooses the sizes of shards and chunks, and defines the regular init_time axis of a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError

__all__ = ["Axis", "Layout", "choose_layout", "explain_layout"]

PARTITION_DAYS: Final = (32, 16, 8, 4, 2, 1)
"""Choices of days per partition, longest first [d]."""

PARTITION_RUNS: Final = 384
"""Maximum number of runs in one partition, 16 days of hourly runs, if its shards have several inner chunks.

A longer partition is fewer requests to read a point's year, and more bytes that each update rewrites. A year touches at
most 24 partitions of 16 days, of two requests each, wherever it begins; with nine to open the store that is 57. The
goal is 60. 15 days would be 61 for some years."""

ONE_CHUNK_DAYS: Final = (32, 16, 8)
"""Choices of days if all points are in one inner chunk: Zarr then reads the whole shard in one request instead of two,
so that 8 days are at most 47 requests for a year, and nine to open the store [d]."""

PARTITION_BYTES: Final = 512_000_000
"""Maximum raw size of one partition, all variables and points, which the last update of the partition rewrites [B]."""

SHARD_BYTES: Final = 80_000_000
"""Maximum raw size of one shard: enough for 384 runs, 49 lead times and 1,000 points [B]."""

CHUNK_POINTS: Final = (10, 20, 50, 100)
"""Choices of points in one inner chunk."""

CHUNK_BYTES: Final = 1_000_000
"""Maximum raw size of one inner chunk, the part of a shard that is read for one point [B]."""

SHARD_POINTS: Final = 1_000
"""Maximum number of points in one shard.

Shards of one inner chunk for all stores would be one request each for readers, and allow 8 days for 1,000 points. They
were rejected: at 100 points in a chunk, 11 variables and 12 lead times, an update would write half the bytes in 110
objects instead of 11, a year would be 5,290 objects instead of 391, and a point's year 17 MB instead of 8."""

ROOM: Final = 4
"""A shard has room for one more point for every four, so that adding a few points makes no new objects."""

_DAY: Final = datetime(2024, 1, 1)
"""Any day: how far runs reach depends on the hour."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of shards and inner chunks, fixed when a store is created."""

    partition_days: int
    """Days of init times in one shard [d]."""
    shard_points: int
    """Points in one shard."""
    chunk_points: int
    """Points in one inner chunk."""

    @property
    def requests_per_shard(self) -> int:
        """Requests to read one inner chunk: its index and itself, or the whole shard if it is the only one."""
        return 1 if self.shard_points == self.chunk_points else 2

    def shard_bytes(self, selection: Selection) -> int:
        """Return the raw size of one shard [B]."""
        return self.partition_days * len(selection.cycles) * len(selection.lead_minutes) * self.shard_points * 4


@dataclass(frozen=True, slots=True)
class Axis:
    """The regular init_time axis: a first day and the cycles of a day, so that an index is computed."""

    first_day: datetime
    """Midnight before the first run, UTC."""
    cycles: tuple[int, ...]
    """Hours at which runs start [h UTC]."""

    def index(self, init_time: datetime) -> int:
        """Return the position of a run; may be negative or beyond the end.

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
                f"{init_time:%Y-%m-%dT%H} is not an init time of this store: its cycles are {list(self.cycles)}"
            )
        return (init_time - self.first_day).days * len(self.cycles) + self.cycles.index(init_time.hour)

    def init_time(self, index: int) -> datetime:
        """Return the init time at a position."""
        days, cycle = divmod(index, len(self.cycles))
        return self.first_day + timedelta(days=days, hours=self.cycles[cycle])

    def days_to(self, end: datetime) -> int:
        """Return the whole days from the first day to the end of the day of ``end`` [d]."""
        return (end - self.first_day).days + 1


def choose_layout(
    selection: Selection, n_points: int, *, partition_days: int = 0, shard_points: int = 0, chunk_points: int = 0
) -> Layout:
    """Choose the sizes of shards and chunks from the numbers of points, lead times, cycles and variables.

    An update merges one run into the shards of its partition and writes them again, so it writes half a partition on
    average. A reader of a point's series makes one or two requests for each partition. Short partitions are cheap to
    update, long ones to read. The rule takes the longest partition whose update is cheap enough:

    - 32, 16 or 8 days if all points fit in one inner chunk: writing a megabyte takes about as long as a request does;
    - otherwise at most :data:`PARTITION_RUNS` runs, with which a point's year stays below 60 requests;
    - in any case at most :data:`PARTITION_BYTES`, which thousands of points reach: then updates are what costs most.
      4 days are 193 requests for a point's year, one day 739.

    The memory of a worker does not limit the layout: a step of a backfill has as many files as fit, see
    :attr:`Plan.step_files`. As a partition is limited, a few steps write it.

    Parameters
    ----------
    selection : Selection
        Variables, lead times and cycles.
    n_points : int
        Number of points.
    partition_days : int, optional
        Days in a shard [d]; 0 chooses from :data:`PARTITION_DAYS`.
    shard_points : int, optional
        Points in a shard; 0 chooses all points with some room for more, up to :data:`SHARD_POINTS`.
    chunk_points : int, optional
        Points in an inner chunk; 0 chooses the largest of :data:`CHUNK_POINTS` whose chunk stays under
        :data:`CHUNK_BYTES`.

    Returns
    -------
    Layout
        With one day if nothing fits; then see :attr:`Plan.worker_bytes`.

    Raises
    ------
    PlanError
        If a shard is not made of whole chunks.
    """
    runs_a_day, n_leads = len(selection.cycles), len(selection.lead_minutes)
    if chunk_points and shard_points % chunk_points:
        raise PlanError(
            f"shards of {shard_points} points are not made of whole chunks of {chunk_points}: give a multiple"
        )
    room = min(n_points + max(n_points // ROOM, 1), SHARD_POINTS)

    def sized(days: int) -> Layout:
        chunk = chunk_points or _fitting_chunk(days * runs_a_day * n_leads * 4, room, shard_points)
        return Layout(days, shard_points or chunk * -(-room // chunk), chunk)

    if partition_days:
        return sized(partition_days)
    layouts = [sized(days) for days in PARTITION_DAYS]
    day_bytes = _values_a_day(selection) * len(selection.variables) * n_points * 4
    allowed = [
        each
        for each in layouts
        if each.partition_days * day_bytes <= PARTITION_BYTES and each.shard_bytes(selection) <= SHARD_BYTES
    ]
    one_chunk = (each for each in allowed if each.partition_days in ONE_CHUNK_DAYS and _is_one_chunk(each, selection))
    several = (each for each in allowed if each.partition_days * runs_a_day <= PARTITION_RUNS)
    return next(chain(one_chunk, several), layouts[-1])


def explain_layout(layout: Layout, selection: Selection, n_points: int) -> str:
    """Return why a layout has its number of days, in the words of ``hrrr-dask plan``."""
    sizes = {"shard_points": layout.shard_points, "chunk_points": layout.chunk_points}
    if layout not in (choose_layout(selection, n_points), choose_layout(selection, n_points, **sizes)):
        return "as given, or fixed when the store was made"
    if layout.partition_days in ONE_CHUNK_DAYS and _is_one_chunk(layout, selection):
        return "points of a shard in one chunk, read in one request and cheap to rewrite"
    if layout.partition_days == 1:
        return "the shortest, as each update rewrites the partition"
    if layout.partition_days == PARTITION_DAYS[0]:
        return "the longest there is, as few runs are rewritten"
    if 2 * layout.partition_days * len(selection.cycles) > PARTITION_RUNS:
        return "the shortest with which a point's year stays below 60 requests"
    return f"the longest whose partition, which each update rewrites, is at most {PARTITION_BYTES // 10**6} MB raw"


def _is_one_chunk(layout: Layout, selection: Selection) -> bool:
    return layout.requests_per_shard == 1 and layout.shard_bytes(selection) <= CHUNK_BYTES


def _values_a_day(selection: Selection) -> int:
    """Count the lead times of a day: most runs do not reach long ones, and missing values take no bytes."""
    reaches = [
        last_lead_hour(_DAY.replace(hour=hour), selection.product, selection.domain) for hour in selection.cycles
    ]
    return sum(lead <= 60 * reach for reach in reaches if reach is not None for lead in selection.lead_minutes)


def _fitting_chunk(point_bytes: int, room: int, shard_points: int) -> int:
    """Return the largest number of points that fits in a chunk and is not more than needed."""
    smallest = CHUNK_POINTS[0]
    fitting = [n for n in CHUNK_POINTS if n * point_bytes <= CHUNK_BYTES and not shard_points % n] or [smallest]
    enough = [n for n in fitting if n >= room]
    chunk = enough[0] if enough else fitting[-1]
    return shard_points if shard_points % chunk else chunk
