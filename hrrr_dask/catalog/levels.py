"""Levels and layers in wgrib2's words: spelled from GRIB2 code table 4.5, and recognised when a user writes them."""

from __future__ import annotations

import difflib
import re
from typing import Final

from hrrr_dask.errors import ConfigError

__all__ = ["NO_SURFACE", "check_level", "spell_level"]

_PASCAL_TYPES: Final = (100, 108)
"""Types of surface whose value is in Pa and is spelled in mb."""
NO_SURFACE: Final = 255

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
"""Code table 4.5, from 192 on NCEP's: type of a surface to wgrib2's words for it."""
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
"""Type of both surfaces of a layer to wgrib2's words for it."""

_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"


def spell_level(
    first_type: int,
    first_scale: int | None,
    first_value: int | None,
    second_type: int = NO_SURFACE,
    second_scale: int | None = None,
    second_value: int | None = None,
) -> str:
    """Name a level or layer in wgrib2's words.

    Parameters
    ----------
    first_type, second_type : int
        Code table 4.5; 255 for no second surface.
    first_scale, second_scale : int or None
        Power of ten that the value was multiplied by; None when missing.
    first_value, second_value : int or None
        Scaled value [Pa for types 100 and 108, otherwise as the words say]; None when missing.

    Examples
    --------
    >>> spell_level(103, 0, 80)
    '80 m above ground'
    >>> spell_level(104, 1, 5, 104, 1, 8)
    '0.5-0.8 sigma layer'
    """
    first = _spell_value(first_type, first_scale, first_value)
    if second_type == NO_SURFACE:
        return _spell_surface(first_type, first)
    second = _spell_value(second_type, second_scale, second_value)
    if first_type == second_type and first_type in _LAYERS:
        return _LAYERS[first_type].format(first, second)
    return f"{_spell_surface(first_type, first)} - {_spell_surface(second_type, second)}"


def _spell_surface(kind: int, value: str) -> str:
    if kind in _LEVELS:
        return _LEVELS[kind].format(value)
    return f"level type {kind}" if value == "missing" else f"level type {kind} value {value}"


def _spell_value(kind: int, scale: int | None, value: int | None) -> str:
    if scale is None or value is None:
        return "missing"
    number = value / 10**scale if scale >= 0 else float(value * 10**-scale)
    return f"{number / 100 if kind in _PASCAL_TYPES else number:g}"


def check_level(level: str) -> None:
    """Refuse a level that no message can have, because none is spelled so.

    Parameters
    ----------
    level : str
        As a selector names it.

    Raises
    ------
    ConfigError
        Saying how levels are spelled.

    Examples
    --------
    >>> check_level("2 m above ground")
    """
    if _is_spelled(level) or all(_is_spelled(part) for part in level.split(" - ")):
        return
    words = [text.format(*[*re.findall(_NUMBER, level), "1", "2"]) for text in _WORDS]
    near = difflib.get_close_matches(level, words, n=1)
    hint = (
        f"did you mean {near[0]!r}?" if near else "write 'surface', '2 m above ground', '500 mb', 'entire atmosphere'"
    )
    raise ConfigError(f"level {level!r} is not in the words of NOAA's inventories: {hint}")


_WORDS: Final = (*_LEVELS.values(), *_LAYERS.values(), "level type {}", "level type {} value {}")
_SHAPES: Final = tuple(re.compile(_NUMBER.join(re.escape(part) for part in text.split("{}"))) for text in _WORDS)


def _is_spelled(level: str) -> bool:
    return any(shape.fullmatch(level) for shape in _SHAPES)
