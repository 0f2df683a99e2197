"""Reads a message's metadata from ecCodes' keys, and compares it with a selector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import eccodes

from hrrr_dask.catalog.elements import canonical_element, format_element
from hrrr_dask.catalog.levels import format_level
from hrrr_dask.catalog.selectors import Selector

__all__ = ["Keys", "read_keys", "same_field", "same_window"]

_KINDS: Final = {0: "ave", 1: "acc", 2: "max", 3: "min"}
"""``typeOfStatisticalProcessing`` (code table 4.10)."""

_MINUTES: Final = {0: 1, 1: 60, 2: 1440, 10: 180, 11: 360, 12: 720}
"""``indicatorOfUnit…`` (code table 4.4), except seconds: length of the unit [min]."""
_SECONDS: Final = 13

_AT_A_TIME: Final = 0
_OVER_TIME: Final = 8
"""``productDefinitionTemplateNumber`` from which on a message is about a time interval rather than an instant."""

_WITH_A_LEVEL: Final = range(16)
"""Product definition templates with fixed surfaces in the usual octets."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Metadata of a message."""

    element: str
    """Abbreviation, or numeric name, as in the table of elements."""
    level: str
    """Level as in the table of levels."""
    window: tuple[str, int, int] | None
    """Kind, start and end [min after the reference time]; None for what HRRR never has."""
    reference_time: datetime
    """UTC."""
    grid_digest: str
    """MD5 of section 3."""
    along_grid: bool
    """Whether vector components are along rows and columns."""
    from_south_west: bool
    """Whether values run eastward along rows, and rows northward."""

    def describe(self) -> str:
        """Describe run and window, for people."""
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
        level=_level(handle) if template in _WITH_A_LEVEL else f"product template 4.{template}",
        window=_window(handle, template),
        reference_time=datetime(*(_int(handle, key) for key in ("year", "month", "day", "hour", "minute", "second"))),
        grid_digest=eccodes.codes_get_string(handle, "md5GridSection"),
        along_grid=bool(_int(handle, "resolutionAndComponentFlags") & 8),
        from_south_west=_int(handle, "scanningMode") == 64,
    )


def same_field(keys: Keys, selector: Selector) -> bool:
    """Return whether a message has the element and level of a selector."""
    return (keys.element, keys.level) == (canonical_element(selector.element), selector.level)


def same_window(keys: Keys, selector: Selector, lead_hours: int) -> bool:
    """Return whether a message has the window of a selector at a lead time."""
    spec, stop = selector.window, 60 * lead_hours
    if keys.window is None:
        return False
    if spec.kind is None:
        return True
    if spec.kind == "instant":
        return keys.window == ("instant", stop, stop)
    return keys.window == (spec.kind, 0 if spec.minutes is None else stop - spec.minutes, stop)


def _level(handle: int) -> str:
    first, second = (
        (
            _int(handle, f"typeOf{which}"),
            _known(handle, f"scaleFactorOf{which}"),
            _known(handle, f"scaledValueOf{which}"),
        )
        for which in ("FirstFixedSurface", "SecondFixedSurface")
    )
    return format_level(*first, *second)


def _window(handle: int, template: int) -> tuple[str, int, int] | None:
    if template not in (_AT_A_TIME, _OVER_TIME):
        return None
    start = _minutes(_int(handle, "indicatorOfUnitOfTimeRange"), _int(handle, "forecastTime"))
    if start is None or template == _AT_A_TIME:
        return None if start is None else ("instant", start, start)
    length = _minutes(_int(handle, "indicatorOfUnitForTimeRange"), _int(handle, "lengthOfTimeRange"))
    kind = _KINDS.get(_int(handle, "typeOfStatisticalProcessing"))
    if length is None or kind is None or _int(handle, "numberOfTimeRange") != 1:
        return None
    return kind, start, start + length


def _minutes(unit: int, count: int) -> int | None:
    if count < 0 or (unit == _SECONDS and count % 60):
        return None
    return count // 60 if unit == _SECONDS else count * _MINUTES[unit] if unit in _MINUTES else None


def _known(handle: int, key: str) -> int | None:
    return None if eccodes.codes_is_missing(handle, key) else _int(handle, key)


def _int(handle: int, key: str) -> Any:
    return eccodes.codes_get(handle, key, int)
