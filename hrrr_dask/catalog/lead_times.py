"""Lead times as whole minutes: which a product has, in which file, how they are written and read.

A file is named by its hour and has the lead times after the hour before, up to its own: ``wrfsubhf06`` those of 5 h
15 min, 5 h 30 min, 5 h 45 min and 6 h, ``wrfsfcf06`` only that of 6 h.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from hrrr_dask.catalog.products import PRODUCTS
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile

__all__ = [
    "LAST_LEAD_HOUR",
    "expand_lead_hours",
    "file_hour",
    "format_lead_time",
    "format_lead_times",
    "lead_times_of",
    "parse_lead_times",
]

LAST_LEAD_HOUR: Final = 48
"""Longest lead time of any run [h]."""

_UNITS: Final = {"min": 1, "m": 1, "h": 60}
_LENGTH: Final = r"(?:\d{1,4}\s*(?:min|m|h)\s*){1,2}|0"
_PART: Final = re.compile(rf"\s*({_LENGTH})\s*(?:-\s*({_LENGTH})\s*(?:/\s*({_LENGTH})\s*)?)?")
_AMOUNT: Final = re.compile(r"(\d+)\s*(min|m|h)")


def file_hour(lead_minutes: int) -> int:
    """Return the hour that names the file with a lead time.

    Examples
    --------
    >>> file_hour(0), file_hour(15), file_hour(60), file_hour(75)
    (0, 1, 1, 2)
    """
    return -(-lead_minutes // 60)


def lead_times_of(file: GribFile) -> tuple[int, ...]:
    """Return the lead times of a file, ascending [min].

    Examples
    --------
    >>> from datetime import datetime
    >>> lead_times_of(GribFile(datetime(2024, 1, 1), 2)), lead_times_of(GribFile(datetime(2024, 1, 1), 2, "subh"))
    ((120,), (75, 90, 105, 120))
    """
    step, last = PRODUCTS[file.product].step_minutes, 60 * file.lead_hours
    return tuple(range(last - 60 + step, last + 1, step)) if last else (0,)


def expand_lead_hours(hours: Iterable[int], product: str) -> tuple[int, ...]:
    """Return all lead times of the files of some hours, except those before the first hour.

    Parameters
    ----------
    hours : iterable of int
        Hours [h].
    product : str
        Name in :data:`hrrr_dask.catalog.products.PRODUCTS`.

    Returns
    -------
    tuple of int
        Ascending and unique [min]. For an hour without the one before it, only the hour itself.

    Examples
    --------
    >>> expand_lead_hours([1, 2, 6], "sfc")
    (60, 120, 360)
    >>> expand_lead_hours([1, 2, 6], "subh")
    (60, 75, 90, 105, 120, 360)
    """
    step, wanted = PRODUCTS[product].step_minutes, sorted(set(hours))
    between = [range(60 * a + step, 60 * b, step) for a, b in pairwise(wanted) if b == a + 1]
    return tuple(sorted([*(60 * hour for hour in wanted), *(minutes for some in between for minutes in some)]))


def parse_lead_times(text: str | Iterable[str], product: str) -> tuple[int, ...]:
    """Parse ``--lead-times``, such as ``15min,30min,1h`` or ``0h-6h``.

    Parameters
    ----------
    text : str or iterable of str
        Durations and ranges of them (both ends included), separated by commas. A range has every lead time of the
        product, or every multiple of a step: ``0h-6h/30min``.
    product : str
        Name in :data:`hrrr_dask.catalog.products.PRODUCTS`.

    Returns
    -------
    tuple of int
        Ascending and unique [min].

    Raises
    ------
    ConfigError
        If a part is not a duration or an ascending range, or the product has no such lead time.

    Examples
    --------
    >>> parse_lead_times("15min, 1h-1h30min", "subh")
    (15, 60, 75, 90)
    >>> parse_lead_times("0h-6h/3h", "sfc")
    (0, 180, 360)
    """
    text = text if isinstance(text, str) else ",".join(text)
    step = PRODUCTS[product].step_minutes
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ConfigError(
                f"lead times {text!r}: {part.strip()!r} is not a duration or a range of them: write 15min, 1h, "
                "1h15min, 0h-6h or 0h-6h/30min"
            )
        first = _minutes(match[1])
        last = _minutes(match[2]) if match[2] else first
        every = _minutes(match[3]) if match[3] else step
        if first % step or last % step or every % step or not every:
            raise ConfigError(
                f"lead times {text!r}: {part.strip()!r} is not made of multiples of {format_lead_time(step)}, the step "
                f"of {product}" + ("; product subh has quarter hours" if step == 60 else "")
            )
        if first > last or last > 60 * LAST_LEAD_HOUR:
            raise ConfigError(
                f"lead times {text!r}: {part.strip()!r} is not an ascending range within 0h-{LAST_LEAD_HOUR}h"
            )
        found.update(range(first, last + 1, every))
    return tuple(sorted(found))


def _minutes(length: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in _AMOUNT.findall(length))


def format_lead_time(lead_minutes: int) -> str:
    """Format a lead time.

    Examples
    --------
    >>> format_lead_time(360), format_lead_time(15), format_lead_time(75)
    ('6 h', '15 min', '1 h 15 min')
    """
    hours, minutes = divmod(lead_minutes, 60)
    parts = [f"{hours} h"] * bool(hours or not minutes) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts)


def format_lead_times(lead_minutes: Sequence[int]) -> str:
    """Format ascending lead times, several at the same distance as a range.

    Examples
    --------
    >>> format_lead_times([0, 60, 120, 180]), format_lead_times([0, 15, 30, 45, 60, 180])
    ('0-3 h', '0-1 h every 15 min, 3 h')
    """
    runs: list[list[int]] = []
    for lead in lead_minutes:
        if runs and (len(runs[-1]) == 1 or lead - runs[-1][-1] == runs[-1][1] - runs[-1][0]):
            runs[-1].append(lead)
        else:
            runs.append([lead])
    return ", ".join(_format_run(run) for run in runs)


def _format_run(run: Sequence[int]) -> str:
    if len(run) < 3:
        return ", ".join(map(format_lead_time, run))
    step = run[1] - run[0]
    whole = not (run[0] % 60 or run[-1] % 60)
    span = (
        f"{run[0] // 60}-{run[-1] // 60} h" if whole else f"{format_lead_time(run[0])} to {format_lead_time(run[-1])}"
    )
    return span if step == 60 and whole else f"{span} every {format_lead_time(step)}"
