"""Other spellings of variables: what is unambiguous is read as the canonical spelling, the rest gets a hint.

A store knows canonical spellings only, so a later command with another spelling finds the same variable.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from hrrr_dask.catalog.elements import ELEMENTS, canonical_element, find_element
from hrrr_dask.catalog.selectors import Selector

__all__ = ["SHORT_NAMES", "explain_unknown", "find_name", "parse_spelled"]

SHORT_NAMES: Final = {
    "sp": "surface_pressure",
    "fsr": "surface_roughness",
    "vbdsf": "visible_beam_downward_solar_flux",
    "vddsf": "visible_diffuse_downward_solar_flux",
    "2t": "temperature_2m",
    "t2m": "temperature_2m",
    "2d": "dewpoint_2m",
    "d2m": "dewpoint_2m",
    "2r": "relative_humidity_2m",
    "r2": "relative_humidity_2m",
    "10u": "u_component_wind_10m",
    "u10": "u_component_wind_10m",
    "10v": "v_component_wind_10m",
    "v10": "v_component_wind_10m",
    "80u": "u_component_wind_80m",
    "u80": "u_component_wind_80m",
    "80v": "v_component_wind_80m",
    "v80": "v_component_wind_80m",
    "gust": "wind_gust_surface",
    "sdswrf": "downward_shortwave_flux",
    "tcc": "total_cloud_cover",
    "tp": "precipitation_1h",
    "blh": "boundary_layer_height",
    "refc": "composite_reflectivity",
}
"""ecCodes' keys ``shortName`` and ``cfVarName`` (cfgrib's names) of NCEP's messages, ecCodes 2.50, to names in the
catalogue. ecCodes has names with a height for 10 and 100 m, but not for 80 m: those continue the pattern."""

_WIND: Final = re.compile(r"m?(wind(speed|spd|dir|direction)?|wspd|wdir|ws|wd|si|u|v|uv)m?")
"""Letters of names for wind speed, wind direction or a component at some height."""

_FORECAST: Final = re.compile(r"(?:anl|\d+ ?(?:min|hour|day) fcst)")
_ABSOLUTE: Final = re.compile(r"(\d+) ?- ?(\d+) ?(min|hour|day) (\w+)(?: fcst)?")
_RELATIVE: Final = re.compile(r"(\d+) ?(min|hour) (\w+)")
_MINUTES: Final = {"min": 1, "hour": 60, "day": 1440}
_INTERVALS: Final = (15, 60)
"""Lengths of windows that HRRR has besides those of the whole run [min]."""


def find_name(text: str, names: Iterable[str]) -> str | None:
    """Find the catalogued name that a text means, in any case, with any blanks, hyphens and underscores.

    A short name in :data:`SHORT_NAMES` is one, too. NOAA's abbreviation of an element, such as ``GUST``, is not.

    Examples
    --------
    >>> find_name("Temperature 2m", ["temperature_2m"]), find_name("T2M", ["temperature_2m"])
    ('temperature_2m', 'temperature_2m')
    >>> find_name("GUST", ["wind_gust_surface"]) is None
    True
    """
    if text in ELEMENTS:
        return None
    key = _squeeze(text)
    return SHORT_NAMES.get(key) or next((name for name in names if _squeeze(name) == key), None)


def parse_spelled(text: str) -> Selector:
    """Parse a selector in another case, with other blanks, or cut out of an inventory.

    Absolute windows of an inventory become relative ones. A window of the first hour is the last hour at lead time 1;
    longer windows from 0, and those of the analysis, are those of the whole run. The level is not changed.

    Raises
    ------
    ConfigError
        If a part is missing or the window is invalid.

    Examples
    --------
    >>> str(parse_spelled(":apcp:surface:4-5 hour acc fcst:"))
    'APCP:surface:1 hour acc'
    """
    parts = [part.strip() for part in text.strip().strip(":").split(":")]
    if len(parts) == 3:
        parts[2] = _relative_window(parts[2])
    selector = Selector.parse(":".join(parts))
    element = canonical_element(selector.element)
    if find_element(element) is None and find_element(element.upper()) is not None:
        element = canonical_element(element.upper())
    return Selector(element, selector.level, selector.window)


def _relative_window(text: str) -> str:
    """A window as in the table of :mod:`hrrr_dask.catalog.selectors`; the text itself if it has no known form."""
    known = " ".join(text.casefold().split())
    if _FORECAST.fullmatch(known):
        return "instant"
    if match := _RELATIVE.fullmatch(known):
        return f"{match[1]} {match[2]} {match[3]}"
    if not (match := _ABSOLUTE.fullmatch(known)):
        return known if known == "instant" or known.startswith("run ") else text
    start, stop = (int(hours) * _MINUTES[match[3]] for hours in (match[1], match[2]))
    if start == stop == 0:
        return f"run {match[4]}"
    if start >= stop:
        return text
    return f"run {match[4]}" if start == 0 and stop not in _INTERVALS else f"{stop - start} min {match[4]}"


def explain_unknown(name: str, catalogued: Mapping[str, Selector]) -> str:
    """Say what to write instead of a name that is not in the catalogue.

    Parameters
    ----------
    name : str
        The unknown name.
    catalogued : mapping of str to Selector
        Names and selectors of the catalogue.
    """
    label, equals, renamed = (part.strip() for part in name.partition("="))
    if equals and (found := find_name(renamed, catalogued)):
        return f"write {label}={catalogued[found]}, as only selectors are renamed, or {found} alone"
    if name not in ELEMENTS and _WIND.fullmatch(re.sub(r"[^a-z]", "", name.casefold())):
        pairs = _components(name, catalogued)
        return f"the archive has wind as components: request {pairs}, and compute speed and direction from them"
    element = find_element(name.upper())
    if element is not None:
        alike = [known for known, selector in catalogued.items() if selector.element == element.name]
        hint = f"did you mean {' or '.join(alike)}? Otherwise " if alike else ""
        return (
            f"it is an element without its level: {hint}write {element.name}:LEVEL[:WINDOW] with a level of NOAA's "
            "inventories, such as 'surface' or '2 m above ground'"
        )
    near = difflib.get_close_matches(name, catalogued, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"available are {', '.join(catalogued)}."
    return f"{hint} Any message can be named as ELEMENT:LEVEL[:WINDOW]"


def _components(name: str, catalogued: Mapping[str, Selector]) -> str:
    """Pairs of components at the height in a name, or at all heights."""
    pairs = [(known, f"v{known[1:]}") for known, selector in catalogued.items() if selector.element == "UGRD"]
    heights = re.findall(r"\d+", name)
    there = [pair for pair in pairs if any(pair[0].endswith(f"_{height}m") for height in heights)]
    return ", or ".join(f"{u} and {v}" for u, v in there or pairs)


def _squeeze(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text.casefold())
