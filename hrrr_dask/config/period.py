"""Parses ``--start`` and ``--end`` into the first and last init time of a period."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hrrr_dask.catalog.products import ARCHIVE_START
from hrrr_dask.errors import PlanError

__all__ = ["Period", "parse_day", "parse_period"]

_ONE_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Period:
    """First and last init time, both included, UTC."""

    start: datetime
    """First init time."""
    end: datetime
    """Last init time."""


def parse_period(start: str | datetime, end: str | datetime, cycles: tuple[int, ...]) -> Period:
    """Parse ``--start`` and ``--end``: init times, dates or hours, UTC, both included.

    Parameters
    ----------
    start, end : str or datetime
        ``2024-01-31`` (as an end: that day's last run), ``2024-01-31T06`` or ``2024-01-31 06:00``.
    cycles : tuple of int
        Hours at which runs start [h UTC].

    Returns
    -------
    Period
        First and last init time among the cycles.

    Raises
    ------
    PlanError
        If the end is before the start, the archive starts later, or no cycle is in between.

    Examples
    --------
    >>> parse_period("2024-01-01", "2024-01-01", (0, 6, 12, 18)).end
    datetime.datetime(2024, 1, 1, 18, 0)
    """
    first, _ = _parse_time("start", start)
    final, whole_day = _parse_time("end", end)
    if final < first and not (whole_day and final.date() == first.date()):
        raise PlanError(f"the end {end} is before the start {start}: swap them")
    if whole_day:
        final = final.replace(hour=23)
    if first < ARCHIVE_START:
        raise PlanError(
            f"the archive starts on {ARCHIVE_START:%Y-%m-%d}, not on {first:%Y-%m-%d}: start there or later"
        )
    while first <= final and first.hour not in cycles:
        first += _ONE_HOUR
    while first <= final and final.hour not in cycles:
        final -= _ONE_HOUR
    if first > final:
        raise PlanError(f"no run starts between {start} and {end} at the cycles {list(cycles)}: widen either")
    return Period(first, final)


def parse_day(what: str, value: str) -> datetime:
    """Parse a date and return its midnight, UTC.

    Raises
    ------
    PlanError
        If it is not a date.
    """
    moment, whole_day = _parse_time(what, value)
    if not whole_day:
        raise PlanError(f"{what} {value!r} is not a date: write it like 2024-01-31")
    return moment


def _parse_time(what: str, value: str | datetime) -> tuple[datetime, bool]:
    """Return the time, and whether only its date was given."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        hour = moment.replace(minute=0, second=0, microsecond=0)
        if hour != moment:
            raise PlanError(f"{what} {value} is not a full hour: runs start on the hour")
        return hour, False
    text = value.strip().removesuffix("Z")
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return datetime.fromisoformat(text), True
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}(:00(:00)?)?", text):
            return datetime.fromisoformat(text), False
    except ValueError as error:
        raise PlanError(f"{what} {value!r} is not a date: {error}") from error
    raise PlanError(f"{what} {value!r} is not understood: write a date 2024-01-31 or a full hour 2024-01-31T06, UTC")
