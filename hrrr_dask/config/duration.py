"""Parses durations such as ``60s``, ``10min`` or ``1h``."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from hrrr_dask.errors import ConfigError

__all__ = ["format_age", "parse_duration"]

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_duration(what: str, value: str | float | timedelta) -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    what : str
        Name of the setting, for errors.
    value : str, float or timedelta
        Parts such as ``60s``, ``10min``, ``1h30min`` or ``2d``; a number is seconds.

    Raises
    ------
    ConfigError
        If it is something else, or negative.

    Examples
    --------
    >>> parse_duration("the wait", "1h30min"), parse_duration("the wait", 2.5)
    (5400.0, 2.5)
    """
    seconds = -1.0
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        text = value.replace(" ", "")
        parts = re.findall(r"(\d+(?:\.\d+)?)(s|min|h|d)", text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        elif text == "0":
            seconds = 0.0
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{what} {value!r} is not a duration: write it like 60s, 10min, 1h30min or 2d")
    return seconds


def format_age(seconds: float) -> str:
    """Format a duration of minutes to days.

    Examples
    --------
    >>> format_age(5_700), format_age(300_000)
    ('1 h 35 min', '3 d 11 h')
    """
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
