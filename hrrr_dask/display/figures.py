"""Formats counts, sizes, shares, values and places for people. Pure."""

from __future__ import annotations

__all__ = ["format_count", "format_location", "format_share", "format_size", "format_value"]


def format_count(number: int, noun: str) -> str:
    """Format a count with its noun, singular or plural.

    Examples
    --------
    >>> format_count(1, "point"), format_count(5016, "point")
    ('1 point', '5,016 points')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(n_bytes: float) -> str:
    """Format a number of bytes with three significant digits and a decimal unit.

    Examples
    --------
    >>> format_size(999), format_size(1_234_567), format_size(2.5e15)
    ('999 B', '1.23 MB', '2.5e+03 TB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def format_share(part: int, whole: int) -> str:
    """Format a share as a percentage, never rounded to 0 % or 100 %.

    Examples
    --------
    >>> format_share(0, 10), format_share(1, 3), format_share(1, 10**9), format_share(10**9 - 1, 10**9)
    ('0 %', '33 %', '1e-07 %', '99.9999999 %')
    """
    if not part:
        return "0 %"
    share, rest = 100 * part / whole, 100 * (whole - part) / whole
    return f"{100 - float(f'{rest:.2g}'):.12g} %" if share > 99 else f"{share:.2g} %"


def format_value(value: float) -> str:
    """Format a value with five significant digits, or as an integer from 10,000.

    Examples
    --------
    >>> format_value(192.12479), format_value(93412.3), format_value(0.00012), format_value(-999.0)
    ('192.12', '93,412', '0.00012', '-999')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"


def format_location(latitude: float, longitude: float) -> str:
    """Format coordinates as degrees with N, S, E and W.

    Examples
    --------
    >>> format_location(43.66, -116.09)
    '43.66 N 116.09 W'
    """
    longitude = (longitude + 180) % 360 - 180
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.2f} {north} {abs(longitude):.2f} {east}"
