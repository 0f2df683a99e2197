"""Plans a backfill: which runs, which files, in which partitions, and its memory and size. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import format_lead_times
from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.memory import MEMORY_BYTES, choose_step_files
from hrrr_dask.planning.result import Plan
from hrrr_dask.records import GribFile, Partition, Reading

__all__ = ["MissingValues", "Plan", "all_values_of", "iter_partitions", "make_plan", "offered"]


@dataclass(frozen=True, slots=True)
class MissingValues:
    """Values of a store that are to be read."""

    start: int
    """Position of the first init time on the store's axis."""
    wanted: NDArray[np.bool_]
    """Whether to read each value, dims (variable, init_time, lead_time)."""
    first_point: NDArray[np.int32] | None = None
    """First point to read of each value, dims (variable, init_time, lead_time); None to read all points."""


def make_plan(
    selection: Selection,
    period: Period,
    *,
    n_points: int,
    layout: Layout,
    now: datetime,
    axis: Axis,
    continued: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> Plan:
    """Plan the files of a period.

    Parameters
    ----------
    selection, period : Selection, Period
        What to read, and for which init times.
    n_points : int
        Number of points.
    layout : Layout
        Sizes of shards.
    now : datetime
        Current time, UTC; later runs are left out.
    axis : Axis
        The store's axis.
    continued : bool
        Whether the store exists: a period without any of its variables is no error then.
    memory_bytes : int
        Memory of a worker [B]; steps are chosen to fit.

    Raises
    ------
    PlanError
        If no run reaches a lead time, no run has started yet, the axis starts later, or none of the
        runs has the variables.
    """
    if period.start < axis.first_day:
        raise PlanError(
            f"the store's init_time axis begins on {axis.first_day:%Y-%m-%d}, which cannot be changed, and the period "
            f"on {period.start:%Y-%m-%d}: start later, or make another store with an earlier --axis-start"
        )
    wanted = runs(period, selection.cycles)
    started = [init_time for init_time in wanted if init_time <= now]
    if not started:
        raise PlanError(
            f"no run between {period.start} and {period.end} has started yet: it is {now:%Y-%m-%dT%H:%M} UTC"
        )
    reaches = [last_lead_hour(time, selection.product, selection.domain) for time in started]
    skipped = {
        lead: count
        for lead in selection.lead_minutes
        if (count := sum(1 for reach in reaches if reach is None or 60 * reach < lead))
    }
    there = offered(selection, started)
    if not continued:
        _refuse_unreachable(selection, started, skipped)
    if not continued and not there.any():
        raise PlanError(
            f"the archive has none of these variables at these lead times between {started[0]:%Y-%m-%dT%H} and "
            f"{started[-1]:%Y-%m-%dT%H}: request later runs (some variables start in 2016), other "
            "lead times or variables"
        )
    span = layout.partition_days * len(selection.cycles)
    first, last = axis.index(started[0]) // span, axis.index(started[-1]) // span
    return Plan(
        selection=selection,
        period=Period(period.start, started[-1]),
        layout=layout,
        n_points=n_points,
        n_runs=len(started),
        n_files=int(_by_file(np.any(there, axis=0), selection).sum()),
        n_partitions=last - first + 1,
        n_leads=int(np.any(there, axis=0).sum()),
        skipped=skipped,
        absent=tuple(v.name for v, own in zip(selection.variables, there, strict=True) if not own.any()),
        not_started=len(wanted) - len(started),
        step_files=choose_step_files(selection, n_points, layout, memory_bytes),
    )


def runs(period: Period, cycles: tuple[int, ...]) -> list[datetime]:
    """Return all init times of a period, ascending."""
    days = (period.end.date() - period.start.date()).days + 1
    midnight = period.start.replace(hour=0)
    times = (midnight + timedelta(days=day, hours=cycle) for day in range(days) for cycle in cycles)
    return [time for time in times if period.start <= time <= period.end]


def _refuse_unreachable(selection: Selection, started: list[datetime], skipped: dict[int, int]) -> None:
    unreachable = [lead for lead in selection.lead_minutes if skipped.get(lead) == len(started)]
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
        f"the lead times {format_lead_times(unreachable)} are not reached by {which}: "
        f"the furthest here is {furthest} h; give --lead-hours up to that"
    )


def offered(selection: Selection, init_times: Sequence[datetime]) -> NDArray[np.bool_]:
    """Return which values the archive can have.

    Parameters
    ----------
    selection : Selection
        Variables and lead times.
    init_times : sequence of datetime
        Init times, UTC.

    Returns
    -------
    ndarray of bool, dims (variable, init_time, lead_time)
        False for lead times that the run does not reach, and for variables that do not exist at that init time or
    """
    variables, leads = selection.variables, np.asarray(selection.lead_minutes)
    reach = [last_lead_hour(time, selection.product, selection.domain) for time in init_times]
    reached = leads <= np.array([-1 if hours is None else 60 * hours for hours in reach])[:, None]
    since = np.array([[time >= variable.since for time in init_times] for variable in variables], dtype=bool)
    window = np.array([[variable.selector.window.exists_at(lead) for lead in leads.tolist()] for variable in variables])
    there: NDArray[np.bool_] = reached[None] & since[:, :, None] & window[:, None]
    return there


def _by_file(leads: NDArray[np.bool_], selection: Selection) -> NDArray[np.bool_]:
    """Return whether any lead time of each file is set, dims (init_time, file), of dims (init_time, lead_time)."""
    starts = np.unique(selection.file_hours, return_index=True)[1]
    found: NDArray[np.bool_] = np.logical_or.reduceat(leads, starts, axis=1)
    return found


def iter_partitions(plan: Plan, axis: Axis, todo: MissingValues) -> Iterator[Partition]:
    """Yield the files that are still to be read, oldest first, in steps of at most :attr:`Plan.step_files`.

    Parameters
    ----------
    plan : Plan
        The plan.
    axis : Axis
        The store's axis.
    todo : MissingValues
        Values that the store lacks; covers the plan's period.

    Yields
    ------
    Partition
        Files that are wanted, offered and not done; never empty. The steps of a partition follow one another.
    """
    selection = plan.selection
    span = plan.layout.partition_days * len(selection.cycles)
    parts, hours = _Parts(selection), selection.file_hours
    for number, group in groupby(runs(plan.period, selection.cycles), lambda init_time: axis.index(init_time) // span):
        init_times = list(group)
        first = axis.index(init_times[0]) - todo.start
        here = slice(first, first + len(init_times))
        wanted = offered(selection, init_times) & todo.wanted[:, here]
        later = None if todo.first_point is None else np.where(wanted, todo.first_point[:, here], _NO_POINT).min(axis=0)
        packed = np.packbits(wanted, axis=0)
        files: dict[tuple[int, int], _ByLead] = {}
        firsts: dict[tuple[int, int], int] = {}
        for k, lead in np.argwhere(wanted.any(axis=0)).tolist():
            file = k, hours[lead]
            files[file] = files.get(file, ()) + parts[lead, packed[:, k, lead].tobytes()]
            if later is not None:
                firsts[file] = min(firsts.get(file, _NO_POINT), int(later[k, lead]))
        readings = [
            Reading(
                GribFile(init_times[k], hour, selection.product, selection.domain), by_lead, firsts.get((k, hour), 0)
            )
            for (k, hour), by_lead in files.items()
        ]
        for step, begin in enumerate(range(0, len(readings), plan.step_files)):
            yield Partition(number, tuple(readings[begin : begin + plan.step_files]), step)


def all_values_of(plan: Plan, axis: Axis) -> MissingValues:
    """Return all values of a plan's period, as for an empty store."""
    first, last = axis.index(plan.period.start), axis.index(plan.period.end)
    shape = (len(plan.selection.variables), last + 1 - first, len(plan.selection.lead_minutes))
    return MissingValues(first, np.broadcast_to(np.True_, shape))


_NO_POINT: Final = np.iinfo(np.int32).max


_ByLead = tuple[tuple[int, tuple[str, ...]], ...]


class _Parts(dict[tuple[int, bytes], _ByLead]):
    """Maps a position of lead time and packed bits of variables to :attr:`Reading.by_lead` of that lead time alone.

    There are few combinations for millions of files, which share them.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self._leads = selection.lead_minutes
        self._names = [variable.name for variable in selection.variables]

    def __missing__(self, key: tuple[int, bytes]) -> _ByLead:
        lead, packed = key
        bits = np.unpackbits(np.frombuffer(packed, np.uint8))[: len(self._names)]
        names = tuple(name for name, bit in zip(self._names, bits.tolist(), strict=True) if bit)
        self[key] = ((self._leads[lead], names),)
        return self[key]
