"""Formats GRIB2 levels and layers as wgrib2 does (code table 4.5), and reads levels in selectors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

from hrrr_dask.errors import ConfigError

__all__ = ["NO_SURFACE", "canonical_level", "format_level"]

_PASCAL_TYPES: Final = (100, 108)
"""Surface types with a value in Pa that is written in mb."""
NO_SURFACE: Final = 255
"""Surface type of a level that has no second surface."""

_LEVELS: Final = {
    1: "surface",
    2: "cloud base",
    3: "cloud top",
    4: "0C isotherm",
    5: "level of adiabatic condensation from sfc",
    6: "max wind",
    7: "tropopause",
    8: "top of atmosphere",
    10: "entire atmosphere",
    14: "level of free convection",
    20: "{} K level",
    100: "{} mb",
    101: "mean sea level",
    102: "{} m above mean sea level",
    103: "{} m above ground",
    104: "{} sigma level",
    105: "{} hybrid level",
    106: "{} m underground",
    107: "{} K isentropic level",
    108: "{} mb above ground",
    200: "entire atmosphere (considered as a single layer)",
    204: "highest tropospheric freezing level",
    211: "boundary layer cloud layer",
    214: "low cloud layer",
    215: "cloud ceiling",
    220: "planetary boundary layer",
    224: "middle cloud layer",
    234: "high cloud layer",
    247: "equilibrium level",
}
"""Surface type (code table 4.5; NCEP's local table from 192 on) to wgrib2's text."""
_LAYERS: Final = {
    100: "{}-{} mb",
    102: "{}-{} m above mean sea level",
    103: "{}-{} m above ground",
    104: "{}-{} sigma layer",
    105: "{}-{} hybrid layer",
    106: "{}-{} m below ground",
    107: "{}-{} K isentropic layer",
    108: "{}-{} mb above ground",
}
"""Type of both surfaces of a layer to wgrib2's text."""

_NUMBER: Final = r"(?:(?<![0-9])-)?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"


def format_level(
    first_type: int,
    first_scale: int | None,
    first_value: int | None,
    second_type: int = NO_SURFACE,
    second_scale: int | None = None,
    second_value: int | None = None,
) -> str:
    """Format a level or layer as wgrib2 does.

    Parameters
    ----------
    first_type, second_type : int
        Surface type, code table 4.5; 255 if there is no second surface.
    first_scale, second_scale : int or None
        The scaled value is the value times 10 to this power; None if missing.
    first_value, second_value : int or None
        Scaled value [Pa for types 100 and 108, otherwise the unit in the text]; None if missing.

    Examples
    --------
    >>> format_level(103, 0, 80)
    '80 m above ground'
    >>> format_level(104, 1, 5, 104, 1, 8)
    '0.5-0.8 sigma layer'
    """
    first = _format_value(first_type, first_scale, first_value)
    if second_type == NO_SURFACE:
        return _format_surface(first_type, first)
    second = _format_value(second_type, second_scale, second_value)
    if first_type == second_type and first_type in _LAYERS:
        return _LAYERS[first_type].format(first, second)
    return f"{_format_surface(first_type, first)} - {_format_surface(second_type, second)}"


def _format_surface(kind: int, value: str) -> str:
    if kind in _LEVELS:
        return _LEVELS[kind].format(value)
    return f"level type {kind}" if value == "missing" else f"level type {kind} value {value}"


def _format_value(kind: int, scale: int | None, value: int | None) -> str:
    if scale is None or value is None:
        return "missing"
    number = value / 10**scale if scale >= 0 else float(value * 10**-scale)
    return f"{number / 100 if kind in _PASCAL_TYPES else number:g}"


def canonical_level(level: str) -> str:
    """Return the spelling of a level in NOAA's inventories, given in any case, with other blanks, or in hPa.

    Parameters
    ----------
    level : str
        Level of a selector.

    Raises
    ------
    ConfigError
        If no message can have this level. The text suggests a spelling.

    Examples
    --------
    >>> canonical_level("2M above ground"), canonical_level("850hPa")
    ('2 m above ground', '850 mb')
    """
    surfaces = [_respell(level)] if _respell(level) else [_respell(part) for part in level.split(" - ")]
    if all(surfaces):
        return " - ".join(filter(None, surfaces))
    near = _find_longer(level) or difflib.get_close_matches(level, _fill_in(level, _FORMS), n=1)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "write 'surface', '2 m above ground', '500 mb', 'entire atmosphere'"
    )
    raise ConfigError(f"level {level!r} is not spelled as in NOAA's inventories: {hint}")


_FORMS: Final = (*_LEVELS.values(), *_LAYERS.values(), "level type {}", "level type {} value {}")


def _compile(form: str) -> re.Pattern[str]:
    """A pattern for a form in any case and with any blanks, with a group for each number."""
    texts = (r"\s*".join(map(re.escape, text.split())) for text in form.split("{}"))
    pattern = rf"\s*({_NUMBER})\s*".join(texts).replace("mb", "(?:mb|hPa)")
    return re.compile(rf"\s*{pattern}\s*", re.IGNORECASE)


_PATTERNS: Final = tuple((_compile(form), form) for form in _FORMS)


def _respell(surface: str) -> str | None:
    """The inventory's spelling of a level without ' - '; None if there is none."""
    found = ((pattern.fullmatch(surface), form) for pattern, form in _PATTERNS)
    return next((form.format(*match.groups()) for match, form in found if match), None)


def _find_longer(level: str) -> list[str]:
    """Levels that begin with the words of an incomplete one, such as '2 m'."""
    words = _words(level)
    n_numbers = len(re.findall(_NUMBER, level))
    forms = sorted((form for form in _FORMS if form.count("{}") == n_numbers), key=lambda form: "ground" not in form)
    longer = (text for text in _fill_in(level, forms) if _words(text)[: len(words)] == words)
    return list(longer) if any(map(str.isalpha, words)) else []


def _fill_in(level: str, forms: Iterable[str]) -> list[str]:
    return [form.format(*[*re.findall(_NUMBER, level), "1", "2"]) for form in forms]


def _words(text: str) -> list[str]:
    return re.findall(rf"{_NUMBER}|[a-z]+", text.casefold().replace("hpa", "mb"))
