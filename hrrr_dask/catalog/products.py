"""HRRR products, domains and model versions: object keys in NOAA's bucket and the last lead time of each run.

Sources: NCEP's HRRR implementation notices for model versions, their dates and lead times, and listings of the bucket
``noaa-hrrr-bdp-pds`` for the keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from hrrr_dask.records import GribFile

__all__ = [
    "ARCHIVE_START",
    "DOMAINS",
    "ERAS",
    "PRODUCTS",
    "Era",
    "Product",
    "inventory_key",
    "last_lead_hour",
    "object_key",
    "object_keys",
    "old_object_key",
    "usual_publication",
]

ARCHIVE_START: Final = datetime(2014, 7, 30)
"""Init time of the first run in the archive."""

SYNOPTIC_HOURS: Final = (0, 6, 12, 18)
"""Init hours of the runs with more lead times since v3 [h UTC]."""


@dataclass(frozen=True, slots=True)
class Product:
    """A file type of a run."""

    name: str
    """Part of the key after ``wrf``."""
    title: str
    """Human-readable description."""
    file_bytes: int
    """Typical size of a file [B]."""
    step_minutes: int = 60
    """Interval between lead times [min]."""


PRODUCTS: Final = {
    product.name: product
    for product in (
        Product("sfc", "two-dimensional fields, hourly", 150_000_000),
        Product("prs", "pressure levels, hourly", 440_000_000),
        Product("nat", "native levels, hourly", 770_000_000),
        Product("subh", "two-dimensional fields, every 15 minutes", 190_000_000, step_minutes=15),
    )
}

DOMAINS: Final = {"conus": "", "alaska": ".ak"}
"""Domain to the part of its keys before ``.grib2``."""


@dataclass(frozen=True, slots=True)
class Era:
    """A period of the archive with one model version."""

    version: str
    """HRRR version."""
    start: datetime
    """First init time, UTC."""
    synoptic_hours: int
    """Last lead time of the 00, 06, 12 and 18 UTC runs [h]."""
    other_hours: int
    """Last lead time of all other runs [h]."""


ERAS: Final = {
    "conus": (
        Era("v1", datetime(2014, 7, 30), 15, 15),
        Era("v2", datetime(2016, 8, 23, 12), 18, 18),
        Era("v3", datetime(2018, 7, 12, 12), 36, 18),
        Era("v4", datetime(2020, 12, 2, 12), 48, 18),
    ),
    "alaska": (
        Era("v3", datetime(2018, 7, 12, 12), 36, 18),
        Era("v4", datetime(2020, 12, 2, 12), 48, 18),
    ),
}
"""Domain to its eras, oldest first."""

OLD_NAMES_UNTIL: Final = datetime(2018, 9, 17)
"""Init time from which no sub-hourly file has an old name."""

SUBHOURLY_HOURS: Final = 18
"""Last lead time of the sub-hourly product in every run [h]."""

_DELAYS: Final = ((0, 18, 48), (51, 86, 120))
"""Lead hours [h], and minutes from the init time until such a file is published [min]."""

ALASKA_EVERY_HOURS: Final = 3
"""Interval between runs in Alaska [h]."""


def last_lead_hour(init_time: datetime, product: str = "sfc", domain: str = "conus") -> int | None:
    """Return the last lead time of a run.

    Parameters
    ----------
    init_time : datetime
        Init time of the run, UTC.
    product, domain : str
        Names in :data:`PRODUCTS` and :data:`DOMAINS`.

    Returns
    -------
    int or None
        Last lead time [h]; None if the archive has no such run.

    Examples
    --------
    >>> last_lead_hour(datetime(2024, 1, 1, 6)), last_lead_hour(datetime(2024, 1, 1, 7))
    (48, 18)
    >>> last_lead_hour(datetime(2014, 7, 29, 23)) is None
    True
    """
    if domain == "alaska" and init_time.hour % ALASKA_EVERY_HOURS:
        return None
    era = next((era for era in reversed(ERAS[domain]) if era.start <= init_time), None)
    if era is None:
        return None
    last = era.synoptic_hours if init_time.hour in SYNOPTIC_HOURS else era.other_hours
    return min(last, SUBHOURLY_HOURS) if product == "subh" else last


def usual_publication(file: GribFile) -> datetime:
    """Return when NOAA usually publishes a file, UTC.

    The objects of NOAA's bucket have a ``Last-Modified`` of about 51 minutes after the init time for lead time 0, 86
    for 18 hours and 120 for 48 hours; straight lines are assumed between. Files can come in another order. The Solar
    Forecast Arbiter waits 45 minutes for the first file and 75 more for the last
    (``solarforecastarbiter/io/fetch/nwp.py``).

    Examples
    --------
    >>> usual_publication(GribFile(datetime(2024, 1, 1, 6), 0))
    datetime.datetime(2024, 1, 1, 6, 51)
    """
    return file.init_time + timedelta(minutes=round(float(np.interp(file.lead_hours, *_DELAYS))))


def object_key(file: GribFile) -> str:
    """Return the key of a file in the bucket, which is also its path in a mirrored directory.

    Examples
    --------
    >>> object_key(GribFile(datetime(2024, 1, 1, 6), 5))
    'hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2'
    >>> object_key(GribFile(datetime(2024, 1, 1, 6), 5, domain="alaska"))
    'hrrr.20240101/alaska/hrrr.t06z.wrfsfcf05.ak.grib2'
    """
    return _key(file, f"{file.lead_hours:02d}")


def old_object_key(file: GribFile, lead_minutes: int) -> str:
    """Return the key of a lead time of the sub-hourly product until HRRR v3, when each was a file of its own.

    Examples
    --------
    >>> old_object_key(GribFile(datetime(2017, 1, 1, 6), 6, "subh"), 315)
    'hrrr.20170101/conus/hrrr.t06z.wrfsubhf0515.grib2'
    """
    hours, minutes = divmod(lead_minutes, 60)
    return _key(file, f"{hours:02d}{minutes:02d}")


def _key(file: GribFile, lead: str) -> str:
    name = f"hrrr.t{file.init_time:%H}z.wrf{file.product}f{lead}{DOMAINS[file.domain]}.grib2"
    return f"hrrr.{file.init_time:%Y%m%d}/{file.domain}/{name}"


def object_keys(file: GribFile, lead_minutes: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Return the keys under which lead times of a file may be in the bucket.

    Parameters
    ----------
    file : GribFile
        The file.
    lead_minutes : iterable of int
        Lead times of the file [min].

    Returns
    -------
    dict of str to tuple of int
        Key to its lead times [min], the file's own name first. Sub-hourly files had one lead time each until HRRR v3
        (Herbie issue 34), and Herbie looked for these names up to September 2018. Copies on AWS appear to have been
        renamed in 2023 (Herbie issue 423), so both names are tried.
    """
    leads = tuple(lead_minutes)
    keys = {object_key(file): leads}
    if file.product == "subh" and file.init_time < OLD_NAMES_UNTIL:
        keys |= {old_object_key(file, lead): (lead,) for lead in leads}
    return keys


def inventory_key(file: GribFile) -> str:
    """Return the key of a file's inventory."""
    return object_key(file) + ".idx"
