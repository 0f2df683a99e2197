"""What a message says about itself, in ecCodes' keys; and whether it is the one that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import eccodes

from hrrr_dask.catalog.elements import canonical_element, spell_element
from hrrr_dask.catalog.levels import spell_level
from hrrr_dask.catalog.selectors import Selector

__all__ = ["Keys", "read_keys", "same_field", "same_window"]

_KINDS: Final = {0: "ave", 1: "acc", 2: "max", 3: "min"}
"""``typeOfStatisticalProcessing`` (code table 4.10)."""

_MINUTES: Final = {0: 1, 1: 60, 2: 1440, 10: 180, 11: 360, 12: 720}
"""``indicatorOfUnit…`` (code table 4.4), but for seconds: length of the unit [min]."""
_SECONDS: Final = 13

_AT_A_TIME: Final = 0
_OVER_TIME: Final = 8
"""``productDefinitionTemplateNumber``: of an instant, and of a stretch of time."""

_WITH_A_LEVEL: Final = range(16)
"""Product definition templates that have fixed surfaces in the usual places."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a message says about itself."""

    element: str
    """Abbreviation, or raw spelling, as the table of elements has it."""
    level: str
    """In the words of the table of levels."""
    window: tuple[str, int, int] | None
    """Kind, begin and end [min after the reference time]; None for what HRRR never has."""
    reference_time: datetime
    """UTC."""
    grid_digest: str
    """MD5 of section 3."""
    along_grid: bool
    """Whether components of vectors lie along rows and columns."""
    from_south_west: bool
    """Whether values run eastward along rows, and rows to the north."""

    def describe(self) -> str:
        """Run and window, for people."""
        kind, start, stop = self.window or ("unknown", 0, 0)
        when = f"{stop} min" if kind == "instant" else f"{kind} of {start}-{stop} min"
        return f"the run {self.reference_time:%Y-%m-%dT%H}, {when}"


def read_keys(handle: int) -> Keys | None:
    """Ask ecCodes; None for a message that is not GRIB edition 2.

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
        element=spell_element(discipline, category, number, local_table, centre),
        level=_level(handle) if template in _WITH_A_LEVEL else f"product template 4.{template}",
        window=_window(handle, template),
        reference_time=datetime(*(_int(handle, key) for key in ("year", "month", "day", "hour", "minute", "second"))),
        grid_digest=eccodes.codes_get_string(handle, "md5GridSection"),
        along_grid=bool(_int(handle, "resolutionAndComponentFlags") & 8),
        from_south_west=_int(handle, "scanningMode") == 64,
    )


def same_field(keys: Keys, selector: Selector) -> bool:
    """Whether a message has the element and the level that a selector names."""
    return (keys.element, keys.level) == (canonical_element(selector.element), selector.level)


def same_window(keys: Keys, selector: Selector, lead_hours: int) -> bool:
    """Whether a message speaks of the stretch of time that a selector means at a lead time."""
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
    return spell_level(*first, *second)


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
