"""Computes the solar zenith angle."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Times", "cos_zenith"]

NOON_2000: Final = np.datetime64("2000-01-01T12:00:00")
"""The epoch J2000.0; the difference between UTC and terrestrial time, about a minute, is negligible here."""

Times = datetime | np.datetime64 | NDArray[np.datetime64]
"""UTC."""


def cos_zenith(valid_time: Times, latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float64]:
    """Cosine of the sun's zenith angle; negative below the horizon.

    Parameters
    ----------
    valid_time : datetime or ndarray of datetime64
        UTC.
    latitude, longitude : array_like
        Broadcast against the time [degrees_north, degrees_east].

    Returns
    -------
    ndarray of float64
        Low-precision formulas of the Astronomical Almanac (Michalsky 1988, Solar Energy 40, 227-235), accurate to
        0.01 degrees from 1950 to 2050; without refraction.

    Examples
    --------
    >>> np.degrees(np.arccos(cos_zenith(datetime(2024, 6, 20, 18, 1, 40), 23.44, -90.0))).round(1).item()
    0.0
    """
    days = (np.asarray(valid_time, dtype="datetime64[s]") - NOON_2000).astype(np.float64) / 86_400
    mean_longitude, anomaly = 280.460 + 0.9856474 * days, np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = 280.46062 + 360.98564737 * days  # of Greenwich, in degrees
    hour_angle = np.radians(sidereal + np.asarray(longitude, dtype=np.float64)) - ascension
    north = np.radians(np.asarray(latitude, dtype=np.float64))
    across = np.cos(north) * np.cos(declination) * np.cos(hour_angle)
    cosine: NDArray[np.float64] = np.sin(north) * np.sin(declination) + across
    return cosine
