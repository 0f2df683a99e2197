"""Table of plausible limits: smallest and largest value and hourly change of each quantity, with sources.

Limits are generous: they include, with a margin, everything that climate and model can produce. A value outside is
flagged for review, never changed. Rows with "WMO" cite the WMO's World Weather and Climate Extremes Archive (Cerveny
et al. 2007, BAMS 88, 853-860).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hrrr_dask.catalog.selectors import Selector

__all__ = ["LIMITS", "Limits", "find_limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Plausible range and rate of change of one quantity."""

    low: float
    """Smallest plausible value [unit of the element]."""
    high: float
    """Largest plausible value [unit of the element]."""
    source: str
    """Source of both."""
    hourly_step: float | None = None
    """99th percentile of the change within an hour; None for quantities that jump by nature, such as precipitation
    [unit of the element per hour]."""


_ABOVE_ATMOSPHERE: Final = 1408.0
"""Solar irradiance at perihelion, 1361 W m-2 times 1.034: the maximum of a model without lateral radiation [W m-2]."""
_SOLAR: Final = "no more than above the atmosphere at perihelion (Kopp and Lean 2011, GRL 38, L01706; Spencer 1971)"
_PERCENT: Final = Limits(0, 100, "a share")
_YES_OR_NO: Final = Limits(0, 1, "a share, or 1 for yes")
_DBZ: Final = Limits(-40, 90, "hail cores reach 75 to 80 dBZ; real HRRR fields go from -10 to 73 dBZ")
_GUST: Final = Limits(0, 120, "WMO: 113.2 m s-1, Barrow Island 1996", 7.0)

LIMITS: Final[dict[str, Limits]] = {
    "PRES:surface": Limits(
        40_000, 110_000, "466 hPa on Denali (US Standard Atmosphere 1976); 1083.8 hPa at sea level (WMO)", 200.0
    ),
    "PRMSL:mean sea level": Limits(85_000, 110_000, "WMO: 870 hPa, typhoon Tip 1979; 1083.8 hPa, Agata 1968", 200.0),
    "MSLMA:mean sea level": Limits(85_000, 110_000, "WMO: 870 hPa, typhoon Tip 1979; 1083.8 hPa, Agata 1968", 200.0),
    "SFCR": Limits(0, 5, "2 m and more for city centres and forests (Wieringa 1992, JWEIA 41, 357-368)"),
    "VBDSF": Limits(0, 1361, "solar constant (Kopp and Lean 2011, GRL 38, L01706); the atmosphere lets less through"),
    "VDDSF": Limits(0, _ABOVE_ATMOSPHERE, _SOLAR),
    "DSWRF": Limits(0, _ABOVE_ATMOSPHERE, _SOLAR),
    "USWRF": Limits(0, _ABOVE_ATMOSPHERE, _SOLAR),
    "DLWRF": Limits(40, 700, "physically possible at most (Long and Shi 2008, Open Atmos. Sci. J. 2, 23-37)"),
    "ULWRF": Limits(40, 900, "physically possible at most (Long and Shi 2008, Open Atmos. Sci. J. 2, 23-37)"),
    "TMP": Limits(150, 340, "mesopause and surface leave room for every level of the model"),
    "TMP:2 m above ground": Limits(203.15, 333.15, "WMO: 56.7 degC, Furnace Creek 1913; -63 degC, Snag 1947", 4.0),
    "TMP:surface": Limits(193.15, 363.15, "80.8 degC on the skin of the Lut desert (Zhao et al. 2021, BAMS 102)"),
    "DPT:2 m above ground": Limits(
        203.15, 313.15, "35 degC, Dhahran 2003, is the highest known; air at -63 degC, Snag 1947, is the coldest", 4.0
    ),
    "RH": Limits(0, 100, "a share; NCEP's post-processor keeps it between 1 and 100 %", 10.0),
    "SPFH": Limits(0, 0.05, "saturated at 40 degC and 1000 hPa is 0.047"),
    "PWAT": Limits(0, 120, "soundings reach 80 to 90 kg m-2"),
    "UGRD": Limits(-150, 150, "jet streams reach 110 to 130 m s-1"),
    "VGRD": Limits(-150, 150, "jet streams reach 110 to 130 m s-1"),
    "UGRD:10 m above ground": Limits(-100, 100, "1-minute winds of hurricanes reach 96 m s-1, Patricia 2015", 5.0),
    "VGRD:10 m above ground": Limits(-100, 100, "1-minute winds of hurricanes reach 96 m s-1, Patricia 2015", 5.0),
    "UGRD:80 m above ground": Limits(-120, 120, "the gust of 113.2 m s-1, Barrow Island 1996 (WMO)", 6.0),
    "VGRD:80 m above ground": Limits(-120, 120, "the gust of 113.2 m s-1, Barrow Island 1996 (WMO)", 6.0),
    "WIND": Limits(0, 150, "jet streams reach 110 to 130 m s-1"),
    "GUST": _GUST,
    "MAXUW": Limits(-120, 120, _GUST.source),
    "MAXVW": Limits(-120, 120, _GUST.source),
    "APCP": Limits(0, 2_000, "WMO: 1825 mm in 24 hours, Foc-Foc 1966"),
    "APCP:surface:1 hour acc": Limits(0, 500, "401 mm in an hour, Shangdi 1975; 305 mm in 42 minutes, Holt 1947 (WMO)"),
    "APCP:surface:15 min acc": Limits(0, 250, "198 mm in a quarter of an hour, Plumb Point 1916 (WMO-No. 1045)"),
    "HPBL": Limits(0, 10_000, "deserts mix up to 5 or 6 km"),
    "VIS": Limits(0, 100_000, "real HRRR fields reach 90 km"),
    "CAPE": Limits(0, 15_000, "soundings reach 8,000 J kg-1"),
    "RETOP": Limits(0, 30_000, "the deepest storms reach 20 to 22 km"),
    "REFC": _DBZ,
    "REFD": _DBZ,
    "MAXREF": _DBZ,
    "TCDC": _PERCENT,
    "LCDC": _PERCENT,
    "MCDC": _PERCENT,
    "HCDC": _PERCENT,
    "CPOFP": _PERCENT,
    "SNOWC": _PERCENT,
    "VEG": _PERCENT,
    "MSTAV": _PERCENT,
    "LAND": _YES_OR_NO,
    "ICEC": _YES_OR_NO,
    "SOILW": _YES_OR_NO,
    "CRAIN": _YES_OR_NO,
    "CFRZR": _YES_OR_NO,
    "CICEP": _YES_OR_NO,
    "CSNOW": _YES_OR_NO,
}
"""``ELEMENT``, ``ELEMENT:LEVEL`` or ``ELEMENT:LEVEL:WINDOW`` to its limits; the longest matching key applies.

Hourly steps are the 99th percentile of 3,198 cells over 24 hourly runs of 2018-07-22 in Idaho, rounded up, for the
variables of that day. Exceptions: humidity has 10 %, because that day was dry, and winds at 80 m have a fifth more than
those at 10 m."""


def find_limits(selector: Selector) -> Limits | None:
    """Find the limits of a variable.

    Parameters
    ----------
    selector : Selector
        Element, level and window of the variable.

    Returns
    -------
    Limits or None
        None if the table has no row for it: then no value is implausible.

    Examples
    --------
    >>> find_limits(Selector.parse("TMP:2 m above ground")).high, find_limits(Selector.parse("TMP:500 mb")).high
    (333.15, 340)
    """
    for key in (str(selector), f"{selector.element}:{selector.level}", selector.element):
        if key in LIMITS:
            return LIMITS[key]
    return None
