"""Chooses the sizes of shards and chunks, and defines the regular init_time axis of a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError

__all__ = ["Axis", "Layout", "choose_layout"]

PARTITION_DAYS: Final = (30, 7, 1)
"""Choices of days per partition, longest first [d]."""

SHARD_BYTES: Final = 64_000_000
"""Maximum raw size of one shard [B]."""

CHUNK_POINTS: Final = (10, 20, 50, 100)
"""Choices of points in one inner chunk."""

CHUNK_BYTES: Final = 1_000_000
"""Maximum raw size of one inner chunk, the part of a shard that is read for one point [B]."""

SHARD_POINTS: Final = 1_000
"""Maximum number of points in one shard."""

ROOM: Final = 4
"""A shard has room for one more point for every four, so that adding a few points makes no new objects."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of shards and inner chunks, fixed when a store is created."""

    partition_days: int
    """Days of init times in one shard [d]."""
    shard_points: int
    """Points in one shard."""
    chunk_points: int
    """Points in one inner chunk."""


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
    """Choose the sizes of shards and chunks from the number of points, lead times and cycles.

    Parameters
    ----------
    selection : Selection
        Variables, lead times and cycles.
    n_points : int
        Number of points.
    partition_days : int, optional
        Days in a shard [d]; 0 chooses the largest of 30, 7 and 1 whose shard stays under :data:`SHARD_BYTES`.
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
    leads_a_day = len(selection.cycles) * len(selection.lead_hours)
    if chunk_points and shard_points % chunk_points:
        raise PlanError(
            f"shards of {shard_points} points are not made of whole chunks of {chunk_points}: give a multiple"
        )
    room = min(n_points + max(n_points // ROOM, 1), SHARD_POINTS)

    def sized(days: int) -> Layout:
        chunk = chunk_points or _fitting_chunk(days * leads_a_day * 4, room, shard_points)
        return Layout(days, shard_points or chunk * -(-room // chunk), chunk)

    layouts = [sized(days) for days in ([partition_days] if partition_days else PARTITION_DAYS)]
    small = (each for each in layouts if each.partition_days * leads_a_day * each.shard_points * 4 <= SHARD_BYTES)
    return next(small, layouts[-1])


def _fitting_chunk(point_bytes: int, room: int, shard_points: int) -> int:
    """Return the largest number of points that fits in a chunk and is not more than needed."""
    smallest = CHUNK_POINTS[0]
    fitting = [n for n in CHUNK_POINTS if n * point_bytes <= CHUNK_BYTES and not shard_points % n] or [smallest]
    enough = [n for n in fitting if n >= room]
    chunk = enough[0] if enough else fitting[-1]
    return shard_points if shard_points % chunk else chunk
