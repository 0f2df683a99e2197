"""What is known of each era besides :mod:`hrrr_dask.catalog.products`: peculiarities, their sources, and real files.

``docs/eras.py`` makes ``docs/eras.md`` of it. A statement without a real file rests on its source alone. Real files are
named by their path in the directory that ``tests/support/paths.py`` calls ``SHARED_DATA``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hrrr_dask.catalog.products import DOMAINS, ERAS, PRODUCTS

__all__ = ["ERA_SOURCES", "FACTS", "REAL_FILES", "Fact", "RealFile"]

_TIN_14_32: Final = "NWS Technical Implementation Notice 14-32, amended"
_TIN_16_26: Final = "NWS Technical Implementation Notice 16-26"
_SCN_18_58: Final = "NWS Service Change Notice 18-58"
_SCN_20_46: Final = "NWS Service Change Notice 20-46"
_DOWELL: Final = "Dowell et al. 2022, Wea. Forecasting 37, 1371-1395"
_TABLES: Final = "inventory tables in jdalrym2/meteocre"
_REFORMATTERS: Final = "dynamical-org/reformatters"

ERA_SOURCES: Final = {
    ("conus", "v1"): f"{_TIN_14_32}: 15 hours, operational since 2014-09-30 14 UTC; Herbie's page on HRRR: first day",
    ("conus", "v2"): f"{_TIN_16_26}: first run; the FAQ of the University of Utah's HRRR archive, 2017: 18 hours",
    ("conus", "v3"): f"jdalrym2/meteocre: first run ({_SCN_18_58} announced the day before); "
    f"{_REFORMATTERS} #712: 36 hours",
    ("conus", "v4"): f"{_REFORMATTERS} #712: the first file of 48 hours is of 2020-12-02 12 UTC; {_SCN_20_46}",
    ("alaska", "v3"): f"{_SCN_18_58}: a run every 3 hours, 36 hours, `subh` 18 hours",
    ("alaska", "v4"): f"{_DOWELL}: a run every 3 hours; 18 hours, and 48 hours every 6 hours",
}
"""Domain and version to the source of first run and last lead times."""


@dataclass(frozen=True, slots=True)
class RealFile:
    """A real file, or a part of one, that tests of this package read where it is available."""

    path: str
    """Path below the directory of real files."""
    init_time: datetime
    """Init time, UTC."""
    lead_hours: int
    """Hour that names the file [h]."""
    part: str
    """What of the file there is: ``inventory``, or a description."""
    product: str = "sfc"
    """Name in :data:`hrrr_dask.catalog.products.PRODUCTS`."""
    domain: str = "conus"
    """Name in :data:`hrrr_dask.catalog.products.DOMAINS`."""


def _inventory(day: int, hour: int, lead_hours: int, product: str = "sfc") -> RealFile:
    init_time = datetime(day // 10_000, day // 100 % 100, day % 100, hour)
    path = f"idx/hrrr.{day}.t{hour:02d}z.wrf{product}f{lead_hours:02d}.grib2.idx"
    return RealFile(path, init_time, lead_hours, "inventory", product)


_DAY_V3: Final = RealFile(
    "archive/hrrr.20180722/conus/hrrr.t09z.wrfsfcf01.grib2", datetime(2018, 7, 22, 9), 1, "cut to 41 x 78 cells"
)
_SFC_V3: Final = _inventory(20200424, 1, 0)
_SFC_F00: Final = _inventory(20221014, 1, 0)
_SFC_F24: Final = _inventory(20250801, 0, 24)
_SUBH_F00: Final = _inventory(20221014, 1, 0, "subh")
_SUBH_F09: Final = _inventory(20221014, 3, 9, "subh")
_SUBH_VBDSF: Final = RealFile(
    "messages/hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2", datetime(2022, 10, 14, 1), 1, "2 messages", "subh"
)
_WIND: Final = RealFile(
    "messages/hrrr.20230722.t06z.wrfsfcf01.UGRD-10m.grib2", datetime(2023, 7, 22, 6), 1, "1 message"
)
_CONSTANT: Final = RealFile(
    "messages/hrrr.20230722.t06z.wrfsfcf01.CFRZR-surface.grib2", datetime(2023, 7, 22, 6), 1, "1 message"
)
_DRY: Final = RealFile("messages/hrrr.20260703.t00z.wrfsfcf28.DPT-2m.grib2", datetime(2026, 7, 3), 28, "1 message")
_BITMAP: Final = RealFile(
    "messages/hrrr.t00z.wrfprsf00.SBT123-bitmap.grib2", datetime(2026, 3, 1), 0, "1 message", "prs"
)
_ALASKA: Final = RealFile(
    "messages/hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2", datetime(2024, 1, 1), 0, "1 message", "sfc", "alaska"
)
_TRUNCATED: Final = RealFile(
    "broken/hrrr.20230914.t11z.wrfsfcf12.first-2MiB.grib2", datetime(2023, 9, 14, 11), 12, "4 messages and a half"
)

REAL_FILES: Final = (
    _DAY_V3,
    _SFC_V3,
    _SFC_F00,
    _inventory(20221014, 9, 5),
    _inventory(20250801, 0, 0),
    _inventory(20250801, 0, 8),
    _SFC_F24,
    _WIND,
    _CONSTANT,
    _TRUNCATED,
    _DRY,
    _SUBH_F00,
    _SUBH_F09,
    _SUBH_VBDSF,
    _BITMAP,
    _ALASKA,
)
"""All that was seen; an inventory confirms the names of its file and of every message in it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A peculiarity of some eras."""

    topic: str
    """Heading that it stands under."""
    text: str
    """The statement, in Markdown."""
    source: str
    """Who says so; empty if only the real files do."""
    seen: tuple[RealFile, ...] = ()
    """Real files that show it; empty if it could not be verified."""
    products: tuple[str, ...] = tuple(PRODUCTS)
    """Products that it is about."""
    domains: tuple[str, ...] = tuple(DOMAINS)
    """Domains that it is about."""
    versions: tuple[str, ...] = tuple(era.version for era in ERAS["conus"])
    """Versions that it is about."""


_HOURLY: Final = ("sfc", "prs", "nat")
_SUBH: Final = ("subh",)
_CONUS: Final = ("conus",)

FACTS: Final = (
    Fact(
        "Names of files",
        "The names are those above since the first day. Older copies of `subh` have a file for each lead time instead: "
        "`wrfsubhf0000`, `wrfsubhf0015`, `wrfsubhf0030`, … Herbie looked for them up to 2018-09-16, and found the "
        "copies on AWS renamed since 2023. hrrr_dask asks for the names above first, then for those.",
        "blaylockbk/Herbie #34, #423",
        products=_SUBH,
        domains=_CONUS,
        versions=("v1", "v2", "v3"),
    ),
    Fact(
        "Names of files",
        "`hrrr_v2.YYYYMMDD/`, 2016-01-22 to 2016-08-23, is a parallel run of the next version. It is not the "
        "operational run, and is never read.",
        "listings of the bucket",
        domains=_CONUS,
        versions=("v1",),
    ),
    Fact(
        "Reach",
        f"{_SCN_18_58} lists hours 00-36 for Alaska, for all runs alike. Those of 03, 09, 15 and 21 UTC "
        "are planned to 18 hours, as later.",
        _SCN_18_58,
        products=_HOURLY,
        domains=("alaska",),
        versions=("v3",),
    ),
    Fact(
        "Reach",
        "`subh` stops at 18 hours in every run, also where the other products go on.",
        f"{_SCN_18_58}; SolarArbiter/solarforecastarbiter-core #793. A table for v3 is titled 01-36: {_TABLES}",
        products=_SUBH,
        versions=("v3", "v4"),
    ),
    Fact(
        "Windows",
        "A file has four lead times, and its windows are in minutes: `495 min fcst`, `480-495 min ave fcst`; one hour "
        "is `60 min`. File 00 has the analysis only.",
        "NOAA-EMC/rrfs-workflow #330: `60 min`",
        (_SUBH_F00, _SUBH_F09),
        products=_SUBH,
        versions=("v4",),
    ),
    Fact("Windows", "`subh` has instants only, 26 for a lead time.", _TABLES, (), _SUBH, _CONUS, ("v1",)),
    Fact(
        "Windows",
        "Four lead times in a file, in minutes, too.",
        _TABLES,
        products=_SUBH,
        versions=("v2", "v3"),
    ),
    Fact(
        "Windows",
        "The same element and level stands twice for a lead time, as an instant and as an average: `DSWRF` and `VBDSF` "
        "over 15 minutes, `UGRD` and `VGRD` 10 m over 5 minutes (`490-495 min ave fcst`). `VDDSF` is an instant only.",
        f"v2 and v3: {_TABLES}",
        (_SUBH_F09, _SUBH_VBDSF),
        products=_SUBH,
        versions=("v2", "v3", "v4"),
    ),
    Fact(
        "Windows",
        "In file 00, averages and sums have an empty window: `0-0 day ave fcst`, `0-0 day acc fcst`. They are no "
        "averages of 15 minutes.",
        f"v2 and v3, there `0-0 min ave`: {_TABLES}",
        (_SUBH_F00,),
        products=_SUBH,
        versions=("v2", "v3", "v4"),
    ),
    Fact(
        "Windows",
        "`APCP`, `WEASD` and `FROZR` over 15 minutes are in `subh` since v4.",
        f"v1 to v3, without them: {_TABLES}",
        (_SUBH_F09,),
        products=_SUBH,
        versions=("v4",),
    ),
    Fact(
        "Windows",
        "A window of whole days is in days: `0-1 day acc fcst` stands beside `23-24 hour acc fcst` at 24 hours; file "
        "00 has `0-0 day acc`, `max`, `min` and `ave`.",
        f"v1 and v2: {_TABLES}",
        (_SFC_V3, _SFC_F24),
        products=_HOURLY,
    ),
    Fact(
        "Variables",
        "`subh` has neither `RH:2 m above ground` nor `SFCR:surface`.",
        f"v1 to v3: {_TABLES}",
        (_SUBH_F00, _SUBH_F09),
        products=_SUBH,
    ),
    Fact(
        "Variables",
        "The tables of v1 have no `SFCR:surface` in any product. The catalogue expects it since v1, so that a run of "
        "v1 without it has a gap with the reason `message-not-found`.",
        _TABLES,
        products=_HOURLY,
        domains=_CONUS,
        versions=("v1",),
    ),
    Fact(
        "Variables",
        "`RH:2 m above ground` was found from 2016-08-25 on; many runs of the first days of v2 are missing.",
        f"{_REFORMATTERS} #1071",
        products=("sfc",),
        domains=_CONUS,
        versions=("v2",),
    ),
    Fact(
        "Variables",
        "Pressure at mean sea level is `PRMSL` in v1 and v2, and `MSLMA` since v3.",
        f"{_REFORMATTERS} #410; a table of v2 has `MSLMA` already: {_TABLES}",
        (_SFC_V3, _SFC_F00),
        products=_HOURLY,
    ),
    Fact(
        "Variables",
        "`MASSDEN` is in µg m-3 up to 2021-12-21 12 UTC, and in kg m-3 since 18 UTC.",
        f"{_REFORMATTERS} #719",
        products=_HOURLY,
        versions=("v4",),
    ),
    Fact(
        "Variables",
        "Some elements are written by number, `var discipline=0 center=7 local_table=1 parmcat=16 parm=201`: often "
        "from 2020-12 to 2024-04, some still in 2025.",
        f"{_REFORMATTERS}, src/reformatters/noaa/hrrr/virtual_template_config.py",
        (_SFC_F00, _SUBH_F09, _SFC_F24),
        versions=("v4",),
    ),
    Fact(
        "Sentinels and impossible values",
        "Dew point of -81.03 °C with relative humidity of 1 %: the model had next to no moisture there. Scattered "
        "cells, most at 0 hours; none in 23 files of v1 and v2.",
        f"{_REFORMATTERS} #1071",
        (_DRY,),
        versions=("v3", "v4"),
    ),
    Fact(
        "Sentinels and impossible values",
        "`VBDSF` above the solar constant, up to 10,000 W m-2, in a band at sunrise.",
        f"{_REFORMATTERS} #746",
    ),
    Fact("Sentinels and impossible values", "`CPOFP` is -50 without precipitation.", "", (_DAY_V3,)),
    Fact("Sentinels and impossible values", "`RETOP` is -999 without an echo.", f"{_REFORMATTERS} #719"),
    Fact("Sentinels and impossible values", "`HGT:cloud ceiling` is 9999 without a ceiling.", "users of HRRR"),
    Fact(
        "Packing and grid",
        "Winds at 10 m have simple packing with 9 or 10 bits, and therefore always the same size.",
        "",
        (_WIND, _SUBH_F09),
        domains=_CONUS,
        versions=("v4",),
    ),
    Fact(
        "Packing and grid",
        "A constant field, such as solar radiation at night, is a message of 188 bytes with 0 bits for each value.",
        "",
        (_CONSTANT, _SUBH_F00),
        domains=_CONUS,
        versions=("v4",),
    ),
    Fact(
        "Packing and grid",
        "A message can have a bitmap: 8 cells of `SBT123`.",
        "",
        (_BITMAP,),
        ("prs",),
        _CONUS,
        ("v4",),
    ),
    Fact(
        "Packing and grid",
        "The origin of the grid is about 53 m away from that since v3; less than 0.02 cells.",
        f"{_REFORMATTERS} #410",
        domains=_CONUS,
        versions=("v1", "v2"),
    ),
    Fact(
        "Packing and grid",
        "Polar stereographic, 1299 x 919 cells of 3 km.",
        "",
        (_ALASKA,),
        domains=("alaska",),
        versions=("v3", "v4"),
    ),
    Fact(
        "Missing and damaged files",
        "The day 2016-03-19 is absent.",
        "listings of the bucket",
        domains=_CONUS,
        versions=("v1",),
    ),
    Fact(
        "Missing and damaged files",
        "Many runs from 2016-08-23 to 2016-09-01 are missing.",
        f"{_REFORMATTERS} #410",
        domains=_CONUS,
        versions=("v2",),
    ),
    Fact(
        "Missing and damaged files",
        "897 of 62,636 hours were missing up to 2023-09, most of them early.",
        "dbekaert/RAiDER-docs #47",
        domains=_CONUS,
    ),
    Fact("Missing and damaged files", "Files can be truncated.", "", (_TRUNCATED,)),
)
"""In the order of the page."""
