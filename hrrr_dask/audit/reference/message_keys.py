"""Reads the metadata of a GRIB2 message from ecCodes' keys, and compares it with a selector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import eccodes

from hrrr_dask.catalog.elements import canonical_element, format_element
from hrrr_dask.catalog.levels import format_level
from hrrr_dask.catalog.selectors import Selector

__all__ = ["Keys", "matches_field", "matches_window", "read_keys"]

_STATISTICS: Final = {0: "ave", 1: "acc", 2: "max", 3: "min"}
"""``typeOfStatisticalProcessing`` (code table 4.10)."""

_MINUTES: Final = {0: 1, 1: 60, 2: 1440, 10: 180, 11: 360, 12: 720}
"""``indicatorOfUnit…`` (code table 4.4) to the length of the unit, except seconds [min]."""

_SECONDS: Final = 13
"""``indicatorOfUnit…`` of seconds."""

_INSTANT: Final = 0
_INTERVAL: Final = 8
"""``productDefinitionTemplateNumber`` of messages for an instant, and for a time interval."""

_TEMPLATES_WITH_LEVEL: Final = range(16)
"""Product definition templates with fixed surfaces in the usual octets."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Metadata of a message."""

    element: str
    """Abbreviation or numeric name, as in the table of elements."""
    level: str
    """Level as in the table of levels."""
    window: tuple[str, int, int] | None
    """Kind, start and end [min after the reference time]; None for windows that HRRR does not have."""
    reference_time: datetime
    """Init time, UTC."""
    grid_digest: str
    """MD5 of section 3."""
    along_grid: bool
    """Whether vector components are relative to rows and columns."""
    from_south_west: bool
    """Whether values are ordered eastward along rows, and rows northward."""

    def describe(self) -> str:
        """Describe the run and the window in words."""
        kind, start, stop = self.window or ("unknown", 0, 0)
        when = f"{stop} min" if kind == "instant" else f"{kind} of {start}-{stop} min"
        return f"the run {self.reference_time:%Y-%m-%dT%H}, {when}"


def read_keys(handle: int) -> Keys | None:
    """Read the keys with ecCodes; None for a message that is not GRIB edition 2.

    Raises
    ------
    eccodes.CodesInternalError, ValueError
        If the message is damaged.
    """
    if _int(handle, "editionNumber") != 2:
        return None
    names = ("discipline", "parameterCategory", "parameterNumber", "localTablesVersion", "centre")
    discipline, category, number, local_table, centre = (_int(handle, key) for key in names)
    template = _int(handle, "productDefinitionTemplateNumber")
    return Keys(
        element=format_element(discipline, category, number, local_table, centre),
        level=_level(handle) if template in _TEMPLATES_WITH_LEVEL else f"product template 4.{template}",
        window=_window(handle, template),
        reference_time=datetime(*(_int(handle, key) for key in ("year", "month", "day", "hour", "minute", "second"))),
        grid_digest=eccodes.codes_get_string(handle, "md5GridSection"),
        along_grid=bool(_int(handle, "resolutionAndComponentFlags") & 8),
        from_south_west=_int(handle, "scanningMode") == 64,
    )


def matches_field(keys: Keys, selector: Selector) -> bool:
    """Return whether a message has the element and level of a selector."""
    return (keys.element, keys.level) == (canonical_element(selector.element), selector.level)


def matches_window(keys: Keys, selector: Selector, lead_minutes: int) -> bool:
    """Return whether a message has the window of a selector at a lead time."""
    wanted, stop = selector.window, lead_minutes
    if keys.window is None:
        return False
    if wanted.kind is None:
        return keys.window[2] == stop
    if wanted.kind == "instant":
        return keys.window == ("instant", stop, stop)
    return keys.window == (wanted.kind, 0 if wanted.minutes is None else stop - wanted.minutes, stop)


def _level(handle: int) -> str:
    first, second = (
        (
            _int(handle, f"typeOf{surface}"),
            _int_or_none(handle, f"scaleFactorOf{surface}"),
            _int_or_none(handle, f"scaledValueOf{surface}"),
        )
        for surface in ("FirstFixedSurface", "SecondFixedSurface")
    )
    return format_level(*first, *second)


def _window(handle: int, template: int) -> tuple[str, int, int] | None:
    if template not in (_INSTANT, _INTERVAL):
        return None
    start = _minutes(_int(handle, "indicatorOfUnitOfTimeRange"), _int(handle, "forecastTime"))
    if start is None or template == _INSTANT:
        return None if start is None else ("instant", start, start)
    length = _minutes(_int(handle, "indicatorOfUnitForTimeRange"), _int(handle, "lengthOfTimeRange"))
    kind = _STATISTICS.get(_int(handle, "typeOfStatisticalProcessing"))
    if length is None or kind is None or _int(handle, "numberOfTimeRange") != 1:
        return None
    return kind, start, start + length


def _minutes(unit: int, count: int) -> int | None:
    if count < 0 or (unit == _SECONDS and count % 60):
        return None
    return count // 60 if unit == _SECONDS else count * _MINUTES[unit] if unit in _MINUTES else None


def _int_or_none(handle: int, key: str) -> int | None:
    return None if eccodes.codes_is_missing(handle, key) else _int(handle, key)


def _int(handle: int, key: str) -> Any:
    return eccodes.codes_get(handle, key, int)
