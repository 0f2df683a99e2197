"""Defines the values of the synthetic archive as a function of variable, init time, lead time, row and column.

Fields are computed with integers, so they are identical on every machine and in every window: a whole number of
*quanta* per cell, times the quantum of the variable. Quanta are powers of two, and few enough for lossless GRIB
packing: a decoded value equals :func:`expected_field` bit for bit. The components are

``swell``
    triangular waves with a slope of one quantum per cell that move with valid time;
``texture``
    ``(2 row + 5 column + stamp) mod 13``, which differs between neighbouring cells, plus
    ``((1597 row + 2731 column + 997 stamp) mod 8191) // 683``, which differs between files, with
    ``stamp = 49 init_hours + lead_hours + 84 minutes + 3 number`` and ``minutes`` those past the full hour;
``sun`` and ``warmth``
    diurnal cycles in the local time of the column;
``cosine of the zenith angle``
    of the sun, only for global irradiance;
``terrain``
    stationary waves. Elevation and land mask have these and a texture without stamp: they are the same in all files.

The mean of a window is that of the values at its start and end.

The weather is plausible, not realistic: dew point stays below temperature, irradiance is zero at night, hourly and
15-minute precipitation add up to that of the run, and beam and diffuse irradiance to global irradiance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError
from hrrr_dask.grid.solar import cos_zenith
from hrrr_dask.testing.grids import GridWindow

__all__ = ["QUANTA", "expected_field"]

Quanta = NDArray[np.int32]
"""dims (y, x), either of which may have length 1 [quantum of the variable]."""

EPOCH: Final = datetime(2014, 1, 1)
"""Origin of the count of hours."""

ALASKA_SHIFT: Final = 211
"""Added to the rows of Alaska, so that the domains differ [cell]."""

SUN_MAX: Final = 64
"""Value of ``sun`` at noon; 0 is below the horizon."""

COS_ZENITH_MAX: Final = 4096
"""Value of ``cos_zenith`` with the sun in the zenith."""


def expected_field(variable: str, init_time: datetime, lead_minutes: int, window: GridWindow) -> NDArray[np.float32]:
    """Return the field of a variable in the synthetic archive.

    Parameters
    ----------
    variable : str
        A key of :data:`QUANTA`: a name of the catalogue or of a decoy. Wind components are grid-relative.
    init_time : datetime
        Init time, UTC, a whole hour.
    lead_minutes : int
        Lead time [min].
    window : GridWindow
        Grid cells; the values are those of the whole grid.

    Returns
    -------
    ndarray
        dims (y, x) [unit of the catalogue].

    Raises
    ------
    ConfigError
        If the archive does not have the variable or the lead time.

    Examples
    --------
    >>> expected_field("temperature_2m", datetime(2024, 1, 1), 0, GridWindow(288, 794, 2, 3))
    array([[286.375 , 286.125 , 285.8125],
           [285.875 , 285.5625, 286.0625]], dtype=float32)
    """
    if variable not in _RECIPES:
        raise ConfigError(f"variable {variable!r} has no synthetic field: use one of {', '.join(_RECIPES)}")
    if lead_minutes % 15:
        raise ConfigError(f"no file has a lead time of {lead_minutes} min: give a multiple of 15 min, 60 for 1 h")
    quanta = _RECIPES[variable](_Weather(init_time, lead_minutes, window))
    return np.broadcast_to(quanta, window.shape).astype(np.float32) * np.float32(QUANTA[variable])


def _triangle_wave(position: Quanta, half: int) -> Quanta:
    """Triangular wave of slope one between ``-half`` and ``half``."""
    return np.abs(position % (4 * half) - 2 * half) - half


@dataclass(frozen=True, slots=True)
class _Weather:
    init_time: datetime
    lead_minutes: int
    window: GridWindow

    @property
    def init_hours(self) -> int:
        return int((self.init_time - EPOCH) / timedelta(hours=1))

    @property
    def valid_minutes(self) -> int:
        return 60 * self.init_hours + self.lead_minutes

    @property
    def rows(self) -> Quanta:
        first = self.window.row + ALASKA_SHIFT * (self.window.domain == "alaska")
        return np.arange(first, first + self.window.ny, dtype=np.int32)[:, np.newaxis]

    @property
    def columns(self) -> Quanta:
        return np.arange(self.window.column, self.window.column + self.window.nx, dtype=np.int32)[np.newaxis, :]

    def swell(self, number: int, span: int) -> Quanta:
        """Between ``-span - 1`` and ``span + 1``; the half periods differ so that the pattern repeats slowly."""
        north, east = 3 * self.valid_minutes // 60 + 89 * number, 5 * self.valid_minutes // 60 + 31 * number
        return _triangle_wave(self.rows + north, span // 2) + _triangle_wave(self.columns + east, span // 2 + 1)

    def texture(self, number: int) -> Quanta:
        """0 to 23."""
        lead_hours, minutes = divmod(self.lead_minutes, 60)
        stamp = 49 * self.init_hours + lead_hours + 84 * minutes + 3 * number
        fine = ((2 * self.rows + stamp) % 13 + 5 * self.columns % 13) % 13
        scattered = (1597 * self.rows + 2731 * self.columns + 997 * stamp % 8191) % 8191
        return fine + scattered // 683

    def terrain(self, span: int) -> Quanta:
        return _triangle_wave(self.rows, span // 2) + _triangle_wave(self.columns, span // 2)

    @property
    def local_minutes(self) -> Quanta:
        """Minutes of the day in the local time of the column: 5 to 8 hours behind UTC."""
        return (self.valid_minutes % 1440 - 490 + self.columns * 7 // 64) % 1440

    @property
    def sun(self) -> Quanta:
        """0 from 18 to 6 o'clock, a parabola by day."""
        from_noon = np.minimum(np.abs(self.local_minutes - 720), 360)
        return SUN_MAX * (360**2 - from_noon**2) // 360**2

    @property
    def cos_zenith(self) -> Quanta:
        """Cosine of the solar zenith angle, 0 below the horizon; rounded, so that it is identical on all machines."""
        latitude, longitude = self.window.latlon(*np.indices(self.window.shape, sparse=True))
        valid_time = self.init_time + timedelta(minutes=self.lead_minutes)
        rounded = np.round(COS_ZENITH_MAX * np.maximum(cos_zenith(valid_time, latitude, longitude), 0))
        quanta: Quanta = rounded.astype(np.int32)
        return quanta

    @property
    def warmth(self) -> Quanta:
        """64 at three in the afternoon, 0 at three at night."""
        return np.abs((self.local_minutes - 180) % 1440 - 720) * -64 // 720 + 64


_Recipe = Callable[[_Weather], Quanta]


def _temperature(weather: _Weather) -> Quanta:
    return 280 * 16 + 2 * weather.warmth + weather.swell(1, 96) + weather.texture(1)


def _mean(recipe: _Recipe, minutes: int) -> _Recipe:
    """Mean of the last minutes; at the analysis, of those before it, so that it differs from the instant."""

    def mean(weather: _Weather) -> Quanta:
        before = replace(weather, lead_minutes=weather.lead_minutes - minutes)
        return (recipe(before) + recipe(weather)) // 2

    return mean


def _depression(weather: _Weather) -> Quanta:
    return 90 + weather.warmth + weather.swell(2, 60) + weather.texture(2)


def _dewpoint(weather: _Weather) -> Quanta:
    return _temperature(weather) - _depression(weather)


def _relative_humidity(weather: _Weather) -> Quanta:
    """5 % less for each kelvin of dew point depression (Lawrence 2005, BAMS 86, 225-234)."""
    return 1600 - 5 * _depression(weather)


def _pressure(weather: _Weather) -> Quanta:
    return 93_000 + 20 * weather.terrain(400) + weather.swell(3, 400) + 3 * weather.texture(3)


def _roughness(weather: _Weather) -> Quanta:
    return 480 + weather.terrain(400) + weather.swell(4, 24) + weather.texture(4)


def _elevation(weather: _Weather) -> Quanta:
    """0 to 1,516 m, the same in all files; 0 is the sea."""
    fine = (2 * weather.rows % 13 + 5 * weather.columns % 13) % 13
    height: Quanta = np.maximum(16 * (700 - 2 * weather.terrain(400)) + 16 * fine, 0)
    return height


def _by_day(weather: _Weather, quanta: Quanta) -> Quanta:
    return quanta * (weather.sun > 0)


def _direct_normal(weather: _Weather) -> Quanta:
    day: Quanta = 13 * weather.sun + weather.swell(5, 24) + 24 + weather.texture(5)
    return _by_day(weather, day)


def _diffuse(weather: _Weather) -> Quanta:
    day: Quanta = 2 * weather.sun + weather.swell(6, 24) + 24 + weather.texture(6)
    return _by_day(weather, day)


def _global_horizontal(weather: _Weather) -> Quanta:
    """Sum of diffuse and beam irradiance, the latter times the cosine of the zenith angle."""
    return _direct_normal(weather) * weather.cos_zenith // COS_ZENITH_MAX + _diffuse(weather)


def _along_x(weather: _Weather) -> Quanta:
    return 40 + weather.swell(7, 144) + weather.texture(7)


def _along_y(weather: _Weather) -> Quanta:
    return 15 + weather.swell(8, 160) + weather.texture(8)


def _aloft(wind: Quanta) -> Quanta:
    return wind + wind // 4 + 5


def _gust(weather: _Weather) -> Quanta:
    return np.abs(_along_x(weather)) + np.abs(_along_y(weather)) + 16


def _speed(weather: _Weather) -> Quanta:
    """Within 12 % of the length of the vector."""
    x, y = np.abs(_along_x(weather)), np.abs(_along_y(weather))
    speed: Quanta = np.maximum(x, y) + np.minimum(x, y) // 2
    return speed


def _cloud(weather: _Weather) -> Quanta:
    cover: Quanta = np.clip(38 + weather.swell(9, 40) + weather.texture(9), 0, 100)
    return cover


def _wetness(weather: _Weather) -> Quanta:
    """0 to 54; some cells are always wet."""
    wetness: Quanta = np.maximum(weather.swell(10, 24) + 2 * weather.texture(10) - 18, 0)
    return wetness


def _precipitation_run(weather: _Weather) -> Quanta:
    """Grows with lead time by up to 1.25 mm per hour, with an offset that differs between cells."""
    start = replace(weather, lead_minutes=0)
    offset = 2 * start.texture(13)
    return (_wetness(start) * 5 * weather.lead_minutes + 60 * offset) // (60 * 53)


def _precipitation(minutes: int) -> _Recipe:
    """Of the last minutes of the run."""

    def amount(weather: _Weather) -> Quanta:
        before = replace(weather, lead_minutes=max(weather.lead_minutes - minutes, 0))
        return _precipitation_run(weather) - _precipitation_run(before)

    return amount


def _reflectivity(weather: _Weather) -> Quanta:
    return 14 * _wetness(weather) - 160


def _mixed_layer(weather: _Weather) -> Quanta:
    return 16 * (250 + 18 * weather.sun + weather.swell(11, 100)) + 37 * weather.texture(11)


_RECIPES: Final[dict[str, _Recipe]] = {
    "surface_pressure": _pressure,
    "surface_roughness": _roughness,
    "visible_beam_downward_solar_flux": _direct_normal,
    "visible_diffuse_downward_solar_flux": _diffuse,
    "temperature_2m": _temperature,
    "dewpoint_2m": _dewpoint,
    "relative_humidity_2m": _relative_humidity,
    "u_component_wind_10m": _along_x,
    "v_component_wind_10m": _along_y,
    "u_component_wind_80m": lambda weather: _aloft(_along_x(weather)),
    "v_component_wind_80m": lambda weather: _aloft(_along_y(weather)),
    "wind_gust_surface": _gust,
    "downward_shortwave_flux": _global_horizontal,
    "total_cloud_cover": _cloud,
    "precipitation_1h": _precipitation(60),
    "boundary_layer_height": _mixed_layer,
    "composite_reflectivity": _reflectivity,
    "precipitation_run": _precipitation_run,
    "temperature_surface": lambda weather: _temperature(weather) + weather.warmth // 2 - 16,
    "temperature_500mb": lambda weather: _temperature(weather) - 40 * 16,
    "potential_temperature_2m": lambda weather: _temperature(weather) + 5 * 16,
    "u_component_wind_500mb": lambda weather: 2 * _along_x(weather) + 160,
    "v_component_wind_500mb": lambda weather: 2 * _along_y(weather) + 80,
    "wind_speed_10m_max": lambda weather: _gust(weather) - 8,
    "boundary_layer_cloud_cover": lambda weather: 100 - _cloud(weather),
    "lightning_threat": lambda weather: 2 * weather.texture(12) + weather.swell(12, 24) + 26,
    "specific_humidity_2m": lambda weather: _dewpoint(weather) + 440 - 280 * 16,
    "wind_speed_10m_5min": _mean(_speed, 5),
    "u_component_wind_10m_5min": _mean(_along_x, 5),
    "v_component_wind_10m_5min": _mean(_along_y, 5),
    "downward_shortwave_flux_15min": _mean(_global_horizontal, 15),
    "visible_beam_downward_solar_flux_15min": _mean(_direct_normal, 15),
    "precipitation_15min": _precipitation(15),
    "hgt_surface": _elevation,
    "land_surface": lambda weather: (_elevation(weather) > 0).astype(np.int32),
}

QUANTA: Final = dict.fromkeys(_RECIPES, 2.0**-4) | {
    "surface_pressure": 1.0,
    "surface_roughness": 2.0**-10,
    "visible_beam_downward_solar_flux": 1.0,
    "visible_diffuse_downward_solar_flux": 1.0,
    "downward_shortwave_flux": 1.0,
    "total_cloud_cover": 1.0,
    "boundary_layer_cloud_cover": 1.0,
    "precipitation_1h": 0.25,
    "precipitation_run": 0.25,
    "precipitation_15min": 0.25,
    "land_surface": 1.0,
    "downward_shortwave_flux_15min": 1.0,
    "visible_beam_downward_solar_flux_15min": 1.0,
    "specific_humidity_2m": 2.0**-16,
}
"""Name to the resolution of the values [unit of the catalogue]; lists all variables that can be written."""
