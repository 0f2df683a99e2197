"""What can be asked for: the catalogued variables, and any other selector a user gives.

The identity of a variable is its GRIB2 numbers, level and window; names are for people. Standard names and units are
those of the CF standard name table; GRIB2 numbers are WMO Manual on Codes I.2 and NCEP local table 4.2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hrrr_dask.catalog.elements import ELEMENTS, canonical_element, element_named, parse_raw
from hrrr_dask.catalog.levels import check_level
from hrrr_dask.catalog.limits import limits_of
from hrrr_dask.catalog.products import ARCHIVE_START, ERAS
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import ConfigError

__all__ = ["CATALOG", "DEFAULT_VARIABLES", "VECTOR_PAIRS", "Variable", "companion_of", "parse_variables"]

V2_START: Final = ERAS["conus"][1].start


@dataclass(frozen=True, slots=True)
class Variable:
    """One array of the store and the message it comes from."""

    name: str
    """Name of the array."""
    selector: Selector
    """The message, in the inventory's words."""
    numbers: tuple[int, int, int]
    """GRIB2 discipline, category and number."""
    long_name: str
    """For people and plots."""
    units: str
    """UDUNITS spelling."""
    standard_name: str = ""
    """CF standard name; empty when the table has none."""
    since: datetime = ARCHIVE_START
    """First init time whose files have it, UTC."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest plausible value; None where :mod:`hrrr_dask.catalog.limits` has none."""
        row = limits_of(self.selector)
        return None if row is None else (row.low, row.high)

    @property
    def cell_methods(self) -> str:
        """CF cell methods: how the value stands for its window."""
        window = self.selector.window
        words = {"acc": "sum", "ave": "mean", "max": "maximum", "min": "minimum", "instant": "point"}
        if window.kind is None:
            return ""
        method = f"lead_time: {words[window.kind]}"
        if window.kind == "instant":
            return method
        if window.minutes is None:
            return f"{method} (comment: from init_time to valid_time)"
        return f"{method} (interval: {window.minutes} minutes)"

    def offered(self, init_time: datetime, lead_hours: int) -> bool:
        """Whether the archive ever has this variable in a file of that run and lead time."""
        return init_time >= self.since and self.selector.window.exists_at(lead_hours)


def _row(name: str, selector: str, standard_name: str, units: str, long_name: str, since: datetime) -> Variable:
    parsed = Selector.parse(selector)
    element = ELEMENTS[parsed.element]
    numbers = (element.discipline, element.category, element.number)
    return Variable(name, parsed, numbers, long_name, units, standard_name, since)


_V1 = ARCHIVE_START
_V2 = V2_START
_DEFAULTS: Final = (
    ("surface_pressure", "PRES:surface:instant", "surface_air_pressure", "Pa", "surface pressure", _V1),
    ("surface_roughness", "SFCR:surface:instant", "surface_roughness_length", "m", "surface roughness length", _V1),
    (
        "visible_beam_downward_solar_flux",
        "VBDSF:surface:instant",
        "surface_direct_along_beam_shortwave_flux_in_air",
        "W m-2",
        "direct normal solar irradiance",
        _V2,
    ),
    (
        "visible_diffuse_downward_solar_flux",
        "VDDSF:surface:instant",
        "surface_diffuse_downwelling_shortwave_flux_in_air",
        "W m-2",
        "diffuse horizontal solar irradiance",
        _V2,
    ),
    ("temperature_2m", "TMP:2 m above ground:instant", "air_temperature", "K", "air temperature at 2 m", _V1),
    ("dewpoint_2m", "DPT:2 m above ground:instant", "dew_point_temperature", "K", "dew point at 2 m", _V1),
    ("relative_humidity_2m", "RH:2 m above ground:instant", "relative_humidity", "%", "relative humidity at 2 m", _V2),
    (
        "u_component_wind_10m",
        "UGRD:10 m above ground:instant",
        "eastward_wind",
        "m s-1",
        "eastward wind at 10 m, earth-relative",
        _V1,
    ),
    (
        "v_component_wind_10m",
        "VGRD:10 m above ground:instant",
        "northward_wind",
        "m s-1",
        "northward wind at 10 m, earth-relative",
        _V1,
    ),
    (
        "u_component_wind_80m",
        "UGRD:80 m above ground:instant",
        "eastward_wind",
        "m s-1",
        "eastward wind at 80 m, earth-relative",
        _V1,
    ),
    (
        "v_component_wind_80m",
        "VGRD:80 m above ground:instant",
        "northward_wind",
        "m s-1",
        "northward wind at 80 m, earth-relative",
        _V1,
    ),
)
_EXTRAS: Final = (
    ("wind_gust_surface", "GUST:surface:instant", "wind_speed_of_gust", "m s-1", "wind gust", _V1),
    (
        "downward_shortwave_flux",
        "DSWRF:surface:instant",
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "global horizontal solar irradiance",
        _V1,
    ),
    ("total_cloud_cover", "TCDC:entire atmosphere:instant", "cloud_area_fraction", "%", "total cloud cover", _V1),
    (
        "precipitation_1h",
        "APCP:surface:1 hour acc",
        "precipitation_amount",
        "kg m-2",
        "precipitation of the last hour",
        _V1,
    ),
    (
        "boundary_layer_height",
        "HPBL:surface:instant",
        "atmosphere_boundary_layer_thickness",
        "m",
        "height of the planetary boundary layer",
        _V1,
    ),
    (
        "composite_reflectivity",
        "REFC:entire atmosphere:instant",
        "equivalent_reflectivity_factor",
        "dBZ",
        "composite radar reflectivity",
        _V1,
    ),
)

CATALOG: Final = {row[0]: _row(*row) for row in (*_DEFAULTS, *_EXTRAS)}
"""Name to variable, for the names that ``--variables`` takes."""

DEFAULT_VARIABLES: Final = tuple(row[0] for row in _DEFAULTS)
"""The eleven variables read when none are named."""

VECTOR_PAIRS: Final = (
    ("UGRD", "VGRD"),
    ("MAXUW", "MAXVW"),
    ("USTM", "VSTM"),
    ("VUCSH", "VVCSH"),
    ("UFLX", "VFLX"),
)
"""Elements that are the two components of one vector along the grid's axes, first along x."""

SEVERAL_WINDOWS: Final = frozenset({"APCP", "WEASD", "FROZR"})
"""Accumulated elements that stand in one file with several windows: the selector must name one."""


def companion_of(selector: Selector) -> tuple[Selector, int] | None:
    """The other component of the vector that a selector is a component of.

    Returns
    -------
    (Selector, int) or None
        The other component, and which axis *this* one lies along: 0 for x, 1 for y. None for a scalar.

    Examples
    --------
    >>> other, axis = companion_of(Selector.parse("VGRD:10 m above ground"))
    >>> str(other), axis
    ('UGRD:10 m above ground', 1)
    """
    for pair in VECTOR_PAIRS:
        if selector.element in pair:
            axis = pair.index(selector.element)
            return Selector(pair[1 - axis], selector.level, selector.window), axis
    return None


def parse_variables(names: Iterable[str]) -> tuple[Variable, ...]:
    """Read what ``--variables`` was given.

    Parameters
    ----------
    names : iterable of str
        Each a catalogued name, a selector ``ELEMENT:LEVEL[:WINDOW]``, or ``name=SELECTOR``.

    Returns
    -------
    tuple of Variable
        In the order given.

    Raises
    ------
    ConfigError
        If a name or an element is unknown, a name stands twice, or a selector needs a window.
    """
    found: dict[str, Variable] = {}
    for text in (name.strip() for name in names):
        variable = _parse_variable(text)
        if variable.name in found:
            raise ConfigError(f"variable {variable.name!r} is asked for twice: name each once (give one NAME=SELECTOR)")
        found[variable.name] = variable
    if not found:
        raise ConfigError(f"no variables are named: leave --variables out for the default {len(DEFAULT_VARIABLES)}")
    return tuple(found.values())


def _parse_variable(text: str) -> Variable:
    name, equals, selector_text = text.partition("=")
    if parse_raw(text.split(":", maxsplit=1)[0]) is not None or not equals:  # a raw spelling has '=' of its own
        name, selector_text = "", text
    if ":" not in selector_text:
        return _catalogued(selector_text if not name else text)
    selector = Selector.parse(selector_text)
    numbers, title, units = _look_up(selector)
    check_level(selector.level)
    if selector.window.kind is None and selector.element in SEVERAL_WINDOWS:
        raise ConfigError(
            f"{selector} stands several times in a file, with different windows: "
            f"write '{selector}:1 hour acc' or '{selector}:run acc'"
        )
    selector = Selector(canonical_element(selector.element), selector.level, selector.window)
    known = CATALOG.get(name.strip())
    if known is not None and known.selector != selector:
        raise ConfigError(f"{known.name} is the catalogue's name of {known.selector}: give {selector} another name")
    if known is not None:
        return known
    long_name = f"{title}, {selector.level}" + (f", {selector.window}" if str(selector.window) else "")
    return Variable(_checked_name(name.strip()) if name else _slug(selector), selector, numbers, long_name, units)


def _catalogued(name: str) -> Variable:
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(CATALOG)}."
    raise ConfigError(f"variable {name!r} is unknown: {hint} Any message can be named as ELEMENT:LEVEL[:WINDOW]")


def _look_up(selector: Selector) -> tuple[tuple[int, int, int], str, str]:
    raw = parse_raw(selector.element)
    element = element_named(canonical_element(selector.element))
    if element is not None:
        return (element.discipline, element.category, element.number), element.title, element.units
    if raw is not None:
        return raw, f"GRIB2 parameter {'.'.join(map(str, raw))}", "1"
    near = difflib.get_close_matches(selector.element.upper(), ELEMENTS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(
        f"element {selector.element!r} is not in the table of GRIB2 numbers, so its messages could not be checked: "
        f"{hint}Otherwise spell it by number, as 'var discipline=0 center=7 local_table=1 parmcat=16 parm=201:LEVEL'"
    )


def _slug(selector: Selector) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(selector).lower()).strip("_")


_RESERVED: Final = frozenset(
    [
        "init_time",
        "lead_time",
        "valid_time",
        "point",
        "point_id",
        "name",
        "latitude",
        "longitude",
        "cell_latitude",
        "cell_longitude",
        "cell_y",
        "cell_x",
        "cell_distance",
        "status",
        "crs",
    ]
)


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in _RESERVED:
        raise ConfigError(
            f"{name!r} cannot name a variable: use letters, digits and underscores, and none of the coordinates' names"
        )
    return name
