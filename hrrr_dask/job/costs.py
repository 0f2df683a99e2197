"""Estimates what a backfill costs and how large its store will be, from a plan. Pure; every figure names its source.

Not included: the archive and requests to it (NOAA's buckets are free to read, and transfers are free within their
region), idle workers, the scheduler, and the store's about thirty objects of metadata and coordinates.
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
from hrrr_dask.planning.plan import Plan, offered, runs

__all__ = ["DEFAULT_CALIBRATION", "DOLLARS_PER_CORE_HOUR", "Calibration", "Costs", "estimate"]

DOLLARS_PER_CORE_HOUR: Final = 0.045
"""Assumed list price of an on-demand core of a general purpose machine in a large region [USD/(core h)]."""

COMPRESSION: Final = 2.5
"""Ratio of raw to stored bytes, without rounding: blosc with zstd 3 and shuffle, measured on two-dimensional fields."""

YEAR_DAYS: Final = 365
"""Days of the year for annual figures; the year starts with a partition [d]."""

VALUE_BYTES: Final = 4
"""Size of a float32 [B]."""

OBJECTS_BESIDE_VARIABLES: Final = 3
"""Objects of a partition besides shards: its chunks of ``status``, ``quality`` and ``available_at``. Ledger entries,
one for each step, are counted separately."""

INDEX_BYTES_PER_CHUNK: Final = 16
"""Zarr 3 sharding codec: offset and length of each inner chunk, as 64-bit integers [B]."""

INDEX_CHECKSUM_BYTES: Final = 4
"""Zarr 3 sharding codec: CRC-32C at the end of the index [B]."""

_CONUS_CELLS: Final = 1799 * 1059
_CELLS: Final = {"conus": _CONUS_CELLS, "alaska": 1299 * 919}
"""Cells of the grid of each domain; decoding time is proportional to them."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Speed at which a machine reads files.

    Raises
    ------
    ValueError
        If a figure is negative or not finite, or there is no core.
    """

    seconds_per_message: float
    """CPU time to decode one message of the full CONUS grid [s]."""
    seconds_per_file: float
    """CPU time for the rest of a file: download, checks, Dask, its share of the shards [s]."""
    cores: int = 1
    """Number of cores."""
    measured: bool = False
    """Whether :func:`hrrr_dask.job.calibrate.calibrate` measured it on this machine."""
    engine: str = "auto"
    """Decoding engine, as for ``--engine``."""

    def __post_init__(self) -> None:
        figures = (self.seconds_per_message, self.seconds_per_file)
        if not all(math.isfinite(figure) and figure >= 0 for figure in figures) or self.cores < 1:
            raise ValueError(f"a calibration has seconds from 0 on and at least one core, not {self}")


DEFAULT_CALIBRATION: Final = Calibration(seconds_per_message=0.002, seconds_per_file=0.025)
"""Measured on one core of a shared server: the kernels take 1 to 2.5 ms a message. ecCodes takes 27 ms in a plain
process and 35 ms with the memory settings that Dask's nanny gives its workers. The rest of a file takes about 25 ms."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of a plan and size of its store."""

    files: int
    """Files to read: those of the plan that the store lacks."""
    messages: int
    """Messages to decode, including the companions of vector components."""
    core_hours: float
    """CPU time; a worker that waits for the archive is paid for longer [core h]."""
    dollars: float
    """Price of the core hours [USD]."""
    objects: int
    """Maximum number of objects for the plan's period; compacting the ledger reduces it."""
    objects_a_year: int
    """Maximum number of objects for a year of the plan's cycles."""
    stored_bytes: int
    """Compressed size of the plan's values [B]."""
    stored_bytes_a_year: int
    """Compressed size of a year of values, if the archive offers as many as in the plan's period [B]."""
    shard_bytes: int
    """Raw size of one shard of one variable [B]."""
    series_requests: int
    """Requests to read one variable at one point for a year, besides about nine to open the store."""
    series_bytes: int
    """Bytes to read them: whole inner chunks, compressed, and the shards' indexes [B]."""
    update_new_bytes: int
    """Raw size of the values of one run, which an update adds [B]."""
    update_mean_bytes: int
    """Bytes that an update with one run writes to shards, compressed, on average over a partition [B]."""
    update_most_bytes: int
    """Bytes that the last update of a partition writes: all of its shards, compressed [B]."""
    calibration: Calibration
    """Calibration behind the core hours."""
    dollars_per_core_hour: float
    """Price behind the dollars [USD/(core h)]."""

    @property
    def hours(self) -> float:
        """Wall time if the calibration's cores are never idle [h]."""
        return self.core_hours / self.calibration.cores


def estimate(
    plan: Plan,
    calibration: Calibration = DEFAULT_CALIBRATION,
    dollars_per_core_hour: float = DOLLARS_PER_CORE_HOUR,
) -> Costs:
    """Estimate what a plan costs.

    Parameters
    ----------
    plan : Plan
        The plan.
    calibration : Calibration
        Speed at which files are read.
    dollars_per_core_hour : float
        Price of a core [USD/(core h)].

    Returns
    -------
    Costs
        Files that the store already has cost nothing; they are assumed to have as many messages as the others.
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
    span = plan.layout.partition_days * len(plan.selection.cycles)
    run_bytes = values * VALUE_BYTES / plan.n_runs
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
        series_requests=partitions * plan.layout.requests_per_shard,
        series_bytes=partitions * _series_bytes_a_shard(plan, np.count_nonzero(there) / there.size),
        update_new_bytes=round(run_bytes),
        update_mean_bytes=round(run_bytes * (span + 1) / 2 / COMPRESSION),
        update_most_bytes=round(run_bytes * span / COMPRESSION),
        calibration=calibration,
        dollars_per_core_hour=dollars_per_core_hour,
    )


def _count_messages(variables: tuple[Variable, ...], there: NDArray[np.bool_]) -> int:
    """Count the messages of all files: a message is read if any variable that needs it is offered."""
    needed: dict[Selector, NDArray[np.bool_]] = {}
    for variable, own in zip(variables, there, strict=True):
        for selector in wanted_messages([variable]):
            needed[selector] = needed[selector] | own if selector in needed else own
    return sum(int(np.count_nonzero(where)) for where in needed.values())


def _objects_a_partition(plan: Plan) -> int:
    """Count a partition's shards, the chunks beside them, and one ledger entry for each step."""
    blocks = -(-plan.n_points // plan.layout.shard_points)
    steps = -(-plan.partition_files // plan.step_files)
    return len(plan.selection.variables) * blocks + OBJECTS_BESIDE_VARIABLES + steps


def _series_bytes_a_shard(plan: Plan, density: float) -> int:
    """Bytes to read of a shard for one point: index and chunk; values not offered take almost none [B]."""
    layout = plan.layout
    chunks = layout.shard_points // layout.chunk_points
    index = chunks * INDEX_BYTES_PER_CHUNK + INDEX_CHECKSUM_BYTES
    points = min(plan.n_points, layout.chunk_points)
    return index + round(plan.shard_bytes // layout.shard_points * points * density / COMPRESSION)
