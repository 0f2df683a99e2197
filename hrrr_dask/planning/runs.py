"""Which runs NOAA should have published by now. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from hrrr_dask.catalog.products import last_lead_hour, usual_publication
from hrrr_dask.config.settings import Selection
from hrrr_dask.records import GribFile

__all__ = ["EARLY", "newest_run", "publication_delay", "usual_age"]

EARLY: Final = timedelta(minutes=10)
"""How long before its usual publication a file is looked for; NOMADS has files about so much earlier than S3."""

MAX_RUN_AGE_H: Final = 48
"""Oldest run that can be the newest one with wanted files [h]."""

UPDATE_INTERVAL: Final = timedelta(hours=1)
"""Time between updates of a store that is kept up to date."""


def newest_run(selection: Selection, now: datetime) -> datetime | None:
    """Return the newest run of which a wanted file should be published by now, or within ten minutes.

    Parameters
    ----------
    selection : Selection
        Cycles, lead times, product and domain.
    now : datetime
        Current time, UTC.

    Returns
    -------
    datetime or None
        Its init time, UTC; None if no run of the last two days has a wanted lead time.
    """
    delay = publication_delay(selection, min(selection.file_hours))
    return next((run for run in _recent_runs(selection, now) if run + delay - EARLY <= now), None)


def usual_age(selection: Selection, now: datetime) -> timedelta:
    """Return the age that the newest run of a store reaches while it is updated every hour.

    It is the time between two runs, until the first wanted file of the later one is published, and the hour until the
    next update, in full hours: 3 h for hourly runs, 14 h for runs at 0 and 12 UTC.

    Parameters
    ----------
    selection, now
        As for :func:`newest_run`.
    """
    runs = list(_recent_runs(selection, now))
    between = max((later - run for later, run in pairwise(runs)), default=timedelta(days=1))
    age = between + publication_delay(selection, min(selection.file_hours)) + UPDATE_INTERVAL
    return timedelta(hours=math.ceil(age / timedelta(hours=1)))


def publication_delay(selection: Selection, lead_hours: int) -> timedelta:
    """Return how long after the init time NOAA usually publishes a file."""
    midnight = datetime(2000, 1, 1)
    return usual_publication(GribFile(midnight, lead_hours, selection.product, selection.domain)) - midnight


def _recent_runs(selection: Selection, now: datetime) -> Iterator[datetime]:
    """Yield the runs of the last two days that have a wanted lead time, the latest first."""
    hour, first = now.replace(minute=0, second=0, microsecond=0), min(selection.file_hours)
    for init_time in (hour - timedelta(hours=age) for age in range(MAX_RUN_AGE_H)):
        last = last_lead_hour(init_time, selection.product, selection.domain)
        if init_time.hour in selection.cycles and last is not None and first <= last:
            yield init_time
