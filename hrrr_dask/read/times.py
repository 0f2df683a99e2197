"""Parses the lead times and times that users give to ``ds.hrrr``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import format_lead_time, format_lead_times
from hrrr_dask.errors import ConfigError
from hrrr_dask.read.gather import Runs

__all__ = ["Duration", "find_lead_times", "parse_time"]

Duration = float | str | timedelta | np.timedelta64
"""A number of hours, or a duration such as ``"15min"`` or ``np.timedelta64(15, "m")``."""

_MINUTE: Final = np.timedelta64(1, "m")


def find_lead_times(runs: Runs, given: Duration | Iterable[Duration]) -> NDArray[np.intp]:
    """Find the position of a lead time, without dims, or those of several, dims (lead_time,).

    Raises
    ------
    ConfigError
        If one is not a lead time, or the runs have no such lead time, or there is none.
    """
    single = isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0
    values: list[Any] = [given] if single else list(given)  # type: ignore[arg-type]
    if not values:
        raise ConfigError("a lead time is needed, and the list is empty: give one or several, such as [0, 24]")
    found = np.array([_find_lead_time(runs, value) for value in values])
    return found[0] if single else found


def _find_lead_time(runs: Runs, given: Duration) -> int:
    wanted = _parse_duration(given)
    found = np.flatnonzero(runs.leads == wanted)
    if len(found):
        return int(found[0])
    minutes = int(wanted // _MINUTE)
    named = format_lead_time(minutes) if minutes >= 0 and wanted == minutes * _MINUTE else given
    known = format_lead_times(np.sort(runs.minutes).tolist()) or "no lead times"
    raise ConfigError(
        f"lead time {named} is not in this dataset, which has {known}: give one of them, or make a store whose "
        + ("--lead-times include it (product subh has quarter hours)" if minutes % 60 else "--lead-hours include it")
    )


def _parse_duration(given: Duration) -> np.timedelta64:
    value: Any = np.asarray(given)[()]  # a lead time may also be one of the dataset, such as ds.lead_time[1]
    try:
        if isinstance(value, timedelta | np.timedelta64):
            found = pd.Timedelta(value)
        else:
            try:
                found = pd.Timedelta(seconds=round(float(value) * 3600))
            except ValueError:
                found = pd.Timedelta(value)
        if pd.isna(found):
            raise ValueError("it is missing")
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{given!r} is not a lead time ({error}): give a number of hours, such as 24 or 0.25, or a duration, such "
            "as '15min'"
        ) from None
    return found.to_timedelta64()


def parse_time(as_of: str | date | np.datetime64) -> np.datetime64:
    """Parse a time, in UTC unless it has a time zone.

    Raises
    ------
    ConfigError
        If it is not a time.
    """
    try:
        if not isinstance(as_of, str | date | np.datetime64):  # pandas reads a number as nanoseconds since 1970
            raise TypeError(f"a {type(as_of).__name__} is not a time")
        if isinstance(as_of, str) and re.match(r"\s*\d{1,2}[./-]", as_of):  # pandas would take the month first
            raise ValueError("its day and month could be swapped")
        found = pd.to_datetime(as_of, utc=True)
        if pd.isna(found):
            raise ValueError("it is missing")
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"as_of={as_of!r} is not a time ({error}): give one in UTC, such as '2024-07-01T06:30'"
        ) from None
    return found.tz_localize(None).to_datetime64()
