"""Parses ``--start`` and ``--end`` into the first and last init time of a period, and splits it into months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hrrr_dask.catalog.products import ARCHIVE_START
from hrrr_dask.errors import PlanError

__all__ = ["Period", "parse_day", "parse_period", "split_months"]

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


def split_months(period: Period) -> tuple[Period, ...]:
    """Split a period into calendar months; the first and the last one can be parts of a month.

    Parameters
    ----------
    period : Period
        First and last init time, as :func:`parse_period` returns them.

    Returns
    -------
    tuple of Period
        Ascending, without overlap; together they have every full hour of the period.

    Examples
    --------
    >>> for month in split_months(parse_period("2024-01-15", "2024-02-29", (0, 12))):
    ...     print(month.start, month.end)
    2024-01-15 00:00:00 2024-01-31 23:00:00
    2024-02-01 00:00:00 2024-02-29 12:00:00
    """
    months, first = [], period.start
    while first <= period.end:
        next_month = (first.replace(day=1, hour=0) + timedelta(days=31)).replace(day=1)
        months.append(Period(first, min(period.end, next_month - _ONE_HOUR)))
        first = next_month
    return tuple(months)


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
