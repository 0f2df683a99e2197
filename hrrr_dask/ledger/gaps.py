"""Lists every gap of a store: reason, source, and when it is retried. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.config.settings import Selection
from hrrr_dask.ledger.completeness import REASONS
from hrrr_dask.ledger.state import HEALING_DAYS, place_rows
from hrrr_dask.outcomes import OUTCOMES, QUARANTINED
from hrrr_dask.planning.layout import Axis

__all__ = ["COLUMNS", "Gap", "list_gaps"]

COLUMNS: Final = ("init_time", "lead_minutes", "variable", "outcome", "detail", "source", "etag")
"""Columns of the ledger that :func:`list_gaps` reads."""

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Gap:
    """Variables of one file that are missing for the same reason."""

    init_time: datetime
    """Init time of the run, UTC."""
    lead_minutes: int
    """Lead time [min]."""
    variables: tuple[str, ...]
    """Names of the variables."""
    reason: str
    """Name of the outcome."""
    again: str
    """When the gap is retried: ``next run``, ``until`` a day, or ``--retry-gaps``."""
    attempts: int
    """Number of commits with this gap so far."""
    quarantined: bool
    """Whether the object existed and its bytes were rejected."""
    source: str
    """URL of the object that was read, or first requested."""
    etag: str
    """Entity tag of the object, if the source gave one."""
    detail: str
    """Explanation for the first of the variables."""


def list_gaps(
    tables: Iterable[pa.Table], selection: Selection, axis: Axis, inits: slice, codes: NDArray[np.uint8], now: datetime
) -> tuple[Gap, ...]:
    """List the gaps of a range of init times.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with at least :data:`COLUMNS`, in the order of their commits.
    selection : Selection
        Variables and lead times of the store.
    axis : Axis
        The store's axis.
    inits : slice
        Range of positions on the axis.
    codes : ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers of that range, from :func:`hrrr_dask.ledger.state.reduce_rows`.
    now : datetime
        Current time, UTC.

    Returns
    -------
    tuple of Gap
        Ordered by init time and lead time; variables of a file with the same reason are one gap.
    """
    missing = np.isin(codes, [outcome.number for outcome in REASONS])
    latest: dict[Place, tuple[int, dict[str, Any]]] = {}
    for table in tables:
        placed = place_rows(table, selection, axis, inits)
        kept = np.flatnonzero(missing[placed.place] & (placed.codes != OUTCOMES["complete"].number))
        rows = table.take(placed.rows[kept]).to_pylist() if len(kept) else []
        for place, row in zip(np.array(placed.place).T[kept].tolist(), rows, strict=True):
            v, init, lead = place
            latest[v, init, lead] = (latest.get((v, init, lead), (0, row))[0] + 1, row)

    def file_and_reason(place: Place) -> tuple[int, int, str]:
        return place[1], place[2], latest[place][1]["outcome"]

    ordered = sorted(latest, key=lambda place: (*file_and_reason(place), place[0]))
    return tuple(_gap([latest[place] for place in places], now) for _, places in groupby(ordered, key=file_and_reason))


def _gap(rows: list[tuple[int, dict[str, Any]]], now: datetime) -> Gap:
    first = rows[0][1]
    return Gap(
        init_time=first["init_time"],
        lead_minutes=first["lead_minutes"],
        variables=tuple(row["variable"] for _, row in rows),
        reason=first["outcome"],
        again=_again(first["outcome"], first["init_time"], now),
        attempts=max(tries for tries, _ in rows),
        quarantined=first["outcome"] in QUARANTINED,
        source=first["source"] or "",
        etag=first["etag"] or "",
        detail=first["detail"] or "",
    )


def _again(reason: str, init_time: datetime, now: datetime) -> str:
    if OUTCOMES[reason].heals == "always":
        return "next run"
    last = init_time + timedelta(days=HEALING_DAYS)
    return f"until {last:%Y-%m-%dT%H}" if last >= now else "--retry-gaps"
