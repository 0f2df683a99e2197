"""What a backfill costs, and what its store will be: estimates from a plan. Pure; every figure says where it is from.

What is not counted: the archive and requests to it (NOAA's buckets are free to read, and stay free within their own
region), workers that idle, the scheduler, and the store's some thirty documents of metadata and coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import Variable
from hrrr_dask.job.extract import wanted_messages
from hrrr_dask.planning.plan import STEP_FILES, Plan, offered, runs

__all__ = ["DEFAULT_CALIBRATION", "DOLLARS_PER_CORE_HOUR", "Calibration", "Costs", "estimate"]

DOLLARS_PER_CORE_HOUR: Final = 0.045
"""Assumption: list price of a core of a general purpose machine on demand, in a large region [USD/(core h)]."""

COMPRESSION: Final = 2.5
"""Raw over stored bytes, without rounding: blosc with zstd 3 and shuffle, measured on two-dimensional fields."""

YEAR_DAYS: Final = 365
"""Days of the year that figures a year are for; it begins with a partition [d]."""

VALUE_BYTES: Final = 4
"""A float32 [B]."""

OBJECTS_BESIDE_VARIABLES: Final = 3
"""Of a partition: its chunks of ``status``, ``quality`` and ``available_at``; ledger entries, one for each step, come
on top."""

INDEX_BYTES_PER_CHUNK: Final = 16
"""Zarr 3 sharding codec: offset and length of each inner chunk, as 64-bit integers [B]."""

INDEX_CHECKSUM_BYTES: Final = 4
"""Zarr 3 sharding codec: the index ends with its crc32c [B]."""

REQUESTS_PER_SHARD: Final = 2
"""Zarr reads the shard's index, then the inner chunk."""

_CONUS_CELLS: Final = 1799 * 1059
_CELLS: Final = {"conus": _CONUS_CELLS, "alaska": 1299 * 919}
"""Domain to cells of its grid; decoding takes time in proportion."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How fast a machine reads files.

    Raises
    ------
    ValueError
        If a figure is negative or not finite, or there is no core.
    """

    seconds_per_message: float
    """CPU time to decode one message of the full CONUS grid [s]."""
    seconds_per_file: float
    """CPU time for the rest of a file: fetch, checks, Dask, its share of the shards [s]."""
    cores: int = 1
    """Cores that work."""
    measured: bool = False
    """By :func:`hrrr_dask.job.calibrate.calibrate` on this machine, rather than by us on ours."""
    engine: str = "auto"
    """Decoder, as ``--engine`` takes it."""

    def __post_init__(self) -> None:
        figures = (self.seconds_per_message, self.seconds_per_file)
        if not all(math.isfinite(figure) and figure >= 0 for figure in figures) or self.cores < 1:
            raise ValueError(f"a calibration has seconds from 0 on and at least one core, not {self}")


DEFAULT_CALIBRATION: Final = Calibration(seconds_per_message=0.002, seconds_per_file=0.025)
"""Our machine, a core of a shared server: the kernels take 1 to 2.5 ms a message, where ecCodes takes 27 in a quiet
process and 35 with the memory settings that Dask's nanny gives its workers; about 25 ms a file go elsewhere."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a plan costs and what the store will be."""

    files: int
    """Files to read: those of the plan that the store does not have yet."""
    messages: int
    """Messages to decode, the other components of vectors included."""
    core_hours: float
    """CPU time [core h]; a worker that waits for the archive is paid for longer."""
    dollars: float
    """Price of the core hours [USD]."""
    objects: int
    """Objects of the store that hold the plan's period, at most: the ledger can be compacted."""
    objects_a_year: int
    """The same for a year of the plan's cycles."""
    stored_bytes: int
    """Values of the plan's period, compressed [B]."""
    stored_bytes_a_year: int
    """The same for a year, as densely offered by the archive as the plan's period [B]."""
    shard_bytes: int
    """Raw size of one shard of one variable [B]."""
    series_requests: int
    """Requests that read one variable at one point for a year."""
    series_bytes: int
    """Bytes that they read: whole inner chunks, compressed, and the shards' indexes [B]."""
    calibration: Calibration
    """What the core hours rest on."""
    dollars_per_core_hour: float
    """What the dollars rest on [USD/(core h)]."""

    @property
    def hours(self) -> float:
        """Wall time if the calibration's cores are never idle [h]."""
        return self.core_hours / self.calibration.cores


def estimate(
    plan: Plan,
    calibration: Calibration = DEFAULT_CALIBRATION,
    dollars_per_core_hour: float = DOLLARS_PER_CORE_HOUR,
) -> Costs:
    """Say what a plan costs.

    Parameters
    ----------
    plan : Plan
        What is to be done.
    calibration : Calibration
        How fast files are read.
    dollars_per_core_hour : float
        Price of a core [USD/(core h)].

    Returns
    -------
    Costs
        Files that the store has already cost nothing; their messages are taken to be as many as the others'.
    """
    there = offered(plan.selection, runs(plan.period, plan.selection.cycles))
    files = plan.n_files - plan.n_done
    messages = round(_count_messages(plan.selection.variables, there) * files / max(plan.n_files, 1))
    message_seconds = calibration.seconds_per_message * _CELLS[plan.selection.domain] / _CONUS_CELLS
    core_hours = (files * calibration.seconds_per_file + messages * message_seconds) / 3600
    values = int(np.count_nonzero(there)) * plan.n_points
    year = YEAR_DAYS * len(plan.selection.cycles) / plan.n_runs
    partitions = -(-YEAR_DAYS // plan.layout.partition_days)
    each = _objects_a_partition(plan)
    return Costs(
        files=files,
        messages=messages,
        core_hours=core_hours,
        dollars=core_hours * dollars_per_core_hour,
        objects=plan.n_partitions * each,
        objects_a_year=partitions * each,
        stored_bytes=round(values * VALUE_BYTES / COMPRESSION),
        stored_bytes_a_year=round(values * year * VALUE_BYTES / COMPRESSION),
        shard_bytes=plan.shard_bytes,
        series_requests=partitions * REQUESTS_PER_SHARD,
        series_bytes=partitions * _series_bytes_a_shard(plan, np.count_nonzero(there) / there.size),
        calibration=calibration,
        dollars_per_core_hour=dollars_per_core_hour,
    )


def _count_messages(variables: tuple[Variable, ...], there: NDArray[np.bool_]) -> int:
    """Messages of all files: one is read where any of the variables that need it is offered."""
    needed: dict[Selector, NDArray[np.bool_]] = {}
    for variable, own in zip(variables, there, strict=True):
        for selector in wanted_messages([variable]):
            needed[selector] = needed[selector] | own if selector in needed else own
    return sum(int(np.count_nonzero(where)) for where in needed.values())


def _objects_a_partition(plan: Plan) -> int:
    """Shards, the chunks beside them, and a ledger entry for each step of a partition that is read once."""
    blocks = -(-plan.n_points // plan.layout.shard_points)
    files = plan.layout.partition_days * len(plan.selection.cycles) * len(plan.selection.lead_hours)
    return len(plan.selection.variables) * blocks + OBJECTS_BESIDE_VARIABLES + -(-files // STEP_FILES)


def _series_bytes_a_shard(plan: Plan, density: float) -> int:
    """The index, and the chunk; what is not offered or is room for points is NaN, compressed to next to nothing [B]."""
    layout = plan.layout
    chunks = layout.shard_points // layout.chunk_points
    index = chunks * INDEX_BYTES_PER_CHUNK + INDEX_CHECKSUM_BYTES
    points = min(plan.n_points, layout.chunk_points)
    return index + round(plan.shard_bytes // layout.shard_points * points * density / COMPRESSION)
