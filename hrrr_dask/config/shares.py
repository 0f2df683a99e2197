"""Parses shares such as ``1%``."""

from __future__ import annotations

import math
import re

from hrrr_dask.errors import ConfigError

__all__ = ["parse_share"]


def parse_share(what: str, value: str | float) -> float:
    """Return a share between 0 and 1.

    Parameters
    ----------
    what : str
        Name of the setting, for errors.
    value : str or float
        Such as ``1%`` or ``0.5 %``; a number is a share from 0 to 1.

    Raises
    ------
    ConfigError
        If it is something else.

    Examples
    --------
    >>> parse_share("max-gaps", "1%"), parse_share("max-gaps", 0.25)
    (0.01, 0.25)
    """
    share = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*", value)
        if match and (match[2] or "." in match[1] or not float(match[1])):  # a bare 1 may be meant as a percentage
            share = float(match[1]) / (100 if match[2] else 1)
    if not 0 <= share <= 1:
        raise ConfigError(f"{what} {value!r} is not a share from 0% to 100%: write it like 1% or 0.5%")
    return share
