"""Table of NOAA's parameter abbreviations (elements) with their GRIB2 numbers, titles and units.

Sources: WMO Manual on Codes I.2, code table 4.2, and NCEP's local table 4.2 (centre 7, numbers from 192 on), as listed
in NCEP's GRIB2 documentation. Some quantities have two numbers: an older local one of NCEP and a later one of the WMO.
Which of them HRRR uses is confirmed by real files only for some (the WMO's for RETOP, the local one for REFC), so
compare elements by name, not by number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ELEMENTS",
    "NCEP",
    "Element",
    "Numbers",
    "canonical_element",
    "find_element",
    "find_element_by_numbers",
    "format_element",
    "parse_raw_element",
]

Numbers = tuple[int, int, int]
"""GRIB2 discipline, category and number."""

NCEP: Final = 7
"""NCEP's number among the originating centres (common code table C-11)."""

FIRST_LOCAL: Final = 192
"""Numbers from 192 to 254 are local: each centre defines its own."""


@dataclass(frozen=True, slots=True)
class Element:
    """A physical quantity, as inventories and GRIB2 messages identify it."""

    name: str
    """Abbreviation in column 4 of an inventory."""
    discipline: int
    """Code table 0.0."""
    category: int
    """Code table 4.1."""
    number: int
    """Code table 4.2."""
    title: str
    """Human-readable name."""
    units: str
    """UDUNITS spelling; ``1`` for codes and pure numbers."""
    other_numbers: tuple[Numbers, ...] = ()
    """Alternative numbers of the same quantity."""

    @property
    def numbers(self) -> Numbers:
        """Discipline, category and number."""
        return self.discipline, self.category, self.number


# Name; numbers, the usual ones first; units; title.
_ROWS: Final = (
    # temperature
    ("TMP", "0.0.0", "K", "temperature"),
    ("VTMP", "0.0.1", "K", "virtual temperature"),
    ("POT", "0.0.2", "K", "potential temperature"),
    ("EPOT", "0.0.3", "K", "pseudo-adiabatic potential temperature"),
    ("TMAX", "0.0.4", "K", "maximum temperature"),
    ("TMIN", "0.0.5", "K", "minimum temperature"),
    ("DPT", "0.0.6", "K", "dew point temperature"),
    ("DEPR", "0.0.7", "K", "dew point depression"),
    ("LHTFL", "0.0.10", "W m-2", "latent heat net flux"),
    ("SHTFL", "0.0.11", "W m-2", "sensible heat net flux"),
    ("VPTMP", "0.0.15", "K", "virtual potential temperature"),
    ("SNOHF", "0.0.16 0.0.192", "W m-2", "snow phase change heat flux"),
    # moisture
    ("SPFH", "0.1.0", "kg kg-1", "specific humidity"),
    ("RH", "0.1.1", "%", "relative humidity"),
    ("MIXR", "0.1.2", "kg kg-1", "humidity mixing ratio"),
    ("PWAT", "0.1.3", "kg m-2", "precipitable water"),
    ("EVP", "0.1.6", "kg m-2", "evaporation"),
    ("PRATE", "0.1.7", "kg m-2 s-1", "precipitation rate"),
    ("APCP", "0.1.8", "kg m-2", "total precipitation"),
    ("NCPCP", "0.1.9", "kg m-2", "large-scale precipitation"),
    ("ACPCP", "0.1.10", "kg m-2", "convective precipitation"),
    ("SNOD", "0.1.11", "m", "snow depth"),
    ("WEASD", "0.1.13", "kg m-2", "water equivalent of accumulated snow depth"),
    ("TCOND", "0.1.21 0.6.195", "kg kg-1", "total condensate"),
    ("CLMR", "0.1.22", "kg kg-1", "cloud water mixing ratio"),
    ("ICMR", "0.1.23", "kg kg-1", "ice water mixing ratio"),
    ("RWMR", "0.1.24", "kg kg-1", "rain mixing ratio"),
    ("SNMR", "0.1.25", "kg kg-1", "snow mixing ratio"),
    ("MCONV", "0.1.26", "kg kg-1 s-1", "horizontal moisture convergence"),
    ("ASNOW", "0.1.29", "m", "total snowfall"),
    ("HAIL", "0.1.31", "m", "hail"),
    ("GRLE", "0.1.32", "kg kg-1", "graupel mixing ratio"),
    ("CRAIN", "0.1.33 0.1.192", "1", "categorical rain, 1 for yes"),
    ("CFRZR", "0.1.34 0.1.193", "1", "categorical freezing rain, 1 for yes"),
    ("CICEP", "0.1.35 0.1.194", "1", "categorical ice pellets, 1 for yes"),
    ("CSNOW", "0.1.36 0.1.195", "1", "categorical snow, 1 for yes"),
    ("CPRAT", "0.1.37 0.1.196", "kg m-2 s-1", "convective precipitation rate"),
    ("CPOFP", "0.1.39", "%", "percent of frozen precipitation"),
    ("PEVAP", "0.1.40 0.1.199", "kg m-2", "potential evaporation"),
    ("SNOWC", "0.1.42 0.1.201", "%", "snow cover"),
    ("TCOLR", "0.1.45 0.1.204", "kg m-2", "total column-integrated rain"),
    ("TCOLS", "0.1.46 0.1.205", "kg m-2", "total column-integrated snow"),
    ("TCOLW", "0.1.69 0.6.196", "kg m-2", "total column-integrated cloud water"),
    ("TCOLI", "0.1.70 0.6.197", "kg m-2", "total column-integrated cloud ice"),
    ("TCOLG", "0.1.74", "kg m-2", "total column-integrated graupel"),
    ("CIMIXR", "0.1.82", "kg kg-1", "cloud ice mixing ratio"),
    ("SPNCR", "0.1.100", "kg-1", "specific number concentration of rain"),
    ("NCIP", "0.1.207", "1", "number concentration of ice particles"),
    ("FRZR", "0.1.225", "kg m-2", "freezing rain"),
    ("FROZR", "0.1.227", "kg m-2", "frozen rain"),
    ("RHPW", "0.1.242", "%", "relative humidity with respect to precipitable water"),
    # momentum
    ("WDIR", "0.2.0", "degree", "direction the wind blows from"),
    ("WIND", "0.2.1", "m s-1", "wind speed"),
    ("UGRD", "0.2.2", "m s-1", "u component of wind"),
    ("VGRD", "0.2.3", "m s-1", "v component of wind"),
    ("VVEL", "0.2.8", "Pa s-1", "vertical velocity (pressure)"),
    ("DZDT", "0.2.9", "m s-1", "vertical velocity (geometric)"),
    ("ABSV", "0.2.10", "s-1", "absolute vorticity"),
    ("RELV", "0.2.12", "s-1", "relative vorticity"),
    ("PVORT", "0.2.14", "K m2 kg-1 s-1", "potential vorticity"),
    ("VUCSH", "0.2.15", "s-1", "vertical shear of the u component of wind"),
    ("VVCSH", "0.2.16", "s-1", "vertical shear of the v component of wind"),
    ("UFLX", "0.2.17", "N m-2", "momentum flux, u component"),
    ("VFLX", "0.2.18", "N m-2", "momentum flux, v component"),
    ("GUST", "0.2.22", "m s-1", "wind speed of gust"),
    ("USTM", "0.2.27 0.2.194", "m s-1", "u component of storm motion"),
    ("VSTM", "0.2.28 0.2.195", "m s-1", "v component of storm motion"),
    ("FRICV", "0.2.30 0.2.197", "m s-1", "frictional velocity"),
    ("MAXUVV", "0.2.220", "m s-1", "hourly maximum of upward vertical velocity"),
    ("MAXDVV", "0.2.221", "m s-1", "hourly maximum of downward vertical velocity"),
    ("MAXUW", "0.2.222", "m s-1", "u component of hourly maximum 10 m wind"),
    ("MAXVW", "0.2.223", "m s-1", "v component of hourly maximum 10 m wind"),
    # mass
    ("PRES", "0.3.0", "Pa", "pressure"),
    ("PRMSL", "0.3.1", "Pa", "pressure reduced to mean sea level"),
    ("HGT", "0.3.5", "m", "geopotential height"),
    ("HPBL", "0.3.18 0.3.196", "m", "height of the planetary boundary layer"),
    ("MSLET", "0.3.192", "Pa", "mean sea level pressure (Eta model reduction)"),
    ("MSLMA", "0.3.198", "Pa", "mean sea level pressure (MAPS system reduction)"),
    ("PLPL", "0.3.200", "Pa", "pressure of the level from which the parcel was lifted"),
    ("LAYTH", "0.3.205", "m", "layer thickness"),
    # short-wave and long-wave radiation
    ("DSWRF", "0.4.7 0.4.192", "W m-2", "downward short-wave radiation flux"),
    ("USWRF", "0.4.8 0.4.193", "W m-2", "upward short-wave radiation flux"),
    ("CSDSF", "0.4.196", "W m-2", "clear-sky downward solar flux"),
    ("CFNSF", "0.4.199", "W m-2", "cloud forcing net solar flux"),
    ("VBDSF", "0.4.200", "W m-2", "visible beam downward solar flux"),
    ("VDDSF", "0.4.201", "W m-2", "visible diffuse downward solar flux"),
    ("NBDSF", "0.4.202", "W m-2", "near infrared beam downward solar flux"),
    ("NDDSF", "0.4.203", "W m-2", "near infrared diffuse downward solar flux"),
    ("DLWRF", "0.5.3 0.5.192", "W m-2", "downward long-wave radiation flux"),
    ("ULWRF", "0.5.4 0.5.193", "W m-2", "upward long-wave radiation flux"),
    # cloud
    ("TCDC", "0.6.1", "%", "total cloud cover"),
    ("LCDC", "0.6.3", "%", "low cloud cover"),
    ("MCDC", "0.6.4", "%", "medium cloud cover"),
    ("HCDC", "0.6.5", "%", "high cloud cover"),
    ("CWAT", "0.6.6", "kg m-2", "cloud water"),
    ("TCOLC", "0.6.20 0.6.198", "kg m-2", "total column-integrated condensate"),
    ("NCONCD", "0.6.28", "kg-1", "number concentration of cloud droplets"),
    ("NCCICE", "0.6.29", "kg-1", "number concentration of cloud ice"),
    ("FRACCC", "0.6.32", "1", "fraction of cloud cover"),
    # stability
    ("CAPE", "0.7.6", "J kg-1", "convective available potential energy"),
    ("CIN", "0.7.7", "J kg-1", "convective inhibition"),
    ("HLCY", "0.7.8", "m2 s-2", "storm relative helicity"),
    ("LFTX", "0.7.10 0.7.192", "K", "surface lifted index"),
    ("4LFTX", "0.7.11 0.7.193", "K", "best (4 layer) lifted index"),
    ("UPHL", "0.7.15 0.7.197", "m2 s-2", "updraft helicity"),
    ("LAI", "0.7.198", "1", "leaf area index"),
    ("MXUPHL", "0.7.199", "m2 s-2", "hourly maximum of updraft helicity"),
    ("MNUPHL", "0.7.200", "m2 s-2", "hourly minimum of updraft helicity"),
    ("EFHL", "0.7.204", "m2 s-2", "effective storm relative helicity"),
    ("ESP", "0.7.205", "1", "enhanced stretching potential"),
    ("CANGLE", "0.7.206", "degree", "critical angle"),
    # radar, lightning, visibility, aerosol
    ("VIL", "0.15.3", "kg m-2", "vertically integrated liquid water"),
    ("REFD", "0.16.195 0.16.4", "dBZ", "radar reflectivity"),
    ("REFC", "0.16.196 0.16.5", "dBZ", "composite radar reflectivity"),
    ("RETOP", "0.16.3 0.16.197", "m", "radar echo top"),
    ("MAXREF", "0.16.198", "dBZ", "hourly maximum of radar reflectivity"),
    ("LTNGSD", "0.17.0", "m-2 s-1", "lightning strike density"),
    ("LTNG", "0.17.192", "1", "lightning"),
    ("VIS", "0.19.0", "m", "visibility"),
    ("ALBDO", "0.19.1", "%", "albedo"),
    ("TKE", "0.19.11", "J kg-1", "turbulent kinetic energy"),
    ("MASSDEN", "0.20.0", "kg m-3", "mass density"),
    ("COLMD", "0.20.1", "kg m-2", "column-integrated mass density"),
    ("AOTK", "0.20.102", "1", "aerosol optical thickness"),
    # water, land and sea
    ("BGRUN", "1.0.5 1.0.192", "kg m-2", "baseflow-groundwater runoff"),
    ("SSRUN", "1.0.6 1.0.193", "kg m-2", "storm surface runoff"),
    ("LAND", "2.0.0", "1", "land cover, 1 for land"),
    ("SFCR", "2.0.1", "m", "surface roughness"),
    ("TSOIL", "2.0.2", "K", "soil temperature"),
    ("VEG", "2.0.4", "%", "vegetation"),
    ("SOILW", "2.0.9 2.0.192", "1", "volumetric soil moisture content"),
    ("GFLUX", "2.0.10 2.0.193", "W m-2", "ground heat flux"),
    ("MSTAV", "2.0.11 2.0.194", "%", "moisture availability"),
    ("CNWAT", "2.0.13 2.0.196", "kg m-2", "plant canopy surface water"),
    ("VGTYP", "2.0.198", "1", "vegetation type"),
    ("VEGMIN", "2.0.231", "%", "seasonally minimum green vegetation fraction"),
    ("VEGMAX", "2.0.232", "%", "seasonally maximum green vegetation fraction"),
    ("SOTYP", "2.3.0", "1", "soil type"),
    ("ICEC", "10.2.0", "1", "ice cover"),
    ("WTMP", "10.3.0", "K", "water temperature"),
    # simulated satellite imagery
    ("SBT122", "3.192.0", "K", "simulated brightness temperature, GOES 12 channel 2"),
    ("SBT123", "3.192.1", "K", "simulated brightness temperature, GOES 12 channel 3"),
    ("SBT124", "3.192.2", "K", "simulated brightness temperature, GOES 12 channel 4"),
    ("SBT126", "3.192.3", "K", "simulated brightness temperature, GOES 12 channel 6"),
    ("SBT112", "3.192.6", "K", "simulated brightness temperature, GOES 11 channel 2"),
    ("SBT113", "3.192.7", "K", "simulated brightness temperature, GOES 11 channel 3"),
    ("SBT114", "3.192.8", "K", "simulated brightness temperature, GOES 11 channel 4"),
    ("SBT115", "3.192.9", "K", "simulated brightness temperature, GOES 11 channel 5"),
)

_ALIASES: Final = {"CLWMR": "CLMR"}
"""Older wgrib2 spelling to the current one."""


def _parse_numbers(text: str) -> Numbers:
    discipline, category, number = map(int, text.split("."))
    return discipline, category, number


def _make_element(name: str, numbers: str, units: str, title: str) -> Element:
    first, *others = map(_parse_numbers, numbers.split())
    return Element(name, *first, title, units, tuple(others))


ELEMENTS: Final[dict[str, Element]] = {row[0]: _make_element(*row) for row in _ROWS}
"""Abbreviation to element."""

_BY_NUMBERS: Final[dict[Numbers, Element]] = {
    numbers: element for element in ELEMENTS.values() for numbers in (element.numbers, *element.other_numbers)
}


def find_element(name: str) -> Element | None:
    """Find an element by its abbreviation, in the current or an older spelling; None if unknown.

    Examples
    --------
    >>> find_element("CLWMR").name
    'CLMR'
    """
    return ELEMENTS.get(_ALIASES.get(name, name))


def find_element_by_numbers(discipline: int, category: int, number: int) -> Element | None:
    """Find an element by its GRIB2 numbers at NCEP, usual or alternative; None if unknown.

    Examples
    --------
    >>> find_element_by_numbers(0, 16, 197).name
    'RETOP'
    """
    return _BY_NUMBERS.get((discipline, category, number))


_RAW = re.compile(
    r"var (?:discipline=(?P<discipline>[0-9]{1,3}) )?(?:center=7 )?(?:(?:master|local)_table=[0-9]{1,3} )?"
    r"parmcat=(?P<category>[0-9]{1,3}) parm=(?P<number>[0-9]{1,3})"
)


def parse_raw_element(text: str) -> Numbers | None:
    """Parse wgrib2's notation for a parameter without an abbreviation.

    Parameters
    ----------
    text : str
        ``var discipline=0 center=7 local_table=1 parmcat=16 parm=201``. Everything between ``var`` and ``parmcat`` is
        optional; the discipline defaults to 0.

    Returns
    -------
    tuple of int, or None
        Discipline, category and number; None if the text has another form or names another centre than NCEP.

    Examples
    --------
    >>> parse_raw_element("var discipline=0 center=7 local_table=1 parmcat=16 parm=201")
    (0, 16, 201)
    """
    match = _RAW.fullmatch(text)
    if match is None:
        return None
    return int(match["discipline"] or 0), int(match["category"]), int(match["number"])


def format_element(discipline: int, category: int, number: int, local_table: int = 1, centre: int = NCEP) -> str:
    """Return the abbreviation of a parameter, or wgrib2's raw notation if it has none.

    Parameters
    ----------
    discipline, category, number : int
        Code tables 0.0, 4.1 and 4.2.
    local_table : int
        Version of the local tables.
    centre : int
        Originating centre. Local numbers of another centre than NCEP always use the raw notation.

    Examples
    --------
    >>> format_element(0, 0, 0)
    'TMP'
    >>> format_element(0, 16, 201)
    'var discipline=0 center=7 local_table=1 parmcat=16 parm=201'
    """
    element = find_element_by_numbers(discipline, category, number)
    if element is not None and (centre == NCEP or max(discipline, category, number) < FIRST_LOCAL):
        return element.name
    return f"var discipline={discipline} center={centre} local_table={local_table} parmcat={category} parm={number}"


def canonical_element(text: str) -> str:
    """Normalise the spelling of an element, so that equal elements compare equal.

    Older abbreviations, and raw notation with numbers in the table, become the table's name. Raw notation with other
    numbers becomes the full form of :func:`format_element`. Any other text is returned unchanged.

    Examples
    --------
    >>> canonical_element("var discipline=0 center=7 local_table=1 parmcat=4 parm=200")
    'VBDSF'
    """
    if text in ELEMENTS:
        return text
    numbers = parse_raw_element(text)
    return format_element(*numbers) if numbers is not None else _ALIASES.get(text, text)
