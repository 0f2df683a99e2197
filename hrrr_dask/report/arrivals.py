"""Says how late files were: from their init time to their publication, and from there to their commit. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hrrr_dask.records import GribFile

__all__ = ["ARRIVAL_COLUMNS", "Arrival", "describe_arrivals", "list_arrivals"]

ARRIVAL_COLUMNS: Final = ("init_time", "lead_hours", "lead_minutes", "variable", "outcome", "published", "ingested")
"""Columns of the ledger that :func:`list_arrivals` reads."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When one file of a run came."""

    file: str
    """Label of the file, such as ``20240101T06-f05``."""
    published: datetime | None
    """Last-Modified of its object, UTC; None if the store has no value of the file, or the source gave no time."""
    committed: datetime | None
    """When the last of its values was committed, UTC; None if the store has no value of the file."""
    publication_s: float | None
    """Time from the init time to the publication [s]."""
    commit_s: float | None
    """Time from the publication to the commit [s]."""


def list_arrivals(tables: Iterable[pa.Table], files: Collection[GribFile]) -> tuple[Arrival, ...]:
    """List when files came.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with at least :data:`ARRIVAL_COLUMNS`.
    files : collection of GribFile
        The files.

    Returns
    -------
    tuple of Arrival
        One for each file, in the order of `files`. Of a value that was committed several times, as when points were
        added, the first time counts.
    """
    values: dict[tuple[datetime, int], dict[tuple[int, str], tuple[datetime, datetime | None]]] = {
        (file.init_time, file.lead_hours): {} for file in files
    }
    inits = pa.array(sorted({file.init_time for file in files}), pa.timestamp("s"))
    for table in tables:
        rows = table.filter(pc.is_in(table["init_time"], inits)).select(ARRIVAL_COLUMNS)
        for init, hour, lead, variable, outcome, published, ingested in zip(
            *(column.to_pylist() for column in rows), strict=True
        ):
            if outcome == "complete" and (init, hour) in values:
                own = values[init, hour]
                own[lead, variable] = min(own.get((lead, variable), (ingested, published)), (ingested, published))
    return tuple(_arrival(file, list(values[file.init_time, file.lead_hours].values())) for file in files)


def _arrival(file: GribFile, values: list[tuple[datetime, datetime | None]]) -> Arrival:
    committed = max((ingested for ingested, _ in values), default=None)
    times = [published for _, published in values if published is not None]
    published = max(times) if times and len(times) == len(values) else None
    return Arrival(
        file=file.label,
        published=published,
        committed=committed,
        publication_s=None if published is None else (published - file.init_time).total_seconds(),
        commit_s=None if published is None or committed is None else (committed - published).total_seconds(),
    )


def describe_arrivals(arrivals: Collection[Arrival]) -> list[tuple[str, str]]:
    """Describe arrivals in rows of a table: minimum, median, maximum, and which file was the slowest."""
    rows = []
    late = [(each.publication_s, each.file) for each in arrivals if each.publication_s is not None]
    if late:
        rows.append(("published", f"{_spread(late, 60, 'min')} after the init time"))
    slow = [(each.commit_s, each.file) for each in arrivals if each.commit_s is not None]
    if slow:
        rows.append(("committed", f"{_spread(slow, 1, 's')} after the publication"))
    if absent := [each.file for each in arrivals if each.committed is None]:
        some = ", ".join(absent[:_NAMED]) + (f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else "")
        rows.append(("not there", some))
    return rows


_NAMED: Final = 5


def _spread(found: list[tuple[float, str]], divisor: int, unit: str) -> str:
    most, slowest = max(found)
    least, median = min(found)[0], statistics.median(each for each, _ in found)
    first, middle, last = (f"{each / divisor:,.0f}" for each in (least, median, most))
    return f"{first} to {last} {unit}, median {middle} {unit}, slowest {slowest},"
